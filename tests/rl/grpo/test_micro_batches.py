"""Micro-batches: their tensors and factors, by hand."""

from __future__ import annotations

import math
import random

import pytest
import torch

from rl.grpo.left_aligned import align_left
from rl.grpo.micro_batches import Row, make_micro_batches, useful_frac

CPU = torch.device("cpu")


def test_tensors_by_hand() -> None:
    """Rows of 1 + 2 and 2 + 1 tokens: all prompts end, and all completions begin, in the same column."""
    rows = [
        Row(prompt_ids=(5,), ids=(6, 7), logprobs=(-0.1, -0.2), advantages=(1.0, 1.0)),
        Row(prompt_ids=(8, 9), ids=(3,), logprobs=(-0.3,), advantages=(-1.0,)),
    ]
    (batch,) = make_micro_batches(rows, 100, pad_id=0, loss_type="dapo", max_length=64, device=CPU)
    assert batch["prompt_ids"].tolist() == [[0, 5], [8, 9]]
    assert batch["prompt_mask"].tolist() == [[0, 1], [1, 1]]
    assert batch["completion_ids"].tolist() == [[6, 7], [3, 0]]
    assert batch["completion_mask"].tolist() == [[1, 1], [1, 0]]
    assert torch.allclose(batch["old_per_token_logps"], torch.tensor([[-0.1, -0.2], [-0.3, 0.0]]))
    assert batch["advantages"].tolist() == [[1.0, 1.0], [-1.0, 0.0]]
    assert (batch["num_items_in_batch"].item(), batch["tokens"], batch["loss_factor"]) == (3, 3, 1.0)
    assert useful_frac([batch]) == 1.0  # both rows have three tokens, and passes start at the left edge


@pytest.mark.parametrize("max_tokens", [1, 40, 400])
def test_no_pass_is_wider_than_its_longest_row_or_larger_than_the_limit(max_tokens: int) -> None:
    """Long prompts with short completions beside short prompts with long ones, of which some are over it."""
    draw = random.Random(max_tokens)
    for _ in range(20):
        sizes = [(draw.choice([1, 3, 50, 90]), draw.choice([1, 2, 40, 120])) for _ in range(12)]
        rows = [
            Row(prompt_ids=(5,) * n, ids=(6,) * m, logprobs=(0.0,) * m, advantages=(1.0,) * m) for n, m in sizes
        ]
        for batch in make_micro_batches(rows, max_tokens, pad_id=0, loss_type="dapo", max_length=8, device=CPU):
            ids, mask = (
                torch.cat([batch[f"prompt_{kind}"], batch[f"completion_{kind}"]], 1) for kind in ("ids", "mask")
            )
            taken = align_left(ids, mask, batch["completion_ids"].shape[1]).ids_BW
            longest = int(mask.sum(1).max())
            assert taken.shape == (len(ids), longest)
            assert taken.numel() <= max(max_tokens, longest)
            assert len(ids) == 1 or longest <= max_tokens


@pytest.mark.parametrize(
    ("loss_type", "factors", "weights"),
    [
        # By tokens: 6 in all. TRL divides by the tokens of all parts already, bnpo's mean is over those of a
        # part.
        ("dapo", [1.0, 1.0], [1 / 6, 1 / 6]),
        ("cispo", [1.0, 1.0], [1 / 6, 1 / 6]),
        ("vespo", [1.0, 1.0], [1 / 6, 1 / 6]),
        ("bnpo", [4 / 6, 2 / 6], [1 / 6, 1 / 6]),
        # By completions: 3, of 4, 1 and 1 tokens, in parts of 1 and 2.
        ("grpo", [1 / 3, 2 / 3], [1 / 12, 1 / 3]),
        ("sapo", [1 / 3, 2 / 3], [1 / 12, 1 / 3]),
        ("luspo", [1 / 3, 2 / 3], [1 / 3, 1 / 3]),
        ("dr_grpo", [1 / 3, 2 / 3], [1 / 24, 1 / 24]),  # all over the limit of 8 tokens
    ],
)
def test_factors_turn_means_over_parts_into_the_mean_over_all(
    loss_type: str, factors: list[float], weights: list[float]
) -> None:
    rows = [Row(prompt_ids=(5,), ids=(6,) * n, logprobs=(0.0,) * n, advantages=(1.0,) * n) for n in (4, 1, 1)]
    batches = make_micro_batches(rows, 5, pad_id=0, loss_type=loss_type, max_length=8, device=CPU)
    assert [len(batch["prompt_ids"]) for batch in batches] == [1, 2]
    assert [batch["loss_factor"] for batch in batches] == pytest.approx(factors)
    assert [batch["loss_weights"][0, 0].item() for batch in batches] == pytest.approx(weights)
    assert sum(batch["entropy_weights"].sum().item() for batch in batches) == pytest.approx(1.0)


def test_rows_that_are_left_out_count_where_completions_do() -> None:
    """Two of five completions were cut off: the three left are a fifth each, but all tokens trained on are
    six."""
    rows = [Row(prompt_ids=(5,), ids=(6,) * n, logprobs=(0.0,) * n, advantages=(1.0,) * n) for n in (4, 1, 1)]
    for loss_type, factors, weight in (("grpo", [0.2, 0.4], 0.05), ("dapo", [1.0, 1.0], 1 / 6)):
        batches = make_micro_batches(
            rows, 5, pad_id=0, loss_type=loss_type, max_length=8, device=CPU, num_rows=5
        )
        assert [batch["loss_factor"] for batch in batches] == pytest.approx(factors)
        assert batches[0]["loss_weights"][0, 0].item() == pytest.approx(weight)


@pytest.mark.parametrize("samples", [64, 128, 256])
def test_nine_tenths_of_all_positions_are_tokens(samples: int) -> None:
    """On skewed lengths; rows all padded to the longest, as usual, would give less than a third."""
    rng = random.Random(0)
    rows = []
    for _ in range(samples):  # log-normal, sigma 0.8, mean 64, at most 8 times that
        length = max(1, min(512, round(rng.lognormvariate(math.log(64) - 0.32, 0.8))))
        rows.append(
            Row(
                prompt_ids=(5,) * rng.randint(48, 80),
                ids=(5,) * length,
                logprobs=(0.0,) * length,
                advantages=(0.0,) * length,
            )
        )
    batches = make_micro_batches(
        rows, 16384, pad_id=0, loss_type="dapo", max_length=64, device=torch.device("cpu")
    )
    assert useful_frac(batches) > 0.9
    tokens = sum(row.length for row in rows)
    assert tokens / (samples * max(row.length for row in rows)) < 0.35
