"""Random expressions and mutated texts, to test graders with many more inputs than a table has.

In: a `random.Random`. Out: an expression or text, the same for the same state of the generator.
`random_expression` returns text whose value is known without the parser under test; `mutate` turns hostile text
into other hostile text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from random import Random

from envs.arithmetic import Rules

EVERYTHING = Rules(operators=frozenset("+-*/^"), decimals=True)  # what `random_expression` writes
MAX_MUTATED_CHARS = 4000
_MAX_HEIGHT = 5
_MAX_BITS = 1000  # of a value; so far below `Rules.max_bits` that no estimate exceeds it
_SUM, _PRODUCT, _NEGATIVE, _POWER, _ATOM = range(5)

_LOOKALIKES = {
    **{
        digit: "".join(chr(zero + i) for zero in (0x0660, 0x0966, 0xFF10))
        for i, digit in enumerate("0123456789")
    },
    "2": "٢２²₂",
    "-": "−–—－",
    "+": "＋⁺",
    "*": "×∗·＊",
    "/": "÷∕⁄／",
    "^": "＾ˆ",
    "(": "（⁽",
    ")": "）⁾",
    ".": "．٫",
    " ": "\u00a0\u200b\u3000\t\n",
    "_": "＿",
}
_STRAY = "0123456789+-*/^(). ,!%=_exj\\{}[]<>$#'\"\x00\u202e\ud800٣½"


def random_expression(rng: Random) -> tuple[str, Fraction]:
    """Write a random expression that `EVERYTHING` allows, with its exact value.

    Spacing, the choice of ``^`` or ``**``, and unneeded parentheses are random. The value is computed while the
    tree is built.
    """
    while True:
        tokens, _, value = _grow(rng, rng.randint(0, _MAX_HEIGHT))
        gaps = ("",) if rng.random() < 0.3 else ("", "", " ", "  ")
        text = "".join(token + rng.choice(gaps) for token in tokens)
        if len(text) <= EVERYTHING.max_chars and len(tokens) <= EVERYTHING.max_tokens:
            return text, value


def _grow(rng: Random, height: int) -> tuple[list[str], int, Fraction]:
    """A random tree: its tokens, the rank of its root and its value."""
    if height == 0 or rng.random() < 0.1:
        return _literal(rng)
    tokens, rank, value = _grow(rng, height - 1)
    operator = rng.choice("++--**//^^n")
    if operator == "n":
        return ["-", *_enclose(rng, tokens, rank, _NEGATIVE)], _NEGATIVE, -value
    if operator == "^":
        by_tokens, by_rank, by = _exponent(rng)
    else:
        by_tokens, by_rank, by = _grow(rng, height - 1)
    result = _combine(operator, value, by)
    if result is None or max(result.numerator.bit_length(), result.denominator.bit_length()) > _MAX_BITS:
        return tokens, rank, value
    root, left_rank, right_rank = {
        "+": (_SUM, _SUM, _PRODUCT),
        "-": (_SUM, _SUM, _PRODUCT),
        "*": (_PRODUCT, _PRODUCT, _NEGATIVE),
        "/": (_PRODUCT, _PRODUCT, _NEGATIVE),
        "^": (_POWER, _ATOM, _NEGATIVE),
    }[operator]
    left = _enclose(rng, tokens, rank, left_rank)
    right = _enclose(rng, by_tokens, by_rank, right_rank)
    sign = rng.choice(("^", "**")) if operator == "^" else operator
    return [*left, sign, *right], root, result


def _literal(rng: Random) -> tuple[list[str], int, Fraction]:
    size = rng.random()
    if size < 0.04:
        whole = rng.randrange(10 ** rng.randint(3, 40))
    else:
        whole = rng.randrange(10 if size < 0.6 else 1000)
    if rng.random() < 0.85:
        return [str(whole)], _ATOM, Fraction(whole)
    whole %= 10**6
    places = rng.randint(1, 6)
    part = rng.randrange(10**places)
    return [f"{whole}.{part:0{places}}"], _ATOM, whole + Fraction(part, 10**places)


def _exponent(rng: Random) -> tuple[list[str], int, Fraction]:
    """An exponent: a small integer, its negative, a power, or a whole quotient."""
    small = rng.randint(0, 9)
    kind = rng.random()
    if kind < 0.5:
        return [str(small)], _ATOM, Fraction(small)
    if kind < 0.7:
        return ["-", str(small)], _NEGATIVE, Fraction(-small)
    if kind < 0.8:
        return ["2", "^", str(small % 4)], _POWER, Fraction(2 ** (small % 4))
    if kind < 0.9:
        return ["-", "2", "^", str(small % 4)], _NEGATIVE, Fraction(-(2 ** (small % 4)))
    return [str(2 * small), "/", "2"], _PRODUCT, Fraction(small)


def _combine(operator: str, left: Fraction, right: Fraction) -> Fraction | None:
    """The value of one operation, or None if it has none or is too large."""
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    if operator == "/":
        return left / right if right else None
    times = int(right)
    if not left and times < 0:
        return None
    if abs(times) * max(left.numerator.bit_length(), left.denominator.bit_length()) > _MAX_BITS:
        return None
    result = Fraction(1)
    for _ in range(abs(times)):
        result *= left
    return result if times >= 0 else 1 / result


def _enclose(rng: Random, tokens: list[str], rank: int, least: int) -> list[str]:
    """Add parentheses if the rank needs them, and sometimes if it does not."""
    num_pairs = (rank < least) + (rng.random() < 0.15) + (rng.random() < 0.03)
    return ["("] * num_pairs + tokens + [")"] * num_pairs


def mutate(text: str, texts: Sequence[str], rng: Random) -> str:
    """Change a text by one to three random edits, some of which borrow from other texts.

    Args:
        text: The text.
        texts: Texts to borrow from, at least one.
        rng: The only source of randomness.

    Returns:
        At most `MAX_MUTATED_CHARS` characters.
    """
    for _ in range(rng.randint(1, 3)):
        text = rng.choice(_EDITS)(text[:MAX_MUTATED_CHARS], rng.choice(texts), rng)
    return text[:MAX_MUTATED_CHARS]


def _splice(text: str, other: str, rng: Random) -> str:
    """The start of one text and a part of another, or the other in the middle of it."""
    at = rng.randint(0, len(text))
    part = _part(other, rng)
    return text[:at] + part + (text[at:] if rng.random() < 0.5 else "")


def _truncate(text: str, other: str, rng: Random) -> str:
    return text[: rng.randint(0, len(text))] if rng.random() < 0.5 else text[rng.randint(0, len(text)) :]


def _nest(text: str, other: str, rng: Random) -> str:
    """Wrap the text many times, sometimes without closing."""
    before, after = rng.choice(
        (("(", ")"), ("-", ""), ("-(", ")"), ("1/(", ")"), ("2^", ""), ("[", "]"), ("{", "}"))
    )
    times = rng.choice((1, 2, 8, 63, 64, 65, 500))
    return before * times + text + (after * times if rng.random() < 0.7 else "")


def _duplicate(text: str, other: str, rng: Random) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + _part(text, rng) * rng.choice((1, 2, 10, 100)) + text[at:]


def _swap(text: str, other: str, rng: Random) -> str:
    """Replace one character, or all equal ones, by a character that looks the same."""
    known = sorted(_LOOKALIKES.keys() & set(text))
    if not known:
        return text
    old = rng.choice(known)
    return text.replace(old, rng.choice(_LOOKALIKES[old]), rng.choice((1, -1)))


def _stray(text: str, other: str, rng: Random) -> str:
    """Insert one character, or replace one."""
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice(_STRAY) + text[at + rng.randint(0, 1) :]


def _part(text: str, rng: Random) -> str:
    """At most 200 characters of a text."""
    start = rng.randint(0, len(text))
    return text[start : start + rng.randint(0, 200)]


_EDITS: tuple[Callable[[str, str, Random], str], ...] = (_splice, _truncate, _nest, _duplicate, _swap, _stray)
