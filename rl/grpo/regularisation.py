"""The terms of the loss that are not TRL's: the KL penalty and the entropy bonus.

TRL has k3 only, and adds an entropy bonus as a mean over each micro-batch, which depends on how a batch is
split. Here both are sums over tokens, weighted once for the whole batch (`micro_batches.py`). The KL of a token
is divided by what the policy loss of that token is divided by; the entropy bonus is a mean over tokens, as in
TRL.
"""

from __future__ import annotations

from typing import Any

import torch

from configs.schema.loss import LossConfig
from rl.grpo.importance import importance_ratio
from rl.grpo.kl import kl_estimate


def regularisation(
    config: LossConfig, batch: dict[str, Any], new_BT: torch.Tensor, entropies_BT: torch.Tensor
) -> tuple[torch.Tensor, dict[str, float]]:
    """What is added to the policy loss of a micro-batch.

    Args:
        config: Coefficients and the estimator.
        batch: The micro-batch, with `ref_per_token_logps` if `beta` > 0.
        new_BT: The learner's log-probabilities [B, T], with their graph.
        entropies_BT: Entropies of its distributions [B, T], with their graph.

    Returns:
        The term, a scalar; and figures, means over the tokens: `kl`.
    """
    term, figures = new_BT.new_zeros(()), {}
    mask_BT = batch["completion_mask"].bool()
    if config.beta > 0:
        kl_BT = kl_estimate(new_BT, batch["ref_per_token_logps"], config.kl_estimator)
        if config.use_bias_correction_kl:
            kl_BT = kl_BT * importance_ratio(new_BT, batch["old_per_token_logps"], mask_BT, config.ratio_level)
        term = term + config.beta * (kl_BT * batch["loss_weights"]).sum()
        figures["kl"] = kl_BT.detach()[mask_BT].mean().item()
    if config.entropy_coef > 0:
        term = term - config.entropy_coef * (entropies_BT * batch["entropy_weights"]).sum()
    return term, figures
