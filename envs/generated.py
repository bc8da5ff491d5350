"""Tasks that draw their problems at random: endless splits, defined by difficulty buckets.

In: settings that name the buckets of each split. Out: the problem at any address, the same on every machine. A
subclass draws one problem of a bucket; this module picks the bucket and keeps the splits apart.
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

_MAX_DRAWS = 1000  # one question in four belongs to id, so 100 draws are enough if there are any
_SHARED = (Split.TRAIN, Split.ID)


class EnvSettings(BaseModel):
    """Settings shared by all generated environments; subclasses define the buckets.

    A *bucket* is one difficulty of the task (a number of actions, a pair of digit counts). Each split maps
    its buckets to weights, the relative frequencies with which they are drawn. A plain list of buckets is drawn
    uniformly.

    Attributes:
        seed: Data seed. Two runs with the same data seed see the same problems, whatever their run seeds.
        max_merge: Largest number of elementary steps that one line may do. A line that does more is invalid,
            so packing the whole solution into one line saves no steps. The published hand-skip rules merge two.
        train: Buckets of the train and id splits.
        ood_easy: Buckets of the ood_easy split, none of which may be in `train`.
        ood_hard: Buckets of the ood_hard split, none of which may be in `train` or `ood_easy`.
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
            raise ValueError(
                f"got the weights {value}; a split needs at least one bucket, and weights from 0 up with a "
                "finite sum above 0"
            )
        return {bucket: weight for bucket, weight in value.items() if weight > 0}

    @model_validator(mode="after")
    def _disjoint(self) -> EnvSettings:
        splits = {"train": self.train, "ood_easy": self.ood_easy, "ood_hard": self.ood_hard}
        for (one, a), (two, b) in combinations(splits.items(), 2):
            if shared := sorted(set(a) & set(b)):
                raise ValueError(f"{one} and {two} share the buckets {shared}; remove them from one of the two")
        return self

    def buckets(self, split: Split) -> dict[str, float]:
        """The buckets of a split and their weights."""
        return {Split.OOD_EASY: self.ood_easy, Split.OOD_HARD: self.ood_hard}.get(split, self.train)


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """A problem as its environment draws it, before it gets an address.

    Attributes:
        question: The task text; equal questions are the same problem.
        answer: The gold answer.
        num_full_steps: Number of lines in the full trace.
        difficulty: The environment's own measure; larger is harder.
    """

    question: str
    answer: str
    num_full_steps: int
    difficulty: int


class GeneratedEnv(Env[State]):
    """A task that draws its problems at random.

    Subclasses set `Settings` to their own `EnvSettings` and implement `draw` and `bucket` in addition to the
    abstract methods of `Env` other than `problem`.
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
        """The difficulty bucket of a problem, read from its question."""

    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        """The problem at an address; the same on every call, machine and process.

        Train and id share one distribution. A hash of the question assigns it to one of the two, so they have
        no question in common. The out-of-distribution splits draw from other buckets.

        Args:
            split: The split.
            index: Any integer from 0 up; splits are endless.
            budget: Number of steps the prompt asks for; None asks for none.

        Raises:
            ValueError: The buckets hold so few distinct problems that none belongs to this split.
        """
        split = Split(split)
        rng = derive_random(self.settings.seed, self.name, split.value, index)
        buckets = self._buckets[split]
        for _ in range(_MAX_DRAWS):
            draw = self.draw(buckets.pick(rng), rng)
            if self.belongs(draw.question, split):
                break
        else:
            raise ValueError(
                f"no {split} problem in {_MAX_DRAWS} draws from the train buckets {list(self.settings.train)} "
                f"of '{self.name}': they hold too few distinct problems for train and id; add buckets"
            )
        return self.as_problem(draw, split, index, budget)

    def belongs(self, question: str, split: Split) -> bool:
        """Whether a question drawn from a split's buckets is of that split; a hash parts train from id."""
        return split not in _SHARED or home(question) is split

    def as_problem(self, draw: Draw, split: Split, index: int, budget: int | None) -> Problem:
        """A drawn problem at its address."""
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
    """Weighted choice among a split's buckets; the cumulative weights are computed once."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._names = list(weights)
        self._cumulative = list(accumulate(weights.values()))

    def pick(self, rng: random.Random) -> str:
        at = bisect(self._cumulative, rng.random() * self._cumulative[-1])
        return self._names[min(at, len(self._names) - 1)]


def home(question: str) -> Split:
    """The split of a question, train or id, by its hash; one question in four belongs to id."""
    return Split.ID if blake2b(question.encode(), digest_size=1).digest()[0] < 64 else Split.TRAIN
