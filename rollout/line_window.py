"""Which lines a token attends to: its own and the last ones above it.

In: tokens. Out: the mask of whole rows, for a prefill or the learner's pass, and for decode steps how many of
the last tokens the next one sees, which needs nothing but the sizes of the last lines.

A sliding window counted in lines: of a text whose lines follow from the last ones, a token sees as much in
line 30 as in line 3, so more lines than training has shown change nothing.

Shapes: B rows, T tokens, W lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rollout.positions import is_any


@dataclass(frozen=True, kw_only=True)
class LineWindow:
    """The last lines.

    With two lines, a token of the third line sees those before it in its line, and all of the second.

    Attributes:
        lines: W, the lines that a token sees, its own included.
        newline_ids: Tokens that end a line.
    """

    lines: int
    newline_ids: tuple[int, ...]

    def line_numbers(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """The number of each token's line in its row [B, T], from 0.

        Args:
            ids_BT: The tokens.
            mask_BT: 1 for tokens, 0 for padding, on either side of them.
        """
        ends_BT = self._ends(ids_BT, mask_BT)
        return ends_BT.cumsum(1) - ends_BT

    def read(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """How many tokens the one after these sees in each line [B, W], from its own line upwards."""
        ends_BT = self._ends(ids_BT, mask_BT)
        above_BT = ends_BT.flip(1).cumsum(1).flip(1)  # lines between a token's and the next one's
        token_BT = mask_BT != 0
        return torch.stack([(token_BT & (above_BT == line)).sum(1) for line in range(self.lines)], dim=1)

    def after(self, token_B: torch.Tensor, sizes_BW: torch.Tensor) -> torch.Tensor:
        """What `read` gives once `token_B` [B] has been read, which saw `sizes_BW` [B, W]."""
        grown_BW = torch.cat([sizes_BW[:, :1] + 1, sizes_BW[:, 1:]], dim=1)
        moved_BW = torch.cat([torch.zeros_like(sizes_BW[:, :1]), grown_BW[:, :-1]], dim=1)
        return torch.where(is_any(token_B, self.newline_ids)[:, None], moved_BW, grown_BW)

    def _ends(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """1 where a line ends [B, T]."""
        assert ids_BT.dim() == 2 and ids_BT.shape == mask_BT.shape
        return (is_any(ids_BT, self.newline_ids) & (mask_BT != 0)).long()
