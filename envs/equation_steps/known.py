"""What the equations of a text have established so far, and which formulas are equal under it.

In: formulas. Out: whether they are equal, whether an equation follows from earlier ones, or contradicts them.
Formulas that are quotients of polynomials are compared exactly here; others by the worker of the mathematical
grader (`envs.maths.worker`), within bounds on how often and for how long it is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction

from envs.arithmetic_steps.operands import CONSTANTS
from envs.equation_steps.polynomials import Polynomial, coefficients, difference, is_rational, remainder
from envs.maths.algebra import has_letters, letters_of
from envs.maths.equality import is_rounding
from envs.maths.exact import rational
from envs.maths.grader import MathGrader
from envs.maths.numerals import Tree

Pair = tuple[Tree, Tree]
_ANGLES = frozenset(map(Fraction, (90, 180, 360)))
MAX_CONDITIONS = 24
MAX_RESULTS = 80
MAX_CALLS = 64
"""Calls of the worker for one text; after one that exceeds its time limit there are none."""


class Claim(Enum):
    """What is known of an equation."""

    HOLDS = "holds"
    """Its sides are equal, or it follows from earlier equations."""
    FAILS = "fails"
    """Its sides are different, or no solution of the earlier equation is one of it."""
    OPEN = "open"
    """It sets something up, or cannot be decided."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """The state between two steps.

    Attributes:
        numbers: The numbers of the question.
        parts: The formulas that make up the right answer; empty if it has none.
        values: The values of letters, by name.
        conditions: Equations with letters, in order; the last one was stated last.
        results: What valid steps have stated.
        last: Sides of the last equation of all, if it is not solved for a letter.
        last_holds: Whether that one follows from those before.
        grounded: Letters that the question's numbers or earlier results say something of.
        calls: How often the worker may still be asked.
    """

    numbers: frozenset[Fraction]
    parts: tuple[Tree, ...]
    values: tuple[tuple[str, Tree], ...] = ()
    conditions: tuple[Pair, ...] = ()
    results: tuple[Tree, ...] = ()
    last: Pair | None = None
    last_holds: bool = False
    grounded: frozenset[str] = frozenset()
    calls: int = MAX_CALLS


class Judge:
    """Judges the equations of one step from a state, which it changes."""

    def __init__(self, grader: MathGrader, known: Known) -> None:
        self._grader = grader
        self.known = known
        self._contradicts = False  # the values of its letters so far do not fit the last equation
        self._is_identity = False  # it holds for all values of its letters

    # ---- two formulas ----

    def same(self, one: Tree, other: Tree, about: bool = False) -> bool | None:
        """Whether two formulas are equal, for all values of their letters; None if that is not known.

        A side that is a decimal may be the other one rounded, and any number if it is only about equal.
        """
        if one == other:
            return True
        polynomial = difference(one, other)
        if polynomial is not None and not polynomial:
            return True
        exact, rounded = rational(one), rational(other)
        if exact is not None and rounded is not None:
            return exact == rounded or _is_rounded(exact, other, about)
        if polynomial is not None and is_rational(polynomial):
            return False
        return self._compared(one, other, about)

    def _compared(self, one: Tree, other: Tree, about: bool) -> bool | None:
        if not self.known.calls:
            return None
        found = self._grader.compare([one, other])
        self.known = replace(self.known, calls=0 if found is None else self.known.calls - 1)
        if found is None:
            return None
        for first, second in found:
            if first.number < 0 or second.number < 0:
                return None
            if first.number == second.number:
                return True
            if first.real is not None and _is_rounded(first.real, other, about):
                return True
        return False

    # ---- an equation ----

    def claim(self, left: Tree, right: Tree, about: bool, *, may_set: bool) -> Claim:
        """What is known of an equation; `may_set`: it may set something up, such as a new value of a letter."""
        self._contradicts = False
        same = self.same(left, right, about)
        self._is_identity = same is True
        if same:
            return Claim.HOLDS
        names = letters_of(left) | letters_of(right)
        if not names:
            return Claim.OPEN if same is None else Claim.FAILS
        one, other = self.substituted(left), self.substituted(right)
        if not has_letters(one) and not has_letters(other):
            same = self.same(one, other, about)
            if same:
                return Claim.HOLDS
            if same is False and not may_set:
                return Claim.FAILS
            self._contradicts = same is False
        solved = _solved(left, right)
        if solved is not None:
            return self._solution(*solved)
        return self._follows(left, right)

    def substituted(self, tree: Tree, values: Mapping[str, Tree] | None = None) -> Tree:
        """A formula with the values of its letters."""
        return _substituted(tree, dict(self.known.values) if values is None else values)

    def _conditions(self, without: str = "") -> list[Pair]:
        """The conditions in force, with known values put in, the last one first."""
        values = {name: value for name, value in self.known.values if name != without}
        return [
            (_substituted(left, values), _substituted(right, values))
            for left, right in reversed(self.known.conditions)
        ]

    def _solution(self, name: str, value: Tree) -> Claim:
        """Whether a value of a letter solves an earlier equation in it alone."""
        alone = [pair for pair in self._conditions(name) if letters_of(pair[0]) | letters_of(pair[1]) == {name}]
        if self._remainder(("v", name), value, name) == {}:
            return Claim.HOLDS
        failed = False
        for at, (left, right) in enumerate(alone):
            there = {name: value}
            same = self.same(_substituted(left, there), _substituted(right, there))
            if same:
                return Claim.HOLDS
            failed |= same is False and at == 0
        is_new = name in dict(self.known.values)  # solved before, so that this may be another case
        return Claim.FAILS if failed and not is_new and self._is_solving(name) else Claim.OPEN

    def _is_solving(self, name: str) -> bool:
        """Whether the equation before is in this letter alone, left to solve, and no case of an earlier one."""
        last = self.known.last
        if last is None or letters_of(last[0]) | letters_of(last[1]) != {name}:
            return False
        about = [pair for pair in self.known.conditions if name in letters_of(pair[0]) | letters_of(pair[1])]
        return self.known.last_holds or len(about) == 1

    def _follows(self, left: Tree, right: Tree) -> Claim:
        rest = self._remainder(left, right)
        if rest == {}:
            return Claim.HOLDS
        one, other = self.substituted(left), self.substituted(right)
        names = letters_of(one) | letters_of(other)
        if rest is not None and rest.keys() == {()} and not self._is_case(left, right):
            return Claim.OPEN if self._contradicts else Claim.FAILS
        polynomial = difference(one, other)
        if len(names) != 1 or polynomial is None:
            return Claim.OPEN
        (name,) = names
        claimed = coefficients(polynomial, name)
        known = [
            found
            for pair in self._conditions()
            if (before := difference(*pair)) and (found := coefficients(before, name)) and len(found) > 1
        ]
        if claimed is None or len(claimed) < 2:
            return Claim.OPEN
        is_disjoint = bool(known)
        for earlier in known:
            shared = self._shared_roots(earlier, claimed)
            if shared is None:
                return Claim.OPEN
            num_earlier, num_claimed, num_both = shared
            if num_earlier and num_both == num_earlier:
                return Claim.HOLDS
            if num_both and num_both == num_claimed == 1:
                return Claim.HOLDS  # one of several solutions
            is_disjoint &= not num_both and bool(num_earlier and num_claimed)
        return (
            Claim.FAILS
            if is_disjoint and self._is_solving(name) and not self._is_case(left, right)
            else Claim.OPEN
        )

    def _is_case(self, left: Tree, right: Tree) -> bool:
        """Whether it is like the equation before but for a sign, as ``x - 3 = -5`` is, or both are products."""
        last, zero = self.known.last, ("n", 0, 1)
        if last is None or (right == zero and last[1] == zero):
            return True
        return left == last[0] or difference(left, ("neg", last[0])) == {}

    def _remainder(self, left: Tree, right: Tree, name: str = "") -> Polynomial | None:
        """What remains of an equation without multiples of earlier ones; None if that says nothing."""
        values = {key: value for key, value in self.known.values if key != name}
        claimed = difference(_substituted(left, values), _substituted(right, values))
        earlier: list[Polynomial] = []
        for pair in self._conditions(name):
            found = difference(*pair)
            if found and any(monomial for monomial in found):
                earlier.append(found)
        return remainder(claimed, earlier) if claimed is not None and earlier else None

    def _shared_roots(self, one: list[list[int]], other: list[list[int]]) -> list[int] | None:
        if not self.known.calls:
            return None
        found = self._grader.shared_roots(one, other)
        self.known = replace(self.known, calls=0 if found is None else self.known.calls - 1)
        return found

    # ---- what changes ----

    def note(self, left: Tree, right: Tree, claim: Claim) -> None:
        """Keep an equation with letters, unless it holds for all of their values."""
        if self._is_identity:
            return
        values = dict(self.known.values)
        solved = _solved(left, right)
        names = letters_of(left) | letters_of(right)
        conditions = self.known.conditions
        if claim is Claim.OPEN and solved is None and self._contradicts:
            # Its letters stand for something else from here on.
            values = {name: value for name, value in values.items() if name not in names}
            conditions = tuple(
                pair for pair in conditions if not names & (letters_of(pair[0]) | letters_of(pair[1]))
            )
        if solved is not None:
            values[solved[0]] = solved[1]
        self.known = replace(
            self.known,
            values=tuple(values.items())[-MAX_CONDITIONS:],
            conditions=(*conditions, (left, right))[-MAX_CONDITIONS:] if solved is None else conditions,
            last=(left, right) if solved is None else None,
            last_holds=claim is Claim.HOLDS,
        )

        if names & self.known.grounded or not self._new_numbers(left, right):
            self.known = replace(self.known, grounded=self.known.grounded | names)

    def _new_numbers(self, *sides: Tree) -> bool:
        """Whether none of the numbers of some formulas is one of the question or of an earlier result."""
        found = frozenset[Fraction]().union(*(_leaves(side) for side in sides))
        return bool(self.known.numbers) and found.isdisjoint(self._given())

    def _given(self) -> frozenset[Fraction]:
        """The numbers of the question and of earlier results."""
        return self.known.numbers.union(*(_leaves(result) for result in self.known.results))

    def rests(self, side: Tree) -> bool:
        """Whether a side rests on the question: on a letter or a number of it, or on known numbers alone."""
        if has_letters(side):
            return not letters_of(side).isdisjoint(self.known.grounded) or not self._new_numbers(side)
        return side[0] != "n" and self.knows(_leaves(side))

    def knows(self, found: Iterable[Fraction]) -> bool:
        """Whether numbers are those of the question, earlier results and small ones, and not the last alone."""
        numbers, given = frozenset(found), self._given()
        if not self.known.numbers:
            return True
        return numbers <= given | CONSTANTS | _ANGLES and not numbers.isdisjoint(given)

    def define(self, name: str, value: Tree) -> None:
        """Give a letter the value of the chain that it begins."""
        values = {**dict(self.known.values), name: value}
        self.known = replace(self.known, values=tuple(values.items())[-MAX_CONDITIONS:], last=None)

    def state(self, results: Sequence[Tree]) -> None:
        """Keep what a valid step states."""
        self.known = replace(
            self.known, results=tuple(dict.fromkeys([*self.known.results, *results]))[-MAX_RESULTS:]
        )

    def is_answer(self) -> bool:
        """Whether valid steps have stated every part of the right answer."""
        return bool(self.known.parts) and all(
            any(self.same(part, result) for result in reversed(self.known.results)) for part in self.known.parts
        )


def _leaves(tree: Tree) -> frozenset[Fraction]:
    """The numbers in a formula, without signs."""
    if tree[0] == "n":
        return frozenset((Fraction(abs(tree[1]), tree[2]),))
    return frozenset[Fraction]().union(*(_leaves(part) for part in tree[1:] if isinstance(part, tuple)))


def _is_rounded(exact: Fraction, tree: Tree, about: bool) -> bool:
    """Whether a side that is a decimal, or any number if it is only about equal, is another one rounded."""
    rounded = rational(tree)
    literal = tree[1] if tree[0] == "neg" else tree
    if rounded is None or (literal[0] != "n" and not about):
        return False
    if rounded.denominator == 1:
        return about and abs(exact - rounded) <= 1
    return is_rounding(exact, rounded) and _is_decimal(rounded)


def _is_decimal(value: Fraction) -> bool:
    below = value.denominator
    for factor in (2, 5):
        while below % factor == 0:
            below //= factor
    return below == 1


def _solved(left: Tree, right: Tree) -> tuple[str, Tree] | None:
    """The letter and its value of ``x = 4`` or ``4 = x``."""
    for one, other in ((left, right), (right, left)):
        if one[0] == "v" and not has_letters(other):
            return one[1], other
    return None


def _substituted(tree: Tree, values: Mapping[str, Tree]) -> Tree:
    if not values or tree[0] in ("n", "c"):
        return tree
    if tree[0] == "v":
        return values.get(tree[1], tree)
    return (tree[0], *(_substituted(part, values) if isinstance(part, tuple) else part for part in tree[1:]))
