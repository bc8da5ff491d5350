r"""Steps of free text: which part of a text is one step.

In: the lines of a completion in ordinary language. Out: steps, by one of three rules::

    lines       every line that is not blank
    paragraphs  what stands between blank lines: a paragraph with the formulas and lists attached to it
    sentences   every sentence, and every line end

Blocks are never divided by `paragraphs` or `sentences`, not even at their blank lines: displayed formulas
(``\[ \]``, ``$$``, ``\begin{align}`` and the like), code between fences, and ``[asy]`` figures. An opening that
nothing closes is ordinary text, so one stray fence does not turn the rest of a completion into one step.

A list without blank lines is one step; with blank lines between its items, each item is one. A `<backtrack>`
line is always a step of its own. Paragraphs between blank lines are what process reward models score as steps
("The Lessons of Developing Process Reward Models in Mathematical Reasoning", arXiv 2501.07301); difference:
blocks stay whole.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

from envs.trace import Step, StepKind

Segmentation = Literal["lines", "paragraphs", "sentences"]
Span = tuple[int, int]

GAPS: dict[Segmentation, str] = {"lines": "\n", "paragraphs": "\n\n", "sentences": "\n"}
"""What separates the steps of a text that is written for the rule."""

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
_SENTENCE_ENDS = re.compile(r"[.!?…][\"')\]*_]{0,3}[ \t]++(?=[^a-z \t\r\n])")
_NO_END = re.compile(
    r"(?:(?:^|\n)[ \t]*[0-9]{1,3}|(?:^|[ \t\n(])(?:e\.g|i\.e|cf|vs|approx|Mr|Mrs|Ms|Dr|St|No|Eq|Fig))$"
)
_MAX_WORD = 12  # characters before a full stop that can hold one of these


def segment(text: str, lines: Sequence[Step], blocks: Sequence[Span], rule: Segmentation) -> list[Step]:
    """Join or split lines into steps, in time linear in the text up to a logarithm.

    Args:
        text: The text.
        lines: Its lines, as `parse_trace` reads them.
        blocks: Its blocks, from `find_blocks`.
        rule: Which part is a step.

    Returns:
        Steps in order. Their spans do not overlap, and cover everything in the lines but white space.

    Example: by `paragraphs`, the lines "We get", "$$", "x = 1", "$$", an empty line and "So 1." are two steps.
    """
    if rule == "lines":
        return list(lines)
    if rule == "paragraphs":
        return join(text, lines, blocks, attached=True)
    found: list[Step] = []
    for step in join(text, lines, blocks, attached=False):
        found += [step] if step.kind is StepKind.BACKTRACK else split(step, _sentences(step, blocks))
    return found


def join(text: str, lines: Sequence[Step], blocks: Sequence[Span], *, attached: bool) -> list[Step]:
    """Join the lines of each block; with `attached`, also those that no blank line separates."""
    spans: list[Span] = []
    first: list[Step] = []
    for line in lines:
        near = bool(first) and (inside(blocks, line.span[0]) or (attached and line.span[0] == spans[-1][1] + 1))
        if near and StepKind.BACKTRACK not in (line.kind, first[-1].kind):
            spans[-1] = spans[-1][0], line.span[1]
        else:
            spans.append(line.span)
            first.append(line)
    return [step._replace(text=text[slice(*span)], span=span) for step, span in zip(first, spans, strict=True)]


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


def _sentences(step: Step, blocks: Sequence[Span]) -> list[int]:
    """Offsets at which a sentence starts; not after the number of a list item or an abbreviation."""
    return [
        end.end()
        for end in _SENTENCE_ENDS.finditer(step.text)
        if not inside(blocks, step.span[0] + end.end())
        and not _NO_END.search(step.text[max(0, end.start() - _MAX_WORD) : end.start()])
    ]
