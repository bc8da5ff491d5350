"""Advantages: how much better a sample is than its group.

In: the rewards of a group [G]. Out: advantages [G], one for each sample. They are group-relative as in GRPO
(DeepSeekMath, arXiv 2402.03300, section 4.1.2): the reward minus the mean of the group, divided by the group's
standard deviation unless `scale` is off (Dr. GRPO, arXiv 2503.20783). They may then be weighed by the
difficulty of the problem (GRPO-LEAD, arXiv 2504.09696).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

# Rewards that differ by less than this share of their size are equal up to rounding. Division by such a
# deviation would turn rounding into advantages of full size.
_EQUAL = 1e-6


def group_advantages(rewards_G: torch.Tensor, *, scale: bool = True) -> torch.Tensor:
    """Group-relative advantages. Groups may differ in size, as ungraded samples are left out.

    Example: rewards (1, 0, 0, 1): mean 0.5, standard deviation (unbiased) 0.5774, advantages
    (0.866, -0.866, -0.866, 0.866).

    Args:
        rewards_G: Total rewards, float [G], G at least 1.
        scale: Divide by the group's standard deviation.

    Returns:
        Advantages [G]; they sum to 0, and those of equal rewards are exactly 0.
    """
    if rewards_G.dim() != 1 or rewards_G.shape[0] < 1 or not rewards_G.is_floating_point():
        raise ValueError(f"rewards must be float [G] with G >= 1, got {tuple(rewards_G.shape)}")
    low, high = rewards_G.min(), rewards_G.max()
    if high - low <= _EQUAL * torch.maximum(low.abs(), high.abs()).clamp(min=1.0):
        return torch.zeros_like(rewards_G)
    centred_G = rewards_G - rewards_G.mean()
    return centred_G / rewards_G.std() if scale else centred_G


@dataclass(frozen=True, kw_only=True, slots=True)
class AdvantageWeight:
    """w(x) = low + (high - low) / (1 + exp(slope (x - midpoint))), falling in x, a group's accuracy.

    Example, with GRPO-LEAD's constants, which are the defaults: w(0.75) = 0.95, w(0) = 1.499, w(1) = 0.483.
    """

    low: float = 0.4
    high: float = 1.5
    midpoint: float = 0.75
    slope: float = 10.0

    def __call__(self, accuracy: float) -> float:
        """The weight at an accuracy in 0..1."""
        return self.low + (self.high - self.low) / (1.0 + math.exp(self.slope * (accuracy - self.midpoint)))


def weigh_advantages(advantages_G: torch.Tensor, accuracy: float, weight: AdvantageWeight) -> torch.Tensor:
    """Multiply positive advantages by w(accuracy) and negative ones by w(1 - accuracy), as in GRPO-LEAD.

    A right answer to a hard problem and a wrong answer to an easy one count for more. The weighed advantages of
    a group need not sum to 0.

    Args:
        advantages_G: Advantages, float [G].
        accuracy: Share of right answers in the group.
        weight: w.
    """
    if advantages_G.dim() != 1 or not advantages_G.is_floating_point():
        raise ValueError(f"advantages must be float [G], got {tuple(advantages_G.shape)}")
    return advantages_G * torch.where(advantages_G > 0, weight(accuracy), weight(1.0 - accuracy))
