"""The gate in front of computer algebra: it stops what is too expensive to compute, and what is no mathematics.

In: tokens from `envs.maths.grammar`. Out: a reason to refuse them, or None. Tokens that pass reach math-verify,
and without the gate they could control its time and memory: 71 of 500 hostile answers ran into a limit of one
second.
"""

from __future__ import annotations

from collections.abc import Iterator

from envs.maths.grammar import CLOSE, OPEN
from envs.maths.vocabulary import BLOW_UPS, FUNCTIONS, NO_VALUE, SYMBOLS

MAX_DIGITS = 29
MAX_COMPUTED_TOKENS = 200
MAX_MATRIX_ENTRIES = 16
MAX_POWER_OF_NUMBER = 999
MAX_POWER_OF_LETTER = 100
MAX_POWER_OF_GROUP = 12
_MATRIX = frozenset(("\\begin", "\\end", "\\\\", "&"))
_MATRIX_NAMES = frozenset(("pmatrix", "bmatrix", "matrix"))
_SIGNS = frozenset("+-*/^_=<>()[]{}|,.%:") | {"<=", ">=", "!=", "°", " "}
_NUMERIC = frozenset("+-*/^(){}., %") | {r"\frac"}


def why_too_much(tokens: list[str]) -> str | None:
    """The reason why tokens must not reach a computer-algebra system, or None if they may.

    Refused are sums, products, integrals, limits, binomials, factorials, floors, numbers of over `MAX_DIGITS`
    digits, powers of powers, exponents over the bounds at the head of this file, matrices over
    `MAX_MATRIX_ENTRIES`, scientific notation, and more than `MAX_COMPUTED_TOKENS` tokens.
    """
    if len(tokens) > MAX_COMPUTED_TOKENS:
        return f"{len(tokens)} symbols, at most {MAX_COMPUTED_TOKENS}"
    entries = tokens.count("&") + tokens.count("\\\\")
    if entries >= MAX_MATRIX_ENTRIES:
        return f"a matrix of more than {MAX_MATRIX_ENTRIES} entries"
    for at, token in enumerate(tokens):
        if token in BLOW_UPS or token == "!":
            return f"{token} is not computed"
        if len(token) > MAX_DIGITS and token.isdecimal():
            return f"a number of {len(token)} digits, at most {MAX_DIGITS}"
        if token in ("e", "E") and at and tokens[at - 1].isdecimal():
            after = tokens[at + 1 : at + 3]
            if any(part.isdecimal() for part in after[: 1 + (after[:1] in (["+"], ["-"]))]):
                return "scientific notation"
    return _why_too_high(tokens)


def _why_too_high(tokens: list[str]) -> str | None:
    in_exponent = 0  # depth of brackets inside an exponent, 0 outside
    before = ""
    for at, token in enumerate(tokens):
        if token == "^":
            if in_exponent or (before == "}" and _closes_exponent(tokens, at)):
                return "a power of a power"
            limit = MAX_POWER_OF_LETTER
            if before.isdecimal():
                limit = MAX_POWER_OF_NUMBER if len(before) <= 3 else MAX_POWER_OF_GROUP
            elif before in CLOSE:
                limit = MAX_POWER_OF_GROUP
            for part in _exponent(tokens, at + 1):
                if part.isdecimal() and (len(part) > 4 or int(part) > limit):
                    return f"an exponent over {limit}"
            in_exponent = 1
        elif in_exponent:
            in_exponent += (token in OPEN) - (token in CLOSE)
            if in_exponent == 1 and token in CLOSE:
                in_exponent = 0
        if token != " ":
            before = token
    return None


def _exponent(tokens: list[str], at: int) -> Iterator[str]:
    depth = 0
    while at < len(tokens):
        depth += (tokens[at] in OPEN) - (tokens[at] in CLOSE)
        yield tokens[at]
        if depth <= 0:
            return
        at += 1


def _closes_exponent(tokens: list[str], at: int) -> bool:
    """Whether the brace that closes before `at` belongs to an exponent, as in ``2^{3}^{4}``."""
    depth = 0
    for place in range(at - 1, -1, -1):
        depth += (tokens[place] in CLOSE) - (tokens[place] in OPEN)
        if depth == 0 and tokens[place] != " ":
            return place > 0 and tokens[place - 1] == "^"
    return False


def is_mathematics(tokens: list[str]) -> bool:
    """Whether all tokens are mathematics: no long words, no unknown commands or signs."""
    for at, token in enumerate(tokens):
        if token == "." and tokens[at + 1 : at + 2] == ["."]:
            return False  # an ellipsis states no value
        if token in NO_VALUE:
            return False
        if token in _SIGNS or token in FUNCTIONS or token in SYMBOLS or token in _MATRIX or token[0] == "'":
            continue
        if (
            token.isdecimal()
            or token in _MATRIX_NAMES
            or (token.isascii() and token.isalpha() and len(token) <= 4)
        ):
            continue
        return False
    return bool(tokens)


def is_numeric(tokens: list[str]) -> bool:
    """Whether all tokens are numbers and arithmetic, so that the decision of the native reader is final."""
    return all(token in _NUMERIC or token.isdecimal() for token in tokens)
