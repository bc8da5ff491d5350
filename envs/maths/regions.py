r"""Intervals and what makes them: inequalities, unions, sets without some points.

In: tokens, or regions that were read. Out: a `MathAnswer` of kind REGION, whose intervals may be in any
order; None if there is none. Ends are numbers or formulas; formulas are put in order when they are compared.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from envs.maths.algebra import has_letters, read_tree
from envs.maths.grammar import strip
from envs.maths.single import name_of, read_single
from envs.maths.values import HIGH, LOW, Kind, MathAnswer, Span

RELATIONS = frozenset(("<", ">", "<=", ">=", "!="))


def intersection(regions: list[MathAnswer]) -> MathAnswer | None:
    """The numbers in all regions; None if there are none, or if formulas would have to be put in order."""
    spans = regions[0].spans
    for region in regions[1:]:
        met: list[Span] = []
        for one in spans:
            for other in region.spans:
                low = _inner(one.low, one.low_open, other.low, other.low_open, wants_higher=True)
                high = _inner(one.high, one.high_open, other.high, other.high_open, wants_higher=False)
                if low is None or high is None:
                    return None
                first, last = exact_end(low[0]), exact_end(high[0])
                if first and last and (first > last or (first == last and (low[1] or high[1]))):
                    continue
                met.append(Span(low[0], high[0], low[1], high[1]))
        spans = tuple(met)
    return MathAnswer(kind=Kind.REGION, spans=spans, name=regions[0].name) if spans else None


def overlap(spans: tuple[Span, ...]) -> bool:
    """Whether two intervals with rational ends have numbers in common, so that their union is left to find."""
    ends = [(exact_end(span.low), exact_end(span.high)) for span in spans]
    known = sorted((low, high) for low, high in ends if low is not None and high is not None)
    return any(later[0] < earlier[1] for earlier, later in pairwise(known))


def exact_end(end: MathAnswer) -> tuple[int, Fraction] | None:
    """Where an end is, to compare it with others; None for a formula."""
    return (end.infinity, end.value) if end.kind is Kind.NUMBER and not end.is_percent else None


def _inner(
    one: MathAnswer, one_open: bool, other: MathAnswer, other_open: bool, *, wants_higher: bool
) -> tuple[MathAnswer, bool] | None:
    """The end that the intersection of two intervals has, and whether it is open; None if that is not known."""
    if one.infinity:
        return other, other_open
    if other.infinity:
        return one, one_open
    first, second = exact_end(one), exact_end(other)
    if first is None or second is None:
        return None
    if first == second:
        return one, one_open or other_open
    return (one, one_open) if (first > second) == wants_higher else (other, other_open)


def as_spans(answer: MathAnswer | None) -> tuple[Span, ...] | None:
    """The intervals of a part of a union."""
    if answer is None:
        return None
    if answer.kind is Kind.REGION:
        return answer.spans
    if answer.kind is Kind.TUPLE and len(answer.items) == 2:
        return (Span(answer.items[0], answer.items[1], True, True),)
    if answer.kind is Kind.SET and all(item.kind in (Kind.NUMBER, Kind.FORMULA) for item in answer.items):
        return tuple(Span(item, item, False, False) for item in answer.items)
    return None


def without(whole: MathAnswer | None, points: MathAnswer | None) -> MathAnswer | None:
    r"""``\mathbb{R} \setminus \{1, 2\}``."""
    if whole is None or points is None or points.kind is not Kind.SET or whole.kind is not Kind.REGION:
        return None
    regions = [whole]
    for point in points.items:
        spans = (Span(LOW, point, True, True), Span(point, HIGH, True, True))
        regions.append(MathAnswer(kind=Kind.REGION, spans=spans))
    return intersection(regions)


def read_inequality(tokens: list[str], parts: list[list[str]]) -> MathAnswer | None:
    """Read an inequality such as ``x < 5``, ``5 >= x`` or ``0 <= x < 1``."""
    signs = [token for token in tokens if token in RELATIONS]
    if len(signs) != len(parts) - 1 or len(parts) > 3:
        return None
    if len(parts) == 2:
        at = 0 if name_of(parts[0]) else 1
        name, number = name_of(parts[at]), _read_end(parts[1 - at])
        if not name or number is None:
            return _inequality(signs[0], parts)
        if signs[0] == "!=":
            spans = (Span(LOW, number, True, True), Span(number, HIGH, True, True))
            return MathAnswer(kind=Kind.REGION, spans=spans, name=name)
        below = (signs[0][0] == "<") == (at == 0)
        is_open = len(signs[0]) == 1
        low, high = (LOW, number) if below else (number, HIGH)
        span = Span(low, high, (not below and is_open) or below, (below and is_open) or not below)
        return MathAnswer(kind=Kind.REGION, spans=(span,), name=name)
    name, first, last = name_of(parts[1]), _read_end(parts[0]), _read_end(parts[2])
    if signs[0][0] != signs[1][0] or "!=" in signs:
        return None
    if not name or first is None or last is None:
        items = [_inequality(signs[0], parts[:2]), _inequality(signs[1], parts[1:])]
        known = tuple(item for item in items if item is not None)
        both = ("and", *(item.relation for item in known))
        return MathAnswer(kind=Kind.LIST, items=known, relation=both) if len(known) == 2 else None
    opens = [len(sign) == 1 for sign in signs]
    if signs[0][0] == ">":
        first, last = last, first
        opens.reverse()
    low_end, high_end = exact_end(first), exact_end(last)
    if low_end is not None and high_end is not None and low_end >= high_end:
        return None
    return MathAnswer(kind=Kind.REGION, spans=(Span(first, last, opens[0], opens[1]),), name=name)


def _inequality(sign: str, parts: list[list[str]]) -> MathAnswer | None:
    r"""An inequality between formulas with letters, as ``a < b`` or ``a <= b``."""
    left, right = (read_tree(part) for part in parts)
    if left is None or right is None:
        return None
    if sign[0] == ">":
        left, right, sign = right, left, "<" + sign[1:]
    return MathAnswer(kind=Kind.RELATION, relation=("rel", sign, left, right))


def _read_end(tokens: list[str]) -> MathAnswer | None:
    answer = read_single(strip(tokens)) if tokens else None
    if answer is None or answer.kind not in (Kind.NUMBER, Kind.FORMULA):
        return None
    return answer if answer.tree is None or not has_letters(answer.tree) else None


def condition(inner: list[str]) -> list[str] | None:
    r"""The condition of ``\{x : x > 2\}``."""
    for sign in ("|", ":"):
        if inner.count(sign) == 1:
            at = inner.index(sign)
            name = strip(inner[:at])
            if name_of(name) or (len(name) > 2 and "\\in" in name):
                return strip(inner[at + 1 :])
    return None
