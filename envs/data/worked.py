r"""Worked solutions as people write them: their lines, and the answer they state.

In: a text. Out: its steps, without the lines that only state the answer, and the stated answer, in any form in
which a model may state it (`envs/answers.py`)::

    She has 3 * 4 = <<3*4=12>>12 pens.        ->  "She has 3 * 4 = 12 pens.", "Then 12 - 2 = 10 are left."
    Then 12 - 2 = 10 are left.                    states "10"
    #### 10

A box is part of its step and states the answer where no line does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from envs.answers import DEFAULT_FORMS, read_stated
from envs.maths.grader import find_answer
from envs.segments import Segmentation, written_lines
from envs.trace import AnswerForm, parse_trace

_CALCULATION = re.compile(r"<<[^<>\n]*>>")  # calculator annotations of GSM8K
_MAY_STATE = re.compile(r"answer|boxed|####|(?:^|\n)[ *]*+A:", re.IGNORECASE)
_FORMS = frozenset(DEFAULT_FORMS) - {AnswerForm.BARE}


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
    """Read a worked solution in the lines that demonstrations put apart (`written_lines`)."""
    text = _CALCULATION.sub("", text).rstrip()
    body, _, last = text.rpartition("\n")
    if last.startswith("#### ") and _MAY_STATE.search(body) is None:  # GSM8K's form, for speed
        return Worked(lines=_lines(body, rule), stated=last[5:].strip())
    found = read_stated(text, _FORMS, str.__eq__)
    if found.answer is None:  # where statements disagree, the last box counts
        return Worked(lines=_lines(text, rule), stated=find_answer(text))
    kept, end = [], 0
    for start, stop in found.spans:
        kept.append(text[end:start])
        end = max(end, stop)
    return Worked(lines=_lines("".join([*kept, text[end:]]).rstrip(), rule), stated=found.answer)


def _lines(text: str, rule: Segmentation) -> tuple[str, ...]:
    return written_lines(text, rule, parse_trace(text).steps)
