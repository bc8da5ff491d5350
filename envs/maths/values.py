"""Values of mathematical answers, as the reader finds them.

`envs.maths.equality` says when two of them are equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from envs.maths.numerals import Tree
from envs.maths.phrases import Time
from envs.maths.units import Unit

MAX_ITEMS = 40


class Kind(StrEnum):
    """The kind of value an answer is."""

    NUMBER = "number"
    """One rational number, or an infinity."""
    FORMULA = "formula"
    """One value that is no rational number, or has letters."""
    RELATION = "relation"
    """An equation or inequality that does not give a value to a name."""
    CHAIN = "chain"
    """Several sides that should be equal to each other."""
    WORD = "word"
    """A word, a few words, a letter, a date, or a numeral in another base."""
    TIME = "time"
    LIST = "list"
    """Several values without brackets."""
    SET = "set"
    TUPLE = "tuple"
    """Several values in round or square brackets, in order."""
    MATRIX = "matrix"
    """Rows, each a tuple."""
    REGION = "region"
    """An interval or a union of intervals and points."""


class Span(NamedTuple):
    """All numbers between two ends, each a NUMBER or a FORMULA."""

    low: MathAnswer
    high: MathAnswer
    low_open: bool
    high_open: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class MathAnswer:
    r"""One answer.

    Example: ``x = 50%`` is `MathAnswer(kind=Kind.NUMBER, value=Fraction(50), is_percent=True, name="x")`.

    Attributes:
        kind: The kind of value.
        value: NUMBER: the number as written, so 50 for ``50%``; 0 for an infinity.
        infinity: NUMBER: -1 or 1 for an infinity, else 0.
        is_percent: NUMBER: whether a percent sign follows.
        is_computed: NUMBER: whether it is left to compute, such as ``8*3`` or ``48/2`` for 24. MATRIX: whether
            it is a sum, product or power of matrices.
        unit: NUMBER, FORMULA: its unit, or None.
        tree: FORMULA, RELATION: the formula. WORD, NUMBER: the formula that the same text may also be, or None.
        relation: The equation that ``y = 2x`` also is; None if there is none. LIST: the inequalities of
            ``1 < 2x + 1 < 5``, joined by "and"; None for other lists.
        word: WORD: the text in lower case, or a single letter as written, since it may be a variable.
        is_bare: WORD: whether it may be a variable or a product of variables.
        time: TIME: the time.
        decimal: LIST: the number if the comma is a decimal comma, as in ``2,75``; None if it cannot be.
        items: LIST, SET, TUPLE, MATRIX, CHAIN: the elements. RELATION: its sides. WORD: the text of an option,
            or nothing. FORMULA: a rounding, as in ``\pi \approx 3.14``, or nothing.
        spans: REGION: the intervals, in any order.
        name: The name given to the value (``x`` in ``x = 5``), or empty.
    """

    kind: Kind
    value: Fraction = Fraction(0)
    infinity: int = 0
    is_percent: bool = False
    is_computed: bool = False
    unit: Unit | None = None
    tree: Tree | None = None
    relation: Tree | None = None
    word: str = ""
    is_bare: bool = False
    time: Time | None = None
    decimal: Fraction | None = None
    items: tuple[MathAnswer, ...] = ()
    spans: tuple[Span, ...] = ()
    name: str = ""


class Known(NamedTuple):
    """What the worker knows of a formula: its class, equal for equal formulas, and its value if it is real."""

    number: int
    real: Fraction | None


def number_tree(answer: MathAnswer) -> Tree:
    """A number as a formula."""
    return ("n", *(answer.value / 100 if answer.is_percent else answer.value).as_integer_ratio())


def formulas(answer: MathAnswer) -> Iterator[Tree]:
    """All formulas of an answer, for the worker."""
    if answer.tree is not None:
        yield answer.tree
    if answer.kind is Kind.NUMBER and not answer.infinity:
        yield number_tree(answer)
    if answer.relation is not None and answer.kind is not Kind.LIST:
        yield answer.relation
    for item in answer.items:
        yield from formulas(item)
    for span in answer.spans:
        yield from formulas(span.low)
        yield from formulas(span.high)


def as_region(answer: MathAnswer) -> tuple[Span, ...] | None:
    """The intervals of a region, of a pair that can be an open interval, or of a set of numbers; else None."""
    if answer.kind is Kind.REGION:
        return answer.spans
    if any(item.kind not in (Kind.NUMBER, Kind.FORMULA) for item in answer.items):
        return None
    if answer.kind is Kind.TUPLE and len(answer.items) == 2:
        return (Span(answer.items[0], answer.items[1], True, True),)
    if answer.kind is Kind.SET and not any(item.infinity for item in answer.items):
        return tuple(Span(item, item, False, False) for item in answer.items)
    return None


LOW = MathAnswer(kind=Kind.NUMBER, infinity=-1)
HIGH = MathAnswer(kind=Kind.NUMBER, infinity=1)
ALL_NUMBERS = MathAnswer(kind=Kind.REGION, spans=(Span(LOW, HIGH, True, True),))
