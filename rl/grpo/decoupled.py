"""Decoupled advantages: rewards divide praise among right samples, and never turn it into blame.

In: the rewards of a group [G] and which of its samples are right. Out: a weight [G] for each advantage.

With rewards on length, a long right sample can fall below the mean of its group and get a negative advantage,
so the policy unlearns right answers. DRPO (arXiv 2510.04474) normalises such rewards among the right samples
only: a right sample with the length reward r counts in proportion to exp(r / lambda). Here these weights
multiply GRPO's advantages of being right or wrong. The paper's objective differs in two ways: it weighs all
groups equally, and wrong samples by a softmax of their likelihoods at temperature 10, which is nearly uniform.
"""

from __future__ import annotations

import torch


def decoupled_weights(rewards_G: torch.Tensor, right_G: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """Softmax of the rewards of the right samples, times their number; 1 for wrong samples.

    The mean weight of the right samples is 1, so advantages that sum to 0 still do.

    Example: right samples with rewards 0 and ln 3, temperature 1: weights 0.5 and 1.5.

    Args:
        rewards_G: Total rewards, float [G]; what right samples have in common cancels.
        right_G: Whether each sample is right, bool [G].
        temperature: lambda; the larger, the more equal the weights.

    Returns:
        Weights [G], none negative.
    """
    if rewards_G.dim() != 1 or right_G.shape != rewards_G.shape or right_G.dtype != torch.bool:
        raise ValueError(
            f"rewards must be float [G] and right bool [G], got {tuple(rewards_G.shape)} and "
            f"{right_G.dtype} {tuple(right_G.shape)}"
        )
    weights_G = torch.ones_like(rewards_G)
    if right_G.any():
        weights_G[right_G] = torch.softmax(rewards_G[right_G] / temperature, dim=0) * right_G.sum()
    return weights_G
