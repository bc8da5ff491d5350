"""What a grader says of an answer, and the gate every answer passes first.

In: text a model wrote. Out: a `Grade`. Model text is hostile input: it is never evaluated, never handed to a
parser whose time or memory it can choose, and never turned into a number by a conversion that takes foreign
digits, underscores or exponents. What the text causes is a grade; what the machinery causes is a `GraderError`
and says nothing of the answer.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar
from unicodedata import category

MAX_ANSWER_CHARS = 2000
# Unicode categories: controls, bidi and zero-width marks, surrogates, private, unassigned, line ends.
_FORBIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


class Grade(StrEnum):
    """What became of an answer. Every grade but `CORRECT` scores 0."""

    CORRECT = "correct"
    """It is right."""
    WRONG = "wrong"
    """It is an answer of the task, and not the right one."""
    MALFORMED = "malformed"
    """It is no answer of the task, or the text does not state exactly one."""
    REFUSED = "refused"
    """It is over a limit or holds characters no answer has; it was not read."""
    TIMEOUT = "timeout"
    """Judging it took too long and was cut off."""
    CRASH = "crash"
    """Judging it ended the process that did so, twice."""

    @property
    def score(self) -> float:
        """1 where the answer is right, else 0."""
        return float(self is Grade.CORRECT)


class GraderError(RuntimeError):
    """Our machinery failed; nothing is known of the answer."""

    exit_code: ClassVar[int] = 1


def why_refused(text: str, *, max_chars: int = MAX_ANSWER_CHARS) -> str | None:
    """Why a text must not reach a parser, or None where it may.

    Refused are texts over `max_chars` characters, with a control, format (bidi, zero-width), private or
    unassigned character, with a lone surrogate, or with a digit other than 0 to 9. Linear in `max_chars`.

    Example: `why_refused("٣")` is "a digit other than 0 to 9".
    """
    if len(text) > max_chars:
        return f"{len(text)} characters, at most {max_chars}"
    if text.isascii():
        return None if text.isprintable() else "a control character"
    for character in text:
        kind = category(character)
        if kind in _FORBIDDEN:
            return "a control, format, private or unassigned character"
        if kind[0] == "N" and not character.isascii():
            return "a digit other than 0 to 9"
    return None
