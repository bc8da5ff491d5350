r"""Linear equations in one letter, as word problems have them: ``x + 2x = 30``, ``3x = 30``, ``x = 10``.

In: a text. Out: its equations of this kind, each with its place, its letter and the one value that solves it.
They hold if they have the solution of an earlier one; the first one sets the letter up. Linear in the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from envs.arithmetic_steps.sides import read_literal
from envs.arithmetic_steps.tokens import Kind, Token, tokenize
from envs.arithmetic_steps.vocabulary import UNIT_LETTERS

MAX_TOKENS = 60
_OPERANDS = (Kind.NUMBER, Kind.OPEN, Kind.CLOSE, Kind.PERCENT)
_NOT_LETTERS = UNIT_LETTERS | {"a", "I"}
Line = tuple[Fraction, Fraction]
"""A multiple of the letter, and a number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearEquation:
    """An equation in one letter.

    Attributes:
        span: Its place in the text.
        name: The letter.
        solution: The value that solves it.
        numbers: The numbers in it.
        num_operations: Number of its operations, ``2x`` included.
        is_solved: Whether it is the letter and its value, as ``x = 10``.
    """

    span: tuple[int, int]
    name: str
    solution: Fraction
    numbers: frozenset[Fraction]
    num_operations: int
    is_solved: bool


def find_linear(text: str) -> list[LinearEquation]:
    """The linear equations in one letter of a text, in order. No text makes it raise."""
    if "=" not in text:
        return []
    tokens = [token for token in tokenize(text) if token.kind is not Kind.MONEY]
    found: list[LinearEquation] = []
    start = 0
    for at in range(len(tokens) + 1):
        if at == len(tokens) or not _belongs(tokens, at):
            run = tokens[start:at]
            around = [*tokens[max(0, start - 1) : start], *tokens[at : at + 1]]
            is_cut_off = at + 1 < len(tokens) and tokens[at].kind is Kind.WORD and _joins(tokens[at + 1])
            if not is_cut_off and not any(map(_joins, around)) and (equation := _read(run)):
                found.append(equation)
            start = at + 1
    return found


def _belongs(tokens: list[Token], at: int) -> bool:
    token = tokens[at]
    if token.kind is Kind.WORD:
        return len(token.text) == 1 and token.text not in _NOT_LETTERS
    return token.kind in (*_OPERANDS, Kind.OPERATOR) or (token.kind is Kind.RELATION and token.text == "=")


def _joins(token: Token) -> bool:
    """Whether what stands beside it is a part of a longer formula, as in ``30 feet / 6``."""
    return token.kind in (
        Kind.UNKNOWN, Kind.FRACTION, Kind.SUPERSCRIPT, Kind.STARS, Kind.RELATION, Kind.OPERATOR,
    )  # fmt: skip


def _read(run: list[Token]) -> LinearEquation | None:
    if len(run) > MAX_TOKENS or sum(token.kind is Kind.RELATION for token in run) != 1:
        return None
    names = {token.text for at, token in enumerate(run) if _is_letter(run, at)}
    if len(names) != 1:
        return None
    (name,) = names
    middle = next(at for at, token in enumerate(run) if token.kind is Kind.RELATION)
    try:
        left, right = _Side(run[:middle]), _Side(run[middle + 1 :])
        (more, plus), (less, minus) = left.read(), right.read()
    except (_NotLinear, ZeroDivisionError):
        return None
    if more == less:
        return None
    literals = [read_literal(token.text) for token in run if token.kind is Kind.NUMBER]
    return LinearEquation(
        span=(run[0].start, run[-1].end),
        name=name,
        solution=(minus - plus) / (more - less),
        numbers=frozenset(literal[1] for literal in literals if literal is not None),
        num_operations=left.num_operations + right.num_operations,
        is_solved=len(run) == 3 and run[0].text == name,
    )


def _is_letter(run: list[Token], at: int) -> bool:
    """Whether a token is a letter that stands for a number; an ``x`` between two operands is a sign."""
    if run[at].kind is not Kind.WORD:
        return False
    if run[at].text not in "xX" or at == 0 or at + 1 == len(run):
        return True
    before, after = run[at - 1], run[at + 1]
    return before.kind not in (Kind.NUMBER, Kind.CLOSE, Kind.PERCENT) or after.kind not in (
        Kind.NUMBER,
        Kind.OPEN,
    )


class _NotLinear(ValueError):
    """A side is no linear formula."""


class _Side:
    """Reads one side as a multiple of the letter and a number."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0
        self.num_operations = 0

    def read(self) -> Line:
        found = self.sum()
        if self.at < len(self.tokens):
            raise _NotLinear
        return found

    def kind(self) -> Kind | None:
        return self.tokens[self.at].kind if self.at < len(self.tokens) else None

    def sign(self, signs: str) -> str:
        """The operator that comes next, if it is one of these."""
        if self.kind() is Kind.OPERATOR and self.tokens[self.at].text in signs:
            self.at += 1
            return self.tokens[self.at - 1].text
        return ""

    def sum(self) -> Line:
        more, number = self.term()
        while sign := self.sign("+-"):
            other, plus = self.term()
            self.num_operations += 1
            more, number = (more + other, number + plus) if sign == "+" else (more - other, number - plus)
        return more, number

    def term(self) -> Line:
        negative = bool(self.sign("-"))
        found = self.factor()
        while True:
            sign = self.sign("*/")
            if not sign and self.kind() not in (Kind.NUMBER, Kind.OPEN, Kind.WORD):
                return (-found[0], -found[1]) if negative else found
            if not sign and self.kind() is Kind.WORD and not _is_letter(self.tokens, self.at):
                self.at += 1
            self.num_operations += 1
            found = _quotient(found, self.factor()) if sign == "/" else _product(found, self.factor())

    def factor(self) -> Line:
        if self.at >= len(self.tokens):
            raise _NotLinear
        token = self.tokens[self.at]
        self.at += 1
        if token.kind is Kind.WORD:
            return Fraction(1), Fraction(0)
        if token.kind is Kind.NUMBER:
            literal = read_literal(token.text)
            if literal is None:
                raise _NotLinear
            value = literal[1]
            if self.kind() is Kind.PERCENT:
                self.at += 1
                value /= 100
            return Fraction(0), value
        if token.kind is not Kind.OPEN or self.depth > 10:
            raise _NotLinear
        self.depth += 1
        found = self.sum()
        self.depth -= 1
        if self.kind() is not Kind.CLOSE:
            raise _NotLinear
        self.at += 1
        return found


def _product(one: Line, other: Line) -> Line:
    if one[0] and other[0]:
        raise _NotLinear
    return one[0] * other[1] + other[0] * one[1], one[1] * other[1]


def _quotient(one: Line, other: Line) -> Line:
    if other[0]:
        raise _NotLinear
    return one[0] / other[1], one[1] / other[1]
