r"""Numbers in formulas: decimals with a repeated part, powers of ten, mixed numbers.

In: the tokens of a formula, and where its reader is. Out: the number that comes next, as a `Tree`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

Tree = tuple[Any, ...]


class Unreadable(ValueError):
    """The tokens are no formula of the grammar."""


class Numerals:
    """Tokens and a place in them; reads the numbers."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0

    def skip(self) -> None:
        """Pass over spaces."""
        while self.at < len(self.tokens) and self.tokens[self.at] == " ":
            self.at += 1

    def peek(self) -> str:
        """The next token that is no space; empty at the end."""
        self.skip()
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, token: str) -> None:
        """Pass over a token.

        Raises:
            Unreadable: Another one comes next.
        """
        if self.peek() != token:
            raise Unreadable(token)
        self.at += 1

    def number(self) -> Tree:
        """The number that comes next.

        Raises:
            Unreadable: It is none.
        """
        tokens = self.tokens
        whole = self.digits()
        places = repeated = ""
        if tokens[self.at : self.at + 1] == ["."]:
            self.at += 1
            places = self.digits()
            if tokens[self.at : self.at + 2] in (["\\overline", "{"], ["\\dot", "{"]) and tokens[
                self.at + 3 : self.at + 4
            ] == ["}"]:
                repeated = tokens[self.at + 2]
                if not (repeated.isascii() and repeated.isdecimal()):
                    raise Unreadable("a repeated part")
                self.at += 4
        if not whole and not places and not repeated:
            raise Unreadable("a point alone")
        if tokens[self.at : self.at + 1] == ["_"]:
            raise Unreadable("a numeral in another base")
        value = Fraction(int(whole + places or "0"), 10 ** len(places))
        if repeated:
            value += Fraction(int(repeated), (10 ** len(repeated) - 1) * 10 ** len(places))
        after = tokens[self.at : self.at + 3]
        if after[:1] in (["e"], ["E"]) and len(after) > 1:
            step = 2 if after[1] in ("+", "-") else 1
            power = tokens[self.at + step] if self.at + step < len(tokens) else ""
            if power.isdecimal() and len(power) <= 4:
                self.at += step + 1
                exponent = -int(power) if after[1] == "-" else int(power)
                return ("n", *(value * Fraction(10) ** exponent).as_integer_ratio())
        if len(after) >= 3 and not places and after[0] == " " and after[1].isdecimal():
            mixed = self.mixed(value)
            if mixed is not None:
                return mixed
        return ("n", value.numerator, value.denominator)

    def digits(self) -> str:
        """The digits that come next, or nothing."""
        if self.at < len(self.tokens) and self.tokens[self.at].isdecimal() and self.tokens[self.at].isascii():
            self.at += 1
            return self.tokens[self.at - 1]
        return ""

    def mixed(self, whole: Fraction) -> Tree | None:
        """``1 1/2``: a whole number, a space and a proper fraction."""
        rest = [token for token in self.tokens[self.at + 1 : self.at + 6] if token != " "][:3]
        if len(rest) == 3 and rest[1] == "/" and rest[0].isdecimal() and rest[2].isdecimal():
            above, below = int(rest[0]), int(rest[2])
            if 0 < above < below:
                left = 3
                while left:
                    left -= self.tokens[self.at] != " "
                    self.at += 1
                value = whole + Fraction(above, below)
                return ("n", value.numerator, value.denominator)
        return None
