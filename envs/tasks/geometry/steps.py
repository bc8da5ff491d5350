"""The sub-results of a `geometry` problem, their lines, and mistakes in them.

In: a figure, and a line a model wrote. Out: the state after the line, or a `StepError`. All possible lines are
computed from the question, so a model's line is only compared with texts, and no part of it is converted to a
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
    """The kind of question."""

    ORTHOCENTRE = "orthocentre"
    INCIRCLE = "incircle"
    ANGLE = "angle"


@dataclass(frozen=True, slots=True)
class Figure:
    """A triangle, and the question about it.

    Example: `Figure(Kind.ANGLE, ((3, -1), (4, 4), (0, 2)), "B")`.

    Attributes:
        kind: The kind of question.
        points: A, B and C; they are not collinear.
        vertex: The vertex of the angle, "A", "B" or "C"; empty for other kinds.
    """

    kind: Kind
    points: tuple[Point, Point, Point]
    vertex: str = ""


@dataclass(frozen=True, slots=True)
class GeometryState:
    """The figure, and the names of the known sub-results."""

    figure: Figure
    known: frozenset[str] = frozenset()


class SubResult(NamedTuple):
    """One line of the solution.

    Attributes:
        name: The text before the first equals sign.
        needs: Names of the sub-results it is computed from.
        operation: The operation that computes it.
        operands: The operands of the operation.
        worked: The result of the operation.
    """

    name: str
    needs: tuple[str, ...]
    operation: Operation
    operands: Value
    worked: Worked

    @property
    def line(self) -> str:
        """The only correct line."""
        return f"{self.name} = {self.worked.text}"

    @property
    def result(self) -> str:
        """The text of the result."""
        return self.worked.text.rpartition(" = ")[2]


# ---- solutions ----


@lru_cache(maxsize=4096)
def sub_results(figure: Figure) -> Mapping[str, SubResult]:
    """All sub-results by name, in the order of the full trace; each is used later or is part of the answer."""
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


def answer_names(kind: Kind) -> tuple[str, ...]:
    """Names of the sub-results that make up the answer."""
    return {Kind.ORTHOCENTRE: ("x", "y"), Kind.INCIRCLE: ("r",), Kind.ANGLE: ("angle",)}[kind]


# ---- steps ----


def advance(state: GeometryState, line: str) -> GeometryState:
    """Compute a sub-result whose inputs are known, or restate a known one.

    Raises:
        StepError: The line is not a valid step from this state.
    """
    if line.startswith(NOTE):
        name = line[len(NOTE) :].partition(" = ")[0]
        right = notes(state, name)
        if not right:
            raise StepError("the note is not about a known sub-result or a vertex")
        if line not in right:
            raise StepError(f"the line should be '{right[0]}'")
        return state
    name, equals, _ = line.partition(" = ")
    found = sub_results(state.figure).get(name) if equals else None
    if found is None:
        raise StepError("not a sub-result of this problem")
    if found.name in state.known:
        raise StepError(f"{found.name} is already known")
    if missing := [name for name in found.needs if name not in state.known]:
        raise StepError(f"{missing[0]} is not known yet")
    if line != found.line:
        raise StepError(f"the line should be '{found.line}'")
    return replace(state, known=state.known | {found.name})


def notes(state: GeometryState, name: str) -> tuple[str, ...]:
    """The valid notes of a vertex or a known sub-result: with its value, and with its whole line."""
    if len(name) == 1 and name in VERTICES:
        return (f"{NOTE}{name} = {write_point(state.figure.points[VERTICES.index(name)])}",)
    if name not in state.known:
        return ()
    found = sub_results(state.figure)[name]
    return (f"{NOTE}{name} = {found.result}", NOTE + found.line)


# ---- mistakes ----


def can_have(found: SubResult, error: str) -> bool:
    """Whether a line can have an error of this kind.

    "sign" needs a sum or difference of two numbers whose result changes with the sign. The others fit any line.
    """
    if error != SIGN:
        return True
    mistaken = WRONG_SIGN.get(found.operation)
    return mistaken is not None and mistaken(*found.operands).value != found.worked.value


def slip(found: SubResult, error: str, rng: random.Random) -> str:
    """The line with one error, consistent apart from it; never the correct line.

    A wrong operand also changes the result, unless rounding hides the change in all of `_MAX_TRIES` tries.

    Args:
        found: The sub-result; `can_have` must be True for the error.
        error: One of `ERROR_KINDS`.
        rng: Draws the wrong number and digit.
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
    """The text with one digit replaced by another, but not by 0, so no number vanishes or changes its sign."""
    at = rng.choice([i for i, character in enumerate(text) if character.isdigit()])
    return text[:at] + rng.choice([digit for digit in "123456789" if digit != text[at]]) + text[at + 1 :]
