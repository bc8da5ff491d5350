"""Column positions of the warm start's examples with jumps between columns.

Column positions (`rollout/column_positions.py`) keep the distances by which a trace of addition copies, but
others grow with the operands: from a column to the last digit of a number that has none there, and to columns
that must not be read. Jumps show them in short sums. All that is about the columns from one on moves, in the
question, the trace and the answer, so what is copied within a column stays at its distance. Across a jump, the
number of a line and the digits of the answer, which follow from the column before, get no loss. The carry keeps
its loss, although it is copied from the line above and stands further from it there.

Shapes: B rows, T tokens.
"""

from __future__ import annotations

import numpy as np
import torch

from envs.seeding import Key, derive_seed
from rl.sft.encode import IGNORED
from rollout.column_positions import ColumnPositions
from rollout.positions import is_any

_JUMP_FRAC = 0.35  # of the places between two columns have a jump


def jump_columns(
    ids_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    labels_BT: torch.Tensor,
    columns: ColumnPositions,
    largest: int,
    *key: Key,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Column positions with jumps [B, T], and the labels [B, T] without what follows across one, carries aside.

    Args:
        ids_BT: The tokens.
        mask_BT: 1 for tokens, 0 for the padding on their right.
        labels_BT: The ids of taught tokens; -100 elsewhere.
        columns: The rule of the positions.
        largest: The largest jump, in columns.
        key: What the draw depends on, with the number of the row.
    """
    assert ids_BT.dim() == 2 and ids_BT.shape == mask_BT.shape == labels_BT.shape
    positions_BT = columns.read(ids_BT, mask_BT)
    ends_BT = is_any(ids_BT, columns.newline_ids) & (mask_BT != 0)
    line_BT = ends_BT.cumsum(1) - ends_BT.long()
    first_B1 = (labels_BT != IGNORED).long().argmax(1, keepdim=True)  # taught token, in the first step
    column_BT = positions_BT // columns.stride
    behind_BT = (column_BT - column_BT.gather(1, first_B1)).clamp(min=0)
    column_BT = torch.where(line_BT == 0, column_BT, behind_BT) * mask_BT
    by_BC = _draw(column_BT.amax(1).tolist(), largest, *key).to(ids_BT.device)
    by_BT = by_BC.gather(1, column_BT)
    # A token is predicted where the one before it stands; the answer is copied from one column further back.
    before_BT = column_BT.roll(1, dims=1)
    answer_BT = (positions_BT % columns.stride >= columns.stride // 2) & (
        line_BT >= line_BT.gather(1, first_B1)
    )
    lowest_BT = torch.minimum(before_BT, column_BT - answer_BT.long()).clamp(min=0)
    across_BT = by_BC.gather(1, torch.maximum(before_BT, column_BT)) > by_BC.gather(1, lowest_BT)
    return positions_BT + by_BT * columns.stride, labels_BT.masked_fill(across_BT, IGNORED)


def _draw(last: list[int], largest: int, *key: Key) -> torch.Tensor:
    """By how many columns each column of a row moves [B, C], given each row's last one."""
    by = np.zeros((len(last), max(last) + 1), np.int64)
    for row, num in enumerate(last):
        rng = np.random.default_rng(derive_seed(*key, row))
        jumps = rng.integers(1, largest + 1, num) * (rng.random(num) < _JUMP_FRAC)
        by[row, 1:] = np.pad(np.cumsum(jumps), (0, by.shape[1] - 1 - num))
    return torch.from_numpy(by)
