"""Triangles with whole coordinates: their orthocentre, the radius of their incircle, or one of their angles.

A problem and its full trace::

    Triangle A(3, -1), B(4, 4), C(0, 2). Find the angle at B
    Answer:
    BA = (3 - 4, -1 - 4) = (-1, -5)
    BC = (0 - 4, 2 - 4) = (-4, -2)
    dot = -1 * -4 + -5 * -2 = 4 + 10 = 14
    cross = |-1 * -2 - -5 * -4| = |2 - 20| = 18
    cot = 14 / 18 = 0.7778
    phi = arctan(0.7778) = 37.88
    angle = 90 - 37.88 = 52.12
    Thus, the answer is 52.12.

Steps: each line is one sub-result with the numbers it is computed from. Sub-results may come in any order, each
once, as soon as their inputs are known. All of them are needed, so there are no dead ends and no shorter
solution. ``note: cot = 0.7778`` and ``note: cot = 14 / 18 = 0.7778`` restate a known sub-result or a vertex.
These lines are valid and change nothing; padded traces use them.

`remaining`: one line for each sub-result that is not known yet.

Orthocentre: the altitudes through A and B are BC . P = hA and CA . P = hB. Cramer's rule gives x = nx / det and
y = ny / det, as whole numbers or fractions in lowest terms: ``5/3, 5/3``.
Incircle: r = cross / p, where cross is twice the area and p the perimeter; lengths have three decimals.
Angle: in degrees with two decimals, from the cotangent with four. The cosine would not do: rounded to four
decimals it is 1.0000 for all angles up to half a degree.

Decimals are rounded to nearest, with halves away from zero, and later lines use the rounded values. So the gold
answer can differ from the exact value. Three lengths off by 0.0005 each change r = cross / p by 0.0015 * r / p,
and r / p is at most 0.0963, in an equilateral triangle; with its own rounding, r is off by less than 0.00065. A
cotangent off by 0.00005 changes the angle by at most 0.0029 degrees, and its own rounding by another 0.005. An
answer is right if it differs from the exact value by less than one unit of its last decimal (0.001, 0.01).

Buckets: a bucket is "KIND_LIMIT" ("angle_10"). The largest absolute coordinate is at most LIMIT, one of 3, 5,
10, 20, 50 and 100, and larger than the next smaller limit. By default the out-of-distribution splits have
larger coordinates.

Wrong turns (`error_kinds`); a backtrack takes each back, and the correct line follows:
    sign: A difference is reversed, or plus and minus between two products are confused. Lengths, sums of
        lengths and quotients cannot have this error, nor can a line whose result would stay the same.
    result: One digit of the result is wrong.
    operand: One digit of an operand is wrong, and the line is computed from the wrong operand.

Source: the geometry task of "How Much Backtracking is Enough?" (arXiv 2505.24273), which is `advanced_geometry`
of reasoning-gym, with coordinates from -10 to 10. As in its traces, k mistakes in different sub-results are
noticed and corrected. Differences: the prompt, the lines and the kinds of mistakes are ours; orthocentres are
exact, while the source has decimals; the angle may be at any vertex, while the source always asks for B.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Final

from pydantic import Field, field_validator

from envs.base import Demonstration, check_error_kinds, spread
from envs.generated import Draw, EnvSettings, GeneratedEnv
from envs.grading import Grade
from envs.problem import Problem
from envs.requests import ask_for_answer
from envs.tasks.geometry.numbers import (
    ANGLE_DECIMALS,
    LENGTH_DECIMALS,
    arctan_degrees,
    divide,
    root,
    write_point,
)
from envs.tasks.geometry.steps import (
    ERROR_KINDS,
    SIGN,
    VERTICES,
    Figure,
    GeometryState,
    Kind,
    advance,
    answer_names,
    can_have,
    notes,
    slip,
    sub_results,
)
from envs.trace import BACKTRACK

LIMITS = (3, 5, 10, 20, 50, 100)
_FIND = ". Find the "
_ASKED = {Kind.ORTHOCENTRE: "orthocentre", Kind.INCIRCLE: "radius of the incircle", Kind.ANGLE: "angle at "}
_INTEGER = re.compile(r"-?[0-9]{1,3}")
_EXACT = r"(?:0|-?[1-9][0-9]{0,15}(?:/[1-9][0-9]{0,15})?)"
_ANSWERS = {
    Kind.ORTHOCENTRE: re.compile(rf"{_EXACT}, {_EXACT}"),
    Kind.INCIRCLE: re.compile(rf"(?:0|[1-9][0-9]{{0,3}})\.[0-9]{{{LENGTH_DECIMALS}}}"),
    Kind.ANGLE: re.compile(rf"(?:0|[1-9][0-9]{{0,2}})\.[0-9]{{{ANGLE_DECIMALS}}}"),
}
_DECIMALS: Final = 20  # decimals of exact values


class GeometrySettings(EnvSettings):
    """Settings of `geometry`; a bucket is a kind of question and a limit of the coordinates.

    The default of `train` has the coordinates of the source.

    Attributes:
        max_merge: Fixed at 1, since each line is one sub-result.
    """

    max_merge: int = Field(default=1, ge=1, le=1)
    train: dict[str, float] = {f"{kind}_10": 1.0 for kind in Kind}
    ood_easy: dict[str, float] = {f"{kind}_20": 1.0 for kind in Kind}
    ood_hard: dict[str, float] = {f"{kind}_50": 1.0 for kind in Kind}

    @field_validator("train", "ood_easy", "ood_hard")
    @classmethod
    def _known(cls, value: dict[str, float]) -> dict[str, float]:
        known = {f"{kind}_{limit}" for kind in Kind for limit in LIMITS}
        for bucket in value:
            if bucket not in known:
                raise ValueError(
                    f"got the bucket {bucket!r}; a bucket is one of {', '.join(Kind)} with one of "
                    f"{', '.join(f'_{limit}' for limit in LIMITS)}, such as 'angle_10'"
                )
        return value


class Geometry(GeneratedEnv[GeometryState]):
    """Compute the orthocentre, the inradius or an angle of a triangle."""

    name = "geometry"
    Settings = GeometrySettings
    error_kinds = ERROR_KINDS
    format_request = (
        'Write one intermediate result per line, with the numbers it is computed from, such as "dot = -1 * -4 '
        '+ -5 * -2 = 4 + 10 = 14". Round to the nearest decimal and go on with rounded values. '
        f"{ask_for_answer('the result')}"
    )

    def draw(self, bucket: str, rng: random.Random) -> Draw:
        """Draw three points with uniform coordinates, until they are not collinear and belong to the bucket."""
        name, _, number = bucket.partition("_")
        kind, limit = Kind(name), int(number)
        while True:  # at most one draw in six is repeated, with small limits
            a_x, a_y, b_x, b_y, c_x, c_y = (int(rng.random() * (2 * limit + 1)) - limit for _ in range(6))
            points = ((a_x, a_y), (b_x, b_y), (c_x, c_y))
            collinear = (b_x - a_x) * (c_y - a_y) == (b_y - a_y) * (c_x - a_x)
            if not collinear and _limit(points) == limit:
                break
        vertex = VERTICES[int(rng.random() * len(VERTICES))] if kind is Kind.ANGLE else ""
        found = sub_results(Figure(kind, points, vertex))
        corners = ", ".join(name + write_point(point) for name, point in zip(VERTICES, points, strict=True))
        return Draw(
            question=f"Triangle {corners}{_FIND}{_ASKED[kind]}{vertex}",
            answer=", ".join(found[name].result for name in answer_names(kind)),
            num_full_steps=len(found),
            difficulty=limit,
        )

    def bucket(self, problem: Problem) -> str:
        """The kind of question and the limit of its largest coordinate."""
        figure = _read(problem.question)
        return f"{figure.kind}_{_limit(figure.points)}"

    def start(self, problem: Problem) -> GeometryState:
        """The figure, with only its vertices known."""
        return GeometryState(_read(problem.question))

    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        """All sub-results, one line each."""
        return tuple([found.line for found in sub_results(_read(problem.question)).values()])

    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        """The full trace with one wrong line for each of `errors`, each followed by its correct line.

        Every line has at most one error. None if there are more errors than lines, or more of kind "sign" than
        lines that can have one.

        Raises:
            ValueError: An error kind is unknown.
        """
        check_error_kinds(errors, ERROR_KINDS)
        found = sub_results(_read(problem.question))
        slips: dict[str, str] = {}
        for error in sorted(errors, key=lambda error: error != SIGN):  # "sign" first, since it fits fewer lines
            free = [name for name in found if name not in slips and can_have(found[name], error)]
            if not free:
                return None
            name = rng.choice(free)
            slips[name] = slip(found[name], error, rng)
        lines: list[str] = []
        wrong: set[int] = set()
        for name, right in found.items():
            if name in slips:
                wrong.add(len(lines))
                lines += [slips[name], BACKTRACK]
            lines.append(right.line)
        return Demonstration(lines=tuple(lines), wrong=frozenset(wrong))

    def padded_trace(self, problem: Problem, num_lines: int, rng: random.Random) -> Demonstration | None:
        """The full trace with notes spread evenly before, between and after its lines.

        Each note restates a random known sub-result or vertex, with its value or with its whole line. The
        choice between the two keeps the mean length of notes equal to that of the lines of a detour.
        """
        full = self.full_trace(problem)
        num_notes = num_lines - len(full)
        if num_notes < 0:
            return None
        scale = 2 * len(full)
        aim = sum(map(len, full)) + len(full) * len(BACKTRACK)  # characters per note, times `scale`
        owed = 0
        state = self.start(problem)
        lines: list[str] = []
        for place, count in enumerate(spread(num_notes, len(full) + 1, rng)):
            for _ in range(count):
                owed += aim
                name = rng.choice([*VERTICES, *sorted(state.known)])
                note = min(notes(state, name), key=lambda note: abs(owed - scale * len(note)))
                owed -= scale * len(note)
                lines.append(note)
            if place < len(full):
                lines.append(full[place])
                state = advance(state, full[place])
        return Demonstration(lines=tuple(lines))

    def advance(self, state: GeometryState, line: str) -> GeometryState:
        """Compute a sub-result or restate a known one; see `steps.py`."""
        return advance(state, line)

    def finished(self, state: GeometryState) -> bool:
        """Whether the sub-results that make the answer are known."""
        return state.known.issuperset(answer_names(state.figure.kind))

    def remaining(self, state: GeometryState) -> int:
        """One line for each sub-result that is not known; all are needed."""
        return len(sub_results(state.figure)) - len(state.known)

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """Right if it is the gold answer, or a radius or angle less than one unit off the exact value.

        A radius has three decimals and an angle two, without sign and unit. An orthocentre is two whole numbers
        or fractions, and only fractions in lowest terms are right. Any other text is malformed.
        """
        figure = _read(problem.question)
        if _ANSWERS[figure.kind].fullmatch(answer) is None:
            return Grade.MALFORMED
        right = answer == problem.answer or (figure.kind is not Kind.ORTHOCENTRE and _is_near(figure, answer))
        return Grade.CORRECT if right else Grade.WRONG


def exact_value(figure: Figure) -> int:
    """The exact radius or angle in units of 10**-20, computed without rounding sub-results."""
    (a_x, a_y), (b_x, b_y), (c_x, c_y) = figure.points
    cross = abs((b_x - a_x) * (c_y - a_y) - (b_y - a_y) * (c_x - a_x))
    if figure.kind is Kind.INCIRCLE:
        sides = ((b_x - a_x, b_y - a_y), (c_x - b_x, c_y - b_y), (a_x - c_x, a_y - c_y))
        decimals = _DECIMALS + 10
        scale: int = 10 ** (_DECIMALS + decimals)
        return divide(cross * scale, sum(root(x * x + y * y, decimals) for x, y in sides))
    at = VERTICES.index(figure.vertex)
    (x, y), (one_x, one_y), (two_x, two_y) = (figure.points[(at + i) % 3] for i in range(3))
    dot = (one_x - x) * (two_x - x) + (one_y - y) * (two_y - y)
    return 90 * 10**_DECIMALS - arctan_degrees(dot, cross, _DECIMALS)


def _is_near(figure: Figure, answer: str) -> bool:
    """Whether a well-formed decimal differs from the exact value by less than one unit of its last place."""
    whole, _, part = answer.partition(".")
    unit: int = 10 ** (_DECIMALS - len(part))
    return abs(int(whole + part) * unit - exact_value(figure)) < unit


def _read(question: str) -> Figure:
    triangle, _, asked = question.partition(_FIND)
    kind = next(kind for kind, words in _ASKED.items() if asked.startswith(words))
    a_x, a_y, b_x, b_y, c_x, c_y = map(int, _INTEGER.findall(triangle))
    return Figure(kind, ((a_x, a_y), (b_x, b_y), (c_x, c_y)), asked.removeprefix(_ASKED[kind]))


def _limit(points: Sequence[tuple[int, int]]) -> int:
    """The smallest of `LIMITS` that no coordinate exceeds."""
    largest = max(abs(coordinate) for point in points for coordinate in point)
    return next(limit for limit in LIMITS if limit >= largest)
