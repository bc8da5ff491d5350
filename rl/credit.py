"""Advantages: how much better a sample is than its group.

In: the rewards of a group [G]. Out: advantages [G], one a sample. Group-relative as in GRPO (DeepSeekMath,
arXiv 2402.03300, section 4.1): reward minus the group's mean, divided by the group's standard deviation
unless `scale` is off (Dr. GRPO, arXiv 2503.20783).
"""

from __future__ import annotations

import torch

# Rewards that differ by less than this share of their size are equal up to rounding: dividing by such a
# deviation would blow the rounding up to advantages of full size.
_EQUAL = 1e-6


def group_advantages(rewards_G: torch.Tensor, *, scale: bool = True) -> torch.Tensor:
    """Group-relative advantages. Groups may differ in size: a sample that could not be graded is left out.

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
