"""Key tokens by edit distance: what has to be deleted or replaced to turn one sequence of tokens into another.

Token-level Levenshtein distance with unit costs, and its back-trace (EDIT, arXiv 2405.19737). The
common prefix is removed first, which changes no distance. Of several shortest edits, the back-trace, from the
last token to the first, takes a deletion where one is on a shortest way, else an insertion, else a replacement
or a match, as the authors' code does. So the result is exact and the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Tokens = Sequence[int]


def key_tokens(tokens: Tokens, other: Tokens) -> NDArray[np.bool_]:
    """The tokens that are deleted or replaced on the way to `other`.

    Example: `key_tokens([1, 2, 3], [1, 4, 3, 5])` is `[False, True, False]`.

    Args:
        tokens: T token ids.
        other: Those of the other sequence.

    Returns:
        Whether each of the T tokens is one.
    """
    ours, theirs = np.asarray(tokens, dtype=np.int64), np.asarray(other, dtype=np.int64)
    start = _common_prefix(ours, theirs)
    table = _distances(ours[start:], theirs[start:])
    found = np.zeros(len(ours), dtype=np.bool_)
    row, column = (size - 1 for size in table.shape)
    while row:
        here = table[row, column]
        if here == table[row - 1, column] + 1:
            row -= 1
            found[start + row] = True
        elif column and here == table[row, column - 1] + 1:
            column -= 1
        else:
            row, column = row - 1, column - 1
            found[start + row] = ours[start + row] != theirs[start + column]
    return found


def edit_distance(tokens: Tokens, other: Tokens) -> int:
    """The fewest deletions, insertions and replacements that turn one sequence into the other."""
    ours, theirs = np.asarray(tokens, dtype=np.int64), np.asarray(other, dtype=np.int64)
    start = _common_prefix(ours, theirs)
    return int(_distances(ours[start:], theirs[start:])[-1, -1])


def _common_prefix(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> int:
    shorter = min(len(ours), len(theirs))
    differ = np.flatnonzero(ours[:shorter] != theirs[:shorter])
    return int(differ[0]) if len(differ) else shorter


def _distances(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> NDArray[np.int32]:
    """The distance of each prefix of one to each prefix of the other, [rows + 1, columns + 1].

    A row is filled at once: with insertions left out its entries follow from the row above; an insertion adds 1
    for each column, so the running minimum of entry - column, plus the column, lets them in.
    """
    columns = np.arange(len(theirs) + 1, dtype=np.int32)
    table = np.empty((len(ours) + 1, len(theirs) + 1), dtype=np.int32)
    table[0] = columns
    for row, token in enumerate(ours, 1):
        above = table[row - 1]
        entries = above + 1
        np.minimum(entries[1:], above[:-1] + (theirs != token), out=entries[1:])
        table[row] = np.minimum.accumulate(entries - columns) + columns
    return table
