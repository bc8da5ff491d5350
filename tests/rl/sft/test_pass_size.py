"""How many demonstrations a pass of the warm start takes."""

from __future__ import annotations

import pytest
from datasets import Dataset

from rl.sft.trainer import rows_of_a_pass


@pytest.mark.parametrize(
    ("pass_tokens", "rows"),
    [(None, 12), (120, 12), (119, 6), (60, 6), (59, 4), (30, 3), (10, 1), (3, 1)],
)
def test_the_longest_demonstration_decides(pass_tokens: int | None, rows: int) -> None:
    """12 demonstrations of an update, the longest of 10 tokens: a divisor of 12, so that passes are equal."""
    data = Dataset.from_dict({"input_ids": [[1] * length for length in (4, 10, 7)]})
    assert rows_of_a_pass(data, 12, pass_tokens) == rows


def test_demonstrations_left_out_of_the_order_count_too() -> None:
    """The rows of a dataset are those it was made from, which an order of training repeats."""
    data = Dataset.from_dict({"input_ids": [[1] * 4, [1] * 10]}).select([0, 0, 0, 1])
    assert rows_of_a_pass(data, 4, 20) == 2
