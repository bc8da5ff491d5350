r"""Steps of free text: which part of a text is one step.

In: the lines of a completion in ordinary language. Out: steps, by one of four rules::

    content     every claim, whatever the layout: relations, and sentences that state something (`claims.py`)
    lines       every line that is not blank
    paragraphs  what stands between blank lines: a paragraph with the formulas and lists attached to it
    sentences   every sentence, and every line end

The last three follow layout, which a model can change without saying less. Blocks (`spans.py`) are never
divided by `paragraphs` or `sentences`, not even at their blank lines. A list without blank lines is one step by
`paragraphs`; with blank lines between its items, each item is one. Paragraphs between blank lines are what
process reward models score as steps ("The Lessons of Developing Process Reward Models in Mathematical
Reasoning", arXiv 2501.07301); difference: blocks stay whole.

A sentence that announces going back (`markers.py`) begins a step by every rule, and a `<backtrack>` line is
always a step of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from envs.claims import cut_claims
from envs.markers import find_markers, mark
from envs.spans import Span, find_blocks, inside, split
from envs.trace import Step, StepKind

__all__ = ["GAPS", "Segmentation", "Span", "find_blocks", "join", "read_steps", "segment", "written_lines"]

Segmentation = Literal["content", "paragraphs", "lines", "sentences"]

GAPS: dict[Segmentation, str] = {"content": "\n\n", "lines": "\n", "paragraphs": "\n\n", "sentences": "\n"}
"""What separates the lines of a demonstration that is written for the rule."""

_SENTENCE_ENDS = re.compile(r"[.!?…][\"')\]*_]{0,3}[ \t]++(?=[^a-z \t\r\n])")
_NO_END = re.compile(
    r"(?:(?:^|\n)[ \t]*[0-9]{1,3}|(?:^|[ \t\n(])(?:e\.g|i\.e|cf|vs|approx|Mr|Mrs|Ms|Dr|St|No|Eq|Fig))$"
)
_MAX_WORD = 12  # characters before a full stop that can hold one of these


def read_steps(text: str, rule: Segmentation, lines: Sequence[Step]) -> tuple[Step, ...]:
    """The steps of a text with its markers, in time linear in the text up to a logarithm.

    Args:
        text: The text.
        rule: Which part is a step.
        lines: Its lines, as `parse_trace` or `parse_steps` reads them.
    """
    blocks = find_blocks(text) if rule in ("paragraphs", "sentences") else []
    steps = segment(text, lines, blocks, rule)
    return tuple(steps) if rule == "content" else mark(steps, find_blocks(text))


def written_lines(text: str, rule: Segmentation, lines: Sequence[Step]) -> tuple[str, ...]:
    """The lines of a worked solution that demonstrations put apart, each at least one step.

    By `content` these are its paragraphs, which may hold several claims. By `content` and `paragraphs`, a
    solution without blank lines is taken line by line.
    """
    blocks = find_blocks(text)
    found = segment(text, lines, blocks, "paragraphs" if rule == "content" else rule)
    if rule in ("content", "paragraphs") and len(found) == 1:
        found = join(text, lines, blocks, attached=False)
    return tuple(step.text.strip() for step in found)


def segment(text: str, lines: Sequence[Step], blocks: Sequence[Span], rule: Segmentation) -> list[Step]:
    """Join or split lines into steps, in time linear in the text up to a logarithm.

    Args:
        text: The text.
        lines: Its lines, as `parse_trace` reads them.
        blocks: Its blocks, from `find_blocks`; not used by `content` and `lines`.
        rule: Which part is a step.

    Returns:
        Steps in order. Their spans do not overlap, and cover everything in the lines but white space; by
        `content`, a text that claims nothing has none.

    Example: by `paragraphs`, the lines "We get", "$$", "x = 1", "$$", an empty line and "So 1." are two steps.
    """
    if rule == "content":
        return _claims(text, lines)
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


def _claims(text: str, lines: Sequence[Step]) -> list[Step]:
    """The claims between backtracks. Spaces at the end of a claim belong to its span, not to its text."""
    steps: list[Step] = []
    for region in _regions(text, lines):
        if isinstance(region, Step):
            steps.append(region)
            continue
        first, last = region
        part = text[first:last]
        cuts = cut_claims(part, find_markers(part))
        ends = [cut.start for cut in cuts[1:]] + [len(part)] * bool(cuts)
        for cut, end in zip(cuts, ends, strict=True):
            kind = StepKind.MARKER if cut.goes_back else StepKind.FORWARD
            steps.append(Step(part[cut.start : end].rstrip(), kind, (first + cut.start, first + end)))
    return steps


def _regions(text: str, lines: Sequence[Step]) -> list[Span | Step]:
    """Backtrack lines, and the spans of the lines between which only white space stands."""
    regions: list[Span | Step] = []
    for line in lines:
        last = regions[-1] if regions else None
        if line.kind is StepKind.BACKTRACK:
            regions.append(line)
        elif isinstance(last, Step) or last is None or text[last[1] : line.span[0]].strip():
            regions.append(line.span)
        else:
            regions[-1] = last[0], line.span[1]
    return regions


def _sentences(step: Step, blocks: Sequence[Span]) -> list[int]:
    """Offsets at which a sentence starts; not after the number of a list item or an abbreviation."""
    return [
        end.end()
        for end in _SENTENCE_ENDS.finditer(step.text)
        if not inside(blocks, step.span[0] + end.end())
        and not _NO_END.search(step.text[max(0, end.start() - _MAX_WORD) : end.start()])
    ]
