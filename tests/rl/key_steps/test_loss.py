"""The key step loss: hand-worked numbers, the sign of both gradients, and the bound."""

from __future__ import annotations

from math import log
from typing import Any

import pytest
import torch

from rl.key_steps.loss import KeyLoss, key_loss


def logits_of(*rows: list[list[float]]) -> torch.Tensor:
    """Logits [B, T, V] from the probabilities of the next token at each place."""
    return torch.tensor(rows, dtype=torch.float32).log()


def loss_of(logits: torch.Tensor, keys: list[list[int]], num: list[int], **changes: Any) -> KeyLoss:
    ids = torch.tensor([[0, 1, 2]] * len(keys))
    num_pairs = len(keys) // 2
    is_wrong = torch.arange(len(keys)) >= num_pairs
    settings = {"num_pairs": num_pairs, "alpha": 1.0, "beta": 0.025, "max_nll": 20.0, **changes}
    return key_loss(logits, ids, torch.tensor(keys).bool(), torch.tensor(num), is_wrong, **settings)


ANY = [1 / 3, 1 / 3, 1 / 3]
RIGHT = [[0.25, 0.5, 0.25], [0.5, 0.25, 0.25], ANY]  # p(1) = 1/2, then p(2) = 1/4
WRONG = [[0.25, 0.25, 0.5], [0.125, 0.75, 0.125], ANY]  # p(1) = 1/4, then p(2) = 1/8


def test_by_hand() -> None:
    # Right: both tokens are key, (ln 2 + ln 4) / 2 tokens. Wrong: the last one is, ln 8 / 4 tokens.
    found = loss_of(logits_of(RIGHT, WRONG), [[0, 1, 1], [0, 0, 1]], [2, 4], alpha=2.0, beta=0.1)
    assert found.right.item() == pytest.approx(1.5 * log(2))
    assert found.wrong.item() == pytest.approx(0.75 * log(2))
    assert found.loss.item() == pytest.approx((2 * 1.5 - 0.1 * 0.75) * log(2))
    assert (found.right_nll.item(), found.wrong_nll.item()) == pytest.approx((3 * log(2), 3 * log(2)))
    assert (found.num_right, found.num_wrong, found.num_dropped) == (2, 1, 0)


def test_it_is_the_mean_of_the_pairs() -> None:
    """A pair without key tokens counts, as one in which nothing is to be learnt."""
    one = loss_of(logits_of(RIGHT, WRONG), [[0, 1, 1], [0, 0, 1]], [2, 4])
    two = loss_of(logits_of(RIGHT, RIGHT, WRONG, WRONG), [[0, 1, 1], [0] * 3, [0, 0, 1], [0] * 3], [2, 2, 4, 4])
    assert two.loss.item() == pytest.approx(one.loss.item() / 2)


def test_right_key_tokens_get_likelier_wrong_ones_less_and_others_stay() -> None:
    logits = torch.zeros(2, 3, 3, requires_grad=True)
    loss_of(logits, [[0, 0, 1], [0, 0, 1]], [2, 2]).loss.backward()
    assert logits.grad is not None
    assert logits.grad[0, 1, 2] < 0 < logits.grad[1, 1, 2]  # descent raises the first and lowers the second
    assert logits.grad[1, 1, 2].item() == pytest.approx(-0.025 * logits.grad[0, 1, 2].item())
    others = torch.ones(2, 3, dtype=torch.bool)
    others[:, 1] = False
    assert not logits.grad[others].any()


def test_wrong_tokens_that_are_unlikely_enough_are_left_out() -> None:
    logits = torch.zeros(2, 3, 3)
    logits[:, 1, 2] = -30.0  # -log p is 30.69 for token 2
    logits.requires_grad_(True)
    found = loss_of(logits, [[0, 0, 1], [0, 1, 1]], [2, 2], beta=1.0)
    assert (found.num_wrong, found.num_dropped) == (2, 1)
    assert found.right.item() == pytest.approx((30 + log(2)) / 2, rel=1e-4)  # a right one is never left out
    assert found.wrong.item() == pytest.approx(log(3) / 2)
    found.loss.backward()
    assert logits.grad is not None and not logits.grad[1, 1].any() and logits.grad[0, 1].any()


def test_the_unlikelihood_is_bounded() -> None:
    """Descent on a wrong token alone ends at the threshold, and the loss stays above -beta * max_nll."""
    logits = torch.zeros(2, 3, 3, requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=5.0)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        found = loss_of(logits, [[0, 0, 0], [0, 0, 1]], [2, 1], beta=1.0, max_nll=5.0)
        losses.append(found.loss.item())
        found.loss.backward()
        optimizer.step()
    assert min(losses) > -5.0 and losses[-1] == 0.0 and found.num_dropped == 1
    assert logits.isfinite().all()


def test_without_key_tokens_it_is_zero_and_has_a_gradient() -> None:
    logits = torch.zeros(2, 3, 3, requires_grad=True)
    found = loss_of(logits, [[0] * 3, [0] * 3], [2, 2])
    found.loss.backward()
    assert found.loss.item() == 0 and logits.grad is not None and not logits.grad.any()
