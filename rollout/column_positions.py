"""Where tokens stand in a column addition: by the column that they are about.

In: tokens. Out: their rotary positions, as in `positions.py`. A line of the trace reads two digits of the
question, and a digit of the answer is copied from a line of the trace. Counted token by token, or line by line,
those distances grow with the operands. Here a token's position is its column times the stride, plus its place,
and each of these distances is the same in every column::

    Add 345 and 78             3, 4 and 5 in columns 2, 1 and 0, at one place; 7 and 8 in columns 1 and 0
    Answer:                    a line further on
    1. 5 + 8 + 0 = 13, ...     each line one column further on than the line above
    2. 4 + 7 + 1 = 12, ...
    3. 3 + 0 + 1 = 4, ...
    Thus, the answer is 423.   one further on; then each digit one column back

So position coupling (Cho et al., arXiv 2405.20671) gives the digits of one significance the same position, and
Abacus embeddings (McLeish et al., arXiv 2405.17399) number them; both for sums without a trace, and both
with digits in reverse order, which is not needed here.

Shapes: B rows, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rollout.positions import is_any


@dataclass(frozen=True, kw_only=True)
class ColumnPositions:
    """Lines one column further on each, and the digits of a number in columns of their own.

    A line that begins with a digit takes the first half of the stride, token after token; only the digits of
    its number behind the first one share a place with the token that follows, so "9." and "10." take the same.
    Any other line takes the second half, where a digit moves what follows it one column back. In the first
    line, the question, which is read whole, all digits of a number have one place, and its last digit stands
    in column 0.

    Attributes:
        stride: Positions between columns, at least twice the tokens of a line.
        newline_ids: Tokens that end a line.
        digit_ids: Tokens of one digit.
    """

    stride: int
    newline_ids: tuple[int, ...]
    digit_ids: tuple[int, ...]

    @property
    def room(self) -> int:
        """Places of a line: one half of the stride."""
        return self.stride // 2

    def read(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """See `Positions.read`."""
        assert ids_BT.dim() == 2 and ids_BT.shape == mask_BT.shape
        token_BT = mask_BT != 0
        ends_BT = is_any(ids_BT, self.newline_ids) & token_BT
        digit_BT = is_any(ids_BT, self.digit_ids) & token_BT
        question_BT = token_BT & (ends_BT.cumsum(1) - ends_BT.long() == 0)
        asked_BT = self._read_question(question_BT, digit_BT & question_BT)
        positions = []
        position_B = torch.zeros_like(asked_BT[:, 0])
        for t in range(ids_BT.shape[1]):  # one after the other: each follows from the one before
            position_B = torch.where(question_BT[:, t], asked_BT[:, t], position_B)
            positions.append(position_B)
            next_B = self._next(ends_BT[:, t], digit_BT[:, t], position_B)
            position_B = torch.where(token_BT[:, t], next_B, position_B)
        return torch.stack(positions, 1)

    def after(self, token_B: torch.Tensor, position_B: torch.Tensor) -> torch.Tensor:
        """See `Positions.after`; not for tokens of the first line, which is read whole."""
        return self._next(is_any(token_B, self.newline_ids), is_any(token_B, self.digit_ids), position_B)

    def _next(self, ends_B: torch.Tensor, digit_B: torch.Tensor, position_B: torch.Tensor) -> torch.Tensor:
        """Positions [B] after tokens that end a line, are a digit or neither."""
        half, place_B = self.stride // 2, position_B % self.stride
        back_B = digit_B & (place_B >= half) & (position_B >= self.stride)
        stays_B = digit_B & (place_B == 1)  # in the number of a line, behind its first digit
        next_B = torch.where(back_B, position_B - self.stride, position_B + (~stays_B).long())
        next_B = torch.where(~digit_B & (place_B == 0), position_B + half, next_B)
        return torch.where(ends_B, position_B - place_B + self.stride, next_B)

    def _read_question(self, question_BT: torch.Tensor, digit_BT: torch.Tensor) -> torch.Tensor:
        """Positions [B, T] of the tokens of the first lines."""
        follows_BT = digit_BT.roll(-1, dims=1)
        follows_BT[:, -1] = False
        last_BT = digit_BT & ~follows_BT  # of a number
        unit_BT = (question_BT & (last_BT | ~digit_BT)).long()  # a word, a sign or a number
        place_BT = self.stride // 2 + unit_BT.cumsum(1) - unit_BT
        left_BT = digit_BT.flip(1).cumsum(1).flip(1)  # digits from here on
        behind_BT = torch.where(last_BT, left_BT, 0).flip(1).cummax(1).values.flip(1)  # the same at its last
        return place_BT + torch.where(digit_BT, left_BT - behind_BT, 0) * self.stride
