"""Advantages: how much better a sample is than its group.

In: the rewards of a group [G]. Out: advantages [G], one for each sample. They are group-relative as in GRPO
(DeepSeekMath, arXiv 2402.03300, section 4.1.2): the reward minus the mean of the group, divided by a standard
deviation where `grpo.scale_rewards` says so. They may then be weighed by the difficulty of the problem
(GRPO-LEAD, arXiv 2504.09696).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from rollout.source import rewards_differ

# Added to a deviation, as in TRL; without it the least difference would weigh as much as the largest.
EPSILON = 1e-4


def reward_deviations(
    groups: Sequence[torch.Tensor], scale: Literal["none", "group", "batch"]
) -> list[float | None]:
    """What the advantages of each group are divided by; None: nothing.

    Args:
        groups: Rewards of the groups that are trained on, float [G] each.
        scale: `group` (GRPO): the deviation of the group's rewards. `batch` (Lite PPO, arXiv 2508.08221): that
            of all rewards. `none` (Dr. GRPO, arXiv 2503.20783): nothing. Deviations are unbiased, as in TRL.
    """
    if scale == "none":
        return [None] * len(groups)
    if scale == "group":
        return [_deviation(rewards_G) for rewards_G in groups]
    return [_deviation(torch.cat(list(groups)))] * len(groups)


def _deviation(rewards: torch.Tensor) -> float:
    return rewards.std().item() if rewards.shape[0] > 1 else 0.0


def group_advantages(rewards_G: torch.Tensor, *, deviation: float | None = None) -> torch.Tensor:
    """Group-relative advantages. Groups may differ in size, as ungraded samples are left out.

    Example: rewards (1, 0, 0, 1): mean 0.5, advantages (0.5, -0.5, -0.5, 0.5); divided by the group's own
    deviation of 0.5774, (0.866, -0.866, -0.866, 0.866).

    Args:
        rewards_G: Total rewards, float [G], G at least 1.
        deviation: Divide by this plus 1e-4; None: do not divide. See `reward_deviations`.

    Returns:
        Advantages [G]; they sum to 0, and those of equal rewards are exactly 0.
    """
    if rewards_G.dim() != 1 or rewards_G.shape[0] < 1 or not rewards_G.is_floating_point():
        raise ValueError(f"rewards must be float [G] with G >= 1, got {tuple(rewards_G.shape)}")
    if not rewards_differ(rewards_G.tolist()):
        return torch.zeros_like(rewards_G)
    centred_G = rewards_G - rewards_G.mean()
    return centred_G if deviation is None else centred_G / (deviation + EPSILON)


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
        advantages_G: Advantages, float [G], or [T] of the tokens of a sample.
        accuracy: Share of right answers in the group.
        weight: w.
    """
    if advantages_G.dim() != 1 or not advantages_G.is_floating_point():
        raise ValueError(f"advantages must be float [G], got {tuple(advantages_G.shape)}")
    return advantages_G * torch.where(advantages_G > 0, weight(accuracy), weight(1.0 - accuracy))
