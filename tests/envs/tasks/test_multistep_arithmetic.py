"""Multi-step arithmetic, on examples worked by hand."""

from __future__ import annotations

import ast
import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

import pytest
from pydantic import ValidationError

from envs.base import Demonstration
from envs.check.contract import check_env
from envs.grading import Grade
from envs.mixture import Mixture
from envs.operations import divisors
from envs.path import StepError
from envs.problem import Problem, Split
from envs.tasks.multistep_arithmetic.expressions import ExpressionError, Part, Tree, read, value_of, write
from envs.tasks.multistep_arithmetic.task import MultistepArithmetic
from tests.kit.fuzz import mutate
from tests.kit.problems import judge, make_problem, refusal

SIXTY_TWO = ["45 - 39 = 6", "10 * 6 = 60", "60 + 2 = 62"]


def ask(expression: str, answer: str) -> Problem:
    return make_problem("multistep_arithmetic", f"Calculate: {expression}", answer)


def sixty_two() -> Problem:
    return ask("10 * (45 - 39) + 2", "62")


@pytest.mark.parametrize(
    "settings",
    [
        {"train": ["2"], "ood_easy": ["12"], "ood_hard": ["3"]},
        {"max_number": 10, "max_result": 20, "operators": ["+", "-"]},
        {"max_number": 9999, "max_result": 9999, "operators": {"*": 1, "/": 3}, "train": ["2", "3"]},
        {"train": ["4"], "operators": ["/"], "ood_easy": ["2"], "ood_hard": ["3"]},
    ],
)
def test_the_contract_holds_for_other_settings(settings: dict[str, object]) -> None:
    assert check_env(MultistepArithmetic(settings), num_problems=6).num_traces >= 24


# ---- expressions ----


def test_expressions_are_read_and_written() -> None:
    assert read("10 * (45 - 39) + 2") == Part(Part(10, "*", Part(45, "-", 39)), "+", 2)
    assert read("9 - 5 + 2") == Part(Part(9, "-", 5), "+", 2)
    for text in (
        "7",
        "9 + (5 + 2)",
        "9 - (5 - 2)",
        "8 / (4 / 2)",
        "(1 + 2) * (3 + 4)",
        "((1 + 2) * 3 - 4) / 5",
    ):
        assert write(read(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "1+2", "1 + 2 ", " 1 + 2", "(1 + 2)", "1 + (2 * 3)", "(1 + 2) + 3", "1 + ", "+ 1", "1 2 +"),
        *("1 ( 2", "( 1 + 2", "1 + 2 )", "()", "0 + 1", "01 + 2", "-1 + 2", "1 + -2", "1.5 + 2", "٣ + 2"),
        *("1 + 2 = 3", "2 ** 3", "1 + a", "²", "(" * 200, "(" * 5000, "1 + " * 5000 + "1", "9" * 20),
        " + ".join("1" * 13),
    ],
)
def test_no_other_text_is_an_expression(text: str) -> None:
    with pytest.raises(ExpressionError):
        read(text)


def test_values_are_positive_whole_numbers() -> None:
    assert value_of(read("10 * (45 - 39) + 2")) == 62
    for text in ("3 - 5", "5 - 5", "7 / 2", "7 / 2 * 2", "2 - 3 + 4"):
        with pytest.raises(ExpressionError, match="is not a positive whole number"):
            value_of(read(text))


# ---- steps ----


@pytest.mark.parametrize(
    ("expression", "lines"),
    [
        ("10 * (45 - 39) + 2", SIXTY_TWO),
        ("20 - 4 * 3", ["4 * 3 = 12", "20 - 12 = 8"]),
        ("9 - 5 + 2", ["9 - 5 = 4", "4 + 2 = 6"]),
        ("9 + (5 + 2)", ["5 + 2 = 7", "9 + 7 = 16"]),
        # The left part first, though the right one is in parentheses.
        ("4 * 3 + (9 - 7)", ["4 * 3 = 12", "9 - 7 = 2", "12 + 2 = 14"]),
        ("8 / (4 / 2) - 1", ["4 / 2 = 2", "8 / 2 = 4", "4 - 1 = 3"]),
    ],
)
def test_full_trace(expression: str, lines: list[str]) -> None:
    env, problem = MultistepArithmetic(), ask(expression, lines[-1].rpartition(" ")[2])
    assert list(env.full_trace(problem)) == lines
    assert env.remaining(env.start(problem)) == len(lines)
    assert judge(problem, lines).verified


def test_operations_may_come_in_any_order_that_the_rules_allow() -> None:
    problem = ask("4 * 3 + (9 - 7)", "14")
    assert judge(problem, ["9 - 7 = 2", "4 * 3 = 12", "12 + 2 = 14"]).verified
    assert judge(problem, ["3 * 4 = 12", "left: 12 + (9 - 7)", "9 - 7 = 2", "2 + 12 = 14"]).verified
    env = MultistepArithmetic()
    one, two = env.start(problem), env.start(problem)
    for line in ("4 * 3 = 12", "9 - 7 = 2"):
        one = env.advance(one, line)
    for line in ("9 - 7 = 2", "3 * 4 = 12"):
        two = env.advance(two, line)
    assert one == two == Part(12, "+", 2)
    # Of equal operations a line does the leftmost.
    assert env.advance(read("(2 + 3) * 7 - (2 + 3)"), "2 + 3 = 5") == read("5 * 7 - (2 + 3)")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["45 - 39 = 7"], "result should be 6"),
        (["39 - 45 = 6"], "operands of - may not be exchanged; should be 45 - 39"),
        (["(45 - 39) * 2 = 12"], "(45 - 39) * 2 is no operation that is next in 10 * (45 - 39) + 2"),
        (["39 + 2 = 41"], "39 + 2 is no operation that is next in 10 * (45 - 39) + 2"),
        (["45 - 39 = 6", "6 + 2 = 8"], "6 + 2 is no operation that is next in 10 * 6 + 2"),
        (["45 - 39 = 6", "45 - 39 = 6"], "45 - 39 is no operation that is next in 10 * 6 + 2"),
        (["10 * (45 - 39) + 2 = 62"], "3 operations in one line, at most 2"),
        (["10 * (45 - 39) = 61"], "result should be 60"),
        ([*SIXTY_TWO, "62 + 1 = 63"], "only the answer is left to be stated"),
        (["left: 10 * 6 + 2"], "should be 'left: 10 * (45 - 39) + 2'"),
        (["62 = 62"], "not an operation"),
        (["45 - 39"], "not an operation"),
        (["45-39 = 6"], "not an operation"),
        (["45 - 39 = 06"], "not an operation"),
    ],
)
def test_what_is_refused(lines: list[str], reason: str) -> None:
    assert refusal(sixty_two(), lines) == reason


LARGEST = "9999999999999999"


@pytest.mark.parametrize(
    "expression",
    [
        f"{LARGEST} * {LARGEST} + 1",
        f"{LARGEST} + 1",
        f"{LARGEST} * 2 / 2",
        f"2 * {LARGEST} + {LARGEST} * 5",
    ],
)
def test_results_have_at_most_16_digits(expression: str) -> None:
    with pytest.raises(ExpressionError, match="is not a positive whole number of at most 16 digits"):
        MultistepArithmetic().start(ask(expression, "1"))


def test_what_is_accepted_can_be_solved() -> None:
    env, rng = MultistepArithmetic(), random.Random(0)
    largest: list[int] = []
    for _ in range(1500):
        problem = ask(write(large_tree(rng, rng.randint(2, 5))), "")
        try:
            tree = env.start(problem)
        except ExpressionError:
            continue
        answered = replace(problem, answer=str(value_of(tree)))
        lines = env.full_trace(problem)
        largest.append(max(int(line.rpartition(" ")[2]) for line in lines))
        padded = env.padded_trace(problem, len(lines) + 3, rng)
        detours = [env.detour_trace(problem, [kind], rng) for kind in env.error_kinds]
        traces = [lines, env.skipped_trace(problem, "any_pair", rng)]
        traces += [each.lines for each in (padded, *detours) if each is not None]
        assert all(judge(answered, each).verified for each in traces if each is not None)
        for kind in env.mistake_kinds:
            mistaken = env.mistaken_trace(problem, kind, rng)
            assert mistaken is None or max(map(len, re.findall("[0-9]+", str(mistaken.lines)))) <= 16
    assert len(largest) > 100 and sum(value > 10**14 for value in largest) > 40


def large_tree(rng: random.Random, count: int) -> Tree:
    """An expression of so many numbers of 1 to 16 digits; its results may be anything."""
    if count == 1:
        return rng.choice([int(LARGEST), rng.randrange(1, 10 ** rng.randint(1, 16)), rng.randint(1, 9)])
    num_left = rng.randrange(1, count)
    return Part(large_tree(rng, num_left), rng.choice("+-*/"), large_tree(rng, count - num_left))


def test_answers_are_compared_exactly() -> None:
    env, problem = MultistepArithmetic(), sixty_two()
    assert env.grade_answer(problem, "62") is Grade.CORRECT
    assert env.grade_answer(problem, "63") is Grade.WRONG
    for text in ("062", "+62", "62.0", "6_2", "٦٢", "60 + 2", "", "²"):
        assert env.grade_answer(problem, text) is Grade.MALFORMED


def test_no_text_makes_a_step_raise_anything_else() -> None:
    env, rng = MultistepArithmetic(), random.Random(0)
    state = env.start(sixty_two())
    for seed in (*SIXTY_TWO, "10 * (45 - 39) = 60", "left: 10 * (45 - 39) + 2"):
        for _ in range(300):
            try:
                env.advance(state, mutate(seed, "0123456789+-*/()= ٣²", rng))
            except StepError:
                continue
    with pytest.raises(StepError):
        env.advance(state, " = ".join("1" * 3000))


# ---- other traces ----


def test_a_skipped_trace_does_two_operations_in_one_line() -> None:
    env, problem = MultistepArithmetic(), sixty_two()
    found = {env.skipped_trace(problem, "any_pair", random.Random(seed)) for seed in range(20)}
    assert found == {
        ("10 * (45 - 39) = 60", "60 + 2 = 62"),
        ("45 - 39 = 6", "10 * 6 + 2 = 62"),
    }
    assert all(judge(problem, lines or ()).verified for lines in found)
    # 4 * 3 is used by the sum only after 9 - 7 is done.
    two = ask("4 * 3 + (9 - 7)", "14")
    lines = env.skipped_trace(two, "any_pair", random.Random(0))
    assert lines == ("4 * 3 = 12", "12 + (9 - 7) = 14")
    assert env.skipped_trace(ask("9 - 7", "2"), "any_pair", random.Random(0)) is None


def test_detours() -> None:
    env, problem = MultistepArithmetic(), ask("20 - 4 * 3", "8")
    # 20 - 4 stands there, but 4 * 3 comes first; later no operation is out of order.
    assert env.detour_trace(problem, ["order"], random.Random(0)) == Demonstration(
        lines=("20 - 4 = 16", "<backtrack>", "4 * 3 = 12", "20 - 12 = 8"), wrong=frozenset({0})
    )
    both = env.detour_trace(problem, ["computation", "order"], random.Random(0))
    assert both is not None and both.wrong == {0, 3}
    assert both.lines[0] == "20 - 4 = 16" and both.lines[3] != both.lines[5] == "20 - 12 = 8"
    trace = judge(problem, both.lines)
    assert trace.verified
    assert [(one.real, one.needed) for one in trace.backtracks] == [(True, True)] * 2
    assert env.detour_trace(problem, ["order", "order"], random.Random(0)) is None
    assert env.detour_trace(problem, ["computation"] * 3, random.Random(0)) is None
    with pytest.raises(ValueError, match="unknown error kinds"):
        env.detour_trace(problem, ["rule"], random.Random(0))


def test_mistakes_are_calculated_with() -> None:
    env = MultistepArithmetic()
    order = env.mistaken_trace(ask("20 - 4 * 3", "8"), "order", random.Random(0))
    assert order == Demonstration(lines=("20 - 4 = 16", "16 * 3 = 48"), wrong=frozenset({0}), answer="48")
    found = {env.mistaken_trace(sixty_two(), "computation", random.Random(seed)) for seed in range(60)}
    assert (
        Demonstration(lines=("45 - 39 = 7", "10 * 7 = 70", "70 + 2 = 72"), wrong=frozenset({0}), answer="72")
        in found
    )
    # Out of order, but the value is right all the same: 5 + 2 first makes 16 too.
    assert env.mistaken_trace(ask("9 + 5 + 2", "16"), "order", random.Random(0)) is None


def test_no_operation_out_of_order_has_more_than_16_digits() -> None:
    env, rng = MultistepArithmetic(), random.Random(0)
    # 2 + 9999999999999999 stands there, and once 4999999999999999 is in its place, another sum of 17 digits.
    problem = ask(f"9999999999999998 / 2 + {LARGEST} / 9", "6111111111111110")
    assert judge(problem, env.full_trace(problem)).verified
    assert env.detour_trace(problem, ["order"], rng) is None
    assert env.mistaken_trace(problem, "order", rng) is None


def test_padded_traces_state_what_is_left() -> None:
    padded = MultistepArithmetic().padded_trace(ask("20 - 4 * 3", "8"), 5, random.Random(0))
    assert padded == Demonstration(
        lines=("left: 20 - 4 * 3", "4 * 3 = 12", "left: 20 - 12", "20 - 12 = 8", "left: 8")
    )
    assert MultistepArithmetic().padded_trace(sixty_two(), 2, random.Random(0)) is None


# ---- problems ----


def by_python(expression: str) -> Fraction:
    """The value of an expression by Python's own grammar, in fractions."""

    def value(node: ast.expr) -> Fraction:
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return Fraction(node.value)
        assert isinstance(node, ast.BinOp)
        one, two = value(node.left), value(node.right)
        sums = {ast.Add: one + two, ast.Sub: one - two, ast.Mult: one * two}
        return sums[type(node.op)] if type(node.op) in sums else one / two

    return value(ast.parse(expression, mode="eval").body)


@pytest.mark.parametrize(
    "settings", [{}, {"train": ["2", "3", "4"], "max_number": 20, "max_result": 60, "ood_hard": ["12"]}]
)
def test_drawn_problems_keep_their_bounds_and_have_the_value_that_python_finds(
    settings: dict[str, object],
) -> None:
    symbols = drawn_symbols(MultistepArithmetic(settings), 150)
    assert min(symbols[symbol] for symbol in "+-*/") > 0.15 * symbols.total()


@pytest.mark.parametrize(
    ("max_number", "max_result", "symbols"),
    [(2, 2, "+-"), (2, 3, "+-"), (3, 3, "+-"), (2, 4, "+-*"), (3, 4, "+-*"), (4, 4, "+-*/")],
)
def test_the_smallest_bounds_are_kept(max_number: int, max_result: int, symbols: str) -> None:
    buckets = {"train": ["4"], "ood_easy": ["2"], "ood_hard": ["3"]}
    env = MultistepArithmetic({**buckets, "max_number": max_number, "max_result": max_result})
    assert {*drawn_symbols(env, 60, [Split.OOD_EASY])} == {*symbols}  # 4 / 2 and 2 * 2 need a 4
    assert {*drawn_symbols(env, 60, [Split.OOD_HARD])} >= {*symbols, "/"}  # 2 / 2 = 1 is possible: (1 + 1) / 2


def drawn_symbols(env: MultistepArithmetic, num_problems: int, splits: Iterable[Split] = Split) -> Counter[str]:
    """Check so many problems of each split, and count their operators."""
    symbols: Counter[str] = Counter()
    for split in splits:
        for index in range(num_problems):
            problem = env.problem(split, index)
            expression = problem.question.removeprefix("Calculate: ")
            assert by_python(expression) == int(problem.answer)
            lines = env.full_trace(problem)
            assert len({*lines}) == len(lines) == problem.num_full_steps == problem.difficulty - 1
            for line in lines:
                left, symbol, right, _, result = line.split(" ")
                assert int(left) >= int(right) and 1 <= int(result) <= env.settings.max_result
                assert max(int(left), int(right)) <= env.settings.max_result
                symbols[symbol] += 1
            numbers = [int(token) for token in expression.replace("(", "").replace(")", "").split(" ")[::2]]
            assert max(numbers) <= env.settings.max_number
    return symbols


def test_weights_of_operators() -> None:
    env = MultistepArithmetic({"operators": {"+": 8, "-": 1, "*": 1}, "train": ["2"]})
    shown = [env.problem(Split.TRAIN, index).question.split(" ")[2] for index in range(400)]
    assert Counter(shown)["+"] > 260 and "/" not in shown  # 8 of 10, and sums up to 198 always fit


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"train": ["1"]},
            "got the bucket '1'; a bucket is how many numbers an expression has, from '2' to '12'",
        ),
        ({"train": ["13"]}, "got the bucket '13'"),
        ({"operators": []}, "name one or more of"),
        ({"operators": {"+": 0}}, "each with a finite weight above 0"),
        ({"operators": {"+": float("nan"), "-": 1.0}}, "each with a finite weight above 0"),
        ({"operators": {"-": 1.0, "+": float("nan")}}, "each with a finite weight above 0"),
        ({"operators": {"+": float("inf")}}, "each with a finite weight above 0"),
        ({"operators": ["^"]}, "Input should be '\\+', '-', '\\*' or '/'"),
        ({"max_number": 99, "max_result": 50}, r"max_result \(50\) is below max_number \(99\)"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MultistepArithmetic(settings)


def test_bounds_that_no_expression_keeps_are_named() -> None:
    env = MultistepArithmetic({"operators": ["*"], "train": ["12"]})  # 2 ** 12 is over 300
    with pytest.raises(ValueError, match="found no expression of 12 numbers up to 99 with results up to 300"):
        env.problem(Split.TRAIN, 0)
    assert divisors(12) == (2, 3, 4, 6)
    small = {"max_number": 3, "max_result": 3, "train": ["2"], "ood_easy": ["3"], "ood_hard": ["4"]}
    for operator in "*/":  # two factors above 1 make 4 or more
        with pytest.raises(ValueError, match="found no expression of 2 numbers up to 3 with results up to 3"):
            MultistepArithmetic({**small, "operators": [operator]}).problem(Split.TRAIN, 0)


def test_beside_countdown_in_a_mixture() -> None:
    env = Mixture({"parts": [{"name": "multistep_arithmetic"}, {"name": "countdown"}]})
    for index in range(6):
        problem = env.problem(Split.TRAIN, index)
        lines = env.full_trace(problem)
        trace = env.check(
            problem, env.part_of(problem).parse(env.part_of(problem).demonstrate(lines, problem.answer))
        )
        assert trace.verified
        assert all(len(line.split(" ")) == 5 for line in lines)  # both write one operation so
