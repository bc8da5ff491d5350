"""Where tokens stand: one after the other, or line by line; column by column in `column_positions.py`.

In: tokens. Out: their rotary positions; of whole rows for a prefill or the learner's pass, and of the next
token for a decode step, which needs nothing but the token before and where it stands.

Line positions follow position coupling (Cho et al., arXiv 2405.20671) and Abacus embeddings (McLeish et al.,
arXiv 2405.17399), where tokens that correspond to each other get matching positions from what is known of the
task. Here newlines alone decide: a token that is copied from the line above stands at the same distance from
its source, however long the lines are.

Shapes: B rows, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch


class Positions(Protocol):
    """A rule that gives each token a position, from the tokens before it alone or, in a prompt, all of it."""

    def read(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Positions [B, T] of whole rows.

        Args:
            ids_BT: The tokens.
            mask_BT: 1 for tokens, 0 for padding, on either side of them.
        """
        ...

    def after(self, token_B: torch.Tensor, position_B: torch.Tensor) -> torch.Tensor:
        """Positions [B] of the tokens that follow `token_B` [B], which stand at `position_B` [B]."""
        ...


class InOrder:
    """One after the other, from 0."""

    def read(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """See `Positions.read`."""
        return (mask_BT.cumsum(1) - 1).clamp(min=0)

    def after(self, token_B: torch.Tensor, position_B: torch.Tensor) -> torch.Tensor:
        """See `Positions.after`."""
        return position_B + 1


@dataclass(frozen=True, kw_only=True)
class LinePositions:
    """Every line begins at the next multiple of the stride.

    With a stride of 8, a line of three tokens, its newline and the first token of the next line stand at 0, 1,
    2, 3 and 8. A line that is longer than the stride runs on, past one or more multiples.

    Attributes:
        stride: Positions between the starts of lines.
        newline_ids: Tokens that end a line.
    """

    stride: int
    newline_ids: tuple[int, ...]

    def read(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """See `Positions.read`."""
        assert ids_BT.dim() == 2 and ids_BT.shape == mask_BT.shape
        token_BT = mask_BT != 0
        ends_BT = is_any(ids_BT, self.newline_ids) & token_BT
        number_BT = token_BT.long().cumsum(1) - 1  # of each token in its row
        first_BT = torch.where(ends_BT, number_BT + 1, 0).cummax(1).values.roll(1, dims=1)
        first_BT[:, 0] = 0
        index_BT = (number_BT - first_BT).clamp(min=0)  # in its line
        strides_BT = torch.where(ends_BT, index_BT // self.stride + 1, 0)  # that a line takes, where it ends
        return (strides_BT.cumsum(1) - strides_BT) * self.stride + index_BT

    def after(self, token_B: torch.Tensor, position_B: torch.Tensor) -> torch.Tensor:
        """See `Positions.after`."""
        next_line_B = (position_B // self.stride + 1) * self.stride
        return torch.where(is_any(token_B, self.newline_ids), next_line_B, position_B + 1)

    @property
    def room(self) -> int:
        """Places of a line."""
        return self.stride


def is_any(ids: torch.Tensor, chosen: tuple[int, ...]) -> torch.Tensor:
    """Which tokens are among a few, such as those that end a line; bool, shaped as `ids`."""
    found = torch.zeros_like(ids, dtype=torch.bool)
    for one in chosen:  # a tensor of them would have to be copied to the device
        found |= ids == one
    return found
