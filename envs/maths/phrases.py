"""Times, dates, numerals in another base, and numbers in words: short phrases that a pattern reads whole.

In: an answer as one string. Out: the value it has, or None. All patterns are bounded, and take linear time.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

_COLONS = re.compile(r"[0-9]{1,4}(?: ?: ?[0-9]{1,4}){1,3}")
_BASED = re.compile(r"([0-9A-F]{1,40})_(?:\{ ?([0-9]{1,2}|[a-z]{2,8}) ?\}|([0-9]{1,2}))")
_TIME = re.compile(r"([0-9]{1,2})(?: ?: ?([0-9]{2}))? ?(?:\( ?)?([ap])\.? ?m\.?(?: ?\))?", re.I)
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_MONTH_FIRST = re.compile(r"([a-z]{3,9})\.? ([0-9]{1,2})(?:st|nd|rd|th)?(?: ?,? ?([0-9]{4}))?", re.I)
_DAY_FIRST = re.compile(
    r"(?:the )?([0-9]{1,2})(?:st|nd|rd|th)? (?:of )?([a-z]{3,9})\.?(?: ?,? ?([0-9]{4}))?", re.I
)
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_SMALL = {
    word: number
    for number, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
}
_TENS = {
    word: 10 * number
    for number, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2
    )
}
MULTIPLES = {
    "dozen": 12, "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12,
}  # fmt: skip
MULTIPLES |= {word + "s": number for word, number in MULTIPLES.items()}
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7,
    "eighth": 8, "ninth": 9, "tenth": 10,
}  # fmt: skip
_PARTS |= {word + "s": number for word, number in _PARTS.items() if word[-1] != "s"}
NUMBER_WORDS = frozenset((*_SMALL, *_TENS, *MULTIPLES, *_PARTS, "and", "a", "minus", "negative"))


class Time(NamedTuple):
    """A time of day or a ratio.

    Attributes:
        text: The text as written.
        minutes: After midnight; -1 if the numbers are no time.
        is_stated: Whether am or pm is stated.
    """

    text: str
    minutes: int
    is_stated: bool

    @property
    def ratio(self) -> Fraction | None:
        """The ratio ``2:3`` as a number; None for a time, and for more than two numbers."""
        parts = self.text.split(":")
        if self.is_stated or self.minutes >= 0 or len(parts) != 2 or not int(parts[1]):
            return None
        return Fraction(int(parts[0]), int(parts[1]))


def read_time(text: str) -> Time | None:
    """A time with am or pm, or numbers with colons: a time or a ratio, which are compared as text."""
    if found := _TIME.fullmatch(text):
        hour, minute, half = int(found[1]), int(found[2] or "0"), found[3].lower()
        if not 1 <= hour <= 12 or minute > 59:
            return None
        minutes = 60 * (hour % 12 + 12 * (half == "p")) + minute
        return Time(f"{hour}:{minute:02} {half}m", minutes, is_stated=True)
    if not _COLONS.fullmatch(text):
        return None
    text = text.replace(" ", "")
    clock = _CLOCK.fullmatch(text)
    return Time(text, 60 * int(clock[1]) + int(clock[2]) if clock else -1, is_stated=False)


def same_time(gold: Time, answer: Time) -> bool:
    """Whether two times are the same: 3:30 pm is 15:30, and for a right answer 3:30 it may be am or pm."""
    if gold.is_stated == answer.is_stated:
        if gold.is_stated or (gold.minutes >= 0 and answer.minutes >= 0):
            return gold.minutes == answer.minutes
        return gold.text == answer.text or (gold.ratio is not None and gold.ratio == answer.ratio)
    if gold.is_stated:
        return gold.minutes == answer.minutes
    return gold.minutes >= 0 and gold.minutes in (
        answer.minutes,
        answer.minutes % 720,
        (answer.minutes % 720) + 720 * (answer.minutes % 720 < 60),
    )


def read_date(text: str) -> str | None:
    """A date in one form, ``2024-03-05`` or ``03-05`` without a year; dates with slashes are ambiguous."""
    if found := _ISO.fullmatch(text):
        year, month, day = found[1], int(found[2]), int(found[3])
    elif found := _MONTH_FIRST.fullmatch(text):
        year, month, day = found[3], _month(found[1]), int(found[2])
    elif found := _DAY_FIRST.fullmatch(text):
        year, month, day = found[3], _month(found[2]), int(found[1])
    else:
        return None
    if not 1 <= month <= 12 or not 1 <= day <= _DAYS[month - 1]:
        return None
    return f"{year}-{month:02}-{day:02}" if year else f"{month:02}-{day:02}"


def _month(word: str) -> int:
    word = word.lower()
    return next((at for at, month in enumerate(_MONTHS, 1) if word in (month, month[:3], month[:4])), 0)


def read_based(text: str) -> str | None:
    """A numeral with its base, as in ``204_5``, in one form."""
    found = _BASED.fullmatch(text)
    if not found:
        return None
    base = found[2] or found[3]
    number = int(base) if base.isdecimal() else _SMALL.get(base, 0)
    return f"{found[1]}_{number}" if 2 <= number <= 36 else None


def read_number_words(text: str) -> Fraction | None:
    """A number in words, such as ``twenty-five``, ``one hundred and five`` or ``three quarters``."""
    words = text.lower().replace("-", " ").replace(",", " ").split()
    sign = -1 if words[:1] in (["minus"], ["negative"]) else 1
    words = words[1:] if sign < 0 else words
    if not words or len(words) > 12 or not NUMBER_WORDS.issuperset(words):
        return None
    if words[-3:-1] == ["and", "a"] and words[-1] in _PARTS:  # two and a half
        whole = _count(words[:-3])
        return None if whole is None else sign * (whole + Fraction(1, _PARTS[words[-1]]))
    if words[-1] in _PARTS:
        above = 1 if words[:-1] in ([], ["a"]) else _count(words[:-1])
        is_fraction = words[-1] != "half" or above == 1
        return sign * Fraction(above, _PARTS[words[-1]]) if above and len(words) > 1 and is_fraction else None
    number = _count(words)
    return None if number is None else Fraction(sign * number)


def _count(words: list[str]) -> int | None:
    total, part, last = 0, 0, 10**15  # `last` is the size of the last word, which the next one must not reach
    highest = 10**15
    seen = False
    for at, word in enumerate(words):
        if word == "and" and at and at + 1 < len(words) and last >= 100:
            continue
        if word == "a" and at == 0 and len(words) > 1:
            part, last, seen = 1, 1, True
        elif word in _SMALL and last > 9 and (_SMALL[word] or len(words) == 1):
            if _SMALL[word] > 9 and last < 100:
                return None
            part, last, seen = part + _SMALL[word], 1, True
        elif word in _TENS and last >= 100:
            part, last, seen = part + _TENS[word], 10, True
        elif word in MULTIPLES and seen:
            size = MULTIPLES[word]
            if size == 12 and at + 1 < len(words):
                return None
            if size <= 100:
                if last >= 100 or part > 99:
                    return None
                part, last = part * size, size
            elif part and size < highest:
                total, part, last, highest = total + part * size, 0, size, size
            else:
                return None
        else:
            return None
    return total + part if seen else None
