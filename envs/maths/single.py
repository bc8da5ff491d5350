r"""One value: a number, a formula, a word or a time, with its unit.

In: tokens without a comma or a relation outside brackets. Out: a `MathAnswer` of kind NUMBER, FORMULA, WORD or
TIME, or a constant such as ``\emptyset``; None if the tokens are none of these. Takes time linear in them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from envs.maths.algebra import has_letters, read_tree
from envs.maths.exact import is_computed, rational
from envs.maths.grammar import CLOSE, OPEN, closes, glue, strip
from envs.maths.numerals import Tree
from envs.maths.phrases import MULTIPLES, NUMBER_WORDS, read_based, read_date, read_number_words, read_time
from envs.maths.units import conversion, currency_unit, is_currency, known_unit, product, read_unit
from envs.maths.values import ALL_NUMBERS, HIGH, LOW, Kind, MathAnswer
from envs.maths.vocabulary import ALL_REALS, FUNCTIONS, NO_VALUE

_NUMBER = re.compile(
    r"([+-]?) ?(?:([0-9]{1,500})|([1-9][0-9]{0,2}(?:,[0-9]{3}){1,40})|([1-9][0-9]{0,2}(?: [0-9]{3}){1,12}))?"
    r"(?:\.([0-9]{0,200}))?"
)
_SLASH = re.compile(
    r"([+-]?) ?(?:([0-9]{1,40}|[1-9][0-9]{0,2}(?: [0-9]{3}){1,12}) )?([0-9]{1,40}) ?/ ?([0-9]{1,40})"
)
_FRAC = re.compile(
    r"([+-]?) ?(?:([0-9]{1,40}) ?)?\\frac\{ ?([+-]?) ?([0-9]{1,40}) ?\}\{ ?([+-]?) ?([0-9]{1,40}) ?\}"
)
_NAME = re.compile(
    r"[A-Za-z]{1,12}'{0,2}(?:_[A-Za-z0-9]{1,3}|_\{[A-Za-z0-9]{1,6}\})?(?:\([A-Za-z0-9,]{1,12}\))?"
    r"|\([A-Za-z](?:_[0-9])?(?:,[A-Za-z](?:_[0-9])?){1,5}\)|\\[A-Za-z]{1,10}(?:_[A-Za-z0-9]{1,3}|_\{[A-Za-z0-9]{1,6}\})?"
)
_WORDS = re.compile(r"[A-Za-z]+(?:[ '.-]{1,2}[A-Za-z]+){0,5}\.?")
_FAMILIES = tuple(
    map(frozenset, ("abcd", "xyzwt", "mnklj", "pqrst", "uvw", "ABCD", "XYZW", "PQRST", "MN", "UVW"))
)
_VOWELS = frozenset("aeiouyAEIOUY")
_LITTLE_WORDS = frozenset(
    [
        "no",
        "on",
        "in",
        "it",
        "is",
        "at",
        "an",
        "as",
        "am",
        "by",
        "go",
        "do",
        "so",
        "he",
        "be",
        "up",
        "us",
        "we",
        "me",
        "my",
        "of",
        "or",
        "to",
        "if",
        "ad",
        "ok",
        "oh",
        "hi",
    ]
)


def read_single(tokens: list[str]) -> MathAnswer | None:
    """Read one value."""
    if tokens[0][0] in "0123456789-+." and (found := read_plain("".join(tokens))):
        return found
    if tokens[-1] in ("\\infty", "\\emptyset", "}") and (found := _read_constant(glue(tokens))):
        return found
    if is_currency(tokens[0]) or is_currency(tokens[-1]) or (tokens[0] in "+-" and len(tokens) > 1):
        found = _read_money(tokens)
        if found is not None:
            return found
    return read_phrase(tokens) or _read_quantity(tokens) or _read_compound(tokens) or _read_word(tokens)


def name_of(tokens: list[str]) -> str:
    """The tokens as a name, such as ``x``, ``f(x)`` or ``(x,y)``; empty if they are none."""
    glued = "".join(
        token[1:] if token[0] == "'" and len(token) > 1 else token for token in tokens if token != " "
    )
    return glued if _NAME.fullmatch(glued) and glued not in ("e", "i") else ""


def read_plain(text: str) -> MathAnswer | None:
    """A decimal, a fraction or a mixed number."""
    computed = False
    if found := _NUMBER.fullmatch(text):
        sign, plain, commas, spaces, decimals = found.groups()
        whole = plain or (commas or spaces or "").replace(",", "").replace(" ", "")
        digits = whole + (decimals or "")
        if not digits:
            return None
        value: Fraction | None = Fraction(int(sign + digits), 10 ** len(decimals or ""))
    elif found := _SLASH.fullmatch(text):
        sign, mixed, above, below = found.groups()
        value = _fraction(sign, (mixed or "").replace(" ", ""), int(above), int(below))
        computed = value is not None and value.denominator == 1
    elif found := _FRAC.fullmatch(text):
        sign, mixed, over, above, under, below = found.groups()
        if mixed and (over or under):
            return None
        value = _fraction(sign, mixed or "", int(over + above), int(under + below))
        computed = value is not None and value.denominator == 1
    else:
        return None
    return None if value is None else MathAnswer(kind=Kind.NUMBER, value=value, is_computed=computed)


def _fraction(sign: str, mixed: str, above: int, below: int) -> Fraction | None:
    if below == 0 or (mixed and above >= below):
        return None
    value = Fraction(above, below) + int(mixed or "0")
    return -value if sign == "-" else value


def _read_constant(glued: str) -> MathAnswer | None:
    if glued in ("\\infty", "+\\infty", "-\\infty"):
        return LOW if glued[0] == "-" else HIGH
    if glued == "\\emptyset":
        return MathAnswer(kind=Kind.SET)
    return ALL_NUMBERS if glued == "\\mathbb{R}" else None


def _read_money(tokens: list[str]) -> MathAnswer | None:
    """An amount with a sign or code of a currency before or after it: ``-$5``, ``USD 29``, ``29 €``."""
    sign: list[str] = []
    if tokens[0] in "+-":
        sign, tokens = tokens[:1], strip(tokens[1:])
    if is_currency(tokens[0]):
        unit, rest = currency_unit(tokens[0]), strip(tokens[1:])
        if rest and is_currency(rest[0]):  # US $
            rest = strip(rest[1:])
    elif is_currency(tokens[-1]) and len(tokens) > 1:
        unit, rest = currency_unit(tokens[-1]), strip(tokens[:-1])
    else:
        return None
    if not rest or (sign and rest[0] in "+-"):
        return None
    answer = read_single([*sign, *rest])
    if answer is None or answer.kind not in (Kind.NUMBER, Kind.FORMULA) or answer.is_percent:
        return None
    if answer.unit is not None and answer.unit.powers and answer.unit != unit:
        unit = product(unit, answer.unit, 1)  # $5 per hour
    return replace(answer, unit=unit, tree=answer.tree if answer.kind is Kind.FORMULA else None)


def read_phrase(tokens: list[str]) -> MathAnswer | None:
    """A time, a date, a numeral in another base, or a number in words; None for anything else."""
    joined = "".join(token.removeprefix("'") if len(token) > 1 else token for token in tokens)
    if len(joined) > 80:
        return None
    if joined[0].isdecimal():
        if ":" in joined or joined[-1] in "mM.)":
            time = read_time(joined)
            if time is not None:
                return MathAnswer(kind=Kind.TIME, time=time)
        if "_" in joined and (numeral := read_based(joined.replace(" ", ""))):
            return MathAnswer(kind=Kind.WORD, word=numeral)
    if joined[0].isalpha() or joined[0].isdecimal():
        if any(letter.isdecimal() for letter in joined) and (date := read_date(joined)):
            return MathAnswer(kind=Kind.WORD, word=date)
        first = joined.split(" ")[0].split("-")[0].lower()
        if first in NUMBER_WORDS and (number := read_number_words(joined)) is not None:
            return MathAnswer(kind=Kind.NUMBER, value=number)
    return None


def _read_quantity(tokens: list[str]) -> MathAnswer | None:
    """A formula, also with a percent sign, a unit or the thing counted."""
    if "°" in tokens and not FUNCTIONS.isdisjoint(tokens):
        return _read_formula(tokens)  # \\sin 30°
    if tokens[-3:] == ["(", "%", ")"]:
        tokens = [*tokens[:-3], "%"]
    if tokens[-1] == "%":
        answer = _read_formula(strip(tokens[:-1]))
        return replace(answer, is_percent=True) if answer is not None and answer.kind is Kind.NUMBER else None
    depth = tries = 0
    for at, token in enumerate(tokens):
        if depth == 0 and at and _may_be_unit(tokens, at):
            tries += 1
            if tries > 8:
                break
            before = strip(tokens[:at])
            suffix = strip(tokens[at:])
            answer = _read_multiple(before, suffix, after_space=tokens[at - 1] == " ") or _read_with_unit(
                before, suffix, after_space=tokens[at - 1] == " "
            )
            if answer is not None:
                alternative = read_tree(tokens) if answer.tree is None and answer.word == "?" else None
                return replace(answer, word="", tree=answer.tree or alternative)
        depth += (token in OPEN) - (token in CLOSE)
    return _read_formula(tokens)


def _read_compound(tokens: list[str]) -> MathAnswer | None:
    """``5 ft 3 in`` or ``3 hours 20 minutes``: two amounts of one kind, the smaller unit last."""
    cut = next(
        (at for at in range(2, len(tokens)) if tokens[at].isdecimal() and _is_word(tokens[at - 2 : at])), 0
    )
    if not cut or not tokens[0].isdecimal() or len(tokens) > 16:
        return None
    first, second = _read_quantity(strip(tokens[:cut])), _read_quantity(strip(tokens[cut:]))
    if first is None or second is None or first.unit is None or second.unit is None:
        return None
    factor = conversion(first.unit, second.unit)
    is_one_kind = first.unit.powers and first.unit.powers == second.unit.powers
    if not is_one_kind or factor is None or factor >= 1 or second.value * factor >= 1 or second.is_computed:
        return None
    return MathAnswer(kind=Kind.NUMBER, value=first.value + second.value * factor, unit=first.unit)


def _may_be_unit(tokens: list[str], at: int) -> bool:
    token = tokens[at]
    if token == "°":
        return True
    if token[0] == "'":
        return len(token) > 1
    if token == "\\frac":
        return any(part[0] == "'" and len(part) > 1 for part in tokens[at + 1 : at + 4])
    if token == "(":
        return tokens[at + 1 : at + 2] != [] and len(tokens[at + 1]) > 2 and tokens[at + 1].strip("'").isalpha()
    return token.isascii() and token.isalpha()


def _read_multiple(before: list[str], suffix: list[str], *, after_space: bool) -> MathAnswer | None:
    """``2.5 million``, ``2 dozen eggs``."""
    word = suffix[0].removeprefix("'")
    head, _, tail = word.partition(" ")
    size = MULTIPLES.get(head.lower())
    if size is None or (not after_space and len(head) < 6):
        return None
    number = _read_formula(before)
    rest = strip((["'" + tail] if tail else []) + suffix[1:])
    if number is None or number.kind is not Kind.NUMBER:
        return None
    number = replace(number, value=number.value * size)
    if not rest:
        return number
    if rest[0] in MULTIPLES:
        return None
    found = read_unit(rest, after_space=True)
    return replace(number, unit=found.unit) if found else None


def _read_with_unit(before: list[str], suffix: list[str], *, after_space: bool) -> MathAnswer | None:
    found = read_unit(suffix, after_space=after_space)
    if found is None or not before:
        return None
    answer = _read_formula(before)
    if answer is None and len(before) == 1 and not found.is_bare and (tree := read_tree(before)):
        answer = MathAnswer(kind=Kind.FORMULA, tree=tree)  # x meters
    if answer is None:
        return None
    if (
        answer.kind is Kind.FORMULA
        and found.is_bare
        and (answer.tree is None or has_letters(answer.tree) or not _is_long(suffix))
    ):
        return None  # letters of the formula
    return replace(answer, unit=found.unit, word="?" if found.is_bare else "")


def _is_long(suffix: list[str]) -> bool:
    return any(len(token) > 2 or (known_unit(token) and len(token) > 1) for token in suffix)


def _read_formula(tokens: list[str]) -> MathAnswer | None:
    if not tokens:
        return None
    inner = tokens[1:-1] if tokens[0] in ("(", "{") and closes(tokens, 0) == len(tokens) - 1 else tokens
    if found := read_plain("".join(inner).strip()):
        return found
    tree = read_tree(tokens)
    if tree is None or _is_word(tokens):
        return None
    value = rational(tree)
    if value is None:
        return MathAnswer(kind=Kind.FORMULA, tree=tree)
    alternative = tree if tree[0] == "n" and _may_be_difference(tokens) else None
    answer = MathAnswer(kind=Kind.NUMBER, value=value, is_computed=is_computed(tree))
    return answer if alternative is None else replace(answer, tree=_difference(tokens))


def _may_be_difference(tokens: list[str]) -> bool:
    """Whether ``5e-4`` may also be 5 times e, minus 4."""
    return len(tokens) == 4 and tokens[1] == "e" and tokens[2] in "+-" and len(tokens[3]) == 1


def _difference(tokens: list[str]) -> Tree | None:
    return read_tree([tokens[0], " ", "*", *tokens[1:]])


def _is_word(tokens: list[str]) -> bool:
    """Whether the tokens are letters alone that are one word or product, or several words."""
    words = [token.removeprefix("'") for token in tokens if token != " "]
    if not all(word.isalpha() and word.isascii() for word in words):
        return False
    return len(words) == 1 or not all(_is_product(word) or len(word) == 1 for word in words)


def _read_word(tokens: list[str]) -> MathAnswer | None:
    is_text = any(token[0] == "'" and len(token) > 1 for token in tokens)
    joined = " ".join(
        "".join(token[1:] if token[0] == "'" and len(token) > 1 else token for token in tokens).split()
    )
    if len(joined) > 64 or not _WORDS.fullmatch(joined) or joined.casefold() in NO_VALUE:
        return None
    joined = joined.removesuffix(".")
    if joined.casefold() in ALL_REALS:
        return ALL_NUMBERS
    if len(joined) == 1:
        return MathAnswer(kind=Kind.WORD, word=joined, is_bare=True, tree=read_tree([joined]))
    if len(tokens) == 1 and not is_text and _is_product(joined):
        return MathAnswer(kind=Kind.WORD, word=joined, is_bare=True, tree=read_tree(tokens))
    return MathAnswer(kind=Kind.WORD, word=joined.casefold())


def _is_product(run: str) -> bool:
    """Whether letters that touch are a product, as ``ab`` or ``mgh``, and no word, as ``no`` or ``east``."""
    if len(run) > 4 or run.casefold() in _LITTLE_WORDS:
        return False
    letters = set(run)
    return len(run) == 2 or letters.isdisjoint(_VOWELS) or any(letters <= family for family in _FAMILIES)
