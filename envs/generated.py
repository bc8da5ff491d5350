"""Tasks whose problems are drawn: endless splits, made from buckets.

In: settings that name the buckets of each split. Out: the problem at any address, the same on every machine. A
subclass says how to draw a problem of a bucket; how splits are kept apart is done here, once.
"""

from __future__ import annotations

import math
import random
from abc import abstractmethod
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate, combinations
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from envs.base import Env
from envs.path import State
from envs.problem import Problem, Split
from envs.seeding import derive_random

_MAX_DRAWS = 1000  # one question in four is an id one, so 100 would do wherever there are any
_SHARED = (Split.TRAIN, Split.ID)


class EnvSettings(BaseModel):
    """Settings every environment has; subclasses give the buckets their defaults and meaning.

    A *bucket* is one difficulty of the task (a number of actions, a pair of digit counts). Each split maps
    its buckets to how often they are drawn; a plain list draws its buckets alike.

    Attributes:
        seed: Data seed. Two runs with the same one see the same problems, whatever their run seed.
        max_merge: How many elementary steps one line may do. A line that does more is invalid, so a
            step cannot be saved by packing the whole solution into one line. The published hand-skip
            rules merge two.
        train: Buckets of the train and id splits.
        ood_easy: Buckets of the ood_easy split; none of them may be in `train`.
        ood_hard: Buckets of the ood_hard split; none of them may be in the other two.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    max_merge: int = Field(default=2, ge=1)
    train: dict[str, float]
    ood_easy: dict[str, float]
    ood_hard: dict[str, float]

    @field_validator("train", "ood_easy", "ood_hard", mode="before")
    @classmethod
    def _list_is_uniform(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return {str(bucket): 1.0 for bucket in value}
        if isinstance(value, dict):
            return {str(bucket): weight for bucket, weight in value.items()}
        return value

    @field_validator("train", "ood_easy", "ood_hard")
    @classmethod
    def _drawable(cls, value: dict[str, float]) -> dict[str, float]:
        if not value or min(value.values()) < 0 or not 0 < sum(value.values()) < math.inf:
            raise ValueError("a split needs buckets with weights of at least 0 that do not sum to 0")
        return {bucket: weight for bucket, weight in value.items() if weight > 0}

    @model_validator(mode="after")
    def _disjoint(self) -> EnvSettings:
        splits = {"train": self.train, "ood_easy": self.ood_easy, "ood_hard": self.ood_hard}
        for (one, a), (two, b) in combinations(splits.items(), 2):
            if shared := sorted(set(a) & set(b)):
                raise ValueError(f"{one} and {two} share the buckets {shared}; splits must be disjoint")
        return self

    def buckets(self, split: Split) -> dict[str, float]:
        """The buckets of a split and their weights."""
        return {Split.OOD_EASY: self.ood_easy, Split.OOD_HARD: self.ood_hard}.get(split, self.train)


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """A problem as its environment draws it, before it is given an address.

    Attributes:
        question: The task text; equal questions are the same problem.
        answer: The gold answer.
        num_full_steps: Lines in the full trace.
        difficulty: Grows with hardness.
    """

    question: str
    answer: str
    num_full_steps: int
    difficulty: int


class GeneratedEnv(Env[State]):
    """A task that draws its problems.

    Subclasses set `Settings` to their own `EnvSettings` and implement `draw` and `bucket` beside what `Env`
    asks for.
    """

    Settings: ClassVar[type[EnvSettings]]
    settings: EnvSettings

    def __init__(self, settings: Mapping[str, Any] | BaseModel | None = None) -> None:
        """Build from settings; see `Env`."""
        super().__init__(settings)
        self._buckets = {split: _Buckets(self.settings.buckets(split)) for split in Split}

    @abstractmethod
    def draw(self, bucket: str, rng: random.Random) -> Draw:
        """Draw one problem of a difficulty bucket."""

    @abstractmethod
    def bucket(self, problem: Problem) -> str:
        """The difficulty bucket a problem belongs to, read from its question."""

    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        """The problem at an address; the same on every call, machine and process.

        Train and id share a distribution; which of the two a question belongs to is decided by a hash of
        the question, so they never meet. The out-of-distribution splits differ in difficulty.

        Args:
            split: Which split.
            index: Any integer from 0 up; splits have no end.
            budget: Ask for this many steps in the prompt.

        Raises:
            ValueError: The buckets hold so few problems that none fell to this split.
        """
        split = Split(split)
        rng = derive_random(self.settings.seed, self.name, split.value, index)
        buckets = self._buckets[split]
        for _ in range(_MAX_DRAWS):
            draw = self.draw(buckets.pick(rng), rng)
            if split not in _SHARED or home(draw.question) is split:
                break
        else:
            raise ValueError(
                f"no {split} problem in {_MAX_DRAWS} draws from the train buckets {list(self.settings.train)} "
                f"of '{self.name}': they hold too few distinct problems to share; add buckets"
            )
        return Problem(
            env=self.name,
            split=split,
            index=index,
            question=draw.question,
            prompt=self.render_prompt(draw.question, budget),
            answer=draw.answer,
            num_full_steps=draw.num_full_steps,
            difficulty=draw.difficulty,
            budget=budget,
        )


class _Buckets:
    """Weighted choice among a split's buckets, with the cumulative weights made once."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._names = list(weights)
        self._cumulative = list(accumulate(weights.values()))

    def pick(self, rng: random.Random) -> str:
        at = bisect(self._cumulative, rng.random() * self._cumulative[-1])
        return self._names[min(at, len(self._names) - 1)]


def home(question: str) -> Split:
    """Train or id, one question in four to id, by a hash of the question alone."""
    return Split.ID if blake2b(question.encode(), digest_size=1).digest()[0] < 64 else Split.TRAIN
