"""Settings whose buckets are ranges, such as "9_30-40" or "10-20".

In: buckets of the form KIND_LOW-HIGH, or LOW-HIGH for a task with one kind only. Out: the parts of a bucket,
and the bucket that contains a value.
"""

from __future__ import annotations

import random
from functools import lru_cache
from itertools import combinations
from typing import Self

from pydantic import model_validator

from envs.generated import EnvSettings


class RangeSettings(EnvSettings):
    """Settings with buckets of the form KIND_LOW-HIGH; those of one kind must not overlap."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        for one, two in combinations(self._buckets, 2):
            (a, low_a, high_a), (b, low_b, high_b) = read_range(one), read_range(two)
            if a == b and max(low_a, low_b) <= min(high_a, high_b):
                raise ValueError(
                    f"the buckets '{one}' and '{two}' overlap; change their ranges so that no value is in both"
                )
        return self

    def bucket_of(self, kind: str, value: int) -> str:
        """The bucket that contains a value of a kind; KIND_VALUE-VALUE if none does."""
        for bucket in self._buckets:
            same, low, high = read_range(bucket)
            if same == kind and low <= value <= high:
                return bucket
        return f"{kind}_{value}-{value}" if kind else f"{value}-{value}"

    @property
    def _buckets(self) -> tuple[str, ...]:
        return (*self.train, *self.ood_easy, *self.ood_hard)


@lru_cache(maxsize=1024)
def read_range(bucket: str) -> tuple[str, int, int]:
    """The kind of a bucket (empty if it names none) and the two ends of its range."""
    kind, _, ends = bucket.rpartition("_")
    low, _, high = ends.partition("-")
    return kind, int(low), int(high)


def draw_from_range(bucket: str, rng: random.Random) -> tuple[str, int]:
    """The kind of a bucket and a value drawn uniformly from its range."""
    kind, low, high = read_range(bucket)
    return kind, low + int(rng.random() * (high - low + 1))
