"""Tasks whose problems are drawn, or read from files in the layout of the released data.

In: settings, where `files` names a file for some of the splits. Out: those splits are finite, with the problems
and traces of their files; the others are drawn as ever, without the questions of any file.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

from envs.data.order import Passes
from envs.data.policy import OnBadRows
from envs.data.report import DataReport
from envs.generated import Draw, EnvSettings, GeneratedEnv
from envs.path import State
from envs.problem import Problem, Split, hash_rows
from envs.released.load import Loaded, load_files
from envs.released.wording import Wording

BY_HAND = "by_hand"


class Files(BaseModel):
    """Files in the JSONL layout of the released data (`envs/released/layout.py`), for any of the splits.

    Attributes:
        train: File of the train split.
        id: File of the id split.
        ood_easy: File of the ood_easy split.
        ood_hard: File of the ood_hard split.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: str | None = None
    id: str | None = None
    ood_easy: str | None = None
    ood_hard: str | None = None

    @model_validator(mode="after")
    def _one_at_least(self) -> Files:
        if not self.by_split():
            raise ValueError(f"names no file; give one for {', '.join(Split)}, or leave files out")
        return self

    def by_split(self) -> dict[Split, str]:
        """The file of each split that has one."""
        return {split: source for split in Split if (source := getattr(self, split.value)) is not None}


class ReleasedSettings(EnvSettings):
    """Settings of a task that may read the released data.

    Attributes:
        files: Files in place of drawn problems, `{train: a.jsonl, ood_hard: b.jsonl}`, in the layout of the
            released data. A split without one is drawn.
        on_bad_rows: What happens to rows of the files that cannot be used and to traces that do not hold:
            `refuse` names them and starts no run, `skip` leaves them out and says how many. A row whose trace
            is left out stays.
    """

    files: Files | None = None
    on_bad_rows: OnBadRows = "refuse"


class ReleasedEnv(GeneratedEnv[State]):
    """A drawn task that may read the released data.

    Subclasses set `Settings` to their own `ReleasedSettings` and `wording`, and implement `pose`,
    `write_full` and `write_skipped` in addition to the abstract methods of `GeneratedEnv`. A file with
    skipped traces adds the hand-skip rule `by_hand`, which draws one of them, as the default rule.
    """

    Settings: ClassVar[type[ReleasedSettings]]
    settings: ReleasedSettings
    wording: ClassVar[Wording]

    def __init__(self, settings: Mapping[str, Any] | BaseModel | None = None) -> None:
        """Read the files, if there are any.

        Raises:
            pydantic.ValidationError: A setting is unknown or out of range.
            ValueError: The data is wrong; the message names the file and the row.
        """
        super().__init__(settings)
        files = {} if self.settings.files is None else self.settings.files.by_split()
        self._loaded = load_files(self, files, self.settings.on_bad_rows) if files else Loaded()
        train = self._loaded.items.get(Split.TRAIN, [])
        self._passes = Passes(len(train), self.settings.seed, self.name)
        if any(item.skipped for item in train):
            vars(self)["skip_kinds"] = (BY_HAND, *self.skip_kinds)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the report on the data."""
        loaded = replace(self._loaded, report=DataReport(rows=(), num_rows={}))
        return {**vars(self), "_loaded": loaded}

    # ---- what a subclass defines ----

    @abstractmethod
    def pose(self, question: str) -> Draw:
        """The problem of a question, worked out.

        Raises:
            ValueError: It is no question of the task, or has no answer; the message is one line.
        """

    @abstractmethod
    def write_full(self, problem: Problem) -> tuple[str, ...]:
        """The full trace, as `full_trace`."""

    @abstractmethod
    def write_skipped(self, problem: Problem, kind: str, rng: random.Random) -> tuple[str, ...] | None:
        """The full trace with steps skipped by one of the task's own rules, as `skipped_trace`."""

    # ---- problems and traces ----

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out of the files, and how they were understood."""
        return self._loaded.notes

    @property
    def data_report(self) -> DataReport:
        """The rows that were read, and what was left out of them; empty in another process."""
        return self._loaded.report

    def where(self, problem: Problem) -> str:
        """Source and row of a problem, or its address if it is drawn."""
        item = self._loaded.by_question.get(problem.question)
        return f"{problem.split} {problem.index}" if item is None else item.where

    def num_problems(self, split: Split) -> int | None:
        """Number of problems in the split's file; None for a split that is drawn."""
        items = self._loaded.items.get(split)
        return None if items is None else len(items)

    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        """Problem `index` of the split's file, or a drawn one; the train rows are shuffled again for each pass.

        Raises:
            ValueError: The buckets hold so few distinct problems that none belongs to this split.
        """
        split = Split(split)
        if (items := self._loaded.items.get(split)) is None:
            return super().problem(split, index, budget=budget)
        item = items[self._passes.row(index) if split is Split.TRAIN else index % len(items)]
        return self.as_problem(item.draw, split, index, budget)

    def belongs(self, question: str, split: Split) -> bool:
        """No question of a file is drawn."""
        return question not in self._loaded.by_question and super().belongs(question, split)

    def fingerprint(self, split: Split) -> str:
        """A hash of the problems of a split; of a file with its traces."""
        if (items := self._loaded.items.get(Split(split))) is None:
            return super().fingerprint(split)
        return hash_rows([(item.draw.question, item.draw.answer, item.full, item.skipped) for item in items])

    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        """The full trace in the file, or the one that the task writes."""
        item = self._loaded.by_question.get(problem.question)
        return item.full if item is not None and item.full else self.write_full(problem)

    def skipped_trace(self, problem: Problem, kind: str, rng: random.Random) -> tuple[str, ...] | None:
        """One of the file's shorter traces (`by_hand`), or a trace by one of the task's own rules.

        Returns None if the file has none for this problem, or the rule does not apply to it.
        """
        if kind != BY_HAND:
            return self.write_skipped(problem, kind, rng)
        versions = self.by_hand(problem)
        return rng.choice(versions) if versions else None

    def by_hand(self, problem: Problem) -> tuple[tuple[str, ...], ...]:
        """All shorter traces that the file has for a problem."""
        item = self._loaded.by_question.get(problem.question)
        return () if item is None else item.skipped
