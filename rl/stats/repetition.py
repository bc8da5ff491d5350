"""Text that says the same over and over, as a model does that has come apart.

In: the lines of a completion. Out: whether a short block of them stands there several times in a row. A search
may well come back to a line it wrote before; only what is repeated at once, and more than twice, counts.
"""

from __future__ import annotations

from collections.abc import Sequence

MOST_LINES = 4
"""Longest block looked for: loops of small models are of one or two lines, seldom of more."""

TIMES = 3
"""Twice may be right (a look at two cells that are alike); thrice is a loop."""


def repeats_itself(lines: Sequence[str]) -> bool:
    """Whether up to 4 lines follow themselves until they stand there 3 times.

    Example: a, b, a, b, a, b does; a, b, a, c, a, b does not.
    """
    for size in range(1, MOST_LINES + 1):
        run = 0  # of lines equal to the one `size` lines before
        for place in range(size, len(lines)):
            run = run + 1 if lines[place] == lines[place - size] else 0
            if run == size * (TIMES - 1):
                return True
    return False
