"""Triangle geometry, on examples worked by hand.

`right_triangle` is A(0, 0), B(4, 0), C(0, 3): sides 4, 5 and 3, area 6, so r = 12 / 12 = 1. `slanted` is the
triangle of the module's docstring.
"""

from __future__ import annotations

import math
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import permutations

import pytest
from pydantic import ValidationError

from envs.arithmetic import evaluate
from envs.base import Demonstration
from envs.check.contract import check_env
from envs.check.oracles import another_near_decimal, by_floats
from envs.grading import Grade
from envs.path import StepError
from envs.problem import Problem, Split
from envs.tasks.geometry.numbers import arctan_degrees, divide, root, write_fixed
from envs.tasks.geometry.steps import GeometryState, can_have, slip, sub_results
from envs.tasks.geometry.task import Geometry, exact_value
from envs.trace import Status, StepKind, Verdict, parse_trace, render_trace
from tests.kit.fuzz import mutate
from tests.kit.problems import judge, make_problem

SLANTED = "Triangle A(3, -1), B(4, 4), C(0, 2). Find the "
ANGLE = [
    "BA = (3 - 4, -1 - 4) = (-1, -5)",
    "BC = (0 - 4, 2 - 4) = (-4, -2)",
    "dot = -1 * -4 + -5 * -2 = 4 + 10 = 14",
    "cross = |-1 * -2 - -5 * -4| = |2 - 20| = 18",
    "cot = 14 / 18 = 0.7778",
    "phi = arctan(0.7778) = 37.88",  # tan 37.875 = 0.777778 is under 0.7778, tan 37.885 is over it
    "angle = 90 - 37.88 = 52.12",
]
# -4x - 2y = -10 and 3x - 3y = 0, so x = y = 10 / 6.
ORTHOCENTRE = [
    "BC = (0 - 4, 2 - 4) = (-4, -2)",
    "CA = (3 - 0, -1 - 2) = (3, -3)",
    "hA = -4 * 3 + -2 * -1 = -12 + 2 = -10",
    "hB = 3 * 4 + -3 * 4 = 12 + -12 = 0",
    "det = -4 * -3 - -2 * 3 = 12 - -6 = 18",
    "nx = -10 * -3 - -2 * 0 = 30 - 0 = 30",
    "ny = -4 * 0 - -10 * 3 = 0 - -30 = 30",
    "x = 30 / 18 = 5/3",
    "y = 30 / 18 = 5/3",
]
INCIRCLE = [
    "AB = (4 - 0, 0 - 0) = (4, 0)",
    "BC = (0 - 4, 3 - 0) = (-4, 3)",
    "CA = (0 - 0, 0 - 3) = (0, -3)",
    "|AB| = sqrt(16 + 0) = sqrt(16) = 4.000",
    "|BC| = sqrt(16 + 9) = sqrt(25) = 5.000",
    "|CA| = sqrt(0 + 9) = sqrt(9) = 3.000",
    "p = 4.000 + 5.000 + 3.000 = 12.000",
    "cross = |4 * 3 - 0 * -4| = |12 - 0| = 12",
    "r = 12 / 12.000 = 1.000",
]


def ask(question: str, answer: str, num_full_steps: int = 7) -> Problem:
    return make_problem("geometry", question, answer, num_full_steps=num_full_steps, difficulty=5)


def angle_at_b() -> Problem:
    return ask(f"{SLANTED}angle at B", "52.12")


def orthocentre() -> Problem:
    return ask(f"{SLANTED}orthocentre", "5/3, 5/3", 9)


def right_triangle(asked: str = "radius of the incircle", answer: str = "1.000") -> Problem:
    return ask(f"Triangle A(0, 0), B(4, 0), C(0, 3). Find the {asked}", answer, 9)


def corners(problem: Problem) -> list[complex]:
    """The vertices as complex numbers, parsed independently of the environment."""
    x_a, y_a, x_b, y_b, x_c, y_c = (int(number) for number in re.findall(r"-?[0-9]+", problem.question))
    return [complex(x_a, y_a), complex(x_b, y_b), complex(x_c, y_c)]


@pytest.mark.slow
def test_the_contract() -> None:
    env = Geometry()
    report = check_env(env, num_problems=100)
    assert report.num_problems == report.num_traces == 400
    assert report.num_near_misses > 50 * 400
    assert 8 < report.mean_full_steps < 8.7  # 9, 9 and 7
    assert report.problems_per_s > 200  # 5,000 and more on a quiet core


@pytest.mark.parametrize(
    "settings",
    [
        {"train": ["angle_3"], "ood_easy": ["angle_5"], "ood_hard": ["angle_10"]},
        {"train": ["incircle_3", "orthocentre_3"], "ood_easy": ["angle_3"], "ood_hard": ["orthocentre_100"]},
        {"train": {"angle_50": 2, "incircle_20": 1}, "ood_easy": ["incircle_100"], "ood_hard": ["angle_100"]},
    ],
)
def test_the_contract_holds_for_other_settings(settings: dict[str, object]) -> None:
    check_env(Geometry(settings), num_problems=30)


def test_the_oracle_tells_right_from_wrong() -> None:
    """The angle is 90 - arctan(7 / 9) = 52.12502: 52.12 and 52.13 are less than 0.01 off."""
    assert another_near_decimal(angle_at_b(), judge(angle_at_b(), ANGLE, "52.13"))
    for answer in ("52.12", "52.11", "52.14", "52.130", "052.13", "52", "5/3, 5/3", ""):
        assert not another_near_decimal(angle_at_b(), judge(angle_at_b(), ANGLE, answer)), answer
    assert not another_near_decimal(orthocentre(), judge(orthocentre(), ORTHOCENTRE, "5/3, 5/4"))
    assert not another_near_decimal(right_triangle(), judge(right_triangle(), INCIRCLE, "1.002"))


# ---- numbers ----


@pytest.mark.parametrize(
    ("above", "below", "quotient"),
    [
        (5, 2, 3),
        (-5, 2, -3),
        (5, -2, -3),
        (-5, -2, 3),
        (7, 3, 2),
        (8, 3, 3),
        (-7, 3, -2),
        (1, 3, 0),
        (0, -7, 0),
    ],
)
def test_divide_rounds_half_away_from_zero(above: int, below: int, quotient: int) -> None:
    assert divide(above, below) == quotient


def test_roots_are_rounded_to_nearest() -> None:
    """At most half a unit off, compared as squares of doubled whole numbers."""
    assert [root(n, 3) for n in (0, 1, 2, 3, 5, 26, 10**6)] == [0, 1000, 1414, 1732, 2236, 5099, 10**6]
    for n in range(1, 3000):
        twice = 2 * root(n, 2)
        assert (twice - 1) ** 2 < 4 * n * 10**4 < (twice + 1) ** 2


@pytest.mark.parametrize(
    ("above", "below", "degrees"),
    [
        (0, 1, "0.00000000000000000000"),
        (1, 1, "45.00000000000000000000"),
        (-5, 5, "-45.00000000000000000000"),
        # arctan(1 / 2) = 26.56505117707798935157219372045...; arctan 2 is its complement.
        (1, 2, "26.56505117707798935157"),
        (2, 1, "63.43494882292201064843"),
        (-2, 1, "-63.43494882292201064843"),
    ],
)
def test_arctan_of_known_values(above: int, below: int, degrees: str) -> None:
    assert write_fixed(arctan_degrees(above, below, 20), 20) == degrees


def test_arctan_agrees_with_floats_and_with_addition() -> None:
    rng = random.Random(0)
    for _ in range(300):
        a, b = rng.randint(-(10 ** rng.randint(1, 9)), 10 ** rng.randint(1, 9)), rng.randint(1, 10**6)
        assert abs(arctan_degrees(a, b, 12) / 1e12 - math.degrees(math.atan2(a, b))) < 1e-11
    # Machin: 4 arctan(1 / 5) - arctan(1 / 239) = 45 degrees.
    assert abs(4 * arctan_degrees(1, 5, 20) - arctan_degrees(1, 239, 20) - 45 * 10**20) <= 3


def test_write_fixed() -> None:
    assert [write_fixed(units, 3) for units in (0, 5, -5, 999, 1000, -12345)] == [
        *("0.000", "0.005", "-0.005", "0.999", "1.000", "-12.345")
    ]


# ---- problems ----


@pytest.mark.parametrize(
    ("problem", "lines"), [(angle_at_b, ANGLE), (orthocentre, ORTHOCENTRE), (right_triangle, INCIRCLE)]
)
def test_full_trace(problem: Callable[[], Problem], lines: list[str]) -> None:
    env = Geometry()
    assert list(env.full_trace(problem())) == lines
    assert judge(problem(), lines).verified
    assert env.skipped_trace(problem(), "any", random.Random(0)) is None
    assert env.search_trace(problem(), random.Random(0)) is None


@pytest.mark.parametrize(
    ("asked", "last"),
    [
        ("angle at A", "angle = 90 - 0.00 = 90.00"),  # a right angle: cot = 0 / 12
        # tan B = 3 / 4 and tan C = 4 / 3: 36.87 and 53.13 degrees.
        ("angle at B", "angle = 90 - 53.13 = 36.87"),
        ("angle at C", "angle = 90 - 36.87 = 53.13"),
        ("orthocentre", "y = 0 / 12 = 0"),  # the vertex of the right angle
    ],
)
def test_questions_about_the_right_triangle(asked: str, last: str) -> None:
    assert Geometry().full_trace(right_triangle(asked))[-1] == last


def test_an_obtuse_and_a_small_angle() -> None:
    env = Geometry()
    obtuse = env.full_trace(ask("Triangle A(0, 0), B(1, 0), C(-1, 1). Find the angle at A", "135.00"))
    assert obtuse[-3:] == (
        *("cot = -1 / 1 = -1.0000", "phi = arctan(-1.0000) = -45.00", "angle = 90 - -45.00 = 135.00"),
    )
    # 1 / 19602 of a radian is 0.003 degrees.
    thin = env.full_trace(ask("Triangle A(0, 0), B(100, 99), C(99, 98). Find the angle at A", "0.00"))
    assert thin[2:] == (
        "dot = 100 * 99 + 99 * 98 = 9900 + 9702 = 19602",
        "cross = |100 * 98 - 99 * 99| = |9800 - 9801| = 1",
        "cot = 19602 / 1 = 19602.0000",
        "phi = arctan(19602.0000) = 90.00",
        "angle = 90 - 90.00 = 0.00",
    )


def altitudes_meet(problem: Problem) -> tuple[Fraction, Fraction]:
    """H = A + B + C - 2 O, with the circumcentre O from its formula in squared distances."""
    (ax, ay), (bx, by), (cx, cy) = ((int(z.real), int(z.imag)) for z in corners(problem))
    a, b, c = ax * ax + ay * ay, bx * bx + by * by, cx * cx + cy * cy
    d = ax * (by - cy) + bx * (cy - ay) + cx * (ay - by)
    twice_x = Fraction(a * (by - cy) + b * (cy - ay) + c * (ay - by), d)
    twice_y = Fraction(a * (cx - bx) + b * (ax - cx) + c * (bx - ax), d)
    return ax + bx + cx - twice_x, ay + by + cy - twice_y


def test_answers_agree_with_other_formulas() -> None:
    """Gold answers are as near as the docstring says: 0.00065 (radius), 0.0079 (angle), 0 (point)."""
    env = Geometry({"ood_hard": ["orthocentre_100", "incircle_100", "angle_100"]})
    seen: Counter[str] = Counter()
    furthest = {"radius": 0.0, "angle": 0.0}
    for split in Split:
        for index in range(600):
            problem = env.problem(split, index)
            if problem.question.endswith("orthocentre"):
                x, y = altitudes_meet(problem)
                assert problem.answer == f"{x}, {y}"
                seen["orthocentre"] += 1
                continue
            what = "radius" if problem.question.endswith("incircle") else "angle"
            exact = by_floats(problem)
            assert abs(exact_value(env.start(problem).figure) / 1e20 - exact) < 1e-9
            furthest[what] = max(furthest[what], abs(float(problem.answer) - exact))
            seen[what] += 1
    assert min(seen.values()) > 600
    assert 0.0005 < furthest["radius"] < 0.00065  # some differ from the rounded exact value
    assert 0.005 < furthest["angle"] < 0.0079


def test_every_equation_holds() -> None:
    """Compute each side again, with the parser of `arithmetic.py`, or with floats if there is a root."""
    env = Geometry()
    num_read = 0
    for split in Split:
        for index in range(60):
            for line in env.full_trace(env.problem(split, index)):
                name, *sides = line.split(" = ")
                assert not re.search(r"-0(?![.0-9])|-0\.0+(?![0-9])", line)
                if sides[0].startswith("("):  # a vector: compare each coordinate
                    x, y = (side.strip("()").split(", ") for side in sides)
                    assert [evaluate(side).value for side in x] == [int(side) for side in y]
                    num_read += 1
                    continue
                values = [value_of(side) for side in sides]
                places = len(sides[-1].partition(".")[2])
                half = 0.5 * 10**-places if places else 0.0
                assert all(abs(value - values[-1]) <= half + 1e-9 for value in values), line
                assert name not in sides
                num_read += 1
    assert num_read > 1500


def value_of(side: str) -> float:
    if match := re.fullmatch(r"(sqrt|arctan|\|)(?:\()?([^|()]*)[|)]", side):
        inside = float(Fraction(Fraction(match[2]) if "." in match[2] else evaluate(match[2]).value))
        if match[1] == "sqrt":
            return math.sqrt(inside)
        return math.degrees(math.atan(inside)) if match[1] == "arctan" else abs(inside)
    return float(sum_of(side))


def sum_of(side: str) -> Fraction:
    """A sum of decimals, a quotient with decimals, or whole numbers."""
    if "." not in side:
        return evaluate(side).value
    for symbol in (" + ", " - ", " / "):
        if symbol in side:
            first, *others = map(Fraction, side.split(symbol))
            if symbol == " + ":
                return first + sum(others)
            return first - others[0] if symbol == " - " else first / others[0]
    return Fraction(side)


def test_splits_differ_in_size_and_ask_every_question() -> None:
    env = Geometry()
    limits: dict[Split, tuple[int, int]] = {}
    for split in Split:
        asked: Counter[str] = Counter()
        largest = []
        for index in range(600):
            problem = env.problem(split, index)
            points = corners(problem)
            largest.append(int(max(max(abs(z.real), abs(z.imag)) for z in points)))
            asked[problem.question.partition("Find the ")[2]] += 1
            assert problem.num_full_steps == len(env.full_trace(problem))
            assert env.bucket(problem) in env.settings.buckets(split)
            assert str(problem.difficulty) == env.bucket(problem).partition("_")[2]
        limits[split] = min(largest), max(largest)
        # A third of the problems per kind: 200, standard deviation 12; a third of the angles per vertex.
        assert abs(asked["orthocentre"] - 200) < 60
        assert abs(asked["radius of the incircle"] - 200) < 60
        assert all(abs(asked[f"angle at {vertex}"] - 67) < 40 for vertex in "ABC")
    # The largest of six numbers up to 50 is below 25 in one case of 80.
    assert limits[Split.TRAIN] == limits[Split.ID] == (6, 10)
    assert limits[Split.OOD_EASY] == (11, 20)
    assert limits[Split.OOD_HARD][0] in range(21, 28)
    assert limits[Split.OOD_HARD][1] == 50


def test_small_buckets_keep_their_limits() -> None:
    env = Geometry({"train": ["angle_3"], "ood_easy": ["angle_5"], "ood_hard": ["angle_10"]})
    for split, low, high in ((Split.TRAIN, 1, 3), (Split.OOD_EASY, 4, 5), (Split.OOD_HARD, 6, 10)):
        largest = set()
        for index in range(300):
            points = corners(env.problem(split, index))
            largest.add(max(max(abs(z.real), abs(z.imag)) for z in points))
        assert max(largest) == high
        assert min(largest) >= low


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"train": ["angle_7"]},
            "got the bucket 'angle_7'; a bucket is one of orthocentre, incircle, angle with one of "
            "_3, _5, _10, _20, _50, _100, such as 'angle_10'",
        ),
        ({"train": ["angle"]}, "got the bucket 'angle'; a bucket is one of orthocentre, incircle, angle"),
        ({"train": ["10_angle"]}, "got the bucket '10_angle'; a bucket is one of orthocentre, incircle, angle"),
        (
            {"ood_hard": ["angle_١٠"]},
            "got the bucket 'angle_١٠'; a bucket is one of orthocentre, incircle, angle",
        ),
        (
            {"ood_easy": ["angle_010"]},
            "got the bucket 'angle_010'; a bucket is one of orthocentre, incircle, angle",
        ),
        (
            {"train": ["angle_50"]},
            ("train and ood_hard share the buckets ['angle_50']; remove them from one of the two"),
        ),
        ({"train": []}, "got the weights {}; a split needs at least one bucket"),
        ({"max_merge": 2}, "less than or equal to 1"),
        ({"decimals": 3}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        Geometry(settings)
    assert message in str(wrong.value)


# ---- steps ----


def after(problem: Problem, lines: Sequence[str]) -> GeometryState:
    env = Geometry()
    state = env.start(problem)
    for line in lines:
        state = env.advance(state, line)
    return state


@pytest.mark.parametrize(
    "line",
    [
        "note: A = (3, -1)",
        "note: C = (0, 2)",
        "note: BA = (-1, -5)",
        "note: BA = (3 - 4, -1 - 4) = (-1, -5)",
        "note: dot = 14",
        "note: dot = -1 * -4 + -5 * -2 = 4 + 10 = 14",
    ],
)
def test_notes_change_nothing(line: str) -> None:
    state = after(angle_at_b(), ANGLE[:3])
    assert Geometry().advance(state, line) == state


def test_a_step_is_known_after_it() -> None:
    state = after(angle_at_b(), ANGLE[:2])
    assert state.known == {"BA", "BC"}
    assert Geometry().advance(state, ANGLE[3]).known == {"BA", "BC", "cross"}  # possible before the dot product
    assert state.known == {"BA", "BC"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("cot = 14 / 18 = 0.7778", "cross is not known yet"),
        ("angle = 90 - 37.88 = 52.12", "phi is not known yet"),
        (ANGLE[0], "BA is already known"),
        ("BA = anything", "BA is already known"),
        ("cross = |-1 * -2 + -5 * -4| = |2 + 20| = 22", f"the line should be '{ANGLE[3]}'"),
        ("cross = |-1 * -2 - -5 * -4| = |2 - 20| = 19", f"the line should be '{ANGLE[3]}'"),
        ("cross = |-1 * -2 - -5 * -4| = |2 - 20| = 18.0", f"the line should be '{ANGLE[3]}'"),
        ("cross = |-1 * -2 - -5 * -4| = 18", f"the line should be '{ANGLE[3]}'"),
        ("cross = 18", f"the line should be '{ANGLE[3]}'"),
        ("cross = ", f"the line should be '{ANGLE[3]}'"),
        (f"{ANGLE[3]} ", f"the line should be '{ANGLE[3]}'"),
        (f"{ANGLE[3]}\r", f"the line should be '{ANGLE[3]}'"),
        (f"{ANGLE[3]}; {ANGLE[4]}", f"the line should be '{ANGLE[3]}'"),
        (ANGLE[3].replace("18", "١٨"), f"the line should be '{ANGLE[3]}'"),
        (ANGLE[3].replace("-", "−"), f"the line should be '{ANGLE[3]}'"),
        ("cross = " + "9" * 9000, f"the line should be '{ANGLE[3]}'"),
        (
            "AB = (4 - 3, 4 - -1) = (1, 5)",
            "not a sub-result of this problem",
        ),  # a vector, but not one that the solution uses
        ("Cross = |-1 * -2 - -5 * -4| = |2 - 20| = 18", "not a sub-result of this problem"),
        (" cross = |-1 * -2 - -5 * -4| = |2 - 20| = 18", "not a sub-result of this problem"),
        ("cross=18", "not a sub-result of this problem"),
        ("cross", "not a sub-result of this problem"),
        ("A = (3, -1)", "not a sub-result of this problem"),
        ("r = 1 / 1.000 = 1.000", "not a sub-result of this problem"),
        ("18", "not a sub-result of this problem"),
        ("9" * 9000, "not a sub-result of this problem"),
        ("", "not a sub-result of this problem"),
        (" = ", "not a sub-result of this problem"),
        ("note: ", "the note is not about a known sub-result or a vertex"),
        ("note: cross = 18", "the note is not about a known sub-result or a vertex"),
        ("note: AB = (1, 5)", "the note is not about a known sub-result or a vertex"),
        ("note: ABC = (3, -1)", "the note is not about a known sub-result or a vertex"),
        ("note:  = (3, -1)", "the note is not about a known sub-result or a vertex"),
        ("note: A = (3, 1)", "the line should be 'note: A = (3, -1)'"),
        ("note: A = (3, -1) = (3, -1)", "the line should be 'note: A = (3, -1)'"),
        ("note: dot = 15", "the line should be 'note: dot = 14'"),
        ("note: dot = 14 ", "the line should be 'note: dot = 14'"),
        ("note: dot = 14 = 14", "the line should be 'note: dot = 14'"),
        ("note: note: dot = 14", "the note is not about a known sub-result or a vertex"),
        ("Note: dot = 14", "not a sub-result of this problem"),
    ],
)
def test_refused_steps(line: str, reason: str) -> None:
    env = Geometry()
    with pytest.raises(StepError) as refused:
        env.advance(after(angle_at_b(), ANGLE[:3]), line)
    assert str(refused.value) == reason


def test_any_order_in_which_inputs_are_known() -> None:
    """Of the 5040 orders of the lines of an angle, 4 are valid: BA and BC may be swapped, and dot and cross."""
    right = 0
    for lines in permutations(ANGLE):
        trace = judge(angle_at_b(), lines)
        assert trace.verified is (not trace.num_invalid)
        right += trace.verified
    assert right == 4


def test_no_line_can_be_left_out_and_the_end_stays_reachable() -> None:
    env = Geometry()
    for problem, lines in ((angle_at_b(), ANGLE), (orthocentre(), ORTHOCENTRE), (right_triangle(), INCIRCLE)):
        for i in range(len(lines)):
            assert not judge(problem, [*lines[:i], *lines[i + 1 :]]).verified
            state = after(problem, lines[:i])
            assert not env.finished(state)
            assert env.solvable(state)
        assert env.finished(after(problem, lines))


# ---- whole traces ----


@pytest.mark.parametrize(
    ("lines", "verified"),
    [
        (ANGLE, True),
        (["note: B = (4, 4)", *ANGLE, "note: angle = 52.12"], True),
        (ANGLE[:-1], False),
        (ANGLE[-1:], False),
        ([], False),
        (["note: B = (4, 4)"], False),
        ([*ANGLE, ANGLE[-1]], False),
        (["cot = 14 / 18 = 0.7778", *ANGLE], False),  # too early, and not taken back
        (["cot = 14 / 18 = 0.7778", "<backtrack>", *ANGLE], True),
        (["<backtrack>", *ANGLE], False),
        ([*ANGLE, "<backtrack> 0"], False),
        ([*ANGLE, "<backtrack> 3", *ANGLE[3:]], True),
        (["note: BA = (-1, -5)", *ANGLE], False),  # not known yet
    ],
)
def test_verified_traces(lines: list[str], verified: bool) -> None:
    trace = judge(angle_at_b(), lines)
    assert trace.correct
    assert trace.verified is verified


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        # A slip is taken back, alone and together with later lines.
        ([*ANGLE[:2], "dot = 15", "<backtrack>", *ANGLE[2:]], [(3, 1, True, True)]),
        ([*ANGLE[:2], "dot = 15", ANGLE[3], "<backtrack> 2", *ANGLE[2:]], [(4, 2, True, True)]),
        # Another slip, then the correct line: an invalid line starts no branch, so the first backtrack is fake.
        (
            [*ANGLE[:2], "dot = 15", "<backtrack>", "dot = 16", "<backtrack>", *ANGLE[2:]],
            [(3, 1, False, True), (5, 1, True, True)],
        ),
        # A note between a slip and its correct line starts no branch either, and changes nothing.
        (
            [*ANGLE[:2], "dot = 15", "<backtrack>", "note: B = (4, 4)", *ANGLE[2:]],
            [(3, 1, True, True)],
        ),
        # A correct line is taken back: needless, and fake if the same line follows.
        ([ANGLE[0], "<backtrack>", *ANGLE], [(1, 1, False, False)]),
        ([ANGLE[0], "<backtrack>", ANGLE[1], ANGLE[0], *ANGLE[2:]], [(1, 1, True, False)]),
        # Only a correct line is taken back: the slip stays.
        ([*ANGLE[:2], "dot = 15", ANGLE[3], "<backtrack> 3", *ANGLE[2:]], [(4, 1, True, False)]),
        # Taking back a note leaves no branch.
        (["note: B = (4, 4)", "<backtrack>", *ANGLE], [(1, 1, False, False)]),
    ],
)
def test_judgement_of_backtracks(lines: list[str], found: list[tuple[int, int, bool, bool]]) -> None:
    trace = judge(angle_at_b(), lines)
    assert list(trace.backtracks) == found
    assert trace.finished


# ---- answers ----


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        ("52.12", Grade.CORRECT),  # the exact value is 52.12501...
        ("52.13", Grade.CORRECT),
        ("52.11", Grade.WRONG),
        ("52.14", Grade.WRONG),
        ("37.88", Grade.WRONG),
        ("0.00", Grade.WRONG),
        ("999.99", Grade.WRONG),
        ("52.125", Grade.MALFORMED),
        ("52.1", Grade.MALFORMED),
        ("52", Grade.MALFORMED),
        ("52.12°", Grade.MALFORMED),
        ("52,12", Grade.MALFORMED),
        ("+52.12", Grade.MALFORMED),
        ("-52.12", Grade.MALFORMED),
        ("052.12", Grade.MALFORMED),
        (" 52.12", Grade.MALFORMED),
        ("52.12 ", Grade.MALFORMED),
        ("52.12 or 52.2", Grade.MALFORMED),
        ("5212e-2", Grade.MALFORMED),
        ("5_2.12", Grade.MALFORMED),
        (".12", Grade.MALFORMED),
        ("nan", Grade.MALFORMED),
        ("1000.00", Grade.MALFORMED),
        ("9" * 1990 + ".00", Grade.MALFORMED),
        ("", Grade.MALFORMED),
        ("__import__('os').getpid()", Grade.MALFORMED),
        ("٥٢.١٢", Grade.REFUSED),
        ("52.12\x00", Grade.REFUSED),
        ("52.12\u200b", Grade.REFUSED),
    ],
)
def test_angles(answer: str, grade: Grade) -> None:
    trace = judge(angle_at_b(), ANGLE, answer)
    assert trace.grade is grade
    assert trace.verified is (grade is Grade.CORRECT)


@pytest.mark.parametrize(
    ("problem", "answer", "grade"),
    [
        (orthocentre(), "5/3, 5/3", Grade.CORRECT),
        (orthocentre(), "5/3, 5/4", Grade.WRONG),
        (orthocentre(), "10/6, 5/3", Grade.WRONG),  # not in lowest terms
        (orthocentre(), "-5/3, 5/3", Grade.WRONG),
        (orthocentre(), "2, 2", Grade.WRONG),
        (orthocentre(), "1.667, 1.667", Grade.MALFORMED),
        (orthocentre(), "(5/3, 5/3)", Grade.MALFORMED),
        (orthocentre(), "5/3,5/3", Grade.MALFORMED),
        (orthocentre(), "5/3", Grade.MALFORMED),
        (orthocentre(), "5/3, 5/3, 5/3", Grade.MALFORMED),
        (orthocentre(), "5/-3, 5/3", Grade.MALFORMED),
        (orthocentre(), "5/0, 5/3", Grade.MALFORMED),
        (orthocentre(), "-0, 5/3", Grade.MALFORMED),
        (orthocentre(), "5/3, " + "1" * 1500, Grade.MALFORMED),
        (right_triangle("orthocentre", "0, 0"), "0, 0", Grade.CORRECT),
        (right_triangle("orthocentre", "0, 0"), "0, 1", Grade.WRONG),
        # The exact values are whole units: one unit off is not less than one unit off.
        (right_triangle(), "1.000", Grade.CORRECT),
        (right_triangle(), "1.001", Grade.WRONG),
        (right_triangle(), "0.999", Grade.WRONG),
        (right_triangle(), "1", Grade.MALFORMED),
        (right_triangle(), "1.00", Grade.MALFORMED),
        (right_triangle("angle at A", "90.00"), "90.00", Grade.CORRECT),
        (right_triangle("angle at A", "90.00"), "90.01", Grade.WRONG),
        (right_triangle("angle at A", "90.00"), "89.99", Grade.WRONG),
        (ask("Triangle A(0, 0), B(1, 0), C(1, 1). Find the angle at A", "45.00"), "45.00", Grade.CORRECT),
        (ask("Triangle A(0, 0), B(1, 0), C(1, 1). Find the angle at A", "45.00"), "45.01", Grade.WRONG),
        (ask("Triangle A(0, 0), B(1, 0), C(1, 1). Find the angle at A", "45.00"), "44.99", Grade.WRONG),
    ],
)
def test_answers(problem: Problem, answer: str, grade: Grade) -> None:
    assert Geometry().grade_answer(problem, answer) is grade


def test_only_decimals_less_than_a_unit_off_are_right() -> None:
    env = Geometry({"train": ["angle_10", "incircle_10"]})
    for index in range(100):
        problem = env.problem(Split.TRAIN, index)
        whole, _, part = problem.answer.partition(".")
        unit, gold, exact = 10 ** -len(part), int(whole + part), by_floats(problem)
        num_right = 0
        for units in range(max(gold - 20, 0), gold + 21):
            grade = env.grade_answer(problem, write_fixed(units, len(part)))
            off = abs(units * unit - exact)
            if abs(off - unit) > 1e-9:
                assert grade is (Grade.CORRECT if off < unit else Grade.WRONG)
            num_right += grade is Grade.CORRECT
        assert num_right in (1, 2)


def test_mutated_texts_are_judged_as_by_an_independent_check_and_fast() -> None:
    env = Geometry()
    rng = random.Random(0)
    problems = [env.problem(Split.TRAIN, index) for index in range(200)]
    texts = [problem.answer for problem in problems] + ["9" * 3000, "٣", "1e9", " = " * 600, "\x00", "note: A"]
    texts += [line for problem in problems[:20] for line in env.full_trace(problem)]
    right = num_wrong = 0
    verdicts: Counter[Verdict] = Counter()
    worst_s = 0.0
    for problem in problems:
        lines = env.full_trace(problem)
        for _ in range(8):
            answer = mutate(problem.answer, texts, rng)
            trace = parse_trace(render_trace(lines, answer))
            start = time.process_time()
            trace = env.check(problem, trace)
            worst_s = max(worst_s, time.process_time() - start)
            if trace.correct:
                right += 1
                assert answer == problem.answer or another_near_decimal(problem, trace), answer
            else:
                num_wrong += 1
                assert trace.status is not Status.COMPLETE or trace.grade in (
                    *(Grade.WRONG, Grade.MALFORMED, Grade.REFUSED),
                )
            at = rng.randrange(len(lines))
            line = mutate(rng.choice([lines[at], f"note: {lines[at - 1]}"]), texts, rng)
            judged = env.check(problem, parse_trace("\n".join([*lines[:at], line])))
            for step in judged.steps[at:]:
                if step.kind is StepKind.FORWARD:
                    allowed = step.text.removeprefix("note: ") in known_texts(problem, lines)
                    assert step.verdict is Verdict.INVALID or allowed, step.text
                    verdicts[step.verdict] += 1
    assert right > 15
    assert num_wrong > 1200
    assert verdicts[Verdict.INVALID] > 1000
    assert verdicts[Verdict.VALID] > 5
    assert worst_s < 1.0


def known_texts(problem: Problem, lines: Sequence[str]) -> set[str]:
    """All equations that a trace can contain: the lines, their results and the vertices."""
    points = (
        f"{vertex} = ({z.real:.0f}, {z.imag:.0f})" for vertex, z in zip("ABC", corners(problem), strict=True)
    )
    return {*lines, *points, *(f"{line.split(' = ')[0]} = {line.split(' = ')[-1]}" for line in lines)}


# ---- detours ----


def check_detours(problem: Problem, demonstration: Demonstration, errors: Sequence[str]) -> None:
    """Check one demonstration against the docstring of `detour_trace`."""
    full = Geometry().full_trace(problem)
    trace = judge(problem, demonstration.lines)
    count = len(errors)
    assert trace.verified
    assert (
        trace.real_backtracks
        == trace.num_backtracks
        == len(trace.backtracks)
        == count
        == len(demonstration.wrong)
    )
    assert trace.fake_backtracks == trace.needless_backtracks == 0
    assert all(backtrack.needed and backtrack.num_undone == 1 for backtrack in trace.backtracks)
    assert len(demonstration.lines) == len(full) + 2 * count
    assert tuple(step.text for step in trace.steps if not step.undone and step.kind is StepKind.FORWARD) == full
    slips = []
    for at in sorted(demonstration.wrong):
        wrong, back, right = demonstration.lines[at : at + 3]
        assert back == "<backtrack>"
        assert trace.steps[at].verdict is Verdict.INVALID
        assert trace.steps[at].reason == f"the line should be '{right}'"
        assert wrong != right
        slips.append(wrong.partition(" = ")[0])
        assert right.startswith(f"{slips[-1]} = ")
    assert len(set(slips)) == count


@pytest.mark.parametrize("kind", Geometry.error_kinds)
@pytest.mark.parametrize("num_errors", [1, 2, 3])
def test_detours_of_one_kind(kind: str, num_errors: int) -> None:
    env = Geometry()
    for index in range(80):
        problem = env.problem(Split.TRAIN if index % 4 else Split.OOD_HARD, index)
        demonstration = env.detour_trace(problem, [kind] * num_errors, random.Random(index))
        assert demonstration is not None
        check_detours(problem, demonstration, [kind] * num_errors)


@pytest.mark.parametrize("num_errors", [0, 4, 7])
def test_detours_of_mixed_kinds(num_errors: int) -> None:
    env = Geometry({"train": ["orthocentre_3", "incircle_3", "angle_3"]})
    rng = random.Random(num_errors)
    num_made = 0
    for index in range(60):
        problem = env.problem(Split.TRAIN, index)
        errors = [rng.choice(env.error_kinds) for _ in range(num_errors)]
        demonstration = env.detour_trace(problem, errors, rng)
        if demonstration is not None:
            check_detours(problem, demonstration, errors)
            num_made += 1
    assert num_made > 50


def test_all_slips_of_three_lines() -> None:
    """All possible slips of three lines: one operand or one digit is wrong, and 0 is never the wrong digit."""
    found = sub_results(Geometry().start(angle_at_b()).figure)
    slips = {
        (name, error): {slip(found[name], error, random.Random(seed)) for seed in range(600)}
        for name in ("BC", "phi", "angle")
        for error in Geometry.error_kinds
        if can_have(found[name], error)
    }
    assert slips["BC", "sign"] == {"BC = (4 - 0, 4 - 2) = (4, 2)"}
    assert slips["angle", "sign"] == {"angle = 37.88 - 90 = -52.12"}
    assert ("phi", "sign") not in slips
    assert slips["BC", "result"] == (
        {f"BC = (0 - 4, 2 - 4) = (-{digit}, -2)" for digit in (1, 2, 3, 5, 6, 7, 8, 9)}
        | {f"BC = (0 - 4, 2 - 4) = (-4, -{digit})" for digit in (1, 3, 4, 5, 6, 7, 8, 9)}
    )
    assert len(slips["BC", "operand"]) == 9 + 8 + 8 + 8
    assert "BC = (0 - 4, 7 - 4) = (-4, 3)" in slips["BC", "operand"]
    # Each of the four digits of 7778 becomes one of eight others, but 0.7779 also gives 37.88.
    assert len(slips["phi", "operand"]) == 4 * 8 - 1
    assert "phi = arctan(0.1778) = 10.08" in slips["phi", "operand"]
    # 3788 in units of 0.01, likewise.
    assert "angle = 90 - 17.88 = 72.12" in slips["angle", "operand"]


def test_slips_are_consistent_and_change_the_result() -> None:
    """A sign or an operand that makes no difference is no slip, unless rounding hides all of them."""
    env = Geometry({"train": ["orthocentre_3", "incircle_3", "angle_3"]})
    seen: Counter[str] = Counter()
    for index in range(200):
        for found in sub_results(env.start(env.problem(Split.TRAIN, index)).figure).values():
            for error in env.error_kinds:
                if can_have(found, error):
                    line = slip(found, error, random.Random(index))
                    assert line.partition(" = ")[0] == found.name
                    assert line.rpartition(" = ")[2] != found.result
                    assert (line.count(" = ") == found.line.count(" = ")) and line != found.line
                    seen[error] += 1
    assert min(seen.values()) > 500


def test_a_sign_that_makes_no_difference_is_no_slip() -> None:
    """In the right triangle cross is |12 - 0|, which is |12 + 0|."""
    found = sub_results(Geometry().start(right_triangle()).figure)
    assert [name for name in found if can_have(found[name], "sign")] == ["AB", "BC", "CA"]
    slanted = sub_results(Geometry().start(angle_at_b()).figure)
    assert [name for name in slanted if can_have(slanted[name], "sign")] == [
        "BA",
        "BC",
        "dot",
        "cross",
        "angle",
    ]


def test_detours_depend_only_on_the_generator() -> None:
    one, two = Geometry(), Geometry()
    kinds = ["sign", "result", "operand"]
    demonstrations = [one.detour_trace(orthocentre(), kinds, random.Random(seed)) for seed in range(20)]
    assert demonstrations == [two.detour_trace(orthocentre(), kinds, random.Random(seed)) for seed in range(20)]
    assert len({demonstration.lines for demonstration in demonstrations if demonstration}) == 20


def test_no_detour_without_room() -> None:
    """Nine lines; three of them, the vectors, can have a wrong sign."""
    env = Geometry()
    rng = random.Random(0)
    for errors in (
        ["result"] * 10,
        ["sign"] * 4,
        ["operand"] * 6 + ["sign"] * 4,
        ["result"] * 7 + ["sign"] * 3,
    ):
        assert env.detour_trace(right_triangle(), errors, rng) is None
    for errors in (["result"] * 9, ["sign"] * 3, ["operand", "result"] * 3 + ["sign"] * 3):
        demonstration = env.detour_trace(right_triangle(), errors, rng)
        assert demonstration is not None
        check_detours(right_triangle(), demonstration, errors)
    assert env.detour_trace(angle_at_b(), [], rng) == Demonstration(lines=tuple(ANGLE))


def test_an_unknown_error_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^unknown error kinds \['typo'\]; known: sign, result, operand$"):
        Geometry().detour_trace(angle_at_b(), ["sign", "typo"], random.Random(0))


# ---- padding ----


@pytest.mark.parametrize("num_errors", [0, 1, 2, 3, 6])
def test_controls_are_as_long_as_detours(num_errors: int) -> None:
    env = Geometry()
    chars: Counter[str] = Counter()
    for index in range(150):
        problem = env.problem(Split.TRAIN if index % 3 else Split.OOD_HARD, index)
        rng = random.Random(index)
        detour = env.detour_trace(problem, [rng.choice(["operand", "result"]) for _ in range(num_errors)], rng)
        assert detour is not None
        padded = env.padded_trace(problem, len(detour.lines), rng)
        assert padded is not None
        assert len(padded.lines) == len(detour.lines)
        assert not padded.wrong
        trace = judge(problem, padded.lines)
        assert trace.verified
        assert trace.num_backtracks == trace.num_invalid == 0
        assert len([line for line in padded.lines if line.startswith("note: ")]) == 2 * num_errors
        lengths = [len("\n".join(demonstration.lines)) for demonstration in (detour, padded)]
        assert abs(lengths[1] / lengths[0] - 1) < 0.15
        chars["detour"] += lengths[0]
        chars["padded"] += lengths[1]
    assert abs(chars["padded"] / chars["detour"] - 1) < 0.03


def test_notes_are_spread_evenly_and_about_known_results() -> None:
    """Ten notes go to eight places, so two places get two."""
    env = Geometry()
    seen: set[str] = set()
    for seed in range(30):
        demonstration = env.padded_trace(angle_at_b(), 17, random.Random(seed))
        assert demonstration is not None
        runs = [0]
        for line in demonstration.lines:
            if line.startswith("note: "):
                runs[-1] += 1
                seen.add(line.split(" ")[1])
            else:
                runs.append(0)
        assert sorted(runs) == [1] * 6 + [2] * 2
        assert judge(angle_at_b(), demonstration.lines).verified
    assert seen == {"A", "B", "C", "BA", "BC", "dot", "cross", "cot", "phi", "angle"}
    assert env.padded_trace(angle_at_b(), 6, random.Random(0)) is None
    assert env.padded_trace(angle_at_b(), 7, random.Random(0)) == Demonstration(lines=tuple(ANGLE))
