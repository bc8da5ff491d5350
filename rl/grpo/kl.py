"""Estimators of the KL divergence of the learner from the reference, for each sampled token.

With x drawn from the learner p, r = reference(x) / p(x) and d = -log r (Schulman, "Approximating KL
divergence", 2020)::

    k1 = d                  unbiased, may be negative; as a loss its gradient is 0 on average
    k2 = d^2 / 2            biased, small variance; its gradient is that of the KL on average
    k3 = exp(-d) + d - 1    unbiased, never negative; GRPO's (DeepSeekMath, arXiv 2402.03300, equation 4)

As a loss each may be multiplied by the importance ratio, through which the gradient goes too: the estimator is
then right for completions of another policy, and the gradient of k1 is that of the KL (DeepSeek-V3.2, arXiv
2512.02556).
"""

from __future__ import annotations

from typing import Literal

import torch


def kl_estimate(
    new_BT: torch.Tensor, reference_BT: torch.Tensor, estimator: Literal["k1", "k2", "k3"]
) -> torch.Tensor:
    """The estimate for each token [B, T]; the formulas are above.

    Example: new -1, reference -1.5: k1 0.5, k2 0.125, k3 0.10653.

    Args:
        new_BT: The learner's log-probabilities [B, T].
        reference_BT: The reference's.
        estimator: k1, k2 or k3.
    """
    assert new_BT.shape == reference_BT.shape
    d_BT = new_BT - reference_BT
    if estimator == "k1":
        return d_BT
    if estimator == "k2":
        return d_BT.square() / 2
    return torch.exp(-d_BT) + d_BT - 1.0
