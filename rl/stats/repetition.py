"""Repetition: loops of lines, as a degenerate policy writes them.

In: the lines of a completion. Out: whether a short block of lines is repeated several times in a row. A search
may return to a line it wrote before, so a block counts only if its copies follow each other directly, and only
from the third copy on.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_LINES = 4
"""Length of the longest block that is looked for: loops of small models have one or two lines, seldom more."""

MIN_COPIES = 3
"""Two copies may be correct (a look at two cells with the same content); three are a loop."""


def repeats_itself(lines: Sequence[str]) -> bool:
    """Whether a block of up to 4 lines stands 3 times in a row.

    Example: a, b, a, b, a, b does; a, b, a, c, a, b does not.
    """
    for size in range(1, MAX_LINES + 1):
        run = 0  # lines in a row that equal the line `size` lines before
        for place in range(size, len(lines)):
            run = run + 1 if lines[place] == lines[place - size] else 0
            if run == size * (MIN_COPIES - 1):
                return True
    return False
