r"""Free-form mathematics from a user's data: only the answer is judged.

Any file or folder with a question and an answer column is a task::

    env:
      name: math
      settings: {preset: gsm8k, train: gsm8k_train.jsonl, id: gsm8k_test.jsonl}

The answer is what the closing line states or, without one, what the last ``\boxed{}`` holds. Every other line
is a step; steps are counted against the lines of the data's own solution, not checked, so `verified` means no
more than `correct` here. Right answers are read once, when the environment is made; one that cannot be graded
against is refused with its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from envs.free_text import FreeTextEnv
from envs.generated import home
from envs.grading import Grade
from envs.maths.grader import Gold, MathGrader
from envs.problem import Problem, Split
from envs.seeding import derive_random
from envs.tasks.math.rows import COLUMNS, Columns, Preset, Row, read_rows

EXAMPLE = Path(__file__).with_name("example.jsonl")


class MathSettings(BaseModel):
    """Where the problems are.

    Attributes:
        seed: Data seed: the order of the train problems.
        preset: Layout of the data: `gsm8k`, `math`, or None for plain question and answer columns.
        train: File or folder of the train split, `folder:split` where it holds several.
        id: The same of the id split; None takes one train question in four, by a hash of the question.
        ood_easy: The same of the ood_easy split, if there is one.
        ood_hard: The same of the ood_hard split, if there is one.
        question: Column of the question, where it is not the preset's.
        answer: Column of the right answer, likewise.
        solution: Column of the worked solution, likewise.
        level: Column of the difficulty, likewise.
        full_steps: Steps a solution is taken to have where the data holds none.
        tolerance: Largest relative difference of a number from the right one; None: none.
        timeout_s: Limit of one comparison that needs algebra.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

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
        """The preset's columns, with what is set here in their place."""
        named = {
            "question": self.question,
            "answer": self.answer,
            "solution": self.solution,
            "level": self.level,
        }
        return replace(COLUMNS[self.preset], **{key: name for key, name in named.items() if name is not None})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    """A row with its right answer read."""

    row: Row
    gold: Gold


class MathProblems(FreeTextEnv):
    """Mathematical problems with a right answer each."""

    name = "math"
    Settings = MathSettings
    example: ClassVar[Mapping[str, Any]] = {"preset": "gsm8k", "train": str(EXAMPLE)}

    def __init__(self, settings: Mapping[str, Any] | BaseModel | None = None) -> None:
        """Read the data and all right answers.

        Raises:
            pydantic.ValidationError: A setting is unknown or out of range.
            ValueError: Something is wrong with the data; names file and row.
            GraderError: A right answer needs algebra, and the process that does it failed.
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
            for row in read_rows(source, self.settings.preset, self.settings.columns()):
                other, first = seen.setdefault(row.question, (split, row))
                if other is not split or first.answer != row.answer:
                    problem = "another answer" if other is split else f"a question that is in {other} too"
                    raise ValueError(f"{row.where} has {problem} ({first.where}): {row.question[:80]!r}")
                found[split].append(_Item(row=row, gold=self._read_gold(row)))
        if Split.ID not in found:
            items = found[Split.TRAIN]
            for split in (Split.TRAIN, Split.ID):
                found[split] = [item for item in items if home(item.row.question) is split]
                if not found[split]:
                    raise ValueError(
                        f"{self.settings.train} has too few questions to leave some for {split}; add rows, or "
                        "name a file for the id split"
                    )
        return found

    def _read_gold(self, row: Row) -> Gold:
        try:
            return self._grader.read_gold(row.answer)
        except ValueError as error:
            raise ValueError(f"{row.where}: {error}") from None

    @property
    def splits(self) -> tuple[Split, ...]:
        """Train, id, and those the settings name data for."""
        return tuple(split for split in Split if split in self._items)

    def num_problems(self, split: Split) -> int:
        """Rows of a split."""
        return len(self._split(split))

    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        """Row `index` of a split; the train rows are shuffled anew each time they are used up.

        Raises:
            ValueError: No data for this split.
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

    def _split(self, split: Split) -> list[_Item]:
        if split not in self._items:
            raise ValueError(f"no data for {split}; set env.settings.{split}, or leave it out of eval.splits")
        return self._items[split]

    def _shuffled(self, epoch: int) -> list[int]:
        order = list(range(len(self._items[Split.TRAIN])))
        derive_random(self.settings.seed, self.name, "order", epoch).shuffle(order)
        return order

    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        """The data's solution, one step a line.

        Raises:
            ValueError: The data has none.
        """
        row = self._by_question[problem.question].row
        if not row.lines:
            raise ValueError(f"{row.where} has no worked solution to learn from; set warm_start to null")
        return row.lines

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """Equal as mathematics, whatever the spelling; see `math_answers`."""
        return self._grader.grade(self._by_question[problem.question].gold, answer)
