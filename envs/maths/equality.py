r"""The rules by which two mathematical answers are equal.

In: values read by `envs.maths.reader`. Out: whether an answer equals the right one. All comparisons are exact;
numbers may differ only by a given tolerance.

- A decimal is exactly the number written: 0.333333 is not 1/3.
- ``50%`` is 1/2. The sign may also be missing or added: ``50%`` equals 50 too, if the number before the sign
  has at most two decimals.
- A unit may be missing or added. If both have one, amounts are compared (`envs.maths.units`).
- A set has no order and no repetitions. Elements listed without brackets have no order either, except when
  compared with a tuple. A list of several numbers never equals one number, so listing candidates is never
  right.
- ``x = 1, y = 2`` assigns: it equals ``(1, 2)`` and ``1, 2``, the values in the alphabetical order of the
  names, and ``y = 2, x = 1``. ``x = 1 or x = 2`` lists the values of x.
- ``2,75`` is a list, but compared with a right answer that is one number it is 2.75.
- ``(1, 2)`` is an ordered pair and an open interval, and equals either; ``[1, 2]`` is closed.
- Words are compared ignoring case, letters of formulas never. An option ``(B)`` may be answered ``b``. An
  option with its text equals the letter, and its text if the right answer states it or is it.
- A numeral in another base, ``40_9``, may be answered without the base, but not be converted.
- Each side of a chain ``a = b`` must equal the right answer, unless that is an equation.

Formulas are compared by the worker: `same_answer` gets its result, or returns None if it needs one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from envs.maths.numerals import Tree
from envs.maths.phrases import same_time
from envs.maths.units import conversion
from envs.maths.values import Kind, Known, MathAnswer, Span, as_region, number_tree
from envs.maths.vocabulary import EMPTY, UNDEFINED

_SINGLE = (Kind.NUMBER, Kind.FORMULA, Kind.WORD)
_SEVERAL = (Kind.LIST, Kind.TUPLE, Kind.SET)


class Comparison:
    """Compares answers with a right one.

    Example: `Comparison().same(gold, answer)`.

    Args:
        tolerance: Largest relative difference of two numbers; None requires equality.
        known: What the worker knows of the formulas of both answers; None before it was asked.
    """

    def __init__(self, tolerance: Fraction | None = None, known: Mapping[Tree, Known] | None = None) -> None:
        self._tolerance = tolerance
        self._known = known

    def same(self, gold: MathAnswer, answer: MathAnswer) -> bool | None:
        """Whether an answer equals the right one; None if the worker has to be asked."""
        if gold.kind is Kind.RELATION or (
            gold.kind is Kind.FORMULA and gold.relation and answer.kind is Kind.RELATION
        ):
            return self._same_formula(gold.relation, answer.relation)
        if answer.kind is Kind.CHAIN or answer.kind is Kind.RELATION:
            return self._same_chain(gold, answer)
        if answer.kind is Kind.FORMULA and answer.items:
            return self._same_rounded(gold, answer)
        if gold.name and answer.name and gold.name != answer.name:
            if {"y", "f(x)"} == {gold.name, answer.name}:
                return self.same(replace(gold, name=""), replace(answer, name=""))  # y = 2x, f(x) = 2x
            if gold.relation and answer.relation and Kind.FORMULA in (gold.kind, answer.kind):
                return self._same_formula(gold.relation, answer.relation)
            return (
                self._same_named(gold, answer) if gold.kind in _SEVERAL and answer.kind in _SEVERAL else False
            )
        kinds = gold.kind, answer.kind
        if kinds == (Kind.NUMBER, Kind.NUMBER):
            return self._same_number(gold, answer)
        if kinds == (Kind.WORD, Kind.WORD):
            return self._same_word(gold, answer)
        if Kind.TIME in kinds and Kind.NUMBER in kinds:
            time, number = (gold, answer) if gold.time else (answer, gold)
            is_plain = number.unit is None and number.value.denominator > 1 and not number.is_computed
            return is_plain and time.time is not None and time.time.ratio == number.value
        if Kind.WORD in kinds and (gold.items or answer.items):
            return self._same_option(gold, answer)
        if kinds == (Kind.TIME, Kind.TIME) and gold.time and answer.time:
            return same_time(gold.time, answer.time)
        if kinds[0] in _SINGLE and kinds[1] in _SINGLE:
            return self._same_single(gold, answer)
        if kinds == (Kind.NUMBER, Kind.LIST) and answer.decimal is not None:
            return self._same_number(gold, MathAnswer(kind=Kind.NUMBER, value=answer.decimal))
        if kinds[0] in _SEVERAL and kinds[1] in _SEVERAL and (_names(gold) or _names(answer)):
            return self._same_named(gold, answer)
        if Kind.REGION in kinds:
            return self._same_region(gold, answer)
        if Kind.MATRIX in kinds:
            return self._same_matrix(gold, answer)
        if kinds == (Kind.TUPLE, Kind.TUPLE) or set(kinds) == {Kind.TUPLE, Kind.LIST}:
            return self._same_in_order(gold.items, answer.items)
        if set(kinds) <= {Kind.SET, Kind.LIST}:
            unique = Kind.SET in kinds
            return self._same_unordered(self._distinct(gold, unique), self._distinct(answer, unique))
        if set(kinds) == {Kind.SET, Kind.WORD}:
            words = gold if gold.kind is Kind.WORD else answer
            return not (gold.items or answer.items) and words.word in EMPTY
        if Kind.SET in kinds and (kinds[0] in _SINGLE or kinds[1] in _SINGLE):
            one, other = (gold.items or (gold,)), (answer.items or (answer,))
            if not len(one) == len(other) == 1 or Kind.SET in (one[0].kind, other[0].kind):
                return False
            return self.same(one[0], other[0])
        return False

    # ---- single values ----

    def _same_number(self, gold: MathAnswer, answer: MathAnswer) -> bool:
        if answer.is_computed and not gold.is_computed:
            return False
        if gold.infinity or answer.infinity:
            return gold.infinity == answer.infinity
        factor = conversion(gold.unit, answer.unit)
        if factor is None:
            return False
        if gold.is_percent == answer.is_percent:
            return self._near(gold.value, answer.value * factor)
        percent, number = (gold, answer) if gold.is_percent else (answer, gold)
        if number.unit is not None and number.unit.powers:
            return False
        values = [percent.value / 100]
        if (100 * percent.value).denominator == 1:
            values.append(percent.value)
        return any(
            self._near(value, number.value) if gold.is_percent else self._near(number.value, value)
            for value in values
        )

    def _near(self, gold: Fraction, answer: Fraction) -> bool:
        return gold == answer or (
            self._tolerance is not None and abs(gold - answer) <= self._tolerance * abs(gold)
        )

    def _same_single(self, gold: MathAnswer, answer: MathAnswer) -> bool | None:
        """A formula, a number or a letter, compared with another kind of these, or two formulas."""
        if gold.kind is Kind.NUMBER and not gold.is_computed and not gold.tree:
            return False  # the number is left to compute
        if gold.kind is Kind.WORD and answer.kind is Kind.NUMBER and "_" in gold.word:
            return gold.word.startswith(f"{answer.value}_") and not answer.is_computed
        if gold.infinity or answer.infinity or {gold.kind, answer.kind} == {Kind.NUMBER, Kind.WORD}:
            return False
        if conversion(gold.unit, answer.unit) != 1:
            return False
        right = (
            gold.tree
            if gold.kind is not Kind.NUMBER or (gold.tree and answer.kind is not Kind.NUMBER)
            else None
        )
        given = (
            answer.tree
            if answer.kind is not Kind.NUMBER or (answer.tree and gold.kind is not Kind.NUMBER)
            else None
        )
        right = right or (number_tree(gold) if gold.kind is Kind.NUMBER else None)
        given = given or (number_tree(answer) if answer.kind is Kind.NUMBER else None)
        return self._same_formula(right, given)

    def _same_formula(self, gold: Tree | None, answer: Tree | None) -> bool | None:
        if gold is None or answer is None:
            return False
        if gold == answer:
            return True
        if self._known is None:
            return None
        right, given = self._known.get(gold), self._known.get(answer)
        if right is None or given is None or right.number < 0 or given.number < 0:
            return False
        if right.number == given.number:
            return True
        if self._tolerance is None or right.real is None or given.real is None:
            return False
        return self._near(right.real, given.real)

    def _same_rounded(self, gold: MathAnswer, answer: MathAnswer) -> bool | None:
        r"""A formula and its rounding, ``\pi \approx 3.14``: either may be right if one rounds to the other."""
        if self._known is None:
            return None
        known, rounded = self._known.get(answer.tree or ()), answer.items[0].value
        if known is None or known.real is None or not is_rounding(known.real, rounded):
            return False
        return bool(self.same(gold, answer.items[0]) or self.same(gold, replace(answer, items=())))

    def _same_word(self, gold: MathAnswer, answer: MathAnswer) -> bool | None:
        if gold.word == answer.word:
            return self.same(gold.items[0], answer.items[0]) if gold.items and answer.items else True
        if any(gold.word.casefold() in same and answer.word.casefold() in same for same in (EMPTY, UNDEFINED)):
            return True
        if len(gold.word) == 1:
            return not gold.is_bare and gold.word.isupper() and gold.word.casefold() == answer.word.casefold()
        if len(answer.word) == 1:
            return False
        if gold.tree and answer.tree and gold.is_bare and answer.is_bare:
            return self._same_formula(gold.tree, answer.tree)
        if (gold.tree and gold.is_bare) or (answer.tree and answer.is_bare):
            return False
        return gold.word.casefold() == answer.word.casefold()

    def _same_option(self, gold: MathAnswer, answer: MathAnswer) -> bool | None:
        r"""An option with its text, ``(E)\ 12``, compared with 12."""
        if gold.kind is Kind.WORD and gold.items:
            return self.same(gold.items[0], answer)
        if answer.kind is Kind.WORD and answer.items:
            return self.same(gold, answer.items[0])
        return False

    # ---- several values ----

    def _same_chain(self, gold: MathAnswer, answer: MathAnswer) -> bool | None:
        if gold.name and answer.name and gold.name != answer.name:
            return False
        found = [self.same(gold, item) for item in answer.items]
        return False if False in found or not found else None if None in found else True

    def _same_in_order(self, gold: Sequence[MathAnswer], answer: Sequence[MathAnswer]) -> bool | None:
        if len(gold) != len(answer):
            return False
        found = [self.same(one, other) for one, other in zip(gold, answer, strict=True)]
        return False if False in found else None if None in found else True

    def _same_unordered(self, gold: Sequence[MathAnswer], answer: Sequence[MathAnswer]) -> bool | None:
        """Match each element to one of the other side; exact unless a tolerance makes that ambiguous."""
        if len(gold) != len(answer):
            return False
        left = list(answer)
        unsure = False
        for one in gold:
            for at, other in enumerate(left):
                same = self.same(one, other)
                unsure |= same is None
                if same:
                    del left[at]
                    break
            else:
                return None if unsure else False
        return True

    def _distinct(self, answer: MathAnswer, unique: bool) -> Sequence[MathAnswer]:
        if not unique or answer.kind is not Kind.SET:
            return answer.items
        exact = Comparison(known=self._known)
        kept: list[MathAnswer] = []
        for item in answer.items:
            if not any(exact.same(other, item) for other in kept):
                kept.append(item)
        return kept

    def _same_named(self, gold: MathAnswer, answer: MathAnswer) -> bool | None:
        """Values with names, ``x = 1, y = 2``, compared with other values in order, or by name."""
        right, given = _assigned(gold), _assigned(answer)
        if right and given:
            if right.keys() != given.keys():
                return False
            return self._same_in_order([right[name] for name in right], [given[name] for name in right])
        if Kind.SET in (gold.kind, answer.kind) and (right or given):
            return False
        if right is None and given is None:
            if Kind.TUPLE in (gold.kind, answer.kind) or _num_names(gold) > 1 or _num_names(answer) > 1:
                return False
            return self.same(_unnamed(gold), _unnamed(answer))
        if _repeats_a_name(gold) or _repeats_a_name(answer):
            return False
        one = [right[name] for name in sorted(right)] if right else _unnamed(gold).items
        other = [given[name] for name in sorted(given)] if given else _unnamed(answer).items
        return self._same_in_order(one, other)

    def _same_matrix(self, gold: MathAnswer, answer: MathAnswer) -> bool | None:
        if answer.is_computed and not gold.is_computed:
            return False
        if gold.kind is answer.kind:
            return self._same_in_order(gold.items, answer.items)
        matrix, other = (gold, answer) if gold.kind is Kind.MATRIX else (answer, gold)
        if other.kind is not Kind.TUPLE or not (len(matrix.items) == 1 or len(matrix.items[0].items) == 1):
            return False
        flat = [item for row in matrix.items for item in row.items]
        pairs = (flat, other.items) if matrix is gold else (other.items, flat)
        return self._same_in_order(*pairs)

    # ---- intervals ----

    def _same_region(self, gold: MathAnswer, answer: MathAnswer) -> bool | None:
        right, given = as_region(gold), as_region(answer)
        if right is None or given is None:
            return False
        if len(right) == len(given) == 1 and not self._is_ordered(right[0]) and not self._is_ordered(given[0]):
            return self._same_span(right[0], given[0])
        ordered, other = self._merged(right), self._merged(given)
        if ordered is None or other is None:
            return None if self._known is None else False
        if len(ordered) != len(other):
            return False
        found = [self._same_span(one, two) for one, two in zip(ordered, other, strict=True)]
        return False if False in found else None if None in found else True

    def _same_span(self, gold: Span, answer: Span) -> bool | None:
        if (gold.low_open, gold.high_open) != (answer.low_open, answer.high_open):
            return False
        found = [self._same_end(gold.low, answer.low), self._same_end(gold.high, answer.high)]
        return False if False in found else None if None in found else True

    def _same_end(self, gold: MathAnswer, answer: MathAnswer) -> bool | None:
        return self.same(gold, answer)

    def _is_ordered(self, span: Span) -> bool:
        return self._place(span.low) is not None and self._place(span.high) is not None

    def _place(self, end: MathAnswer) -> tuple[int, Fraction] | None:
        """Where an end is, for sorting; None if that is not known."""
        if end.kind is Kind.NUMBER:
            return end.infinity, end.value / 100 if end.is_percent else end.value
        known = self._known.get(end.tree) if self._known is not None and end.tree else None
        return (0, known.real) if known and known.real is not None and known.number >= 0 else None

    def _merged(self, spans: Sequence[Span]) -> list[Span] | None:
        """Intervals in order, those that overlap or touch as one; None if an end's place is not known."""
        placed: list[tuple[tuple[int, Fraction], tuple[int, Fraction], Span]] = []
        for span in spans:
            low, high = self._place(span.low), self._place(span.high)
            if low is None or high is None:
                return None
            if low > high or (low == high and (span.low_open or span.high_open)):
                return None
            placed.append((low, high, span))
        placed.sort(key=lambda entry: (entry[0], entry[2].low_open))
        merged: list[tuple[tuple[int, Fraction], Span]] = []
        for low, high, span in placed:
            if merged:
                end, last = merged[-1]
                if low < end or (low == end and not (span.low_open and last.high_open)):
                    if (high, not span.high_open) > (end, not last.high_open):
                        merged[-1] = high, last._replace(high=span.high, high_open=span.high_open)
                    continue
            merged.append((high, span))
        return [span for _, span in merged]


def is_rounding(exact: Fraction, rounded: Fraction) -> bool:
    """Whether a number is another one rounded or cut off at its last decimal, at most the sixth."""
    places = next((places for places in range(6) if (rounded * 10**places).denominator == 1), 6)
    off = abs(exact - rounded) * 10**places
    return off <= Fraction(1, 2) or (off < 1 and abs(rounded) < abs(exact))


def _names(answer: MathAnswer) -> bool:
    return bool(answer.items) and (answer.name.startswith("(") or any(item.name for item in answer.items))


def _assigned(answer: MathAnswer) -> dict[str, MathAnswer] | None:
    """The values of ``x = 1, y = 2`` or ``(x, y) = (1, 2)`` by name; None if not all have their own."""
    if answer.name.startswith("("):
        names = answer.name.strip("()").split(",")
    else:
        names = [item.name for item in answer.items]
    if not all(names) or len(set(names)) != len(answer.items) or len(names) < 2:
        return None
    return {name: replace(item, name="") for name, item in zip(names, answer.items, strict=True)}


def _repeats_a_name(answer: MathAnswer) -> bool:
    names = [item.name for item in answer.items if item.name]
    return len(set(names)) < len(names)


def _num_names(answer: MathAnswer) -> int:
    return len({item.name for item in answer.items})


def _unnamed(answer: MathAnswer) -> MathAnswer:
    """The same values; ``x = 1 or x = 2`` is a list of values of x."""
    return replace(answer, name="", items=tuple(replace(item, name="") for item in answer.items))
