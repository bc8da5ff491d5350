"""Plain spellings that a right answer must accept.

A grader can read a right answer in a way that no natural answer equals: `8 (cars)` as a product. Every answer
is therefore tried on its own plain spellings when it is loaded.
"""

from __future__ import annotations

import re

_NUMBER = r"(?P<number>-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?)"
_WORDS = r"[A-Za-z][A-Za-z .'/²³-]*"
_IN_BRACKETS = re.compile(rf"{_NUMBER} ?(?:\({_WORDS}\)|\[{_WORDS}\]|\\text\{{ ?{_WORDS}\}})")
_MAX_CHARS = 80  # longer answers are no number with a unit


def plain_spellings(answer: str) -> tuple[str, ...]:
    """The answer as given, and the number alone where a word in brackets follows it.

    Example: `plain_spellings("8 (cars)")` is ("8 (cars)", "8").
    """
    match = _IN_BRACKETS.fullmatch(answer) if len(answer) <= _MAX_CHARS else None
    return (answer,) if match is None else (answer, match["number"])
