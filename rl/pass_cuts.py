"""Cuts the rows of an update into forward and backward passes that hold little padding.

In: tokens of each row, or the whole batch. Out: the rows of each pass. Rows are sorted by length and cut where
padding costs least; a pass has a cost of its own, so passes do not get tiny.

Shapes: B rows; T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

CPU_TOKENS, GPU_TOKENS = 768, 16384  # of a pass at most, where the config leaves it open
_PASS = 128  # positions that cost as much as one more pass, on a CPU
_LAUNCHED = 2048  # the same where kernels are launched: an estimate, no GPU has been tried


def longest_first(lengths: Sequence[int]) -> list[int]:
    """The places of the rows in the order in which passes hold them: by length, the longest first."""
    return sorted(range(len(lengths)), key=lambda place: lengths[place], reverse=True)


def cut_passes(
    lengths: Sequence[int],
    max_tokens: int | None = None,
    *,
    max_rows: int | None = None,
    device: torch.device | None = None,
) -> list[list[int]]:
    """Sort by length, longest first, and cut where rows times longest row, summed over passes, is least.

    Args:
        lengths: Tokens of each row; at least one row.
        max_tokens: Rows times longest row of a pass, at most; a row longer than that is a pass of its own.
            None: any number.
        max_rows: Rows of a pass, at most. None: any number.
        device: Where passes run, which decides what one more costs; None: the CPU.

    Returns:
        The places of the rows of each pass.
    """
    one_more = _PASS if device is None or device.type == "cpu" else _LAUNCHED
    order = longest_first(lengths)
    length = np.array([lengths[place] for place in order])
    # least[i] is the lowest cost of the first i rows, cut[i] the start of the last pass of them.
    least, cut = np.zeros(len(order) + 1), np.zeros(len(order) + 1, dtype=int)
    for end in range(1, len(order) + 1):
        fit = end  # rows that a pass which ends here may have
        if max_tokens is not None:
            fit = min(fit, max_tokens // length[end - 1])  # its longest row is longer still
        if max_rows is not None:
            fit = min(fit, max_rows)
        first = min(end - 1, end - fit)
        positions = np.arange(end - first, 0, -1) * length[first:end]
        over = positions > max_tokens if max_tokens is not None else np.zeros(len(positions), dtype=bool)
        cost = np.where(over, np.inf, least[first:end] + positions + one_more)
        cost[-1] = least[end - 1] + length[end - 1] + one_more
        cut[end] = first + cost.argmin()
        least[end] = cost.min()
    passes, end = [], len(order)
    while end > 0:
        passes.append(order[cut[end] : end])
        end = cut[end]
    return passes[::-1]


def cut_batch(
    batch: Mapping[str, torch.Tensor], max_tokens: int | None = None, *, max_rows: int | None = None
) -> list[dict[str, torch.Tensor]]:
    """Cut the batch of an update into passes, each as wide as its longest row.

    Args:
        batch: Tensors [B, T], padded on the right, or [B]; with `attention_mask`.
        max_tokens: See `cut_passes`.
        max_rows: Likewise.
    """
    mask_BT = batch["attention_mask"]
    lengths = mask_BT.sum(1).tolist()
    parts = []
    for places in cut_passes(lengths, max_tokens, max_rows=max_rows, device=mask_BT.device):
        width = max(lengths[place] for place in places)
        parts.append({name: t[places, :width] if t.dim() == 2 else t[places] for name, t in batch.items()})
    return parts
