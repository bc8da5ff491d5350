"""Advantages: how much better a sample is than its group.

In: rewards [P, G]. Out: advantages [P, G], one a sample. Group-relative as in GRPO (DeepSeekMath,
arXiv 2402.03300, section 4.1): reward minus the group's mean, divided by the group's standard deviation
unless `scale` is off (Dr. GRPO, arXiv 2503.20783).
"""

from __future__ import annotations

import torch

# Rewards that differ by less than this share of their size are equal up to rounding: dividing by such a
# deviation would blow the rounding up to advantages of full size.
_EQUAL = 1e-6


def group_advantages(rewards_PG: torch.Tensor, *, scale: bool = True) -> torch.Tensor:
    """Group-relative advantages.

    Example: rewards (1, 0, 0, 1): mean 0.5, standard deviation (unbiased) 0.5774, advantages
    (0.866, -0.866, -0.866, 0.866).

    Args:
        rewards_PG: Total rewards, float [P, G], G at least 2.
        scale: Divide by the group's standard deviation.

    Returns:
        Advantages [P, G]; each group sums to 0, and a group of equal rewards is exactly 0.
    """
    if rewards_PG.dim() != 2 or rewards_PG.shape[1] < 2 or not rewards_PG.is_floating_point():
        raise ValueError(f"rewards must be float [P, G] with G >= 2, got {tuple(rewards_PG.shape)}")
    centred_PG = rewards_PG - rewards_PG.mean(dim=1, keepdim=True)
    low_P1, high_P1 = rewards_PG.amin(dim=1, keepdim=True), rewards_PG.amax(dim=1, keepdim=True)
    differ_P1 = high_P1 - low_P1 > _EQUAL * torch.maximum(low_P1.abs(), high_P1.abs()).clamp(min=1.0)
    if scale:
        std_P1 = rewards_PG.std(dim=1, keepdim=True)
        centred_PG = centred_PG / torch.where(differ_P1, std_P1, torch.ones_like(std_P1))
    return torch.where(differ_P1, centred_PG, torch.zeros_like(centred_PG))
