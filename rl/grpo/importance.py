"""Importance weights between sampler, old learner and learner.

Without `grpo.importance_sampling_mode` the ratio of the loss is learner / sampler, and corrects for everything
at once. With it the ratio is learner / old learner, and a weight w = old learner / sampler, truncated or
masked, corrects for the rest: staleness, dtypes, kernels (verl's decoupled mode). In: log-probabilities of a
micro-batch. Out: ratios and weights.

Shapes: B rows, T completion tokens.
"""

from __future__ import annotations

from typing import Literal

import torch

from configs.schema.loss import LossConfig


def importance_ratio(
    new_BT: torch.Tensor, old_BT: torch.Tensor, mask_BT: torch.Tensor, level: Literal["token", "sequence"]
) -> torch.Tensor:
    """exp(new - old) of each token, or of each sequence its geometric mean over tokens (GSPO, equation 7).

    Args:
        new_BT: The learner's log-probabilities [B, T].
        old_BT: Those in the denominator.
        mask_BT: 1 for completion tokens.
        level: `token` or `sequence`.

    Returns:
        [B, T], or [B, 1] of sequences.
    """
    log_ratio_BT = new_BT - old_BT
    if level == "token":
        return log_ratio_BT.exp()
    length_B1 = mask_BT.sum(1, keepdim=True).clamp(min=1)
    return ((log_ratio_BT * mask_BT).sum(1, keepdim=True) / length_B1).exp()


def importance_weights(
    old_BT: torch.Tensor, sampler_BT: torch.Tensor, mask_BT: torch.Tensor, config: LossConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights w = old learner / sampler, truncated (TIS) or masked (MIS, IcePop) as TRL 1.16 does with vLLM's.

    Of a sequence it is the product over its tokens.

    Args:
        old_BT: The learner's log-probabilities before the first update on the batch [B, T].
        sampler_BT: The sampler's.
        mask_BT: 1 for completion tokens.
        config: Mode and bounds.

    Returns:
        The weights [B, T], 1 on padding, and for each token whether a bound touched its weight [B, T].
    """
    mode = config.importance_sampling_mode
    assert mode is not None and old_BT.shape == sampler_BT.shape == mask_BT.shape
    difference_BT = (old_BT - sampler_BT) * mask_BT
    if mode.startswith("sequence"):
        difference_BT = difference_BT.sum(1, keepdim=True).expand_as(old_BT) * mask_BT
    weights_BT = difference_BT.exp()
    low, high = config.importance_sampling_clip_min or 0.0, config.importance_sampling_clip_max or torch.inf
    touched_BT = ((weights_BT < low) | (weights_BT > high)) & mask_BT.bool()
    if mode.endswith("mask"):
        return weights_BT.masked_fill(touched_BT, 0.0), touched_BT
    return torch.where(touched_BT, weights_BT.clamp(low, high), weights_BT), touched_BT
