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

The answer is the one of the closing line or, if there is none, of the last ``\boxed{}``.

Steps: what stands before the closing line, by `steps` (paragraphs, lines or sentences). Steps are counted and
not checked, so a trace may be correct, never verified. The full trace is the data's own solution in steps
of the same kind; one without blank lines, as in GSM8K, has a step on each line, and demonstrations put blank
lines between them. `full_steps` is the step count of problems without a solution. There are no hand-skip rules,
detours or searches.

Buckets: none. Splits are files; without a file for id, train gives one question in four to it.

Right answers are read once, when the environment is built. A right answer that the grader cannot read is an
error that names its row.

Sources: GSM8K (Cobbe et al., arXiv 2110.14168) and MATH (Hendrycks et al., arXiv 2103.03874) have presets.
Difference: `envs.maths` grades the answers, not the graders of the sources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from envs.free_text import FreeTextEnv, FreeTextSettings
from envs.generated import home
from envs.grading import Grade
from envs.maths.grader import Gold, MathGrader, find_answer
from envs.problem import Problem, Split, hash_rows
from envs.seeding import derive_random
from envs.tasks.math.rows import COLUMNS, Columns, Preset, Row, read_rows
from envs.trace import Trace

EXAMPLE = Path(__file__).with_name("example.jsonl")


class MathSettings(FreeTextSettings):
    """Settings of `math`: the files of the splits, their columns, and how answers are graded.

    Attributes:
        seed: Data seed; it determines the order of the train problems.
        preset: Layout of the data: `gsm8k`, `math`, or None for plain question and answer columns.
        train: File or folder of the train split; `folder:split` if the folder has several splits.
        id: File or folder of the id split; None takes one train question in four, by a hash of the question.
        ood_easy: File or folder of the ood_easy split; None leaves the split out.
        ood_hard: File or folder of the ood_hard split; None leaves the split out.
        question: Column of the question, if it is not the preset's.
        answer: Column of the right answer, if it is not the preset's.
        solution: Column of the worked solution, if it is not the preset's.
        level: Column of the difficulty, if it is not the preset's.
        full_steps: Step count of a problem whose solution is not in the data.
        tolerance: Largest relative difference from the right number; None requires equality.
        timeout_s: Time limit of one comparison that needs algebra.
    """

    seed: int = 0
    preset: Preset | None = None
    train: str
    id: str | None = None
    ood_easy: str | None = None
    ood_hard: str | None = None
    question: str | None = None
    answer: str | None = None
    solution: str | None = None
    level: str | None = None
    full_steps: int = Field(default=8, ge=1)
    tolerance: float | None = Field(default=None, gt=0, lt=1)
    timeout_s: float = Field(default=2.0, gt=0)

    def columns(self) -> Columns:
        """The columns of the preset, replaced by those set here."""
        named = {
            "question": self.question,
            "answer": self.answer,
            "solution": self.solution,
            "level": self.level,
        }
        return replace(COLUMNS[self.preset], **{key: name for key, name in named.items() if name is not None})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    """A row with its parsed right answer."""

    row: Row
    gold: Gold


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
        self._items = self._read_splits()
        self._by_question = {item.row.question: item for items in self._items.values() for item in items}
        self._order = lru_cache(maxsize=4)(self._shuffled)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the cache, which cannot be pickled."""
        return {name: value for name, value in vars(self).items() if name != "_order"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start with an empty cache."""
        vars(self).update(state)
        self._order = lru_cache(maxsize=4)(self._shuffled)

    def _read_splits(self) -> dict[Split, list[_Item]]:
        found: dict[Split, list[_Item]] = {}
        seen: dict[str, tuple[Split, Row]] = {}
        for split in Split:
            source = getattr(self.settings, split.value)
            if source is None:
                continue
            found[split] = []
            for row in read_rows(source, self.settings.preset, self.settings.columns(), self.settings.steps):
                other, first = seen.setdefault(row.question, (split, row))
                if other is not split or first.answer != row.answer:
                    if other is split:
                        problem = f"another answer to the question of {first.where}; keep one of the two"
                    else:
                        problem = (
                            f"a question that is also in {other} ({first.where}); remove it from one of them"
                        )
                    raise ValueError(f"{row.where} has {problem}: {row.question[:80]!r}")
                found[split].append(_Item(row=row, gold=self._read_gold(row)))
        if Split.ID not in found:
            items = found[Split.TRAIN]
            for split in (Split.TRAIN, Split.ID):
                found[split] = [item for item in items if home(item.row.question) is split]
                if not found[split]:
                    raise ValueError(
                        f"{self.settings.train} has too few questions to split them into train and id: {split} "
                        "would be empty; add rows, or name a file for the id split"
                    )
        return found

    def _read_gold(self, row: Row) -> Gold:
        try:
            return self._grader.read_gold(row.answer)
        except ValueError as error:
            raise ValueError(f"{row.where}: {error}") from None

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
        epoch, place = divmod(index, len(items))
        item = items[self._order(epoch)[place] if split is Split.TRAIN else place]
        return Problem(
            env=self.name,
            split=split,
            index=index,
            question=item.row.question,
            prompt=self.render_prompt(item.row.question, budget),
            answer=item.row.answer,
            num_full_steps=len(item.row.lines) or self.settings.full_steps,
            difficulty=item.row.level,
            budget=budget,
        )

    def fingerprint(self, split: Split) -> str:
        """A hash of all rows of a split: questions, answers, solutions and levels, in their order."""
        rows = [item.row for item in self._split(Split(split))]
        return hash_rows([(row.question, row.answer, row.lines, row.level) for row in rows])

    def _split(self, split: Split) -> list[_Item]:
        if split not in self._items:
            raise ValueError(f"no data for {split}; set env.settings.{split}, or leave it out of eval.splits")
        return self._items[split]

    def _shuffled(self, epoch: int) -> list[int]:
        order = list(range(len(self._items[Split.TRAIN])))
        derive_random(self.settings.seed, self.name, "order", epoch).shuffle(order)
        return order

    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        """The steps of the solution in the data.

        Raises:
            ValueError: The data has no solution for this problem.
        """
        row = self._by_question[problem.question].row
        if not row.lines:
            raise ValueError(f"{row.where} has no worked solution to learn from; set warm_start to null")
        return row.lines

    def demonstrate(self, lines: Sequence[str], answer: str) -> str:
        r"""The lines, then the answer in the closing line and in ``\boxed{}``, as prompts ask for it."""
        return super().demonstrate(lines, f"\\boxed{{{answer}}}")

    def parse(self, text: str, *, truncated: bool = False) -> Trace:
        r"""As all free text; an answer that is one ``\boxed{}`` is its content."""
        trace = super().parse(text, truncated=truncated)
        inside = None if trace.answer is None else find_answer(trace.answer)
        return trace if trace.answer != f"\\boxed{{{inside}}}" else replace(trace, answer=inside)

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """Right if it is mathematically equal, in any spelling; see `envs.maths.grader`."""
        return self._grader.grade(self._by_question[problem.question].gold, answer)
