"""Analog of algebra: examples worked by hand, and an independent check in exact fractions."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from envs.grading import Grade
from envs.path import StepError
from envs.problem import Problem, Split
from envs.tasks.algebra.equation import EquationError, num_steps_left, parse_equation, render_equation, solve
from envs.tasks.algebra.task import COMMON, CONSTANTS, Algebra
from envs.trace import parse_trace, render_trace
from tests.kit.problems import judge, make_problem

quick = settings(max_examples=300, deadline=None, derandomize=True, database=None)


def ask(question: str) -> Problem:
    env = Algebra()
    lines = [render_equation(line) for line in solve(parse_equation(question, CONSTANTS))]
    problem = make_problem("algebra", question, lines[-1], num_full_steps=len(lines))
    return replace(problem, prompt=env.render_prompt(question))


@pytest.mark.parametrize(
    ("question", "lines"),
    [
        # a - x b = c: move a, flip the signs, divide by b.
        (
            "♦ ⊖ ♥ ⊗ ♣ → ♠",
            ("⊖ ♥ ⊗ ♣ → ♠ ⊖ ♦", "♥ ⊗ ♣ → ⊖ ♠ ⊕ ♦", "♥ → ( ⊖ ♠ ⊕ ♦ ) ⊘ ♣"),
        ),
        # c = x + a - b: swap, then the terms from the left.
        ("♠ → ♥ ⊕ ♦ ⊖ ♣", ("♥ ⊕ ♦ ⊖ ♣ → ♠", "♥ ⊖ ♣ → ♠ ⊖ ♦", "♥ → ♠ ⊖ ♦ ⊕ ♣")),
        # a b / x / c - d = 0: move d onto the zero, then a, then c, then divide.
        (
            "♦ ⊗ ★ ⊘ ♥ ⊘ ♣ ⊖ ♠ → ○",
            (
                "♦ ⊗ ★ ⊘ ♥ ⊘ ♣ → ♠",
                "★ ⊘ ♥ ⊘ ♣ → ♠ ⊘ ♦",
                "★ ⊘ ♥ → ♠ ⊘ ♦ ⊗ ♣",
                "♥ → ★ ⊘ ( ♠ ⊘ ♦ ⊗ ♣ )",
            ),
        ),
        # The unknown in a denominator: what stands above it leaves one factor at a time, the last by dividing.
        (
            "⊖ ♣ ⊗ ♦ ⊘ ♥ → ♠",
            ("♣ ⊗ ♦ ⊘ ♥ → ⊖ ♠", "♦ ⊘ ♥ → ⊖ ♠ ⊘ ♣", "♥ → ♦ ⊘ ( ⊖ ♠ ⊘ ♣ )"),
        ),
        # A single symbol as a divisor needs no parentheses; one with a minus does.
        ("♦ ⊘ ♥ → ♠", ("♥ → ♦ ⊘ ♠",)),
        ("♦ ⊘ ♥ → ⊖ ♠", ("♥ → ♦ ⊘ ( ⊖ ♠ )",)),
        # A product of quotients: those without the unknown from the left, each from its right-hand end.
        (
            "♦ ⊗ ♥ ⊗ ♣ ⊘ ♠ → ★ ⊕ ■",
            (
                "♥ ⊗ ♣ ⊘ ♠ → ( ★ ⊕ ■ ) ⊘ ♦",
                "♥ ⊗ ♣ → ( ★ ⊕ ■ ) ⊘ ♦ ⊗ ♠",
                "♥ → ( ★ ⊕ ■ ) ⊘ ♦ ⊗ ♠ ⊘ ♣",
            ),
        ),
        # (a / b) (c / x / d) (e / f): b, a, f, e, then d, then divide by what is left.
        (
            "♦ ⊘ ♣ ⊗ ★ ⊘ ♥ ⊘ ▲ ⊗ ■ ⊘ ● → ♠",
            (
                "♦ ⊗ ★ ⊘ ♥ ⊘ ▲ ⊗ ■ ⊘ ● → ♠ ⊗ ♣",
                "★ ⊘ ♥ ⊘ ▲ ⊗ ■ ⊘ ● → ♠ ⊗ ♣ ⊘ ♦",
                "★ ⊘ ♥ ⊘ ▲ ⊗ ■ → ♠ ⊗ ♣ ⊘ ♦ ⊗ ●",
                "★ ⊘ ♥ ⊘ ▲ → ♠ ⊗ ♣ ⊘ ♦ ⊗ ● ⊘ ■",
                "★ ⊘ ♥ → ♠ ⊗ ♣ ⊘ ♦ ⊗ ● ⊘ ■ ⊗ ▲",
                "♥ → ★ ⊘ ( ♠ ⊗ ♣ ⊘ ♦ ⊗ ● ⊘ ■ ⊗ ▲ )",
            ),
        ),
        # a / b · x: the divisor b, then the factor a.
        ("♦ ⊘ ♣ ⊗ ♥ → ♠", ("♦ ⊗ ♥ → ♠ ⊗ ♣", "♥ → ♠ ⊗ ♣ ⊘ ♦")),
        # A term of several constants moves as a whole; a leading minus is its sign.
        ("⊖ ♦ ⊗ ♣ ⊕ ♥ → ♠", ("♥ → ♠ ⊕ ♦ ⊗ ♣",)),
        ("⊖ ♥ → ♦ ⊘ ♣", ("♥ → ⊖ ♦ ⊘ ♣",)),
        ("○ → ⊖ ♥ ⊕ ♦", ("⊖ ♥ ⊕ ♦ → ○", "⊖ ♥ → ⊖ ♦", "♥ → ♦")),
        ("♦ ⊕ ♣ → ♥", ("♥ → ♦ ⊕ ♣",)),
    ],
)
def test_full_trace(question: str, lines: tuple[str, ...]) -> None:
    env, problem = Algebra(), ask(question)
    assert env.full_trace(problem) == lines
    assert env.start(problem).num_left == len(lines)
    assert env.check(problem, parse_trace(render_trace(lines, lines[-1]))).verified


def exact(text: str, values: dict[str, Fraction]) -> Fraction:
    """Evaluate a side that the environment wrote, with Python's parser and exact fractions."""
    names = {symbol: f"v{i}" for i, symbol in enumerate(values)}
    signs = {"⊕": "+", "⊖": "-", "⊗": "*", "⊘": "/", "○": "Fraction(0)", "(": "(", ")": ")"}
    source = " ".join({**names, **signs}[token] for token in text.split(" "))
    return eval(source, {"Fraction": Fraction}, {names[symbol]: value for symbol, value in values.items()})


def test_every_line_of_every_split_holds_in_exact_fractions() -> None:
    env, rng = Algebra(), random.Random(0)  # large values, so no sum is 0 by chance
    point = {symbol: Fraction(rng.randrange(10**8, 10**9)) for symbol in CONSTANTS}
    for split in Split:
        for index in range(60):
            problem = env.problem(split, index)
            lines = env.full_trace(problem)
            unknown, _, solution = problem.answer.partition(" → ")
            assert (unknown, lines[-1]) == ("♥", problem.answer)
            values = {**point, "♥": exact(solution, point)}
            for line in (problem.question, *lines):
                left, _, right = line.partition(" → ")
                assert exact(left, values) == exact(right, values)


def test_questions_have_the_released_form() -> None:
    env = Algebra()
    num_divisor = num_zero = 0
    for index in range(4000):
        problem = env.problem(Split.TRAIN, index)
        tokens = problem.question.split(" ")
        assert tokens.count("♥") == 1
        assert "(" not in tokens
        assert max(Counter(token for token in tokens if token in CONSTANTS).values()) == 1
        assert set(tokens) & set(CONSTANTS) <= set(COMMON)
        num_divisor += "⊘ ♥" in problem.question
        num_zero += problem.question.endswith("→ ○")
    # Released: 17% and 34%. Three percentage points are five and four standard deviations.
    assert abs(num_divisor / 4000 - 0.17) < 0.03
    assert abs(num_zero / 4000 - 0.34) < 0.03


def test_buckets_are_drawn_by_the_released_counts() -> None:
    env = Algebra()
    problems = [env.problem(Split.TRAIN, index) for index in range(4000)]
    steps = Counter(problem.num_full_steps for problem in problems)
    symbols = Counter(int(env.bucket(problem).split("_")[0]) for problem in problems)
    # 98/183/300/272/147 of 1000, and a quarter each; 4000 draws, five standard deviations are below 160.
    for k, share in ((1, 0.098), (2, 0.183), (3, 0.300), (4, 0.272), (5, 0.147)):
        assert abs(steps[k] - 4000 * share) < 150
    assert set(symbols) == {4, 5, 6, 7}
    assert all(abs(count - 1000) < 150 for count in symbols.values())
    for problem in problems[:200]:
        assert (
            env.bucket(problem) == f"{len(set(problem.question) & set(CONSTANTS)) + 1}_{problem.num_full_steps}"
        )


def test_out_of_distribution_buckets() -> None:
    env = Algebra()
    assert set(env.settings.ood_easy) == {"6_6", "6_7", "7_6", "7_7"}
    # 10 symbols are 9 constants: at most 9 moves, a swap and a minus, so 10_12 cannot be.
    hard = {f"{n}_{k}" for n in range(10, 15) for k in range(10, 15) if k <= n + 1}
    assert set(env.settings.ood_hard) == hard
    assert {env.bucket(env.problem(Split.OOD_HARD, index)) for index in range(400)} == hard


@pytest.mark.parametrize("bucket", ["3_1", "3_4", "4_5", "8_9", "17_1", "17_18"])
def test_extreme_buckets_can_be_drawn(bucket: str) -> None:
    env = Algebra({"train": [bucket], "ood_easy": ["6_6"], "ood_hard": ["10_10"]})
    for index in range(30):
        problem = env.problem(Split.TRAIN, index)
        assert env.bucket(problem) == bucket
        trace = judge(problem, env.full_trace(problem), env=env)
        assert trace.verified


# ---- steps ----

QUESTION = "♦ ⊖ ♥ ⊗ ♣ → ♠"  # a - x b = c; three steps


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("⊖ ♥ ⊗ ♣ → ♠ ⊖ ♦", 2),  # the procedure's own
        ("⊖ ♥ ⊗ ♣ → ⊖ ♦ ⊕ ♠", 2),  # the right side in another order
        ("⊖ ♣ ⊗ ♥ → ♠ ⊖ ♦", 2),  # the factors in another order
        ("⊖ ♥ ⊗ ♣ → ( ♠ ⊖ ♦ )", 2),
        ("♥ ⊗ ♣ → ♦ ⊖ ♠", 1),  # move and minus in one line
        ("⊖ ♥ → ( ♠ ⊖ ♦ ) ⊘ ♣", 1),  # move and divide in one line
        ("♦ ⊘ ♣ ⊖ ♥ → ♠ ⊘ ♣", 2),  # divide first
        ("♥ ⊗ ♣ ⊖ ♦ → ⊖ ♠", 2),  # minus first: one term and one factor are left
        ("♦ ⊖ ♠ → ♥ ⊗ ♣", 2),  # the unknown to the right: a swap and a factor are left
    ],
)
def test_moves_in_any_order_and_two_in_one_line_are_steps(line: str, left: int) -> None:
    env = Algebra()
    assert env.advance(env.start(ask(QUESTION)), line).num_left == left


BELOW = "⊖ ♣ ⊗ ♦ ⊘ ♥ → ♠"  # the unknown below the line; three steps


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("⊖ ♦ ⊘ ♥ → ♠ ⊘ ♣", 2),  # a factor before the minus
        ("⊖ ♣ ⊘ ♥ → ♠ ⊘ ♦", 2),  # the other factor
        ("⊖ ♣ ⊗ ♦ → ♠ ⊗ ♥", 2),  # the unknown to the right: a swap and a factor are left
        ("♦ ⊘ ♥ → ⊖ ♠ ⊘ ♣", 1),  # minus and factor in one line
    ],
)
def test_an_unknown_below_the_line_has_moves_in_any_order_too(line: str, left: int) -> None:
    env = Algebra()
    assert env.advance(env.start(ask(BELOW)), line).num_left == left


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("♥ → ⊖ ♣ ⊗ ♦ ⊘ ♠", "3 steps in one line, at most 2"),
        ("⊖ ♦ ⊗ ♣ ⊘ ♥ → ♠", "no progress: 3 steps left, 3 before"),
        ("⊖ ♣ ⊗ ♦ ⊘ ♥ ⊗ ♠ → ♠ ⊗ ♠", "no progress: 4 steps left, 3 before"),
        ("♣ ⊗ ♦ ⊘ ♥ → ♠", "the solution is not the same"),
        ("♦ ⊘ ♥ → ⊖ ♠ ⊗ ♣", "the solution is not the same"),
    ],
)
def test_an_unknown_below_the_line_refuses_what_leads_nowhere(line: str, reason: str) -> None:
    env = Algebra()
    with pytest.raises(StepError) as refused:
        env.advance(env.start(ask(BELOW)), line)
    assert str(refused.value) == reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("♥ → ( ♦ ⊖ ♠ ) ⊘ ♣", "3 steps in one line, at most 2"),
        ("♦ ⊖ ♥ ⊗ ♣ → ♠", "no progress: 3 steps left, 3 before"),
        ("♠ → ♦ ⊖ ♥ ⊗ ♣", "no progress: 4 steps left, 3 before"),
        ("♦ ⊖ ♥ ⊗ ♣ ⊖ ♠ → ○", "no progress: 4 steps left, 3 before"),
        ("⊖ ♥ ⊗ ♣ → ♠ ⊕ ♦", "the solution is not the same"),
        ("♥ ⊗ ♣ → ♠ ⊖ ♦", "the solution is not the same"),
        ("⊖ ♥ ⊗ ♣ → ♠ ⊗ ♦", "the solution is not the same"),
        ("⊖ ♥ ⊗ ♣ → ○", "the solution is not the same"),
        ("⊖ ♥ ⊗ ○ → ♠ ⊖ ♦", "the solution is not the same"),  # no solution
        ("⊖ ♥ ⊗ ♣ → ( ♠ ⊖ ♦ ) ⊗ ( ♦ ⊖ ♦ ) ⊘ ( ♦ ⊖ ♦ )", "the solution is not the same"),  # 0 / 0
        ("⊖ ♥ ⊗ ♣ → ♠ ⊖ ★", "a symbol that is not in the problem"),
        ("⊖ ♥ ⊗ ♣ → ♠ ⊖ 1", "a symbol that is not in the problem"),
        ("⊖ ♥  ⊗ ♣ → ♠ ⊖ ♦", "a symbol that is not in the problem"),  # two spaces
        ("⊖ ♥ ⊗ ♣ → ♠ ⊖ ♦ ", "a symbol that is not in the problem"),
        ("⊖♥ ⊗ ♣ → ♠ ⊖ ♦", "a symbol that is not in the problem"),
        ("", "a symbol that is not in the problem"),
        ("♥ ⊗ ♣ → ♦ ⊖ ♠ ⊕ ♥ ⊖ ♥", "the unknown must occur exactly once"),
        ("♣ → ♦ ⊖ ♠", "the unknown must occur exactly once"),
        ("♥", "not an equation"),
        ("♥ →", "not an equation"),
        ("→ ♥", "not an equation"),
        ("♥ → ♦ → ♦", "not an equation"),
        ("⊕ ♥ → ♦", "not an equation"),
        ("♥ → ⊖ ⊖ ♦", "not an equation"),
        ("♥ → ♦ ⊗ ⊖ ♦", "not an equation"),
        ("♥ → ♦ ♦", "not an equation"),
        ("♥ → ( )", "not an equation"),
        ("♥ → ( ♦", "not an equation"),
        ("♥ → ♦ )", "not an equation"),
        ("⊖ ( ♥ ⊗ ♣ ) → ♠ ⊖ ♦", "the unknown is inside parentheses"),
        ("( ♥ ) → ( ♦ ⊖ ♠ ) ⊘ ♣", "the unknown is inside parentheses"),
        ("♥ → " + "( " * 65 + "♦" + " )" * 65, "parentheses nested more than 64 deep"),
        ("♥ → ♦" + " ⊕ ♦" * 199, "more than 400 symbols"),
        ("( " * 100000, "more than 400 symbols"),
    ],
)
def test_refused_steps(line: str, reason: str) -> None:
    env = Algebra()
    with pytest.raises(StepError) as refused:
        env.advance(env.start(ask(QUESTION)), line)
    assert str(refused.value) == reason


def test_a_move_may_not_be_undone_or_restated() -> None:
    lines = ["⊖ ♥ ⊗ ♣ → ♠ ⊖ ♦", QUESTION, "⊖ ♥ ⊗ ♣ → ⊖ ♦ ⊕ ♠", "♥ → ( ♦ ⊖ ♠ ) ⊘ ♣", "♥ → ( ♦ ⊖ ♠ ) ⊘ ♣"]
    trace = judge(ask(QUESTION), lines, "♥ → ( ♦ ⊖ ♠ ) ⊘ ♣")
    assert [step.reason for step in trace.steps] == [
        "",
        "no progress: 3 steps left, 2 before",
        "no progress: 2 steps left, 2 before",
        "",  # two in one line
        "no progress: 0 steps left, 0 before",
    ]
    assert trace.correct


def test_max_merge_limits_the_steps_of_a_line() -> None:
    whole, two = "♥ → ( ♦ ⊖ ♠ ) ⊘ ♣", "♥ ⊗ ♣ → ♦ ⊖ ♠"
    wide, narrow = Algebra({"max_merge": 3}), Algebra({"max_merge": 1})
    assert wide.advance(wide.start(ask(QUESTION)), whole).num_left == 0
    with pytest.raises(StepError, match=r"^2 steps in one line, at most 1$"):
        narrow.advance(narrow.start(ask(QUESTION)), two)


def test_any_pair_leaves_out_each_line_but_the_last() -> None:
    env, problem = Algebra(), ask(QUESTION)
    one, two, three = env.full_trace(problem)
    seen = {env.skipped_trace(problem, "any_pair", random.Random(seed)) for seed in range(40)}
    assert seen == {(two, three), (one, three)}
    assert env.skipped_trace(ask("♦ ⊘ ♥ → ♠"), "any_pair", random.Random(0)) is None


# ---- answers ----


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("♥ → ( ⊖ ♠ ⊕ ♦ ) ⊘ ♣", True),
        ("♥ → ( ♦ ⊖ ♠ ) ⊘ ♣", True),
        ("♥ → ♦ ⊘ ♣ ⊖ ♠ ⊘ ♣", True),
        ("♥ → ⊖ ( ♠ ⊖ ♦ ) ⊘ ♣", True),
        ("♥ → ( ♦ ⊖ ♠ ) ⊗ ♣ ⊘ ( ♣ ⊗ ♣ )", True),
        ("♥ → ( ♦ ⊖ ♠ ) ⊘ ♣ ⊕ ○", True),
        ("♥ → ♦ ⊖ ♠ ⊘ ♣", False),  # parentheses matter
        ("♥ → ( ♠ ⊖ ♦ ) ⊘ ♣", False),
        ("♥ → ( ♦ ⊖ ♠ ) ⊗ ♣", False),
        ("♥ → ( ♦ ⊖ ♠ ) ⊘ ○", False),
        ("( ♦ ⊖ ♠ ) ⊘ ♣ → ♥", False),  # left must be the unknown
        ("( ♦ ⊖ ♠ ) ⊘ ♣", False),  # must be an equation
        ("⊖ ♥ → ( ♠ ⊖ ♦ ) ⊘ ♣", False),
        ("♥ ⊗ ♣ → ♦ ⊖ ♠", False),
        ("♥ ⊕ ○ → ( ♦ ⊖ ♠ ) ⊘ ♣", False),
        ("( ♥ ) → ( ♦ ⊖ ♠ ) ⊘ ♣", False),
        ("♥ → ♥", False),
        ("♥ → ( ♦ ⊖ ♠ ) ⊘ ♣ ⊗ ♥ ⊘ ♥", False),
        ("♥ → ( ★ ⊖ ♠ ) ⊘ ♣", False),
        ("♥ → ( ♦ - ♠ ) / ♣", False),
        (QUESTION, False),
        ("♥ → ", False),
        ("", False),
    ],
)
def test_answers(answer: str, right: bool) -> None:
    assert (Algebra().grade_answer(ask(QUESTION), answer) is Grade.CORRECT) is right


def test_solutions_equal_as_rational_functions_only() -> None:
    """x = a / b: a b / b² is the same; a² / b and a / b + a - b are not, though equal at some points."""
    problem = ask("♥ ⊗ ♣ → ♦")
    grade = Algebra().grade_answer
    assert grade(problem, "♥ → ♦ ⊗ ♣ ⊘ ( ♣ ⊗ ♣ )") is Grade.CORRECT
    assert grade(problem, "♥ → ♦ ⊗ ♦ ⊘ ♣") is Grade.WRONG
    assert grade(problem, "♥ → ♦ ⊘ ♣ ⊕ ♦ ⊖ ♣") is Grade.WRONG
    assert grade(problem, "♥ ⊗ ♣ → ♦") is Grade.WRONG
    assert grade(problem, "♥ → ( ♦") is Grade.MALFORMED


# ---- the parser ----

tokens = st.sampled_from(["♥", "→", "○", "⊕", "⊖", "⊗", "⊘", "(", ")", "♦", "♣", ""])


@quick
@given(text=st.one_of(st.text(max_size=40), st.lists(tokens, max_size=30).map(" ".join)))
def test_the_parser_raises_nothing_else(text: str) -> None:
    try:
        equation = parse_equation(text, CONSTANTS)
    except EquationError:
        return
    assert render_equation(equation) == text


def sides(unknown: str) -> st.SearchStrategy[str]:
    symbol = st.sampled_from(["♦", "♣", "○"])
    product = st.lists(st.tuples(st.sampled_from(["⊗", "⊘"]), symbol), max_size=2).map(
        lambda parts: unknown + "".join(f" {op} {factor}" for op, factor in parts)
    )
    more = st.lists(st.tuples(st.sampled_from(["⊕", "⊖"]), symbol), max_size=3)
    return st.tuples(st.sampled_from(["", "⊖ "]), product, more).map(
        lambda parts: parts[0] + parts[1] + "".join(f" {op} {term}" for op, term in parts[2])
    )


@quick
@given(left=sides("♥"), right=sides("( ♠ ⊖ ♦ )"), swap=st.booleans())
def test_the_procedure_ends_at_the_unknown_one_step_at_a_time(left: str, right: str, swap: bool) -> None:
    text = f"{right} → {left}" if swap else f"{left} → {right}"
    equation = parse_equation(text, CONSTANTS)
    assert render_equation(equation) == text
    left_over = [num_steps_left(line) for line in (equation, *solve(equation))]
    assert left_over == list(range(left_over[0], -1, -1))


def test_prompts() -> None:
    env = Algebra()
    problem = ask("♦ ⊘ ♥ → ♠")
    plain = "Isolate the ♥ symbol on the left side of the → symbol.\n\nQuestion: ♦ ⊘ ♥ → ♠\nAnswer:\n"
    assert problem.prompt == plain
    for budget, words in ((1, "1 step"), (3, "3 steps")):
        asked = plain.replace("Question", f"Solve it in {words}.\nQuestion")
        assert env.with_budget(problem, budget).prompt == asked


@pytest.mark.parametrize(
    ("settings", "got"),
    [
        ({"train": ["4"]}, "'4'"),
        ({"train": ["4_0"]}, "'4_0'"),
        ({"train": ["2_1"]}, "'2_1'"),
        ({"train": ["18_1"]}, "'18_1'"),
        ({"train": ["4_6"]}, "'4_6'"),  # 3 constants: 3 moves, a swap and a minus at most
        ({"train": ["٤_1"]}, "'٤_1'"),
    ],
)
def test_wrong_buckets(settings: dict[str, object], got: str) -> None:
    rule = "a bucket is 'symbols_steps' with 3 to 17 symbols and 1 to symbols + 1 steps, such as '5_3'"
    with pytest.raises(ValidationError) as wrong:
        Algebra(settings)
    assert f"got the bucket {got}; {rule}" in str(wrong.value)


def test_splits_may_not_share_buckets() -> None:
    with pytest.raises(ValidationError, match=r"train and ood_easy share the buckets \['6_6'\]"):
        Algebra({"train": ["6_6"]})
