"""Reads one number exactly: a decimal, fraction, mixed number, percentage or arithmetic, also with a unit.

In: tokens from `envs.maths.grammar`. Out: a `MathAnswer`, or None. Text is converted to a number only if a
pattern of ASCII digits of bounded length matches all of it. `envs.arithmetic` reads all other arithmetic.
"""

from __future__ import annotations

import re
from fractions import Fraction

from envs.arithmetic import ExpressionError, Rules, evaluate
from envs.maths.grammar import strip
from envs.maths.values import Kind, MathAnswer
from envs.maths.vocabulary import NOT_UNITS, SHORT_UNITS

RULES = Rules(
    operators=frozenset("+-*/^"),
    decimals=True,
    max_chars=200,
    max_tokens=80,
    max_depth=16,
    max_bits=8192,
    max_exponent=999,
)

_NUMBER = re.compile(
    r"([+-]?) ?(?:([0-9]{1,40})|([1-9][0-9]{0,2}(?:,[0-9]{3}){1,12})|([1-9][0-9]{0,2}(?: [0-9]{3}){1,12}))?"
    r"(?:\.([0-9]{0,40}))?"
)
_SLASH = re.compile(
    r"([+-]?) ?(?:([0-9]{1,40}|[1-9][0-9]{0,2}(?: [0-9]{3}){1,12}) )?([0-9]{1,40}) ?/ ?([0-9]{1,40})"
)
_FRAC = re.compile(
    r"([+-]?) ?(?:([0-9]{1,40}) ?)?\\frac\{ ?([+-]?) ?([0-9]{1,40}) ?\}\{ ?([+-]?) ?([0-9]{1,40}) ?\}"
)
_SCIENTIFIC = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})? ?\* ?10\^\{?-?[0-9]{1,3}\}?")
_COLONS = re.compile(r"[0-9]{1,4}(?: ?: ?[0-9]{1,4}){1,3}")
_BASED = re.compile(r"([0-9]{1,40})_(?:\{([0-9]{1,2})\}|([0-9]))")


def read_numeral(joined: str) -> MathAnswer | None:
    """A time or a ratio (``12:30``), or a numeral in another base (``204_5``); these are compared as text."""
    if _COLONS.fullmatch(joined):
        return MathAnswer(kind=Kind.WORD, word=joined.replace(" ", ""))
    if found := _BASED.fullmatch(joined.replace(" ", "")):
        return MathAnswer(kind=Kind.WORD, word=f"{found[1]}_{found[2] or found[3]}")
    return None


def read_number(tokens: list[str]) -> MathAnswer | None:
    """A number, also followed by a percent sign, a unit or the thing counted; None for anything else."""
    end = 0
    while end < len(tokens) and not _starts_suffix(tokens[end]):
        end += 1
    is_percent = False
    if end < len(tokens):
        suffix = strip(tokens[end:])
        is_percent = suffix == ["%"]
        if not is_percent and not _is_unit(suffix, tokens[end - 1] == " "):
            return None
    text = "".join(tokens[:end]).strip()
    value = _read_value(text)
    if value is None:
        return None
    return MathAnswer(
        kind=Kind.NUMBER, value=value, is_percent=is_percent, is_computed=_is_computed(text, value)
    )


def _starts_suffix(token: str) -> bool:
    return token[0] == "'" or token in ("%", "°") or (token.isalpha() and token.isascii())


def _is_unit(tokens: list[str], after_space: bool) -> bool:
    """Whether tokens after a number are a unit or the thing counted: words, degrees, a final power."""
    if tokens[-3:-1] == ["^", "{"]:
        return False
    if len(tokens) > 4 and tokens[-4:-2] == ["^", "{"] and tokens[-1] == "}" and tokens[-2] in ("2", "3"):
        tokens = tokens[:-4]
    words = 0
    for token in tokens:
        if token in (" ", "°"):
            continue
        if token[0] == "'":
            if len(token) == 1 or any(letter.isdecimal() for letter in token):
                return False
            words += 1
        elif token.isalpha() and token.isascii() and token.casefold() not in NOT_UNITS:
            if not (token.casefold() in SHORT_UNITS or (len(token) >= 3 and after_space) or "°" in tokens):
                return False
            words += 1
        elif token != "/" and token != ".":
            return False
    return words <= 4


def _read_value(text: str) -> Fraction | None:
    """The value of a plain number, fraction or arithmetic expression."""
    if found := _NUMBER.fullmatch(text):
        sign, plain, commas, spaces, decimals = found.groups()
        whole = plain or (commas or spaces or "").replace(",", "").replace(" ", "")
        digits = whole + (decimals or "")
        if not digits:
            return None
        return Fraction(int(sign + digits), 10 ** len(decimals or ""))
    if found := _SLASH.fullmatch(text):
        sign, mixed, above, below = found.groups()
        return _fraction(sign, (mixed or "").replace(" ", ""), int(above), int(below))
    if found := _FRAC.fullmatch(text):
        sign, mixed, over, above, under, below = found.groups()
        if mixed and (over or under):
            return None
        return _fraction(sign, mixed or "", int(over + above), int(under + below))
    plain_text = _to_plain(text)
    if plain_text is None:
        return None
    try:
        return evaluate(plain_text, RULES).value
    except ExpressionError:
        return None


def _is_computed(text: str, value: Fraction) -> bool:
    """Whether arithmetic is left to do; not in a single number, a proper result such as 3/4, or ``2*10^3``."""
    text = text.strip("() ")
    if _NUMBER.fullmatch(text.strip("(){} ")) or _SCIENTIFIC.fullmatch(text):
        return False
    if _SLASH.fullmatch(text) or _FRAC.fullmatch(text):
        return value.denominator == 1
    return True


def _fraction(sign: str, mixed: str, above: int, below: int) -> Fraction | None:
    if below == 0 or (mixed and above >= below):
        return None
    value = Fraction(above, below) + int(mixed or "0")
    return -value if sign == "-" else value


def _to_plain(text: str) -> str | None:
    r"""LaTeX arithmetic as plain arithmetic: ``\frac{a}{b}`` as ``((a)/(b))``, ``{`` as ``(``; or None."""
    if "{" not in text:
        return text.removeprefix("+")
    out: list[str] = []
    waiting: list[str] = []  # for each open brace, the text of its closing one
    at = 0
    while at < len(text):
        if text.startswith("\\frac{", at):
            out.append("((")
            waiting.append(")/(")
            at += 6
            continue
        character = text[at]
        at += 1
        if character == "{":
            out.append("(")
            waiting.append(")")
        elif character == "}":
            if not waiting:
                return None
            closing = waiting.pop()
            if closing == ")/(":
                if not text.startswith("{", at):
                    return None
                at += 1
                waiting.append("))")
            out.append(closing)
        elif character == "\\":
            return None
        else:
            out.append(character)
    return "".join(out).removeprefix("+")
