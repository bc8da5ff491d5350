"""What the learner says of a batch before its first update: the old policy of PPO, apart from the sampler.

In: the micro-batches of a rollout batch, and a forward pass of the learner. Out: the same micro-batches with
the learner's own old log-probabilities and importance weights (`grpo.importance_sampling_mode`), or without a
policy loss on tokens of low entropy (`grpo.top_entropy_quantile`). Both are factors of the advantages, in which
every loss of TRL's is linear; VESPO alone wants the weights themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from configs.schema.loss import LossConfig
from rl.grpo.importance import importance_weights

Score = Callable[[dict[str, Any]], tuple[torch.Tensor, torch.Tensor]]
"""A forward pass without gradients: log-probabilities and entropies [B, T] of a micro-batch."""

_PREFIX = "sampling/importance_sampling_ratio"  # of the figures, as in TRL


def reads_old_policy(config: LossConfig) -> bool:
    """Whether the loss needs this pass."""
    return config.importance_sampling_mode is not None or config.top_entropy_quantile < 1


def apply_old_policy(batches: Sequence[dict[str, Any]], score: Score, config: LossConfig) -> dict[str, float]:
    """Change the micro-batches in place, as the config says.

    Args:
        batches: All micro-batches of a rollout batch.
        score: The learner's forward pass.
        config: Mode and bounds of the weights; share of tokens with a policy loss.

    Returns:
        Figures of the batch: smallest, mean and largest weight, and how many tokens a bound touched.
    """
    scored = [score(batch) for batch in batches]
    masks = [batch["completion_mask"].bool() for batch in batches]
    figures: dict[str, float] = {}
    if config.importance_sampling_mode is not None:
        weights, touched = [], 0
        for batch, mask_BT, (old_BT, _) in zip(batches, masks, scored, strict=True):
            weights_BT, touched_BT = importance_weights(
                old_BT, batch["sampling_per_token_logps"], mask_BT, config
            )
            batch["old_per_token_logps"] = old_BT
            if config.loss_type == "vespo":
                batch["importance_sampling_ratio"] = weights_BT
            else:
                batch["advantages"] = batch["advantages"] * weights_BT
            weights.append(weights_BT[mask_BT])
            touched += int(touched_BT.sum())
        all_weights = torch.cat(weights)
        figures = {
            f"{_PREFIX}/min": all_weights.min().item(),
            f"{_PREFIX}/mean": all_weights.mean().item(),
            f"{_PREFIX}/max": all_weights.max().item(),
            f"{_PREFIX}/touched_tokens": float(touched),
        }
    if config.top_entropy_quantile < 1:
        entropies = [entropies_BT[mask_BT] for mask_BT, (_, entropies_BT) in zip(masks, scored, strict=True)]
        # numpy's, as torch.quantile takes 16 million values at most
        threshold = np.quantile(torch.cat(entropies).float().cpu().numpy(), 1 - config.top_entropy_quantile)
        high = [
            mask_BT & (entropies_BT >= float(threshold))
            for mask_BT, (_, entropies_BT) in zip(masks, scored, strict=True)
        ]
        num_high = sum(int(high_BT.sum()) for high_BT in high)
        for batch, high_BT in zip(batches, high, strict=True):
            batch["advantages"] = batch["advantages"] * high_BT
            batch["entropy_weights"] = high_BT / num_high
    return figures
