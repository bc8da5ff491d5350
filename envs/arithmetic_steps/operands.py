"""The numbers that an equation may use: those of the question, and what is known without it."""

from __future__ import annotations

import re
from fractions import Fraction

from envs.arithmetic_steps.sides import read_literal
from envs.arithmetic_steps.tokens import Kind, Token, tokenize
from envs.arithmetic_steps.vocabulary import NUMBER_WORDS

LARGE = {
    "dozen": 12,
    "dozens": 12,
    "hundred": 100,
    "hundreds": 100,
    "thousand": 1000,
    "thousands": 1000,
    "k": 1000,
    "million": 10**6,
    "billion": 10**9,
}
WORDS: dict[str, tuple[Fraction, ...]] = {}
for _names, _values in {
    "half halves halfway halved halfs": "2 3 1/2 50",
    "twice double doubled doubles doubling": "2 3",
    "twins both couple pair pairs either": "2",
    "thrice triple tripled triples tripling": "3 4",
    "triplets trio tricycle tricycles": "3",
    "quadruple quadrupled quadruples quadrupling": "4 5",
    "quintuple": "5",
    "third thirds": "3 4 1/3 2/3",
    "quarter quarters quarterly": "4 3 5 1/4 3/4 25",
    "fourth fourths": "4 3 1/4 3/4",
    "fifth fifths": "5 4 1/5 4/5",
    "sixth sixths": "6 5 1/6 5/6",
    "seventh sevenths": "7 6 1/7 6/7",
    "eighth eighths": "8 7 1/8 7/8",
    "ninth ninths": "9 8 1/9 8/9",
    "tenth tenths": "10 9 1/10 9/10",
    "dozen dozens": "12",
    "hundred hundreds century centuries": "100",
    "thousand thousands": "1000",
    "million millions": "1000000",
    "decade decades": "10",
    "dime dimes": "10 1/10",
    "nickel nickels": "5 1/20",
    "penny pennies": "1/100",
    "second seconds minute minutes hour hours hourly": "60 3600 24",
    "am pm a.m p.m noon midnight": "12 60 24",
    "day days daily today": "24 60 365 30",
    "week weeks weekly": "52 24",
    "month months monthly": "4 12 30 31 28",
    "year years yearly annual annually": "12 52 365 30",
    "foot feet ft inch inches": "12",
    "weekday weekdays workday workdays school monday friday": "5",
    "monday tuesday wednesday thursday friday saturday sunday": "5 6",
    "january march may july august october december": "31",
    "february": "28 29",
    "triangle triangles triangular": "3",
    "square squares rectangle rectangles rectangular wheels legs dogs cats": "4",
    "pentagon pentagons": "5",
    "hexagon hexagons hexagonal": "6",
    "octagon octagons": "8",
    "pound pounds": "16",
    "ton tons": "2000",
    "yard yards": "3",
    "gallon gallons": "4 8 16 128",
    "quart quarts pint pints": "16 32",
    "die dice": "6 36",
    "deck decks": "52 13 4",
    "angle angles": "90 180 360",
}.items():
    for _name in _names.split():
        WORDS[_name] = WORDS.get(_name, ()) + tuple(map(Fraction, _values.split()))
CONSTANTS = frozenset(map(Fraction, [*range(11), 100, 1000, "1/2"]))
"""Accepted whatever the question: things to count, and powers of ten."""
CONVERSIONS: dict[str, tuple[Fraction, ...]] = {}
for _names, _values in {
    "cent cents ¢": "1/100",
    "dollar dollars $": "100",
    "second seconds": "1/60",
    "minute minutes mins min": "1/60 60",
    "hour hours hrs hr": "60 3600 1/24",
    "day days": "24 1/7",
    "week weeks": "7 1/52",
    "month months": "1/12 30 4",
    "year years": "12 52 365",
    "foot feet ft": "12 1/3",
    "inch inches": "1/12",
    "yard yards": "3 36",
    "ounce ounces oz": "1/16",
    "pound pounds lb lbs": "16",
    "kilometer kilometers km kg kilogram kilograms liter liters l": "1000",
    "gram grams g ml milliliter milliliters": "1/1000",
    "meter meters m": "100 1/1000",
    "centimeter centimeters cm": "1/100",
}.items():
    CONVERSIONS.update(dict.fromkeys(_names.split(), tuple(map(Fraction, _values.split()))))
COMPANY = frozenset(
    [
        "friend",
        "friends",
        "brother",
        "brothers",
        "sister",
        "sisters",
        "sibling",
        "siblings",
        "children",
        "kids",
        "others",
        "people",
        "coworkers",
        "co-workers",
        "classmates",
        "cousins",
        "roommates",
        "colleagues",
        "partners",
    ]
)
SIZES = {
    (large + "s" * plural, small): size
    for large, small, size in (
        ("hour", "minutes", 60),
        ("minute", "seconds", 60),
        ("day", "hours", 24),
        ("week", "days", 7),
        ("year", "months", 12),
    )
    for plural in (0, 1)
} | {("feet", "inches"): 12, ("foot", "inches"): 12}
_LISTED = re.compile(r"[A-Z][a-z]++(?:, (?:and )?[A-Z][a-z]++){1,9}+(?:,? and [A-Z][a-z]++)?")


def numbers(question: str) -> frozenset[Fraction]:
    """All numbers that a question states, or that its words and units stand for."""
    found: set[Fraction] = set()
    tokens = tokenize(question)
    read = _Numbers(tokens)
    for at in range(len(tokens)):
        found |= read.at(at)
    for match in _LISTED.finditer(question):
        found.add(Fraction(1 + match[0].count(",") + (" and " in match[0] and ", and " not in match[0])))
    return frozenset(found)


class _Numbers:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens

    def text(self, at: int) -> str:
        return self.tokens[at].text if 0 <= at < len(self.tokens) else ""

    def plain(self, at: int) -> tuple[Fraction, int] | None:
        """The number at a token and the token after it."""
        token = self.tokens[at]
        if token.kind is Kind.NUMBER:
            literal = read_literal(token.text)
            if literal is None:
                return None
            value, after = literal[1], at + 1
        elif token.text in NUMBER_WORDS:
            value, after = Fraction(NUMBER_WORDS[token.text]), at + 1
            if value >= 20:
                ones = after + (self.text(after) == "-")
                if 0 < NUMBER_WORDS.get(self.text(ones), 0) < 10:
                    value, after = value + NUMBER_WORDS[self.text(ones)], ones + 1
        else:
            return None
        return value, after

    def at(self, at: int) -> set[Fraction]:
        token = self.tokens[at]
        found = set(WORDS.get(token.text, ()))
        if token.kind is Kind.STOP and ":" in token.text[1:]:  # a time, or a ratio
            first, second = map(int, token.text.split(":"))
            found |= {Fraction(first), Fraction(second), Fraction(first + 12)}
        if token.text in ("half", "halves") and self.text(at - 1) == "a" and self.text(at - 2) == "and":
            found.add(Fraction(3, 2))
        number = self.plain(at)
        if number is None:
            return found
        value, after = number
        found.add(value)
        following = self.text(after)
        if following == "-":
            after += 1
            following = self.text(after)
        if following == "and" and self.text(after + 1 + (self.text(after + 1) in ("a", "one"))) in (
            "half",
            "halves",
        ):
            value += Fraction(1, 2)
            found |= {value, 12 * value}
            after += 2 + (self.text(after + 1) in ("a", "one"))
            following = self.text(after)
        if following in LARGE:
            value *= LARGE[following]
            found.add(value)
            after += 1 + (self.text(after + 1) == "and")
            if following == "hundred" and after < len(self.tokens) and (rest := self.plain(after)) is not None:
                value, after = value + rest[0], rest[1]
                found.add(value)
            following = self.text(after)
        if following == "/" and after + 1 < len(self.tokens):
            under = self.plain(after + 1)
            if under is not None and under[0]:
                share, below = value / under[0], under[0]
                found |= {share, 1 - share, 1 + share, below - value, below + value}
                whole = self.plain(at - 1 - (self.text(at - 1) == "and")) if at > 1 else None
                if whole is not None:
                    found.add(whole[0] + share)
        if following in ("%", "percent"):
            share = value / 100
            found |= {share, 1 - share, 1 + share, 100 - value, 100 + value}
        if self.text(at - 1) == "$" and value.denominator > 1:
            found.add(value * 100)
        if following == "times":
            found |= {value + 1, value - 1}  # parts of a total
        elif following in COMPANY or self.text(after + 1) in COMPANY or self.text(after + 2) in COMPANY:
            found.add(value + 1)
        elif following in ("minute", "minutes", "mins", "min") and value:
            found.add(60 / value)
        joined = after + 1 + (self.text(after + 1) == "and")
        size = SIZES.get((following, self.text(joined + 1)))
        if size is not None and (part := self.plain(joined)) is not None:
            found |= {value * size + part[0], value + part[0] / size}
        found |= {value * factor for factor in CONVERSIONS.get(following, ())}
        return found
