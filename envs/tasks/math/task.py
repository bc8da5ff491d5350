r"""Free-form mathematics from a user's data; only the answer is judged.

Any file or folder with a question and an answer column is a task::

    env:
      name: math
      settings: {preset: gsm8k, train: gsm8k_train.jsonl, id: gsm8k_test.jsonl}

A problem and its full trace::

    Sofia has 12 boxes with 8 marbles each and finds 55 more. How many marbles does Sofia have?
    Answer:
    The boxes hold 12 * 8 = 96 marbles.

    With those found it is 96 + 55 = 151.

    Thus, the answer is \boxed{151}.

The answer is stated in the closing line or in another form that `answer_forms` takes (`envs.answers`), such as
``\boxed{}``, ``#### 151`` or "The answer is 151".

Steps: what stands before the closing line, by `steps`; the default counts claims (`envs.claims`), whatever the
layout. Steps are counted and not checked, so a trace may be correct, never verified. The full trace is the
data's own solution, with its steps counted in the same way. One without blank lines, as in GSM8K, is taken line
by line, and demonstrations put blank lines between. `full_steps` is the step count of problems without a
solution. With `check_steps`, equations are the steps, and are checked (`envs.arithmetic_steps`,
`envs.equation_steps`).

Rows may have shorter solutions written by hand (`skipped`, drawn by the skip rule `by_hand`) and solutions with
wrong turns (`detours`, error kind `by_hand`). There are no searches.

Buckets: none. Splits are files, or named by the rows. Without data for id, one train question in four is held
out.

Everything is read once, when the environment is built: right answers by the grader, traces by the grammar that
reads the model's. What does not hold is named with file and row, and refused or left out by `on_bad_rows`.

Sources: GSM8K (Cobbe et al., arXiv 2110.14168) and MATH (Hendrycks et al., arXiv 2103.03874) have presets, and
others (`envs/data/columns.py`). Difference: `envs.maths` grades the answers, not the graders of the sources.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from envs.arithmetic_steps import ArithmeticSteps
from envs.base import Demonstration, NoSolutionError, check_error_kinds
from envs.data import Preset, Row
from envs.data.order import Passes
from envs.data.policy import OnBadRows
from envs.data.report import DataReport
from envs.equation_steps import EquationSteps
from envs.free_text import FreeTextEnv, FreeTextSettings
from envs.grading import Grade
from envs.maths.equality import Comparison
from envs.maths.grader import MathGrader, read_answer
from envs.problem import Problem, Split, hash_rows
from envs.segments import Segmentation
from envs.tasks.math.load import Item, Loader

BY_HAND = "by_hand"
EXAMPLE = Path(__file__).with_name("example.jsonl")


class MathSettings(FreeTextSettings):
    """Settings of `math`: the files of the splits, their columns, and how answers are graded.

    Attributes:
        steps: What counts as one step: `content`, a claim (a relation such as ``=``, or a sentence that states
            something), whatever the layout; or, by layout, `paragraphs`, `lines` or `sentences`.
        seed: Data seed; it determines the order of the train problems.
        preset: Layout of the data. None is for columns named as below, and for TRL's forms: `prompt` and
            `completion`, or `messages`.
        train: File, folder or data set of the train split: JSONL, JSON, CSV, TSV or parquet; a folder saved by
            `datasets`, as `folder:split` if it has several splits; or `owner/name:split@config` on the hub.
        id: The same for the id split. None takes the rows whose `split` is id, test or validation; if there are
            none, one train question in four, by a hash of the question.
        ood_easy: The same for the ood_easy split; None leaves the split out, unless rows name it.
        ood_hard: The same for the ood_hard split; None leaves the split out, unless rows name it.
        question: Column of the question, if it is not the preset's, or several columns, which are joined.
        answer: Column of the right answer. Without one, the answer is what the solution states.
        solution: Column of the full worked solution: a step in each line, or a list of steps.
        skipped: Column of shorter solutions written by hand: a text, a list of texts, or a list of lists of
            steps.
        detours: Column of solutions with a wrong turn, `{lines: […], wrong: [0]}`, one or a list.
        equation: Column of an equation that is worked out where there is no solution, as in SVAMP.
        choices: Column of the choices of a multiple-choice question; the prompt letters them.
        messages: Column of chats whose assistant solves the user's question.
        level: Column of the difficulty. Where an equation is worked out, it is the number of operations.
        levels: Only rows of these levels are used; None uses all.
        split: Column of the split; it is read in the data of `train`.
        on_bad_rows: What happens to rows that cannot be used and traces that do not hold: `refuse` names them
            and starts no run, `skip` leaves them out and says how many. A row whose trace is left out stays.
        check_steps: Which steps are checked: `none`; or every equation, which is then a step: with `arithmetic`
            those of word problems (`envs.arithmetic_steps`), with `equations` also those with letters, as in
            MATH (`envs.equation_steps`).
        max_merge: Most operations in one equation, where they are checked.
        full_steps: Step count of a problem whose solution is not in the data.
        tolerance: Largest relative difference from the right number; None requires equality.
        timeout_s: Time limit of one comparison that needs algebra.
    """

    seed: int = 0
    steps: Segmentation = "content"
    preset: Preset | None = None
    train: str
    id: str | None = None
    ood_easy: str | None = None
    ood_hard: str | None = None
    question: str | list[str] | None = None
    answer: str | None = None
    solution: str | None = None
    skipped: str | None = None
    detours: str | None = None
    equation: str | None = None
    choices: str | None = None
    messages: str | None = None
    level: str | None = None
    levels: tuple[int, ...] | None = Field(default=None, min_length=1)
    split: str | None = None
    on_bad_rows: OnBadRows = "refuse"
    check_steps: Literal["none", "arithmetic", "equations"] = "none"
    max_merge: int = Field(default=2, ge=1)
    full_steps: int = Field(default=8, ge=1)
    tolerance: float | None = Field(default=None, gt=0, lt=1)
    timeout_s: float = Field(default=2.0, gt=0)

    def names(self) -> dict[str, str | tuple[str, ...] | None]:
        """The names of columns that are not the preset's; None for those that are."""
        named = [self.question] if isinstance(self.question, str) else self.question
        question = tuple(named) if named else None
        traces = ("solution", "skipped", "detours", "equation")
        others = ("answer", "choices", "messages", "level", "split")
        return {"question": question, **{field: getattr(self, field) for field in (*traces, *others)}}


class MathProblems(FreeTextEnv):
    """Mathematical problems, each with a right answer."""

    name = "math"
    Settings = MathSettings
    example: ClassVar[Mapping[str, Any]] = {"preset": "gsm8k", "train": str(EXAMPLE)}

    def __init__(self, settings: Mapping[str, Any] | BaseModel | None = None) -> None:
        """Read the data and parse all right answers.

        Raises:
            pydantic.ValidationError: A setting is unknown or out of range.
            ValueError: The data is wrong; the message names the file and the row.
            GraderError: A right answer needs algebra, and the process for it failed.
        """
        super().__init__(settings)
        self._grader = MathGrader(tolerance=self.settings.tolerance, timeout_s=self.settings.timeout_s)
        if self.settings.check_steps == "arithmetic":
            self.check_equations(ArithmeticSteps(self.settings.max_merge))
        elif self.settings.check_steps == "equations":
            self.check_equations(
                EquationSteps(MathGrader(timeout_s=self.settings.timeout_s), self.settings.max_merge)
            )
        self._by_question: dict[str, Item] = {}
        loaded = Loader(self, self._grader, self._by_question).load()
        self._items, self._notes, self._report = loaded.items, loaded.notes, loaded.report
        self._passes = Passes(len(self._items[Split.TRAIN]), self.settings.seed, self.name)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the report on the data."""
        return {**vars(self), "_report": DataReport(rows=(), num_rows={})}

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out of the data, and how it was understood."""
        return self._notes

    @property
    def data_report(self) -> DataReport:
        """The rows that were read, and what was left out of them; empty in another process."""
        return self._report

    def where(self, problem: Problem) -> str:
        """Source and row of a problem, for messages."""
        return self._by_question[problem.question].row.where

    @cached_property  # it looks through all rows, and is asked for each demonstration
    def skip_kinds(self) -> Sequence[str]:  # type: ignore[override]
        """`by_hand`, if the data holds skipped solutions."""
        return (BY_HAND,) if any(item.row.skipped for item in self._items[Split.TRAIN]) else ()

    @cached_property
    def error_kinds(self) -> Sequence[str]:  # type: ignore[override]
        """`by_hand`, if the data holds solutions with a wrong turn."""
        return (BY_HAND,) if any(item.row.detours for item in self._items[Split.TRAIN]) else ()

    @property
    def splits(self) -> tuple[Split, ...]:
        """Train, id, and the other splits for which the settings name data."""
        return tuple(split for split in Split if split in self._items)

    def num_problems(self, split: Split) -> int:
        """Number of rows of a split."""
        return len(self._split(split))

    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        """Row `index` of a split; the train rows are shuffled again for each pass over them.

        Raises:
            ValueError: The split has no data.
        """
        split = Split(split)
        items = self._split(split)
        item = items[self._passes.row(index) if split is Split.TRAIN else index % len(items)]
        return Problem(
            env=self.name,
            split=split,
            index=index,
            question=item.row.question,
            prompt=self.render_prompt(item.row.question, budget),
            answer=item.row.answer,
            num_full_steps=item.num_full_steps,
            difficulty=item.row.level,
            budget=budget,
        )

    def bucket(self, problem: Problem) -> str | None:
        """The level of its row; None where the data gives none."""
        return f"level {problem.difficulty}" if problem.difficulty else None

    def fingerprint(self, split: Split) -> str:
        """A hash of all rows of a split, traces included, in their order."""
        rows = [item.row for item in self._split(Split(split))]
        return hash_rows([(r.question, r.answer, r.solution, r.level, r.skipped, _plain(r)) for r in rows])

    def _split(self, split: Split) -> list[Item]:
        if split not in self._items:
            raise ValueError(f"no data for {split}; set env.settings.{split}, or leave it out of eval.splits")
        return self._items[split]

    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        """The steps of the solution in the data.

        Raises:
            ValueError: The data has no solution for this problem.
        """
        row = self._by_question[problem.question].row
        if not row.solution:
            raise NoSolutionError(f"{row.where} has no worked solution to learn from; set warm_start to null")
        return row.solution

    def skipped_trace(self, problem: Problem, kind: str, rng: random.Random) -> tuple[str, ...] | None:
        """One of the shorter solutions in the data, or None if it has none for this problem."""
        skipped = self._by_question[problem.question].row.skipped
        return rng.choice(skipped) if skipped else None

    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        """One of the solutions with wrong turns in the data that has as many of them as `errors`, or None.

        Wrong lines in a row are one wrong turn.
        """
        check_error_kinds(errors, self.error_kinds)
        detours = self._by_question[problem.question].row.detours
        fitting = [detour for detour in detours if detour.num_turns == len(errors)]
        if not fitting:
            return None
        detour = rng.choice(fitting)
        return Demonstration(lines=detour.lines, wrong=detour.wrong)

    def demonstrate(self, lines: Sequence[str], answer: str) -> str:
        r"""The lines, then the answer in the closing line and in ``\boxed{}``, as prompts ask for it."""
        return super().demonstrate(lines, f"\\boxed{{{answer}}}")

    def same_answer(self, one: str, other: str) -> bool:
        """Whether the native reader finds the same value in both."""
        first, second = read_answer(one), read_answer(other)
        return first is not None and second is not None and Comparison().same(first, second) is True

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """Right if it is mathematically equal, in any spelling; see `envs.maths.grader`."""
        return self._grader.grade(self._by_question[problem.question].gold, answer)


def _plain(row: Row) -> list[tuple[tuple[str, ...], list[int]]]:
    """The detours of a row as plain values."""
    return [(detour.lines, sorted(detour.wrong)) for detour in row.detours]
