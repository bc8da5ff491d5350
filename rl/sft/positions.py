"""Where the tokens of the warm start's examples stand, so that short texts show the distances of long ones.

Randomised positions: Ruoss et al. (arXiv 2305.16843, section 3) draw as many positions as a sequence has tokens
out of a range as long as any sequence to come, and sort them. Here the range itself is drawn too, so that
ordinary positions, which GRPO and evaluation use, are among those that are learnt. All distances change, those
by which a model copies too.

Jumps: line positions (`rollout/positions.py`) with a jump at one place of a list, the same in every line, and
one between two lines; with a line window (`rollout/line_window.py`), the first alone, since no token sees more
lines than training shows. A token and the one that it is copied from stand as far apart as ever, except across
a jump, where no loss is taken.

Shapes: B rows, T tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from envs.seeding import Key, derive_seed
from rl.sft.encode import IGNORED
from rollout.positions import LinePositions, is_any

_JUMP_FRAC = 0.7  # of the examples have a jump of each kind


def draw_positions(mask_BT: torch.Tensor, position_range: int, *key: Key) -> torch.Tensor:
    """Positions [B, T] of each row's tokens, ascending from 0 or later.

    Args:
        mask_BT: 1 for tokens, 0 for the padding on their right, whose positions go on after them.
        position_range: The largest range; a row of n tokens draws its positions below a limit that is
            log-uniform between n and this. Rows that are longer have ordinary positions.
        key: What the draw depends on, with the number of the row.
    """
    assert mask_BT.dim() == 2
    width = mask_BT.shape[1]
    rows = []
    for row, length in enumerate(mask_BT.sum(1).tolist()):
        rng = np.random.default_rng(derive_seed(*key, row))
        limit = length
        if position_range > length:
            limit = round(math.exp(rng.uniform(math.log(length), math.log(position_range))))
        taken = np.sort(rng.choice(limit, length, replace=False, shuffle=False))
        rows.append(np.concatenate([taken, np.arange(limit, limit + width - length)]))
    return torch.as_tensor(np.stack(rows), device=mask_BT.device)


def jump_positions(
    ids_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    labels_BT: torch.Tensor,
    lines: LinePositions,
    largest: int,
    *key: Key,
    between_lines: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Line positions with jumps [B, T], and the labels [B, T] without the tokens that are copied across one.

    Args:
        ids_BT: The tokens.
        mask_BT: 1 for tokens, 0 for the padding on their right.
        labels_BT: The ids of taught tokens; -100 elsewhere.
        lines: The rule of the positions.
        largest: The largest jump, in tokens within a list and in lines between lines.
        key: What the draw depends on, with the number of the row.
        between_lines: Lines jump too, not only lists.
    """
    assert ids_BT.dim() == 2 and ids_BT.shape == mask_BT.shape == labels_BT.shape
    by_BT, broken_BT = np.zeros(ids_BT.shape, np.int64), np.zeros(ids_BT.shape, bool)
    rows = zip(
        ids_BT.cpu().numpy(),
        is_any(ids_BT, lines.newline_ids).cpu().numpy(),
        (labels_BT != IGNORED).cpu().numpy(),
        mask_BT.sum(1).tolist(),
        strict=True,
    )
    for row, (ids, ends, taught, length) in enumerate(rows):
        rng = np.random.default_rng(derive_seed(*key, row))
        text = _Lines.of(ids[:length], ends[:length], taught[:length])
        for draw in (_jump_in_list, _jump_between_lines) if between_lines else (_jump_in_list,):
            if rng.random() < _JUMP_FRAC:
                by, broken = draw(text, lines.stride, largest, rng)
                by_BT[row, :length] += by
                broken_BT[row, :length] |= broken
    device = ids_BT.device
    positions = lines.read(ids_BT, mask_BT) + torch.as_tensor(by_BT, device=device)
    return positions, labels_BT.masked_fill(torch.as_tensor(broken_BT, device=device), IGNORED)


@dataclass(frozen=True, kw_only=True)
class _Lines:
    """A text of T tokens in lines, each with the newline or stop token that ends it.

    Attributes:
        line: The line of each token [T].
        size: Tokens of each line.
        index: Number of each token in its line [T].
        taught: The lines that begin in the completion.
        last: The token before the end of each line; -1 where there is none.
    """

    line: np.ndarray
    size: np.ndarray
    index: np.ndarray
    taught: np.ndarray
    last: np.ndarray

    @classmethod
    def of(cls, ids: np.ndarray, ends: np.ndarray, taught: np.ndarray) -> _Lines:
        line = np.cumsum(ends) - ends
        size = np.bincount(line)
        start = np.cumsum(size) - size
        last = np.where(size > 1, ids[np.maximum(start + size - 2, 0)], -1)
        begins = start >= np.argmax(taught) if taught.any() else np.zeros(len(size), bool)
        return cls(
            line=line,
            size=size,
            index=np.arange(len(ids)) - start[line],
            taught=np.flatnonzero(begins),
            last=last,
        )


Jump = tuple[np.ndarray, np.ndarray]
"""By how much each token of a text moves [T], and which are copied across the jump [T]."""


def _jump_in_list(text: _Lines, stride: int, largest: int, rng: np.random.Generator) -> Jump:
    """A jump at one place of a list, the same in all lines that end with what is left of it.

    The first taught line has most of the list. The others have its last token, and the place is at the same
    distance from their end; one that begins behind it moves as a whole. Only the token behind the jump is
    copied across it.
    """
    none = np.zeros(len(text.line), np.int64), np.zeros(len(text.line), bool)
    if not len(text.taught):
        return none
    begins = text.taught[0]
    is_list = (text.last == text.last[begins]) & (text.last >= 0)
    width = int(text.size[begins]) - 1
    room = stride - int(text.size[is_list].max())  # what another line has is no concern of theirs
    if width < 2 or room < 1:
        return none
    by, place = min(int(rng.integers(1, largest + 1)), room), int(rng.integers(1, width))
    to_end = text.size[text.line] - 1 - text.index
    moved = is_list[text.line] & (to_end <= place)
    return by * moved, moved & (to_end == place) & (text.index > 0)


def _jump_between_lines(text: _Lines, stride: int, largest: int, rng: np.random.Generator) -> Jump:
    """A jump before one of the taught lines, which is copied across it."""
    if len(text.taught) < 2:
        return np.zeros(len(text.line), np.int64), np.zeros(len(text.line), bool)
    place, by = int(rng.choice(text.taught)), int(rng.integers(1, largest + 1))
    return stride * by * (text.line >= place), text.line == place
