"""Arithmetic expressions: values worked by hand, refusals, bounds, and two fuzzers."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

from envs.arithmetic import Expression, ExpressionError, Rules, evaluate
from tests.kit import hostile
from tests.kit.fuzz import EVERYTHING, MAX_MUTATED_CHARS, mutate, random_expression

HOSTILE_FILE = Path(__file__).parents[1] / "data" / "hostile_answers.jsonl"
BIG = "(99^64)^9"  # 3,819 bits: log2(99) · 576


def value_of(text: str, rules: Rules = EVERYTHING) -> Fraction:
    return evaluate(text, rules).value


def reason_of(text: str, rules: Rules = EVERYTHING) -> str:
    with pytest.raises(ExpressionError) as caught:
        evaluate(text, rules)
    return str(caught.value)


VALUES = {
    "0": Fraction(0),
    "7": Fraction(7),
    " 7  ": Fraction(7),
    "-7": Fraction(-7),
    "- 7": Fraction(-7),
    "--7": Fraction(7),
    "1+2*3": Fraction(7),  # 1 + 6
    "(1+2)*3": Fraction(9),
    "((((5))))": Fraction(5),
    "8-3-2": Fraction(3),  # (8 - 3) - 2, not 8 - 1
    "8-(3-2)": Fraction(7),
    "24/4/2": Fraction(3),  # (24 / 4) / 2, not 24 / 2
    "24/4*2": Fraction(12),
    "1/3": Fraction(1, 3),
    "1/3+1/6": Fraction(1, 2),
    "8/(3-8/3)": Fraction(24),  # 8 / (1/3)
    "3*-2": Fraction(-6),
    "3--2": Fraction(5),
    "3+-2*4": Fraction(-5),  # 3 + (-8)
    "-2*3+10": Fraction(4),
    "-(1+2)": Fraction(-3),
    "0/5": Fraction(0),
    "2^10": Fraction(1024),
    "2**10": Fraction(1024),
    "2^3^2": Fraction(512),  # 2^9, not 8^2
    "(2^3)^2": Fraction(64),
    "-2^2": Fraction(-4),
    "(-2)^2": Fraction(4),
    "2^-1": Fraction(1, 2),
    "2^--1": Fraction(2),
    "2^-1^2": Fraction(1, 2),  # 2^(-(1^2))
    "2^-2*3": Fraction(3, 4),  # (2^-2) * 3
    "3*2^2": Fraction(12),
    "2^(4/2)": Fraction(4),
    "(-2/3)^-3": Fraction(-27, 8),
    "0^0": Fraction(1),
    "0^3": Fraction(0),
    "2^64": Fraction(18446744073709551616),
    "2.5": Fraction(5, 2),
    "0.5+0.25": Fraction(3, 4),
    "1.50*2": Fraction(3),
    "0.1+0.2": Fraction(3, 10),
    "9" * 40: Fraction(10**40 - 1),
}


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_values(text: str, value: Fraction) -> None:
    result = value_of(text)
    assert result == value
    assert type(result) is Fraction


FOREIGN = "a character outside the grammar"
NO_NUMBER = "a number is missing"
NO_OPERATOR = "an operator is missing"
BAD_POINT = "a point that is not between digits"
LEADING_ZEROS = "a number with leading zeros"
ZERO = "division by zero"
REFUSED = {
    "": NO_NUMBER,
    "   ": NO_NUMBER,
    "+": NO_NUMBER,
    "-": NO_NUMBER,
    "+3": NO_NUMBER,
    "2*+3": NO_NUMBER,
    "2+": NO_NUMBER,
    "*2": NO_NUMBER,
    "()": NO_NUMBER,
    "2+()": NO_NUMBER,
    "4//1": NO_NUMBER,
    "2* *3": NO_NUMBER,
    "2***3": NO_NUMBER,
    "2^^3": NO_NUMBER,
    "12 34": NO_OPERATOR,
    "2(3)": NO_OPERATOR,
    "(2)(3)": NO_OPERATOR,
    "(2)3": NO_OPERATOR,
    "(1": "a parenthesis was not closed",
    "((1)": "a parenthesis was not closed",
    "1)": "a parenthesis was not opened",
    "(1))*(2": "a parenthesis was not opened",
    ")1(": NO_NUMBER,
    "007": LEADING_ZEROS,
    "00": LEADING_ZEROS,
    "00.5": LEADING_ZEROS,
    "1+01": LEADING_ZEROS,
    ".5": BAD_POINT,
    "5.": BAD_POINT,
    ".": BAD_POINT,
    "1.2.3": BAD_POINT,
    "1 .5": NO_OPERATOR,
    "1. 5": BAD_POINT,
    "1/0": ZERO,
    "0/0": ZERO,
    "1/(2-2)": ZERO,
    "1/(1/3+1/6-1/2)": ZERO,
    "0^-1": ZERO,
    "4^(1/2)": "an exponent that is not a whole number",
    "4^0.5": "an exponent that is not a whole number",
    "2^65": "an exponent over 64",
    "1^-65": "an exponent over 64",
    "9^9^9": "an exponent over 64",
    "9" * 41: "a number of more than 40 digits",
    "0." + "1" * 40: "a number of more than 40 digits",
    BIG + "*" + BIG: "a result of more than 4096 bits",
    BIG + "/7*97^64": "a result of more than 4096 bits",
    f"1/{BIG}/99^64": "a result of more than 4096 bits",
    f"1/{BIG}+1/97^64": "a result of more than 4096 bits",
    f"({BIG})^2": "a result of more than 4096 bits",
    f"({BIG})^-2": "a result of more than 4096 bits",
    "(" * 65 + "1" + ")" * 65: "parentheses nested more than 64 deep",
    "1+" * 200 + "1": "more than 400 tokens",
    "1" + " " * 1000: "more than 1000 characters",
    "1_000": FOREIGN,
    "0x10": FOREIGN,
    "1e9": FOREIGN,
    "1 # 2": FOREIGN,
    "7%4": FOREIGN,
    "4!": FOREIGN,
    "1,000": FOREIGN,
    "1=1": FOREIGN,
    "nan": FOREIGN,
    "x": FOREIGN,
    "[1]": FOREIGN,
    "1\t+2": FOREIGN,
    "1+2\n": FOREIGN,
    "1\x00": FOREIGN,
    "٣": FOREIGN,
    "１２": FOREIGN,
    "2²": FOREIGN,
    "½": FOREIGN,
    "3−2": FOREIGN,
    "3×2": FOREIGN,
    "3\u00a0+2": FOREIGN,
    "1\u200b2": FOREIGN,
    "\ud800": FOREIGN,
    "__import__('os')": FOREIGN,
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.items())
def test_refusals(text: str, reason: str) -> None:
    assert reason_of(text) == reason


@pytest.mark.parametrize(
    ("rules", "text", "reason"),
    [
        (Rules(), "2^3", "the operator ^ is not allowed"),
        (Rules(), "2**3", "the operator ^ is not allowed"),
        (Rules(), "2.5", "decimal numbers are not allowed"),
        (Rules(operators=frozenset("+")), "3-2", "the operator - is not allowed"),
        (Rules(negatives=False), "-3", "negative numbers are not allowed"),
        (Rules(negatives=False), "3*-2", "negative numbers are not allowed"),
        (Rules(operators=frozenset("^"), negatives=False), "2^-1", "negative numbers are not allowed"),
        (Rules(parentheses=False), "(3)", "parentheses are not allowed"),
        (Rules(max_chars=2), "1+1", "more than 2 characters"),
        (Rules(max_tokens=2), "1+1", "more than 2 tokens"),
        (Rules(max_depth=1), "((1))", "parentheses nested more than 1 deep"),
        (Rules(max_digits=1), "10", "a number of more than 1 digits"),
        (Rules(max_bits=8, max_digits=2), "16*16", "a result of more than 8 bits"),
        (Rules(operators=frozenset("^"), max_exponent=2), "1^3", "an exponent over 2"),
    ],
)
def test_a_task_can_allow_less(rules: Rules, text: str, reason: str) -> None:
    assert reason_of(text, rules) == reason
    evaluate(text, EVERYTHING)  # only the rule refused it


def test_limits_of_a_task_allow_everything_else() -> None:
    assert value_of("2-3", Rules(negatives=False)) == -1  # binary minus is an operator
    assert value_of("-3+1", Rules(operators=frozenset("+"))) == -2  # unary minus is not
    assert value_of("1+1", Rules(max_chars=3, max_tokens=3, parentheses=False)) == 2
    assert value_of("(1)", Rules(max_depth=1)) == 1
    assert value_of("1+" * 199 + "-1", Rules(max_tokens=400)) == 198
    assert value_of(" " * 999 + "1") == 1


@pytest.mark.parametrize(
    "wrong",
    [{"operators": frozenset("+%")}, {"operators": frozenset({"**"})}, {"max_digits": 0}, {"max_bits": 100}],
)
def test_impossible_rules_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"unknown operators|max_digits is"):
        Rules(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "integers"),
    [
        ("8/(3-1)-1", (8, 3, 1, 1)),
        ("-5+5", (5, 5)),
        ("12*0+3", (12, 0, 3)),
        ("2^3^1", (2, 3, 1)),
        ("((7))", (7,)),
        ("2.5*4+1.0", (4,)),
    ],
)
def test_integers_are_listed_as_written(text: str, integers: tuple[int, ...]) -> None:
    assert evaluate(text, EVERYTHING).integers == integers


def test_the_worked_example() -> None:
    assert evaluate("8 / (3 - 1) - 1") == Expression(value=Fraction(3), integers=(8, 3, 1, 1))


# ---- bounds ----

A, B = "999999937^64", "999999929^64"  # 1,914 bits each, without a common factor
HEAVY = {
    "tower": "9^" * 199 + "9",
    "tower of brackets": "(" * 60 + "9" + "^64)" * 60,
    "squares": "(" * 64 + "7" + ")^2" * 64,
    "minus signs": "-" * 399 + "1",
    "ones": "1+" * 199 + "1",
    "thirds": "1/3+" * 99 + "1",
    "divisors": "1" + "/7" * 199,
    "long literals": "*".join(["9" * 40] * 24),
    "points": "1." * 499,
    "digits": "9" * 1000,
    "open": "(" * 1000,
    "close": ")" * 1000,
    "spaces": "1" + " " * 998 + "1",
    "small change of a large fraction": f"({A})^2/({B})^2" + "*3/7*7/3" * 45,
    "sums of large fractions": f"{A}/{B}" + f"+{A}/{B}" * 30,
    "large factors in and out": f"{A}/{B}" + f"*{B}/{A}" * 30,
    "flips": "(" * 64 + f"{A}/{B}" + ")^-1" * 64,
}


@pytest.mark.parametrize("text", HEAVY.values(), ids=HEAVY)
def test_huge_results_are_refused_at_once(text: str) -> None:
    times_s = []
    for _ in range(3):
        start_s = time.process_time()
        try:
            value = value_of(text)
            assert max(value.numerator.bit_length(), value.denominator.bit_length()) <= EVERYTHING.max_bits
        except ExpressionError:
            pass
        times_s.append(time.process_time() - start_s)
    assert min(times_s) < 0.02  # 2 ms at worst on a free machine


def test_results_reach_the_bound_and_never_exceed_it() -> None:
    rules = Rules(operators=frozenset("+*^"), max_bits=160)
    reached = 0
    for base in range(2, 2000, 7):
        for exponent in (1, 5, 13, 14, 15, 16, 31, 32, 64):
            try:
                bits = value_of(f"{base}^{exponent}*3+1", rules).numerator.bit_length()
            except ExpressionError:
                continue
            assert bits <= 160
            reached = max(reached, bits)
    assert reached > 150


# ---- fuzzing: `make test-hostile` runs the same loops many more times ----


def count_accepted(num: int, seed: int, texts: Sequence[str]) -> int:
    """Number of mutated texts that are expressions; any error other than `ExpressionError` propagates."""
    rng = Random(seed)
    accepted = 0
    for _ in range(num):
        text = mutate(rng.choice(texts), texts, rng)
        assert len(text) <= MAX_MUTATED_CHARS
        try:
            evaluate(text, EVERYTHING)
            accepted += 1
        except ExpressionError:
            pass
    return accepted


def hostile_texts() -> list[str]:
    """The collected hostile answers and as many random expressions, which reach deeper into the parser."""
    texts = [json.loads(line)["text"] for line in HOSTILE_FILE.read_text(encoding="utf-8").splitlines()]
    rng = Random("expressions")
    return texts + [random_expression(rng)[0] for _ in texts]


def test_random_expressions_have_the_value_they_were_built_with() -> None:
    assert hostile.expressions(2000, seed=1).failures == ()


def test_random_expressions_use_the_whole_grammar() -> None:
    rng = Random(2)
    texts = [random_expression(rng)[0] for _ in range(500)]
    for piece in ("+", "-", "*", "/", "^", "**", "--", "*-", "/-", "^-", "((", ".", "  ", " "):
        assert any(piece in text for text in texts), piece
    assert len(set(texts)) > 400


def test_only_expression_errors_escape_mutated_hostile_texts() -> None:
    texts = hostile_texts()
    assert 250 < count_accepted(5000, seed=3, texts=texts) < 4750


def test_the_generators_are_deterministic() -> None:
    texts = hostile_texts()
    for seed in range(300):
        assert random_expression(Random(seed)) == random_expression(Random(seed))
        first, again = (mutate(texts[seed], texts, Random(seed)) for _ in range(2))
        assert first == again


def test_few_hostile_answers_are_expressions() -> None:
    accepted = 0
    for line in HOSTILE_FILE.read_text(encoding="utf-8").splitlines():
        try:
            evaluate(json.loads(line)["text"])
            accepted += 1
        except ExpressionError:
            pass
    assert 0 < accepted < 15
