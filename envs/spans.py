r"""Spans of a text: the blocks that belong together, and steps cut at offsets.

Blocks are displayed formulas (``\[ \]``, ``$$``, ``\begin{align}`` and the like), code between fences, and
``[asy]`` figures. An opening that nothing closes is ordinary text, so one stray fence does not turn the rest of
a completion into a block.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise

from envs.trace import Step

Span = tuple[int, int]

_DISPLAYS = (
    "align|aligned|alignat|array|asy|bmatrix|cases|eqnarray|equation|flalign|gather|gathered|matrix|multline|"
    "pmatrix|split|tabular|vmatrix"
)
# All quantifiers of runs are possessive: none is tried again, so the time is linear.
_OPENING = re.compile(
    rf"^[ \t]*+(?P<fence>`{{3,}}+|~{{3,}}+)[^`\n]*+$|(?<!\\)\\\[|(?<!\\)\$\$|\[asy\]"
    rf"|\\begin\{{(?P<name>(?:{_DISPLAYS})\*?)\}}",
    re.MULTILINE,
)
_CLOSINGS = {r"\[": r"\]", "$$": "$$", "[asy]": "[/asy]"}
_MAX_FENCE = 4  # longer fences are read as this long, so that there are few kinds to look for
_CLOSING_FENCES = {
    fence: re.compile(rf"^[ \t]*+{fence}{fence[0]}*+[ \t\r]*+$", re.MULTILINE)
    for fence in ("```", "````", "~~~", "~~~~")
}


def find_blocks(text: str) -> list[Span]:
    """The displayed formulas, fenced code and figures of a text, in order; takes time linear in the text."""
    blocks: list[Span] = []
    unclosed: set[str] = set()
    at = 0
    while opening := _OPENING.search(text, at):
        closing = _closing(opening)
        end = -1 if closing in unclosed else _find_end(text, closing, opening.end())
        if end < 0:
            unclosed.add(closing)  # nothing further on closes another one either
            at = opening.end()
        else:
            blocks.append((opening.start(), end))
            at = end
    return blocks


def inside(blocks: Sequence[Span], offset: int) -> bool:
    """Whether an offset is inside a block, after its first character."""
    before = bisect_left(blocks, (offset, 0)) - 1
    return before >= 0 and offset < blocks[before][1]


def _closing(opening: re.Match[str]) -> str:
    if opening["fence"]:
        return opening["fence"][:_MAX_FENCE]
    if opening["name"]:
        return f"\\end{{{opening['name']}}}"
    return _CLOSINGS[opening[0]]


def _find_end(text: str, closing: str, start: int) -> int:
    if closing in _CLOSING_FENCES:
        match = _CLOSING_FENCES[closing].search(text, start)
        return -1 if match is None else match.end()
    end = text.find(closing, start)
    return end if end < 0 else end + len(closing)


def split(step: Step, cuts: Iterable[int]) -> list[Step]:
    """Split a step at offsets in its text. Spaces at the end of a part belong to its span, not to its text."""
    found = []
    for start, end in pairwise(sorted({0, *cuts, len(step.text)})):
        text = step.text[start:end]
        if text.strip():
            found.append(
                step._replace(text=text.rstrip(" \n"), span=(step.span[0] + start, step.span[0] + end))
            )
    return found
