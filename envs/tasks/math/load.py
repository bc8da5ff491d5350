"""Loading the data of `math`: sources to problems whose right answers and traces hold.

In: the settings. Out: the items of each split, and notes for the user. Faults of single rows are collected
first; then `on_bad_rows` decides whether they are refused or left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envs.arithmetic_steps import ArithmeticSteps
from envs.data import FaultKind, Row, RowFault, read_rows
from envs.data.golds import plain_spellings
from envs.data.policy import settle
from envs.data.problems import join_rows
from envs.data.report import BadRowsError, DataReport, LeftOut
from envs.data.traces import check_traces
from envs.generated import home
from envs.grading import Grade
from envs.maths.grader import Gold, MathGrader
from envs.problem import Problem, Split

if TYPE_CHECKING:
    from envs.tasks.math.task import MathProblems


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A row with its parsed right answer.

    Attributes:
        row: The row.
        gold: Its right answer.
        num_full_steps: Number of steps of its solution, whether or not that was left out; the setting
            `full_steps` without one.
    """

    row: Row
    gold: Gold
    num_full_steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """The data of all splits.

    Attributes:
        items: The problems of each split that has some.
        notes: What a user should know, a line each.
        report: The rows that were read, and what was left out of them.
    """

    items: dict[Split, list[Item]]
    notes: tuple[str, ...]
    report: DataReport


class Loader:
    """Loads the data of one task.

    Args:
        env: The task, as far as its settings; it grades and reads traces.
        grader: Its grader.
        by_question: The task's items by question, which it grades against; filled here.
    """

    def __init__(self, env: MathProblems, grader: MathGrader, by_question: dict[str, Item]) -> None:
        self._env = env
        self._settings = env.settings
        self._grader = grader
        self._by_question = by_question
        self._golds: dict[str, Gold] = {}
        self._num_steps: dict[tuple[str, ...], int] = {}
        self._num_unchecked: dict[tuple[str, ...], int] = {}
        self._faults: list[RowFault] = []
        self._notes: list[str] = []
        self._read_rows: list[Row] = []
        self._num_rows: dict[str, int] = {}
        self._left_out: dict[str, LeftOut] = {}
        self._understood: tuple[str, ...] = ()

    def load(self) -> Loaded:
        """Read, check and join all rows.

        Raises:
            ValueError: A source cannot be read.
            BadRowsError: Rows are refused, or a split is empty.
            GraderError: A right answer needs algebra, and the process for it failed.
        """
        rows = self._read()
        sound = {split: [row for row in rows[split] if self._is_gradable(row)] for split in rows}
        judged = {split: [self._judge(row) for row in sound[split]] for split in sound}
        joined = join_rows(judged, self._agree, self._num_steps.__getitem__)
        self._faults += joined.faults
        self._notes += joined.notes
        self._understood = tuple(self._notes)
        num_kept = sum(map(len, joined.rows.values()))
        self._notes += settle(self._report(), self._settings.on_bad_rows, num_kept)
        self._note_solutions(joined.rows.get(Split.TRAIN, []))
        try:
            found = _hold_out(joined.rows, self._settings.train)
        except ValueError as error:
            raise BadRowsError(str(error), self._report()) from None
        self._by_question.clear()
        items = {split: [self._item(row) for row in found[split]] for split in found}
        self._by_question.update((item.row.question, item) for split in items for item in items[split])
        self._note_answers(items)
        return Loaded(items=items, notes=tuple(self._notes), report=self._report())

    def _report(self) -> DataReport:
        return DataReport(
            rows=tuple(self._read_rows),
            num_rows=self._num_rows,
            faults=tuple(self._faults),
            notes=self._understood,
            num_steps=self._num_steps,
            num_unchecked=self._num_unchecked,
            left_out=self._left_out,
        )

    def _read(self) -> dict[Split, list[Row]]:
        settings = self._settings
        found: dict[Split, list[Row]] = {}
        others = 0
        for split in Split:
            source = getattr(settings, split.value)
            if source is None:
                continue
            reading = read_rows(source, preset=settings.preset, names=settings.names(), steps=settings.steps)
            self._faults += reading.faults
            self._notes += reading.notes
            self._num_rows[source] = len(reading.rows) + len(reading.faults)
            self._read_rows += reading.rows
            for row in reading.rows:
                named = row.split if split is Split.TRAIN else None
                if settings.levels is None or row.level in settings.levels:
                    found.setdefault(named or split, []).append(row)
                else:
                    others += 1
        if others:
            self._notes.append(f"{others:,} rows of other levels than {_names(settings.levels)} are not used")
        return found

    def _is_gradable(self, row: Row) -> bool:
        """Whether the right answer can be read and accepts its own plain spellings."""
        try:
            gold = self._grader.read_gold(row.answer)
        except ValueError as error:
            return self._fault(row, FaultKind.GOLD, str(error))
        for spelling in plain_spellings(row.answer):
            if (grade := self._grader.grade(gold, spelling)) is not Grade.CORRECT:
                reason = f"the right answer {row.answer[:80]!r} is read so that {spelling[:80]!r} is {grade}"
                return self._fault(row, FaultKind.SPELLING, f"{reason}; write the answer alone, without units")
        self._golds[row.where] = gold
        return True

    def _fault(self, row: Row, kind: FaultKind, reason: str) -> bool:
        self._faults.append(row.fault(kind, reason))
        return False

    def _judge(self, row: Row) -> Row:
        if not row.solution and not row.skipped and not row.detours:
            return row
        self._by_question[row.question] = self._item(row)
        problem = Problem(
            env=self._env.name,
            split=Split.TRAIN,
            index=0,
            question=row.question,
            prompt=row.question,
            answer=row.answer,
            num_full_steps=1,
            difficulty=row.level,
        )
        judged = check_traces(self._env, problem, row)
        self._faults += judged.faults
        self._num_steps |= judged.num_steps
        self._num_unchecked |= judged.num_unchecked
        if row.solution and not judged.row.solution:
            refused = judged.refused.get(row.solution)
            self._left_out[row.question] = LeftOut(lines=row.solution, trace=refused)
        return judged.row

    def _agree(self, row: Row, other: Row) -> bool:
        """Whether two rows have the same right answer, in whatever spelling."""
        return row.answer == other.answer or any(
            self._grader.grade(self._golds[one.where], two.answer) is Grade.CORRECT
            for one, two in ((row, other), (other, row))
        )

    def _item(self, row: Row) -> Item:
        full = self._num_steps.get(row.solution)
        if not full and (left_out := self._left_out.get(row.question)):
            full = self._env.count_steps(left_out.lines)  # nobody learns from it, but it is as long as it is
        return Item(row=row, gold=self._golds[row.where], num_full_steps=full or self._settings.full_steps)

    def _note_solutions(self, train: list[Row]) -> None:
        if 0 < (num_bare := sum(not row.solution for row in train)) < len(train):
            text = f"{num_bare:,} of {len(train):,} train questions have no worked solution"
            self._notes.append(f"{text}; a warm start is without them")

    def _note_answers(self, items: dict[Split, list[Item]]) -> None:
        """Say how many right answers no equation can state, where equations are the steps."""
        checker = self._env.checker
        if not isinstance(checker, ArithmeticSteps):
            return
        answers = [item.row.answer for split in items for item in items[split]]
        if num_others := sum(not checker.can_state(answer) for answer in answers):
            self._notes.append(
                f"{num_others:,} of {len(answers):,} right answers are no numbers: no equation states them, so "
                "their completions are never verified"
            )


def _names(levels: Sequence[int]) -> str:
    return ", ".join(map(str, levels))


def _hold_out(rows: dict[Split, list[Row]], source: str) -> dict[Split, list[Row]]:
    """The splits in their order; without rows for id, train gives one question in four to it.

    Raises:
        ValueError: A split would be empty.
    """
    found = {split: rows[split] for split in Split if split in rows}
    if not found.get(Split.ID):
        train = rows.get(Split.TRAIN, [])
        for split in (Split.TRAIN, Split.ID):
            found[split] = [row for row in train if home(row.question) is split]
            if not found[split]:
                raise ValueError(
                    f"{source} has too few questions to split them into train and id: {split} would be empty; "
                    "add rows, or name data for the id split"
                )
    for split, items in found.items():
        if not items:
            raise ValueError(
                f"no row of {split} can be used; see env.settings.on_bad_rows, and the column 'split'"
            )
    return {split: found[split] for split in Split if split in found}
