"""Settings whose cells are ranges, such as "9_30-40" or "10-20".

In: cells of the form KIND_LOW-HIGH, or LOW-HIGH where there is one kind only. Out: their parts, and the cell a
problem belongs to.
"""

from __future__ import annotations

import random
from functools import lru_cache
from itertools import combinations
from typing import Self

from pydantic import model_validator

from envs.generated import EnvSettings


class RangeSettings(EnvSettings):
    """Cells of one kind must not overlap: each problem is in one."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        for one, two in combinations(self._cells, 2):
            (a, low_a, high_a), (b, low_b, high_b) = read_range(one), read_range(two)
            if a == b and max(low_a, low_b) <= min(high_a, high_b):
                raise ValueError(f"the cells '{one}' and '{two}' overlap; each problem must be in one")
        return self

    def cell_of(self, kind: str, value: int) -> str:
        """The cell a value of a kind falls into; a name of its own for one that is in none."""
        for cell in self._cells:
            same, low, high = read_range(cell)
            if same == kind and low <= value <= high:
                return cell
        return f"{kind}_{value}-{value}" if kind else f"{value}-{value}"

    @property
    def _cells(self) -> tuple[str, ...]:
        return (*self.train, *self.ood_easy, *self.ood_hard)


@lru_cache(maxsize=1024)
def read_range(cell: str) -> tuple[str, int, int]:
    """The kind, which is empty where the cell names none, and the ends of the range."""
    kind, _, ends = cell.rpartition("_")
    low, _, high = ends.partition("-")
    return kind, int(low), int(high)


def draw_from_range(cell: str, rng: random.Random) -> tuple[str, int]:
    """The kind of a cell and a value of its range, each alike."""
    kind, low, high = read_range(cell)
    return kind, low + int(rng.random() * (high - low + 1))
