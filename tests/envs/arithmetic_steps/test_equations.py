r"""What is an equation in a text, and whether its sides are equal."""

from __future__ import annotations

from random import Random

import pytest

from envs.arithmetic_steps import find_equations
from envs.arithmetic_steps.claims import holds
from tests.kit.fuzz import mutate

# A text, its equations as they stand in it, and whether each holds.
FOUND = [
    ("Natalia sold 48/2 = 24 clips in May.", {"48/2 = 24": True}),  # GSM8K
    ("Natalia sold 48/2 = <<48/2=24>>24 clips.", {"48/2 = <<48/2=24>>24": True}),
    ("She has <<3*4=12>>12 apples.", {"3*4=12": True}),
    ("She earned 0.2 x 50 = $10.", {"0.2 x 50 = $10": True}),  # GSM8K
    ("48/2 = 25", {"48/2 = 25": False}),
    ("(3 + 4) * 2 = 7 * 2 = 14", {"(3 + 4) * 2 = 7 * 2 = 14": True}),
    ("3 * 4 = 12 + 5 = 17", {"3 * 4 = 12 + 5 = 17": False}),  # a running total is no equation
    ("3 + 4 = 7. 7 * 2 = 14", {"3 + 4 = 7": True, "7 * 2 = 14": True}),
    ("He has 7 (3 + 4 = 7) apples.", {"3 + 4 = 7": True}),
    ("The cost of 3 apples = 3 * 2 = 6", {"3 * 2 = 6": True}),
    ("x = 3 * 4 = 12", {"3 * 4 = 12": True}),
    ("3 + 4\n= 7", {"3 + 4\n= 7": True}),
    ("5 apples per day * 3 days = 15 apples", {"5 apples per day * 3 days = 15": True}),
    ("5 apples * $3/apple = $15", {"5 apples * $3/apple = $15": True}),
    ("5 (apples) * 3 (dollars) = 15", {"5 (apples) * 3 (dollars) = 15": True}),
    ("12 sq. ft. - 2 sq. ft. = 10 sq. ft.", {"12 sq. ft. - 2 sq. ft. = 10": True}),
    ("a 120-page book - 12 pages = 108", {"120-page book - 12 pages = 108": True}),
    # spellings of operators
    (
        "3 × 4 = 12, 12 ÷ 4 = 3, 5 − 2 = 3, 2·3 = 6",
        {"3 × 4 = 12": True, "12 ÷ 4 = 3": True, "5 − 2 = 3": True, "2·3 = 6": True},
    ),
    ("6 ∗ 7 = 42, 1⁄2 ∗ 8 = 4", {"6 ∗ 7 = 42": True, "1⁄2 ∗ 8 = 4": True}),
    ("3 times 4 equals 12", {"3 times 4 equals 12": True}),
    ("12 divided by 4 is 3", {"12 divided by 4 is 3": True}),
    ("8 times six equals 48", {"8 times six equals 48": True}),
    ("2(3 + 4) = 14 and (2)(3) = 6", {"2(3 + 4) = 14": True, "(2)(3) = 6": True}),
    ("5^2 = 25, 5² = 25, 5**2 = 25", {"5^2 = 25": True, "5² = 25": True, "5**2 = 25": True}),
    ("3 cm * 4 cm = 12 cm^2", {"3 cm * 4 cm = 12 cm": True}),
    # numbers
    ("80,000 + 50,000 = $130,000", {"80,000 + 50,000 = $130,000": True}),
    ("600 x 30 = 18 000 watts", {"600 x 30 = 18 000": True}),
    ("$100 000 x 10/100 = $10 000 profit", {"$100 000 x 10/100 = $10 000": True}),
    ("$100 000 + $12 500 = $112 500", {"$100 000 + $12 500 = $112 500": True}),
    ("1 250 000 - 50 000 = 1 200 000", {"1 250 000 - 50 000 = 1 200 000": True}),
    ("100\u2009000 / 4 = 25\u202f000", {"100\u2009000 / 4 = 25\u202f000": True}),
    ("12\u00a0345.5 + 1 = 12\u00a0346.5", {"12\u00a0345.5 + 1 = 12\u00a0346.5": True}),
    (
        "2 1/2 * 4 = 10, 2½ * 4 = 10, ½ * 8 = 4",
        {"2 1/2 * 4 = 10": True, "2½ * 4 = 10": True, "½ * 8 = 4": True},
    ),
    ("60 / 3/4 = 80", {"60 / 3/4 = 80": True}),
    ("5 million + 3 million = 8,000,000", {"5 million + 3 million = 8,000,000": True}),
    ("32 / 2 = $16 million", {"32 / 2 = $16 million": True}),
    ("-3 + 5 = 2 and 3 * -2 = -6", {"-3 + 5 = 2": True, "3 * -2 = -6": True}),
    # rounding
    ("10 / 3 = 3.33", {"10 / 3 = 3.33": True}),
    ("2 / 3 = 0.66", {"2 / 3 = 0.66": True}),
    ("2 / 3 = 0.68", {"2 / 3 = 0.68": False}),
    ("10 / 4 = 2.4", {"10 / 4 = 2.4": False}),
    ("10 / 3 = 3.333...", {"10 / 3 = 3.333...": True}),
    ("10 / 3 = 3", {"10 / 3 = 3": False}),
    ("10 / 3 ≈ 3", {"10 / 3 ≈ 3": True}),
    ("10 / 3 = about 3", {"10 / 3 = about 3": True}),
    ("7 * 7 ≈ 90", {"7 * 7 ≈ 90": False}),
    # percentages
    ("20% of 50 is 10", {"20% of 50 is 10": True}),
    ("50 * 20% = 10", {"50 * 20% = 10": True}),
    ("50 * 20% = 1000", {"50 * 20% = 1000": False}),
    ("100% - 20% = 80%", {"100% - 20% = 80%": True}),
    ("100 - 20% = 80%", {"100 - 20% = 80%": True}),
    ("3 / 12 * 100 = 25%", {"3 / 12 * 100 = 25%": True}),
    ("3 / 12 = 25%", {"3 / 12 = 25%": True}),
    ("1/2 of the 50 = 25", {"1/2 of the 50 = 25": True}),
    # units
    ("60 * 2 = 120 cents = $1.20", {"60 * 2 = 120 cents = $1.20": True}),
    ("60 * 2 = 120 cents = $1.30", {"60 * 2 = 120 cents = $1.30": False}),
    ("2 hours * 3 = 360 minutes", {"2 hours * 3 = 360 minutes": True}),
    (r"2 hours * 3 = 360 \text{ minutes}", {r"2 hours * 3 = 360 \text{ minutes": True}),
    ("2 hours * 3 = 7 hours", {"2 hours * 3 = 7 hours": False}),
    # LaTeX and mark-up
    (r"$\frac{1}{2} \times 10 = 5$", {r"$\frac{1}{2} \times 10 = 5$": True}),
    (r"\[ 2\frac{1}{2} \cdot 4 = \boxed{10} \]", {r"2\frac{1}{2} \cdot 4 = \boxed{10": True}),
    (r"\frac12 * 4 = 2", {r"\frac12 * 4 = 2": True}),
    (r"12 \text{ apples} \times \$3 = \$36", {r"12 \text{ apples} \times \$3 = \$36": True}),
    (r"x &= 3 + 4 \\ &= 7", {r"3 + 4 \\ &= 7": True}),
    (r"\left(3 + 4\right) \div 7 = 1", {r"(3 + 4\right) \div 7 = 1": True}),
    ("**3 * 4 = 12**", {"3 * 4 = 12": True}),
    ("- 3 * 4 = 12", {"3 * 4 = 12": True}),
    ("1. 3 * 4 = 12", {"3 * 4 = 12": True}),
]
NOTHING = """\
x = 5
2x + 3 = 7 + 0
10m - 7 = 93 and m = 10
15+2a = 35
3 + x * 2 = 4 + 1
K + 3K - 4 = 92
number of pages*(2/3) = 96
20(Pencil Price) + 5 = 80
60 minutes = 1 hour
7:50 + 30 minutes = 8:20 a.m.
12/25/2020
He has 5 apples and 3 pears.
3/8 is equal to $375
half of 10 is 5
4 pounds - 6 ounces = 58 ounces
16,0000/10=1600
3 * 4 =
= 12
√16 + 3 = 4 + 3
\\sqrt{16} + 3 = 4 + 3
A1 + 2 = 3
3 * 4 < 13
13,15,17&19 = 4 lessons
"""


@pytest.mark.parametrize(("text", "expected"), FOUND, ids=[text for text, _ in FOUND])
def test_equations_are_found_and_judged(text: str, expected: dict[str, bool]) -> None:
    found = {text[slice(*equation.span)]: holds(equation) for equation in find_equations(text)}
    assert found == expected


@pytest.mark.parametrize("text", NOTHING.splitlines())
def test_what_cannot_be_computed_is_no_equation(text: str) -> None:
    assert find_equations(text) == []


def test_operations_are_counted_without_those_of_numbers() -> None:
    def operations(text: str) -> int:
        (equation,) = find_equations(text)
        return equation.num_operations

    assert operations("3 * 4 = 12") == 1
    assert operations("20% of 2 1/2 = 0.5") == 1  # a mixed number is one number
    assert operations("100 - 50 - 30 - 15 = 5") == 3
    assert operations("(3 + 4) * 2 = 7 * 2 = 14") == 2  # all that the chain does


def test_an_equation_reads_alone_as_it_does_in_its_text() -> None:
    # Steps are judged by their own text.
    rng = Random(0)
    texts = [text for text, _ in FOUND] + NOTHING.splitlines()
    joined = [" ".join(rng.choices(texts, k=5)) for _ in range(200)]
    for text in joined + [mutate(text, texts, rng) for text in joined]:
        for equation in find_equations(text):
            (again,) = find_equations(text[slice(*equation.span)])
            assert (again.sides, again.is_approximate) == (equation.sides, equation.is_approximate), text
