"""The sub-results of a `geometry` problem, the line each is written as, and slips in them.

In: a figure, and a line a model wrote. Out: the state after the line, or a `StepError`. Every line there can be
is worked out from the question, so a model's line is only compared with texts: nothing of it is read as a
number.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from envs.path import StepError
from envs.tasks.geometry.numbers import (
    WRONG_SIGN,
    Operation,
    Point,
    Value,
    Worked,
    arctan,
    complement,
    cotangent,
    difference,
    difference_of_products,
    fraction,
    length,
    perimeter,
    radius,
    size_of_difference,
    sum_of_products,
    write_point,
)

VERTICES = "ABC"
NOTE = "note: "
SIGN, RESULT, OPERAND = ERROR_KINDS = ("sign", "result", "operand")
_MAX_TRIES = 30


class Kind(StrEnum):
    """What is asked for."""

    ORTHOCENTRE = "orthocentre"
    INCIRCLE = "incircle"
    ANGLE = "angle"


@dataclass(frozen=True, slots=True)
class Figure:
    """A triangle and what is asked of it.

    Example: `Figure(Kind.ANGLE, ((3, -1), (4, 4), (0, 2)), "B")`.

    Attributes:
        kind: What is asked for.
        points: A, B and C; not on one line.
        vertex: Where the angle is, "A", "B" or "C"; empty where no angle is asked for.
    """

    kind: Kind
    points: tuple[Point, Point, Point]
    vertex: str = ""


@dataclass(frozen=True, slots=True)
class GeometryState:
    """The figure, and the names of the sub-results that are known."""

    figure: Figure
    known: frozenset[str] = frozenset()


class SubResult(NamedTuple):
    """One line of the solution.

    Attributes:
        name: What stands before the first equals sign.
        needs: Names of the sub-results that must be known before it.
        operation: How it is made.
        operands: Of what.
        worked: What that gives.
    """

    name: str
    needs: tuple[str, ...]
    operation: Operation
    operands: Value
    worked: Worked

    @property
    def line(self) -> str:
        """The one right line."""
        return f"{self.name} = {self.worked.text}"

    @property
    def result(self) -> str:
        """The text of the result alone."""
        return self.worked.text.rpartition(" = ")[2]


# ---- solutions ----


@lru_cache(maxsize=4096)
def sub_results(figure: Figure) -> Mapping[str, SubResult]:
    """Every sub-result by name, in the order of the full trace. Each is needed by a later one or asked for."""
    points = dict(zip(VERTICES, figure.points, strict=True))
    found: dict[str, SubResult] = {}

    def add(name: str, operation: Operation, operands: Value, needs: tuple[str, ...] = ()) -> int:
        found[name] = SubResult(name, needs, operation, operands, operation(*operands))
        return found[name].worked.value[0]

    def add_vector(name: str) -> Point:
        (from_x, from_y), (x, y) = points[name[0]], points[name[1]]
        add(name, difference, (x, from_x, y, from_y))
        return x - from_x, y - from_y

    if figure.kind is Kind.ORTHOCENTRE:
        (bc_x, bc_y), (ca_x, ca_y) = add_vector("BC"), add_vector("CA")
        (a_x, a_y), (b_x, b_y) = points["A"], points["B"]
        h_a = add("hA", sum_of_products, (bc_x, a_x, bc_y, a_y), ("BC",))
        h_b = add("hB", sum_of_products, (ca_x, b_x, ca_y, b_y), ("CA",))
        det = add("det", difference_of_products, (bc_x, ca_y, bc_y, ca_x), ("BC", "CA"))
        above_x = add("nx", difference_of_products, (h_a, ca_y, bc_y, h_b), ("BC", "CA", "hA", "hB"))
        above_y = add("ny", difference_of_products, (bc_x, h_b, h_a, ca_x), ("BC", "CA", "hA", "hB"))
        add("x", fraction, (above_x, det), ("nx", "det"))
        add("y", fraction, (above_y, det), ("ny", "det"))
    elif figure.kind is Kind.INCIRCLE:
        sides = {name: add_vector(name) for name in ("AB", "BC", "CA")}
        lengths = [add(f"|{name}|", length, side, (name,)) for name, side in sides.items()]
        around = add("p", perimeter, tuple(lengths), ("|AB|", "|BC|", "|CA|"))
        (ab_x, ab_y), (bc_x, bc_y) = sides["AB"], sides["BC"]
        cross = add("cross", size_of_difference, (ab_x, bc_y, ab_y, bc_x), ("AB", "BC"))
        add("r", radius, (cross, around), ("cross", "p"))
    else:
        one, two = (figure.vertex + end for end in VERTICES if end != figure.vertex)
        (one_x, one_y), (two_x, two_y) = add_vector(one), add_vector(two)
        dot = add("dot", sum_of_products, (one_x, two_x, one_y, two_y), (one, two))
        cross = add("cross", size_of_difference, (one_x, two_y, one_y, two_x), (one, two))
        cot = add("cot", cotangent, (dot, cross), ("dot", "cross"))
        phi = add("phi", arctan, (cot,), ("cot",))
        add("angle", complement, (phi,), ("phi",))
    return found


def asked_for(kind: Kind) -> tuple[str, ...]:
    """The names of the sub-results that make the answer."""
    return {Kind.ORTHOCENTRE: ("x", "y"), Kind.INCIRCLE: ("r",), Kind.ANGLE: ("angle",)}[kind]


# ---- steps ----


def advance(state: GeometryState, line: str) -> GeometryState:
    """Work out a sub-result whose needs are known, or note something known.

    Raises:
        StepError: The line does neither from this state.
    """
    if line.startswith(NOTE):
        name = line[len(NOTE) :].partition(" = ")[0]
        right = notes(state, name)
        if not right:
            raise StepError("notes nothing that is known")
        if line not in right:
            raise StepError(f"should be '{right[0]}'")
        return state
    name, equals, _ = line.partition(" = ")
    found = sub_results(state.figure).get(name) if equals else None
    if found is None:
        raise StepError("not a sub-result of this problem")
    if found.name in state.known:
        raise StepError(f"{found.name} is known already")
    if missing := [name for name in found.needs if name not in state.known]:
        raise StepError(f"{missing[0]} is not known yet")
    if line != found.line:
        raise StepError(f"should be '{found.line}'")
    return replace(state, known=state.known | {found.name})


def notes(state: GeometryState, name: str) -> tuple[str, ...]:
    """The notes there can be of a vertex or a known sub-result: its value, and its whole line; else none."""
    if len(name) == 1 and name in VERTICES:
        return (f"{NOTE}{name} = {write_point(state.figure.points[VERTICES.index(name)])}",)
    if name not in state.known:
        return ()
    found = sub_results(state.figure)[name]
    return (f"{NOTE}{name} = {found.result}", NOTE + found.line)


# ---- slips ----


def can_have(found: SubResult, error: str) -> bool:
    """Whether a line has room for a kind of error.

    "sign" needs a sum or difference of two whose result is another with the other sign; others need nothing.
    """
    if error != SIGN:
        return True
    mistaken = WRONG_SIGN.get(found.operation)
    return mistaken is not None and mistaken(*found.operands).value != found.worked.value


def slip(found: SubResult, error: str, rng: random.Random) -> str:
    """The line with one error in it, consistent but for that; never the right line.

    A wrong operand gives another result too, but where rounding hides each of `_MAX_TRIES` that are tried.

    Args:
        found: The sub-result, one that `can_have` the error.
        error: One of `ERROR_KINDS`.
        rng: Draws which number and digit is wrong.
    """
    if error == SIGN:
        return f"{found.name} = {WRONG_SIGN[found.operation](*found.operands).text}"
    if error == RESULT:
        return found.line.removesuffix(found.result) + _another_digit(found.result, rng)
    worked = found.worked
    for _ in range(_MAX_TRIES):
        operands = list(found.operands)
        at = rng.randrange(len(operands))
        operands[at] = int(_another_digit(str(operands[at]), rng))
        worked = found.operation(*operands)
        if worked.value != found.worked.value:
            break
    return f"{found.name} = {worked.text}"


def _another_digit(text: str, rng: random.Random) -> str:
    """A text with one of its digits turned into another, not 0: so no number vanishes or changes its sign."""
    at = rng.choice([i for i, character in enumerate(text) if character.isdigit()])
    return text[:at] + rng.choice([digit for digit in "123456789" if digit != text[at]]) + text[at + 1 :]
