"""Rows moved to the left edge of a forward pass.

TRL pads prompts on the left. Here rows start at column 0: a pass is then no wider than its longest row,
positions count from the first real token as the sampler's do, and only padding follows a row, so that the
causal mask is enough.

Shapes: B rows, S columns of TRL's layout, T completion columns, W columns of the pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

_IGNORED = -100  # label of tokens without loss


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftAligned:
    """The input of a forward pass, and where its outputs belong.

    Attributes:
        ids_BW: Token ids, padding at the right.
        labels_BW: The ids of completion tokens; -100 elsewhere.
        index_BT: For each completion column, the output that predicts its token.
    """

    ids_BW: torch.Tensor
    labels_BW: torch.Tensor
    index_BT: torch.Tensor


def align_left(ids_BS: torch.Tensor, mask_BS: torch.Tensor, num_completion: int) -> LeftAligned:
    """Move rows to the left edge and cut what no row needs.

    Args:
        ids_BS: Prompt, padded on the left, then completion, padded on the right; int64 [B, S].
        mask_BS: 1 for tokens, 0 for padding.
        num_completion: T, the columns of the completion.
    """
    assert ids_BS.dim() == 2 and ids_BS.shape == mask_BS.shape and ids_BS.dtype == torch.long
    width = ids_BS.shape[1]
    prompt_B1 = mask_BS[:, :-num_completion].sum(1, keepdim=True)
    length_B1 = mask_BS.sum(1, keepdim=True)
    column = torch.arange(width, device=ids_BS.device)
    offset_B1 = width - num_completion - prompt_B1
    end = int(length_B1.max())
    ids_BW = ids_BS.gather(1, (column[:end] + offset_B1).clamp(max=width - 1))
    in_completion = (column[:end] >= prompt_B1) & (column[:end] < length_B1)
    return LeftAligned(
        ids_BW=ids_BW,
        labels_BW=ids_BW.masked_fill(~in_completion, _IGNORED),
        index_BT=(column[:num_completion] + prompt_B1 - 1).clamp(max=end - 2),  # output j predicts token j + 1
    )
