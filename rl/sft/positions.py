"""Randomised positions: where the tokens of the warm start's examples stand.

Ruoss et al. (arXiv 2305.16843, section 3) draw as many positions as a sequence has tokens out of a range as
long as any sequence to come, and sort them. With relative positions the model so meets long distances in
short texts. Here the range itself is drawn too, so that ordinary positions, which GRPO and evaluation use, are
among those that are learnt.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from envs.seeding import Key, derive_seed


def draw_positions(mask_BT: torch.Tensor, position_range: int, *key: Key, first: int = 0) -> torch.Tensor:
    """Positions [B, T] of each row's tokens, ascending from 0 or later.

    Args:
        mask_BT: 1 for tokens, 0 for the padding on their right, whose positions go on after them.
        position_range: The largest range; a row of n tokens draws its positions below a limit that is
            log-uniform between n and this. Rows that are longer have ordinary positions.
        key: What the draw depends on, with the number of the row.
        first: Number of the first row, so that rows do not depend on how an update is split into passes.
    """
    assert mask_BT.dim() == 2
    width = mask_BT.shape[1]
    rows = []
    for row, length in enumerate(mask_BT.sum(1).tolist(), first):
        rng = np.random.default_rng(derive_seed(*key, row))
        limit = length
        if position_range > length:
            limit = round(math.exp(rng.uniform(math.log(length), math.log(position_range))))
        taken = np.sort(rng.choice(limit, length, replace=False, shuffle=False))
        rows.append(np.concatenate([taken, np.arange(limit, limit + width - length)]))
    return torch.as_tensor(np.stack(rows), device=mask_BT.device)
