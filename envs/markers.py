"""Backtracks in free text: sentences that announce one.

In: the lines of a completion in ordinary language. Out: the same lines, split before each sentence that starts
with a marker ("Wait", "Let me check that", "On second thought"); that sentence becomes a step of kind `MARKER`.
A marker shows what the text claims, not what it does. No state is known, so none is restored, and the step
counts as neither real nor fake. Studies of long chains of thought count these words as reflection or
backtracking.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from envs.trace import Step, StepKind

MARKERS = (
    "wait",
    "hmm",
    "hold on",
    "actually",
    "alternatively",
    "on second thought",
    "let me check",
    "let me double-check",
    "let me double check",
    "let me re-check",
    "let me recheck",
    "let me verify",
    "let me reconsider",
    "let me rethink",
    "let me try again",
    "let me try another",
    "let me try a different",
    "let me start over",
    "let me go back",
    "let's go back",
    "let's try again",
    "let's try another",
    "let's try a different",
    "going back",
    "back to",
    "i made a mistake",
    "i made an error",
    "that is wrong",
    "that's wrong",
    "that is not right",
    "that's not right",
    "that isn't right",
    "this is wrong",
    "this is not right",
    "this isn't right",
    "this does not work",
    "this doesn't work",
    "that does not work",
    "that doesn't work",
    "no, that",
    "no, this",
)
_PHRASES = "|".join(re.escape(marker) for marker in sorted(MARKERS, key=len, reverse=True))
# A sentence starts at the start of the line or after ". ", "! " or "? "; a connective may come first.
_OPENS = re.compile(
    rf"(?:^|(?<=[.!?] ))(?:(?:but|so|oh|ah|no|hmm),? )?(?:{_PHRASES})(?![A-Za-z])", re.IGNORECASE | re.ASCII
)


def mark(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Split steps before each sentence that starts with a marker; takes time linear in the text.

    Example: "So x = 3. Wait, that is 2x." becomes the step "So x = 3." and the marker "Wait, that is 2x."
    """
    found: list[Step] = []
    for step in steps:
        if step.kind is not StepKind.FORWARD:
            found.append(step)
            continue
        cuts = {match.start() for match in _OPENS.finditer(step.text)}
        for start, end in pairwise(sorted({0, *cuts, len(step.text)})):
            text = step.text[start:end]
            if text.strip():
                kind = StepKind.MARKER if start in cuts else StepKind.FORWARD
                span = (step.span[0] + start, step.span[0] + end)
                found.append(step._replace(text=text.rstrip(" "), kind=kind, span=span))
    return tuple(found)
