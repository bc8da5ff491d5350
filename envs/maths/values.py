"""Values of mathematical answers, and the rules by which two of them are equal.

In: values read by `envs.maths.reader`. Out: whether an answer equals the right one. All comparisons are exact,
with `Fraction`; numbers may differ only by a given tolerance.

- A decimal is exactly the number written: 0.333333 is not 1/3. (math-verify rounds to six decimals.)
- ``50%`` is 1/2. The sign may also be missing or added: ``50%`` equals 50 too, as in math-verify, if the number
  before the sign has at most two decimals.
- A set has no order and no repetitions. Elements listed without brackets have no order either, except when
compared
  with a tuple. A list of several numbers never equals one number, so listing candidates is never right.
- ``2,75`` is a list, but compared with a right answer that is one number it is 2.75. - ``(1, 2)`` is an ordered
pair and an open interval, and equals either. - Words are compared ignoring case. For a single letter this holds
only if one of the two was written as a choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

MAX_ITEMS = 40


class Kind(StrEnum):
    """The kind of value an answer is."""

    NUMBER = "number"
    """One rational number, or an infinity."""
    WORD = "word"
    """A word, a few words, a letter, a time, or a numeral in another base."""
    LIST = "list"
    """Several values without brackets."""
    SET = "set"
    TUPLE = "tuple"
    """Several values in round or square brackets, in order."""
    REGION = "region"
    """An interval or a union of intervals and points."""


class End(NamedTuple):
    """An end of an interval, ordered like numbers. For an infinity `sign` is -1 or 1 and `value` is 0."""

    sign: int
    value: Fraction


class Span(NamedTuple):
    """All numbers between two ends."""

    low: End
    high: End
    low_open: bool
    high_open: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class MathAnswer:
    """One answer.

    Example: ``x = 50%`` is `MathAnswer(kind=Kind.NUMBER, value=Fraction(50), is_percent=True, name="x")`.

    Attributes:
        kind: The kind of value.
        value: NUMBER: the number as written, so 50 for ``50%``; 0 for an infinity.
        infinity: NUMBER: -1 or 1 for an infinity, else 0.
        is_percent: NUMBER: whether a percent sign follows.
        is_computed: NUMBER: whether it is left to compute, such as ``8*3`` or ``48/2`` for 24.
        word: WORD: the text in lower case, or a single letter as written, since it may be a variable.
        is_bare: WORD: whether it may be a variable or a product of variables.
        decimal: LIST: the number if the comma is a decimal comma, as in ``2,75``; None if it cannot be.
        items: LIST, SET, TUPLE: the elements.
        spans: REGION: the intervals, in order; no two overlap or touch.
        name: The name given to the value (``x`` in ``x = 5``), or empty.
    """

    kind: Kind
    value: Fraction = Fraction(0)
    infinity: int = 0
    is_percent: bool = False
    is_computed: bool = False
    word: str = ""
    is_bare: bool = False
    decimal: Fraction | None = None
    items: tuple[MathAnswer, ...] = ()
    spans: tuple[Span, ...] = ()
    name: str = ""

    def end(self) -> End:
        """A number as the end of an interval."""
        return End(self.infinity, self.value / 100 if self.is_percent else self.value)


def same_answer(gold: MathAnswer, answer: MathAnswer, tolerance: Fraction | None = None) -> bool | None:
    """Whether an answer equals the right one; None if words may be algebra, such as ``ab`` and ``ba``.

    Args:
        gold: The right answer.
        answer: The answer.
        tolerance: Largest relative difference of two numbers; None requires equality.
    """
    if gold.name and answer.name and gold.name != answer.name:
        return False
    kinds = gold.kind, answer.kind
    if kinds == (Kind.NUMBER, Kind.NUMBER):
        return _same_number(gold, answer, tolerance)
    if kinds == (Kind.NUMBER, Kind.LIST) and answer.decimal is not None:
        return _same_number(gold, MathAnswer(kind=Kind.NUMBER, value=answer.decimal), tolerance)
    if kinds == (Kind.WORD, Kind.WORD):
        return _same_word(gold, answer)
    if Kind.REGION in kinds:
        return _same_region(as_region(gold), as_region(answer), tolerance)
    if kinds == (Kind.TUPLE, Kind.TUPLE) or set(kinds) == {Kind.TUPLE, Kind.LIST}:
        return _same_in_order(gold.items, answer.items, tolerance)
    if set(kinds) <= {Kind.SET, Kind.LIST}:
        unique = Kind.SET in kinds
        return _same_unordered(_distinct(gold, unique), _distinct(answer, unique), tolerance)
    if set(kinds) == {Kind.SET, Kind.NUMBER}:  # a set with one element, compared with the element
        one, other = (answer.items or (answer,)), (gold.items or (gold,))
        return len(one) == len(other) == 1 and Kind.SET not in (one[0].kind, other[0].kind) and bool(
            same_answer(other[0], one[0], tolerance)
        )  # fmt: skip
    return False


def _same_number(gold: MathAnswer, answer: MathAnswer, tolerance: Fraction | None) -> bool:
    if answer.is_computed and not gold.is_computed:
        return False
    if gold.infinity or answer.infinity:
        return gold.infinity == answer.infinity
    if gold.is_percent == answer.is_percent:
        return _near(gold.value, answer.value, tolerance)
    percent, number = (gold, answer) if gold.is_percent else (answer, gold)
    values = [percent.value / 100]
    if (100 * percent.value).denominator == 1:
        values.append(percent.value)
    return any(
        _near(value, number.value, tolerance) if gold.is_percent else _near(number.value, value, tolerance)
        for value in values
    )


def _near(gold: Fraction, answer: Fraction, tolerance: Fraction | None) -> bool:
    return gold == answer or (tolerance is not None and abs(gold - answer) <= tolerance * abs(gold))


def _same_word(gold: MathAnswer, answer: MathAnswer) -> bool | None:
    if gold.word == answer.word:
        return True
    if gold.is_bare and answer.is_bare:
        return None
    return gold.word.casefold() == answer.word.casefold()


def _same_in_order(
    gold: Sequence[MathAnswer], answer: Sequence[MathAnswer], tolerance: Fraction | None
) -> bool | None:
    if len(gold) != len(answer):
        return False
    found = [same_answer(one, other, tolerance) for one, other in zip(gold, answer, strict=True)]
    return False if False in found else None if None in found else True


def _same_unordered(
    gold: Sequence[MathAnswer], answer: Sequence[MathAnswer], tolerance: Fraction | None
) -> bool | None:
    """Match each element to one of the other side; exact unless a tolerance makes the matching ambiguous."""
    if len(gold) != len(answer):
        return False
    left = list(answer)
    unsure = False
    for one in gold:
        for at, other in enumerate(left):
            same = same_answer(one, other, tolerance)
            unsure |= same is None
            if same:
                del left[at]
                break
        else:
            return None if unsure else False
    return True


def _distinct(answer: MathAnswer, unique: bool) -> Sequence[MathAnswer]:
    if not unique or answer.kind is not Kind.SET:
        return answer.items
    kept: list[MathAnswer] = []
    for item in answer.items:
        if not any(same_answer(other, item) for other in kept):
            kept.append(item)
    return kept


# ---- intervals ----


def as_region(answer: MathAnswer) -> tuple[Span, ...] | None:
    """The intervals of a region, of a pair that can be an open interval, or of a set of numbers; else None."""
    if answer.kind is Kind.REGION:
        return answer.spans
    numbers = [item.end() for item in answer.items if item.kind is Kind.NUMBER]
    if len(numbers) != len(answer.items):
        return None
    if answer.kind is Kind.TUPLE and len(numbers) == 2 and numbers[0] < numbers[1]:
        return (Span(numbers[0], numbers[1], True, True),)
    if answer.kind is Kind.SET and not any(number.sign for number in numbers):
        return merge([Span(number, number, False, False) for number in numbers])
    return None


def merge(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Sort intervals, and merge those that overlap or touch."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.low, span.low_open)):
        last = merged[-1] if merged else None
        if last and (
            span.low < last.high or (span.low == last.high and not (span.low_open and last.high_open))
        ):
            if (span.high, not span.high_open) > (last.high, not last.high_open):
                merged[-1] = last._replace(high=span.high, high_open=span.high_open)
        else:
            merged.append(span)
    return tuple(merged)


def _same_region(
    gold: tuple[Span, ...] | None, answer: tuple[Span, ...] | None, tolerance: Fraction | None
) -> bool:
    if gold is None or answer is None or len(gold) != len(answer):
        return False
    return all(
        (one.low_open, one.high_open) == (other.low_open, other.high_open)
        and _same_end(one.low, other.low, tolerance)
        and _same_end(one.high, other.high, tolerance)
        for one, other in zip(gold, answer, strict=True)
    )


def _same_end(gold: End, answer: End, tolerance: Fraction | None) -> bool:
    return gold.sign == answer.sign and _near(gold.value, answer.value, tolerance)


def named(answer: MathAnswer, name: str) -> MathAnswer:
    """The same answer, as the value of this name."""
    return replace(answer, name=name)
