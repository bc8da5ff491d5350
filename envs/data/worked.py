r"""Worked solutions as people write them: their lines, and the answer they state.

In: a text. Out: its steps, without the lines that only state the answer, and the stated answer::

    She has 3 * 4 = <<3*4=12>>12 pens.        ->  "She has 3 * 4 = 12 pens.", "Then 12 - 2 = 10 are left."
    Then 12 - 2 = 10 are left.                    states "10"
    #### 10

A box is part of its step and states the answer where no line does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from envs.maths.grader import find_answer
from envs.segments import Segmentation, find_blocks, join, segment
from envs.trace import parse_trace

_CALCULATION = re.compile(r"<<[^<>\n]*>>")  # calculator annotations of GSM8K
_STATEMENT = re.compile(
    r"(?:####|(?:(?:thus|therefore|so|hence),? )?(?:the )?(?:final )?answer(?:(?: is)?:| is ))"
    r"[ \t]*+(?P<answer>[^\n]+)",
    re.IGNORECASE,
)
_MAX_STATEMENT = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Worked:
    """A worked solution.

    Attributes:
        lines: Its steps.
        stated: The answer it states, or None.
    """

    lines: tuple[str, ...]
    stated: str | None


def read_worked(text: str, rule: Segmentation) -> Worked:
    """Read a worked solution; by `paragraphs`, one without blank lines has a step on each line."""
    body, stated = _take_statement(_CALCULATION.sub("", text))
    if stated is None:
        stated = find_answer(body)
    return Worked(lines=_lines(body, rule), stated=stated)


def _take_statement(text: str) -> tuple[str, str | None]:
    """The text without a last line that only states the answer, and that answer."""
    text = text.rstrip()
    start = text.rfind("\n") + 1
    line = text[start:].strip()
    match = _STATEMENT.fullmatch(line) if len(line) <= _MAX_STATEMENT else None
    if match is None:
        return text, None
    answer = match["answer"].strip().removesuffix(".").strip("*").strip()
    inside = find_answer(answer)
    return text[:start], answer if inside is None else inside


def _lines(text: str, rule: Segmentation) -> tuple[str, ...]:
    blocks = find_blocks(text)
    lines = parse_trace(text).steps
    found = segment(text, lines, blocks, rule)
    if rule == "paragraphs" and len(found) == 1:
        found = join(text, lines, blocks, attached=False)  # demonstrations have a blank line between steps
    return tuple(step.text.strip() for step in found)
