"""Choices of multiple-choice questions: lettered in the question, and the letter as the right answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

_LETTERED = re.compile(r"\(?([A-Za-z]) ?[).:][ \t\n]*+(.*)", re.DOTALL)  # "A) 21", "(b) 21", "C: 21"


def letter_choices(question: str, texts: Sequence[str]) -> str:
    r"""The question with its choices, one in each line.

    Example: `letter_choices("2 + 2?", ["3", "4"])` is "2 + 2?\nA. 3\nB. 4".
    """
    lines = [f"{letter}. {text}" for letter, text in zip(ascii_uppercase, texts, strict=False)]
    return "\n".join([question, *lines])


def without_letters(texts: Sequence[str]) -> list[str]:
    """The choices without letters of their own, if all have them in alphabetical order."""
    matches = [_LETTERED.fullmatch(text.strip()) for text in texts]
    for match, letter in zip(matches, ascii_uppercase, strict=False):
        if match is None or match[1].upper() != letter:
            return [text.strip() for text in texts]
    return [match[2].strip() for match in matches if match]


def right_letter(answer: Any, texts: Sequence[str], labels: Sequence[str]) -> str | None:
    """The letter of the right choice, or None if the answer names none.

    Args:
        answer: A label, the text of a choice, a letter, or a position from 0, tried in this order; an integer
            is a position if there are no labels.
        texts: The choices.
        labels: Labels of the data, such as "A" or "1"; empty if it has none.
    """
    if isinstance(answer, int) and not isinstance(answer, bool):
        if 0 <= answer < len(texts) and not labels:
            return ascii_uppercase[answer]
        answer = str(answer)
    if not isinstance(answer, str):
        return None
    given: str = answer.strip()
    letters = ascii_uppercase[: len(texts)]
    if given in labels:
        return letters[list(labels).index(given)]
    if given in texts:
        return letters[list(texts).index(given)]
    match = re.fullmatch(r"\(?([A-Za-z])[).:]?(?:[ \n].*)?", given, re.DOTALL)
    if match and match[1].upper() in letters:
        return match[1].upper()
    if given.isdecimal() and len(given) < 3 and int(given) < len(texts):
        return letters[int(given)]
    return None
