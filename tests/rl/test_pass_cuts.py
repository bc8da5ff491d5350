"""How the rows of an update are cut into passes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch

from rl import pass_cuts
from rl.pass_cuts import cut_passes


def test_the_cuts_leave_the_least_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way to cut is tried: no other costs less, and no pass is over a limit."""
    monkeypatch.setattr(pass_cuts, "_PASS", 9)
    rng = random.Random(0)
    for _ in range(120):
        rows = [rng.randint(1, 5) + rng.choice([1, 2, 3, 30]) for _ in range(rng.randint(1, 8))]
        tokens, num = rng.choice([None, 1, 20, 60, 200]), rng.choice([None, 1, 2, 3, 20])
        passes = cut_passes(rows, tokens, max_rows=num)
        assert sorted(place for one in passes for place in one) == list(range(len(rows)))
        lengths = sorted(rows, reverse=True)
        assert [rows[place] for one in passes for place in one] == lengths
        sizes = [len(one) for one in passes]
        assert fits(sizes, lengths, tokens, num)
        assert cost(sizes, lengths) == min(
            cost(others, lengths) for others in compositions(len(rows)) if fits(others, lengths, tokens, num)
        )


def test_a_pass_costs_more_where_kernels_are_launched() -> None:
    rows = [300] * 4 + [100] * 4
    assert cut_passes(rows) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert cut_passes(rows, device=torch.device("cuda")) == [list(range(8))]


def compositions(total: int) -> Iterator[list[int]]:
    """All ways to write `total` as a sum of parts in order."""
    if total == 0:
        yield []
    for first in range(1, total + 1):
        yield from ([first, *rest] for rest in compositions(total - first))


def widths(sizes: list[int], lengths: list[int]) -> list[int]:
    return [lengths[sum(sizes[:part])] for part in range(len(sizes))]


def cost(sizes: list[int], lengths: list[int]) -> int:
    return sum(size * width + 9 for size, width in zip(sizes, widths(sizes, lengths), strict=True))


def fits(sizes: list[int], lengths: list[int], tokens: int | None, num: int | None) -> bool:
    return all(
        size == 1 or ((tokens is None or size * width <= tokens) and (num is None or size <= num))
        for size, width in zip(sizes, widths(sizes, lengths), strict=True)
    )
