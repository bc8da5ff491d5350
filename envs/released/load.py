"""Files in the released layout to problems whose answers and traces hold.

In: a file for each of some splits, and the task. Out: the problems by split, notes, and a report on the rows.
The environment works out each problem itself: a row's answer must be right, and each line of its traces a
valid step. A trace with as many steps as the environment's own full one is the full trace, a shorter one a
skipped trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from envs.data.policy import OnBadRows, settle
from envs.data.problems import join_rows
from envs.data.report import BadRowsError, DataReport, LeftOut
from envs.data.rows import FaultKind, Row, RowFault
from envs.data.traces import check_traces
from envs.grading import Grade
from envs.problem import Problem, Split
from envs.released.layout import read_released

if TYPE_CHECKING:
    from envs.generated import Draw
    from envs.released.env import ReleasedEnv

Lines = tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A problem from a file.

    Attributes:
        where: Source and row.
        draw: Question, answer, steps and difficulty.
        full: Its full trace in the file; empty if there is none that holds.
        skipped: Its shorter traces in the file.
    """

    where: str
    draw: Draw
    full: Lines
    skipped: tuple[Lines, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """The problems of all splits that have a file.

    Attributes:
        items: By split, in the order of the file.
        by_question: The same by question.
        notes: What a user should know, a line each.
        report: The rows that were read, and what was left out of them.
    """

    items: Mapping[Split, list[Item]] = field(default_factory=dict)
    by_question: Mapping[str, Item] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    report: DataReport = field(default_factory=lambda: DataReport(rows=(), num_rows={}))


def load_files(env: ReleasedEnv[Any], files: Mapping[Split, str], on_bad_rows: OnBadRows) -> Loaded:
    """Read, check and join the rows of all files.

    Args:
        env: The task; it works out questions and judges traces.
        files: The file of each split that has one.
        on_bad_rows: What becomes of rows and traces with faults.

    Raises:
        ValueError: A file cannot be read.
        BadRowsError: Rows are refused, or a split is empty.
    """
    return _Loader(env).load(files, on_bad_rows)


class _Loader:
    """Loads the files of one task, and collects what is wrong with them."""

    def __init__(self, env: ReleasedEnv[Any]) -> None:
        self._env = env
        self._draws: dict[str, Draw] = {}
        self._faults: list[RowFault] = []
        self._num_steps: dict[Lines, int] = {}
        self._left_out: dict[str, LeftOut] = {}
        self._num_slips = 0

    def load(self, files: Mapping[Split, str], on_bad_rows: OnBadRows) -> Loaded:
        """See `load_files`."""
        rows: dict[Split, list[Row]] = {}
        num_rows: dict[str, int] = {}
        for split, source in files.items():
            reading = read_released(source, self._env.wording)
            rows[split] = list(reading.rows)
            self._faults += reading.faults
            numbers = {row.number for row in reading.rows} | {fault.number for fault in reading.faults}
            num_rows[source] = len(numbers)
        judged = {split: [self._judge(row) for row in rows[split] if self._is_right(row)] for split in rows}
        joined = join_rows(judged, lambda row, other: True, len)
        self._faults += joined.faults
        notes = list(joined.notes)
        if self._num_slips:
            notes.append(
                "traces that print another carry into their columns than there is, whose problems have full "
                f"traces of our own: {self._num_slips:,}"
            )
        report = DataReport(
            rows=tuple(row for split in rows for row in rows[split]),
            num_rows=num_rows,
            faults=tuple(self._faults),
            notes=tuple(notes),
            num_steps=self._num_steps,
            left_out=self._left_out,
        )
        notes += settle(report, on_bad_rows, sum(map(len, joined.rows.values())))
        items = {split: [self._item(row) for row in joined.rows[split]] for split in files}
        for split, found in items.items():
            if not found:
                raise BadRowsError(f"no row of {files[split]} makes a problem of {split}", report)
        by_question = {item.draw.question: item for found in items.values() for item in found}
        return Loaded(items=items, by_question=by_question, notes=tuple(notes), report=report)

    def _is_right(self, row: Row) -> bool:
        """Whether the question is one of the task and the row's answer is right; if not, a fault is noted."""
        try:
            draw = self._env.pose(row.question)
        except ValueError as error:
            self._faults.append(row.fault(FaultKind.VALUE, str(error)))
            return False
        if self._env.grade_answer(self._problem(draw), row.answer) is not Grade.CORRECT:
            reason = f"the answer is {row.answer[:80]!r}, but it should be {draw.answer!r}"
            self._faults.append(row.fault(FaultKind.WRONG, reason))
            return False
        self._draws[row.question] = draw
        return True

    def _judge(self, row: Row) -> Row:
        """The row with the traces that hold, as `solution`, be they full or skipped."""
        draw = self._draws[row.question]
        problem = self._problem(replace(draw, answer=row.answer))
        full = self._env.write_full(problem)
        if row.solution and row.solution != full and self._env.wording.is_known_slip(row.solution, full):
            self._num_slips += 1
            return replace(row, solution=())
        judged = check_traces(self._env, problem, row)
        self._faults += judged.faults
        self._num_steps |= judged.num_steps
        if row.solution and not judged.row.solution:
            refused = judged.refused.get(row.solution)
            self._left_out[row.question] = LeftOut(lines=row.solution, trace=refused)
        if not judged.row.skipped:
            return judged.row
        [lines] = judged.row.skipped
        if len(lines) >= draw.num_full_steps:
            reason = f"the skipped trace has {len(lines)} steps, the full one {draw.num_full_steps}"
            self._faults.append(row.fault(FaultKind.TRACE_LENGTH, reason))
            return replace(judged.row, skipped=())
        return replace(judged.row, solution=lines, skipped=())

    def _item(self, row: Row) -> Item:
        draw, full, skipped = self._draws[row.question], row.solution, row.skipped
        if full:  # the closing line states what the last line of the trace says
            draw = replace(draw, answer=row.answer)
        if len(full) < draw.num_full_steps:
            skipped, full = ((full, *skipped) if full else skipped), ()
        return Item(where=row.where, draw=draw, full=full, skipped=skipped)

    def _problem(self, draw: Draw) -> Problem:
        return self._env.as_problem(draw, Split.TRAIN, 0, None)
