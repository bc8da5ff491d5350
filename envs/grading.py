"""Grades of answers, and the gate that every answer passes first.

In: text a model wrote. Out: a `Grade`. Model text is hostile input. It is never evaluated, never given to a
parser whose time or memory it can control, and never converted to a number by a function that accepts foreign
digits, underscores or exponents. A fault of the text is a grade. A fault of the grader is a `GraderError`,
which implies nothing about the answer.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar
from unicodedata import category

MAX_ANSWER_CHARS = 2000
# Unicode categories: control, format (bidi, zero-width), surrogate, private, unassigned, line separators.
_FORBIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_FRACTIONS_AND_INDICES = frozenset("½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉")


class Grade(StrEnum):
    """The result of judging an answer. Every grade but `CORRECT` scores 0."""

    CORRECT = "correct"
    """The answer is right."""
    WRONG = "wrong"
    """It is a well-formed answer of the task, but not the right one."""
    MALFORMED = "malformed"
    """It is not a well-formed answer of the task, or the text does not state exactly one."""
    REFUSED = "refused"
    """It exceeds a limit or has characters that no answer has; it was not read."""
    TIMEOUT = "timeout"
    """Judging it exceeded the time limit."""
    CRASH = "crash"
    """Judging it killed the grading process, twice."""

    @property
    def score(self) -> float:
        """1 if the answer is right, else 0."""
        return float(self is Grade.CORRECT)


class GraderError(RuntimeError):
    """The grader itself failed, so the answer could not be judged."""

    exit_code: ClassVar[int] = 1


def why_refused(text: str, *, max_chars: int = MAX_ANSWER_CHARS) -> str | None:
    """The reason why a text must not reach a parser, or None if it may.

    A text is refused if it has more than `max_chars` characters; a control, format (bidi, zero-width), private
    or unassigned character; a lone surrogate; or a digit other than 0 to 9, but for fractions such as ½ and
    raised or lowered digits, which the task's grammar may read. Takes time linear in `max_chars`.

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
        if kind[0] == "N" and not character.isascii() and character not in _FRACTIONS_AND_INDICES:
            return "a digit other than 0 to 9"
    return None


def grade_whole_number(answer: str, gold: str) -> Grade:
    """Right if it is the same whole number in plain digits, without sign, space, underscore or leading zero.

    Every number has one such spelling, so the texts are compared, and no untrusted text is converted to a
    number.
    """
    if answer == gold:
        return Grade.CORRECT
    plain = answer.isascii() and answer.isdigit() and (answer[0] != "0" or answer == "0")
    return Grade.WRONG if plain else Grade.MALFORMED
