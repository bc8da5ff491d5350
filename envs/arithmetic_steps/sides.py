"""The records of an equation, and a side while it is read."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from envs.arithmetic import ExpressionError, Rules, evaluate
from envs.arithmetic_steps.tokens import GLYPHS
from envs.arithmetic_steps.vocabulary import NUMBER_WORDS, UNITS

RULES = Rules(operators=frozenset("+-*/^"), decimals=True, max_chars=400, max_tokens=200, max_depth=20)
MAX_DIGITS = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One side of an equation.

    Attributes:
        value: Its exact value; percentages are hundredths, and millions counted.
        plain: Its value with the plain numbers before percent signs and millions; equal to `value` without any.
        operands: The numbers it is computed from, percentages as plain numbers.
        num_operations: Number of binary operations.
        places: Number of decimals of a side that is one number, else None.
        has_percent: Whether it has a percentage.
        has_scale: Whether it has a number of thousands, millions or billions in words.
        units: The units of its numbers that can be converted.
        is_sum: Whether its operations are all sums and differences.
    """

    value: Fraction
    plain: Fraction
    operands: tuple[Fraction, ...]
    num_operations: int
    places: int | None
    has_percent: bool
    has_scale: bool
    units: frozenset[str]
    is_sum: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Equation:
    """A chain of sides.

    Attributes:
        span: Its place in the text.
        sides: Two sides or more.
        is_approximate: For each side but the first, whether it is only said to be about the one before.
    """

    span: tuple[int, int]
    sides: tuple[Side, ...]
    is_approximate: tuple[bool, ...]

    @property
    def num_operations(self) -> int:
        """The most operations of one side."""
        return max(side.num_operations for side in self.sides)


class Frame(NamedTuple):
    """An open bracket or argument of a fraction: what the side held before it, and where its content starts."""

    kind: str
    num_pieces: int = 0
    num_operands: int = 0
    num_operators: int = 0
    start: int = 0


class Draft:
    """A side while it is read.

    Its pieces are text for `envs.arithmetic`: each operator is one piece, and so is each number that is no
    fraction.
    """

    def __init__(self, start: int, *, about: bool = False) -> None:
        self.start = start
        self.end = start
        self.about = about
        self.pieces: list[str] = []
        self.factors: dict[int, str] = {}  # of pieces that are percentages or millions
        self.has_percent = False
        self.has_scale = False
        self.operands: list[Fraction] = []
        self.operators: list[str] = []
        self.units: set[str] = set()
        self.frames: list[Frame] = []
        self.wants_operand = True
        self.places: int | None = None
        self.num_words = 0
        self.last = -1  # token of the last operand

    def put_operand(self, piece: str, value: Fraction, token: int, end: int) -> None:
        """Add a number that ends at a place of the text."""
        self.pieces.append(piece)
        self.operands.append(value)
        self.closed(end)
        self.last = token

    def put_operator(self, operator: str) -> None:
        """Add an operator that wants another operand."""
        self.pieces.append(operator)
        self.operators.append(operator)
        self.wants_operand = True
        self.num_words = 0

    def closed(self, end: int) -> None:
        """An operand is complete."""
        self.wants_operand = False
        self.num_words = 0
        self.end = end

    def open(self, kind: str, piece: str) -> None:
        """Open a bracket."""
        self.frames.append(Frame(kind, len(self.pieces), len(self.operands), len(self.operators)))
        self.pieces.append(piece)
        self.wants_operand = True

    def inside(self) -> Draft:
        """What stands in the innermost open bracket, as a side of its own."""
        frame = self.frames[-1]
        inner = Draft(frame.start, about=self.about)
        first = frame.num_pieces + 1
        inner.pieces = self.pieces[first:]
        inner.factors = {at - first: factor for at, factor in self.factors.items() if at >= first}
        inner.operands = self.operands[frame.num_operands :]
        inner.operators = self.operators[frame.num_operators :]
        for name in ("has_percent", "has_scale", "units", "wants_operand", "places", "end"):
            setattr(inner, name, getattr(self, name))
        return inner

    def num_since(self, frame: Frame) -> int:
        """Number of operands since a bracket was opened."""
        return len(self.operands) - frame.num_operands

    def is_ratio(self) -> bool:
        """Whether it is a proper fraction and nothing else; "3/8 is $375" claims no equality."""
        return self.operators == ["/"] and len(self.pieces) == 3 and self.operands[0] < self.operands[1]

    def is_share(self) -> bool:
        """Whether it ends with a percentage or a fraction of two numbers."""
        pieces = self.pieces
        if self.factors.get(len(pieces) - 1) == "/100":
            return True
        return (
            (len(pieces) >= 3 and pieces[-2] == "/" and pieces[-1].isdecimal() and pieces[-3].isdecimal())
            or pieces[-1:] == ["))"]
            or (pieces[-1:] == [")"] and pieces[-3:-2] == ["/"])
        )

    def _scaled(self, at: int) -> str:
        piece, factor = self.pieces[at], self.factors.get(at)
        return piece if factor is None else f"({piece}{factor})" if piece != ")" else f"){factor}"

    def side(self) -> Side | None:
        """The side, without an operator at its end; None if it cannot be computed."""
        if self.operators and self.wants_operand and self.pieces and self.pieces[-1] == self.operators[-1]:
            self.pieces.pop()
            self.operators.pop()
        elif self.wants_operand:
            return None
        is_sum = all(operator in "+-" for operator in self.operators)
        if self.frames or not self.pieces or (is_sum and self.operators and _mixes(self.units)):
            return None
        try:
            if len(self.pieces) == 1:
                value = plain = self.operands[0]
            else:
                value = plain = evaluate("".join(self.pieces), RULES).value
            if self.factors:
                value = evaluate("".join(map(self._scaled, range(len(self.pieces)))), RULES).value
        except ExpressionError:
            return None
        return Side(
            value=value,
            plain=plain,
            operands=tuple(self.operands),
            num_operations=len(self.operators),
            places=self.places if not self.operators else None,
            has_percent=self.has_percent,
            has_scale=self.has_scale,
            units=frozenset(self.units),
            is_sum=is_sum,
        )


def _mixes(units: set[str]) -> bool:
    """Whether units of one dimension differ in size, as in 4 pounds - 6 ounces."""
    sizes = {UNITS[unit] for unit in units}
    return len(sizes) > len({dimension for dimension, _ in sizes})


def read_literal(text: str) -> tuple[str, Fraction, int] | None:
    """How `envs.arithmetic` spells a number, its value and its decimals; None if it is too long."""
    if text in GLYPHS:
        above, below = GLYPHS[text]
        return f"({above}/{below})", Fraction(above, below), 0
    if text in NUMBER_WORDS:
        return str(NUMBER_WORDS[text]), Fraction(NUMBER_WORDS[text]), 0
    if not text.isdecimal():
        text = "".join(character for character in text if character in "0123456789.")
    whole, point, part = text.partition(".")
    if len(whole) + len(part) > MAX_DIGITS:
        return None
    whole = whole.lstrip("0") or "0"
    if not point:
        return whole, Fraction(int(whole)), 0
    return f"{whole}.{part}", Fraction(int(whole + part), 10 ** len(part)), len(part)
