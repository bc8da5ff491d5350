"""Equations of the algebra task: reading, writing, solving and comparing them.

In: text such as ``A ⊕ ♥ ⊗ B → C`` in the task's symbols. Out: an `Equation`, the lines of the fixed solving
procedure, the number of lines that remain, and the value of the solution at a point. Nothing here evaluates
text as code, and text over `MAX_TOKENS` symbols or `MAX_DEPTH` nested parentheses is refused.

Grammar, with one space between symbols::

    equation = side → side
    side     = [⊖] term {(⊕ | ⊖) term}
    term     = factor {(⊗ | ⊘) factor}
    factor   = symbol | ○ | ( side )
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, TypeAlias

X, ARROW, ZERO = "♥", "→", "○"
PLUS, MINUS, TIMES, OVER = "⊕", "⊖", "⊗", "⊘"
OPEN, CLOSE = "(", ")"
MAX_TOKENS = 400
MAX_DEPTH = 64
PRIME = 2**61 - 1
_FLIP = {PLUS: MINUS, MINUS: PLUS, TIMES: OVER, OVER: TIMES}
_RESERVED = frozenset((ARROW, PLUS, MINUS, TIMES, OVER, OPEN, CLOSE))

Factor: TypeAlias = "str | Side"  # a symbol, or a side in parentheses
Term: TypeAlias = "tuple[tuple[str, Factor], ...]"  # (⊗ or ⊘, factor); the first one is ⊗
Side: TypeAlias = "tuple[tuple[str, Term], ...]"  # (⊕ or ⊖, term)

_ONLY_X: Term = ((TIMES, X),)
_OVER_X: Term = ((OVER, X),)  # what is left when the last factor above the unknown has moved
NOTHING: Side = ((PLUS, ((TIMES, ZERO),)),)


class EquationError(ValueError):
    """The text is not an equation of the task; the message is a short reason."""


class Equation(NamedTuple):
    """Two sides."""

    left: Side
    right: Side


class Position(NamedTuple):
    """The position of the unknown: side, term and factor, and whether it is a divisor."""

    on_right: bool
    term: int
    factor: int
    divisor: bool


# ---- text ----


def parse_equation(text: str, constants: Collection[str]) -> Equation:
    """Read an equation that contains the unknown exactly once.

    Args:
        text: Untrusted text.
        constants: The constants that may occur.

    Raises:
        EquationError: The text is too long or outside the grammar, has another symbol, or does not contain the
            unknown exactly once.
    """
    if len(text) > 2 * MAX_TOKENS:  # every symbol is one character
        raise EquationError(f"more than {MAX_TOKENS} symbols")
    tokens = text.split(" ")
    for token in tokens:
        if token not in _RESERVED and token != X and token != ZERO and token not in constants:
            raise EquationError("a symbol that is not in the problem")
    if tokens.count(X) != 1:
        raise EquationError("the unknown must occur exactly once")
    reader = _Reader(tokens)
    left = reader.side(0)
    reader.expect(ARROW)
    right = reader.side(0)
    if reader.at != len(tokens):
        raise EquationError("not an equation")
    return Equation(left, right)


class _Reader:
    """Recursive descent over the tokens of one equation."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def expect(self, token: str) -> None:
        if self.peek() != token:
            raise EquationError("not an equation")
        self.at += 1

    def side(self, depth: int) -> Side:
        if depth > MAX_DEPTH:
            raise EquationError(f"parentheses nested more than {MAX_DEPTH} deep")
        op = PLUS
        if self.peek() == MINUS:
            op = MINUS
            self.at += 1
        terms = [(op, self.term(depth))]
        while (op := self.peek()) in (PLUS, MINUS):
            self.at += 1
            terms.append((op, self.term(depth)))
        return tuple(terms)

    def term(self, depth: int) -> Term:
        factors = [(TIMES, self.factor(depth))]
        while (op := self.peek()) in (TIMES, OVER):
            self.at += 1
            factors.append((op, self.factor(depth)))
        return tuple(factors)

    def factor(self, depth: int) -> Factor:
        token = self.peek()
        if token == OPEN:
            self.at += 1
            inner = self.side(depth + 1)
            self.expect(CLOSE)
            return inner
        if not token or token in _RESERVED:
            raise EquationError("not an equation")
        self.at += 1
        return token


def render_equation(equation: Equation) -> str:
    """Write an equation as text; the inverse of `parse_equation`."""
    return f"{_render(equation.left)} {ARROW} {_render(equation.right)}"


def _render(side: Side) -> str:
    tokens: list[str] = []
    for op, term in side:
        if tokens or op == MINUS:
            tokens.append(op)
        factor = term[0][1]
        tokens.append(factor if isinstance(factor, str) else f"{OPEN} {_render(factor)} {CLOSE}")
        for times, factor in term[1:]:
            tokens.append(times)
            tokens.append(factor if isinstance(factor, str) else f"{OPEN} {_render(factor)} {CLOSE}")
    return " ".join(tokens)


# ---- the solving procedure ----


def find_x(equation: Equation) -> Position:
    """Find the unknown.

    Raises:
        EquationError: The unknown is not a factor of a top-level term.
    """
    for on_right, side in enumerate(equation):
        for i, (_, term) in enumerate(side):
            for j, (times, factor) in enumerate(term):
                if factor == X:
                    return Position(bool(on_right), i, j, times == OVER)
    raise EquationError("the unknown is inside parentheses")


def num_steps_left(equation: Equation) -> int:
    """Number of lines that `solve` yields for this equation; 0 if the unknown stands alone on the left.

    Raises:
        EquationError: The unknown is not a factor of a top-level term.
    """
    x = find_x(equation)
    side = equation.right if x.on_right else equation.left
    op, term = side[x.term]
    return x.on_right + len(side) - 1 + (op == MINUS) + len(term) - 1


def solve(equation: Equation) -> Iterator[Equation]:
    """The fixed procedure of the published data; yields one equation per step.

    (i) Swap the sides if the unknown is on the right. (ii) Move the terms without it to the right side, one at
    a time, starting with the leftmost. (iii) If its term has a minus, flip every sign. (iv) Move the other
    factors and divisors of its term, one at a time, in the order of `_leaving`. If the unknown is itself a
    divisor, the last step divides what is left above it by the right side.
    """
    on_right, at, _, _ = find_x(equation)
    left, right = equation
    if on_right:
        left, right = right, left
        yield Equation(left, right)
    while len(left) > 1:
        move = 0 if at else 1
        op, term = left[move]
        left = left[:move] + left[move + 1 :]
        at = max(at - 1, 0)
        moved = ((_FLIP[op], term),)
        right = moved if right == NOTHING else right + moved
        yield Equation(left, right)
    op, term = left[0]
    if op == MINUS:
        right = right if right == NOTHING else tuple([(_FLIP[op], other) for op, other in right])
        yield Equation(((PLUS, term),), right)
    while len(term) > 1:
        out = _leaving(term)
        op, factor = term[out]
        term = term[:out] + term[out + 1 :]
        if term == _OVER_X:
            term, right = _ONLY_X, ((PLUS, ((TIMES, factor), (OVER, _as_factor(right)))),)
        else:
            right = _times(right, op, factor)
        yield Equation(((PLUS, term),), right)


def _leaving(term: Term) -> int:
    """The position of the factor that leaves the unknown's term next, as in the published data.

    A term is a product of quotients: ``♦ ⊘ ♣ ⊗ ♠ ⊘ ♥ ⊗ ★`` has ``♦ ⊘ ♣``, ``♠ ⊘ ♥`` and ``★``. Those without
    the unknown leave from left to right, then what stands beside the unknown in its own; each quotient from its
    right-hand end. So here ♣, ♦, ★, ♠.
    """
    quotients: list[list[int]] = []
    for i, (op, _) in enumerate(term):
        if op == TIMES:
            quotients.append([])
        quotients[-1].append(i)
    others = [places for places in quotients if all(term[i][1] != X for i in places)]
    places = others[0] if others else quotients[0]
    return places[-1] if term[places[-1]][1] != X else places[-2]


def _times(side: Side, op: str, factor: Factor) -> Side:
    """The side after a factor (⊗) or divisor (⊘) of the other side has been moved to it."""
    moved = ((_FLIP[op], factor),)
    if len(side) == 1:
        sign, term = side[0]
        return ((sign, term + moved),)
    return ((PLUS, ((TIMES, side), *moved)),)


def _as_factor(side: Side) -> Factor:
    sign, term = side[0]
    return term[0][1] if len(side) == 1 and sign == PLUS and len(term) == 1 else side


# ---- values ----


def solution_value(equation: Equation, values: Mapping[str, int]) -> int:
    """The value of the unknown for these values of the constants, modulo `PRIME`.

    Raises:
        EquationError: The unknown is not a factor of a top-level term.
        ZeroDivisionError: The equation divides by zero at this point.
    """
    x = find_x(equation)
    side, other = equation
    if x.on_right:
        side, other = other, side
    # The rest is ± coefficient · x, or ± coefficient / x.
    rest = _side_value(other, values) - _side_value(side[: x.term] + side[x.term + 1 :], values)
    op, term = side[x.term]
    rest = -rest if op == MINUS else rest
    above, below = _fraction(term[: x.factor] + term[x.factor + 1 :], values)
    return _divide(above, rest * below) if x.divisor else _divide(rest * below, above, below)


def _side_value(side: Side, values: Mapping[str, int]) -> int:
    total = 0
    for op, term in side:
        value = _divide(*_fraction(term, values))
        total += value if op == PLUS else -value
    return total % PRIME


def _fraction(term: Term, values: Mapping[str, int]) -> tuple[int, int]:
    above = below = 1
    for op, factor in term:
        if isinstance(factor, str):
            value = 0 if factor == ZERO else values[factor]
        else:
            value = _side_value(factor, values)
        if op == TIMES:
            above = above * value % PRIME
        else:
            below = below * value % PRIME
    return above, below


def _divide(above: int, *below: int) -> int:
    for divisor in below:
        if divisor % PRIME == 0:
            raise ZeroDivisionError
    return above % PRIME if below[0] == 1 else above * pow(below[0], -1, PRIME) % PRIME
