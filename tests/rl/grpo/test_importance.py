"""Importance ratios and weights, and the KL estimators, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from configs.schema.loss import LossConfig
from rl.grpo.importance import importance_ratio, importance_weights
from rl.grpo.kl import kl_estimate

LOG = math.log
MASK = torch.tensor([[1, 1, 0], [1, 1, 1]])
SAMPLER = torch.zeros(2, 3)
OLD = torch.tensor([[LOG(4.0), LOG(0.5), 9.0], [LOG(2.0), LOG(2.0), LOG(0.25)]])  # 9 stands on padding


def test_a_ratio_of_a_token_and_of_a_sequence() -> None:
    """The geometric mean of 4 and 1/2 is sqrt(2), that of 2, 2 and 1/4 is 1."""
    token = importance_ratio(OLD, SAMPLER, MASK, "token")
    assert token[0, :2].tolist() == pytest.approx([4.0, 0.5])
    sequence = importance_ratio(OLD, SAMPLER, MASK, "sequence")
    assert sequence.tolist() == [[pytest.approx(math.sqrt(2.0))], [pytest.approx(1.0)]]


@pytest.mark.parametrize(
    ("mode", "low", "high", "weights", "touched"),
    [
        ("token_truncate", None, 3.0, [[3.0, 0.5, 1.0], [2.0, 2.0, 0.25]], 1),  # TIS
        ("token_truncate", 0.4, None, [[4.0, 0.5, 1.0], [2.0, 2.0, 0.4]], 1),
        ("token_mask", None, 3.0, [[0.0, 0.5, 1.0], [2.0, 2.0, 0.25]], 1),  # MIS
        ("token_mask", 0.4, 3.0, [[0.0, 0.5, 1.0], [2.0, 2.0, 0.0]], 2),  # IcePop
        # Products: 4 * 1/2 = 2 over two tokens, 2 * 2 * 1/4 = 1 over three.
        ("sequence_truncate", None, 1.5, [[1.5, 1.5, 1.0], [1.0, 1.0, 1.0]], 2),
        ("sequence_mask", 1.5, 3.0, [[2.0, 2.0, 1.0], [0.0, 0.0, 0.0]], 3),
    ],
)
def test_weights_are_truncated_or_masked(
    mode: str, low: float | None, high: float | None, weights: list[list[float]], touched: int
) -> None:
    config = LossConfig.model_validate(
        {
            "importance_sampling_mode": mode,
            "importance_sampling_clip_min": low,
            "importance_sampling_clip_max": high,
        }
    )
    found, which = importance_weights(OLD, SAMPLER, MASK, config)
    assert found.tolist() == [pytest.approx(row) for row in weights]
    assert int(which.sum()) == touched and not which[0, 2]


@pytest.mark.parametrize(
    ("estimator", "values"),
    [
        # d = log learner - log reference is 1/2, 0 and -1.
        ("k1", [0.5, 0.0, -1.0]),
        ("k2", [0.125, 0.0, 0.5]),
        ("k3", [math.exp(-0.5) - 0.5, 0.0, math.e - 2.0]),  # exp(-d) + d - 1: 0.10653, 0, 0.71828
    ],
)
def test_estimators_by_hand(estimator: str, values: list[float]) -> None:
    new, reference = torch.tensor([[-1.0, -2.0, -3.0]]), torch.tensor([[-1.5, -2.0, -2.0]])
    found = kl_estimate(new, reference, estimator)  # type: ignore[arg-type]
    assert found[0].tolist() == pytest.approx(values, abs=1e-6)


@pytest.mark.parametrize(
    ("estimator", "corrected", "value", "gradient"),
    [
        ("k1", False, True, False),
        ("k2", False, False, True),
        ("k3", False, True, False),
        ("k1", True, True, True),
        ("k3", True, True, True),
    ],
)
def test_what_estimators_are_right_about_on_average(
    estimator: str, corrected: bool, value: bool, gradient: bool
) -> None:
    """Summed over all tokens of a softmax by their probability: the KL itself, and its gradient.

    As a loss k1 alone has the gradient 0, and k3 alone that of the KL the other way round.
    """
    logits = torch.tensor([0.3, -0.5, 1.1, 0.0], dtype=torch.float64, requires_grad=True)
    reference = torch.log_softmax(torch.tensor([0.0, 0.4, 0.2, -0.7], dtype=torch.float64), 0)
    new = torch.log_softmax(logits, 0)
    drawn = new.detach().exp()
    terms = kl_estimate(new[None], reference[None], estimator)[0]  # type: ignore[arg-type]
    if corrected:
        terms = terms * importance_ratio(new[None], new.detach()[None], torch.ones(1, 4), "token")[0]
    true = (new.exp() * (new - reference)).sum()
    wanted = torch.autograd.grad(true, logits, retain_graph=True)[0]
    expected = (drawn * terms).sum()
    found = torch.autograd.grad(expected, logits)[0]
    assert torch.isclose(expected, true).item() == value
    assert torch.allclose(found, wanted) == gradient
    if (estimator, corrected) == ("k1", False):
        assert torch.allclose(found, torch.zeros_like(found))
