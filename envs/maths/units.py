r"""Units and the things that are counted: what follows, or stands before, a number.

In: the words behind a value, as tokens of `envs.maths.grammar`. Out: a `Unit`, or None if they are no unit. A
right answer without a unit is equal to the number with any unit. If both name one, they must be the same, or be
converted: ``5 m`` equals ``500 cm`` and ``5 meters``, but neither ``5 cm``, ``5 km`` nor ``5 kg``. Things
counted must share a word (``8 red cars`` and ``8 (cars)``).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from envs.maths.vocabulary import NOT_UNITS

MAX_WORDS = 5


class Unit(NamedTuple):
    """A unit, such as km/h: `factor` times a product of base units, or the things counted.

    Example: ``cm^2`` is `Unit(Fraction(1, 10000), (("m", 2),), frozenset())`.
    """

    factor: Fraction
    powers: tuple[tuple[str, int], ...]
    things: frozenset[str]


class Reading(NamedTuple):
    """A unit, and whether its words could also be letters of a formula, as in ``5 m/s``."""

    unit: Unit
    is_bare: bool


_INCH = Fraction(254, 10000)
_POUND = Fraction(45359237, 100000)
_TABLE: list[tuple[str, Fraction | int, dict[str, int]]] = [
    ("m meter meters metre metres", 1, {"m": 1}),
    ("km kilometer kilometers kilometre kilometres kms", 1000, {"m": 1}),
    ("dm decimeter decimeters decimetre decimetres", Fraction(1, 10), {"m": 1}),
    ("cm centimeter centimeters centimetre centimetres cms", Fraction(1, 100), {"m": 1}),
    ("mm millimeter millimeters millimetre millimetres", Fraction(1, 1000), {"m": 1}),
    ("nm nanometer nanometers nanometre nanometres", Fraction(1, 10**9), {"m": 1}),
    ("in inch inches", _INCH, {"m": 1}),
    ("ft foot feet", 12 * _INCH, {"m": 1}),
    ("yd yds yard yards", 36 * _INCH, {"m": 1}),
    ("mi mile miles", 63360 * _INCH, {"m": 1}),
    ("acre acres", 6272640 * _INCH**2, {"m": 2}),
    ("ha hectare hectares", 10000, {"m": 2}),
    ("L l liter liters litre litres", Fraction(1, 1000), {"m": 3}),
    ("mL ml milliliter milliliters millilitre millilitres", Fraction(1, 10**6), {"m": 3}),
    ("gal gallon gallons", 231 * _INCH**3, {"m": 3}),
    ("qt quart quarts", 231 * _INCH**3 / 4, {"m": 3}),
    ("pt pint pints", 231 * _INCH**3 / 8, {"m": 3}),
    ("cup cups", 231 * _INCH**3 / 16, {"m": 3}),
    ("g gram grams gramme grammes", 1, {"g": 1}),
    ("kg kgs kilogram kilograms kilo kilos", 1000, {"g": 1}),
    ("mg milligram milligrams", Fraction(1, 1000), {"g": 1}),
    ("tonne tonnes", 10**6, {"g": 1}),
    ("ton tons", 2000 * _POUND, {"g": 1}),
    ("lb lbs pound pounds", _POUND, {"g": 1}),
    ("oz ounce ounces", _POUND / 16, {"g": 1}),
    ("s sec secs second seconds", 1, {"s": 1}),
    ("ms millisecond milliseconds", Fraction(1, 1000), {"s": 1}),
    ("min mins minute minutes", 60, {"s": 1}),
    ("h hr hrs hour hours", 3600, {"s": 1}),
    ("day days", 86400, {"s": 1}),
    ("week weeks wk wks", 7 * 86400, {"s": 1}),
    ("month months", 1, {"month": 1}),
    ("yr yrs year years", 12, {"month": 1}),
    ("decade decades", 120, {"month": 1}),
    ("century centuries", 1200, {"month": 1}),
    ("mph", 63360 * _INCH / 3600, {"m": 1, "s": -1}),
    ("kph kmh", Fraction(1000, 3600), {"m": 1, "s": -1}),
    ("N newton newtons", 1000, {"g": 1, "m": 1, "s": -2}),
    ("J joule joules", 1000, {"g": 1, "m": 2, "s": -2}),
    ("kJ kilojoule kilojoules", 10**6, {"g": 1, "m": 2, "s": -2}),
    ("W watt watts", 1000, {"g": 1, "m": 2, "s": -3}),
    ("kW kilowatt kilowatts", 10**6, {"g": 1, "m": 2, "s": -3}),
    ("Pa pascal pascals", 1000, {"g": 1, "m": -1, "s": -2}),
    ("Hz hertz", 1, {"s": -1}),
    ("V volt volts", 1, {"volt": 1}),
    ("A amp amps ampere amperes", 1, {"ampere": 1}),
    ("ohm ohms", 1, {"ohm": 1}),
    ("mol mole moles", 1, {"mole": 1}),
    ("K kelvin kelvins", 1, {"kelvin": 1}),
    ("° deg degree degrees", 1, {"degree": 1}),
    ("rad rads radian radians", 1, {"radian": 1}),
    ("°C celsius", 1, {"celsius": 1}),
    ("°F fahrenheit", 1, {"fahrenheit": 1}),
    ("$ dollar dollars USD US$ buck bucks", 1, {"usd": 1}),
    ("cent cents ¢", Fraction(1, 100), {"usd": 1}),
    ("€ EUR euro euros", 1, {"eur": 1}),
    ("£ GBP", 1, {"gbp": 1}),
    ("¥ JPY yen", 1, {"jpy": 1}),
    ("CNY RMB yuan", 1, {"cny": 1}),
    ("₹ INR Rs rupee rupees", 1, {"inr": 1}),
]
_KNOWN = {
    name: Unit(Fraction(factor), tuple(sorted(powers.items())), frozenset())
    for names, factor, powers in _TABLE
    for name in names.split()
}
_FOLDED = {name.casefold(): unit for name, unit in reversed(_KNOWN.items()) if len(name) > 1}
_PREFIXES = frozenset(["$", "€", "£", "¥", "₹", "USD", "US$", "EUR", "GBP", "JPY", "CNY", "RMB", "INR", "Rs"])
_SQUARES = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_ANY = frozenset(("unit", "units"))
_LITTLE_WORDS = frozenset(("of", "the", "in", "for", "'of", "'the", "'in", "'for"))  # 2 (batches of cupcakes)
_NONE = Unit(Fraction(1), (), frozenset())


def is_currency(token: str) -> bool:
    """Whether a token may stand before an amount, such as ``$`` or ``USD``."""
    return token.removeprefix("'") in _PREFIXES


def known_unit(word: str) -> Unit | None:
    """The unit of a word such as ``cm``; None if it is none."""
    is_mega = len(word) == 2 and word[0] == "M" and word[1].islower()
    return _KNOWN.get(word) or (None if len(word) < 2 or is_mega else _FOLDED.get(word.casefold()))


def read_unit(tokens: Sequence[str], *, after_space: bool) -> Reading | None:
    r"""Read the tokens behind a number as a unit or as things counted; None if they are neither.

    Args:
        tokens: The tokens, without spaces at the ends: words, ``/``, powers, ``\frac`` and brackets around
            things.
        after_space: Whether a space precedes them. Letters that touch the number are a product, unless they are
            a unit of several letters or a long word.
    """
    if len(tokens) > 24 or tokens[-1] in ("/", "*") or ("{" in tokens) != ("}" in tokens):
        return None
    if tokens[0] == "(":
        inside = [token for token in tokens[1:-1] if token not in _LITTLE_WORDS]
        found = read_unit(inside, after_space=True) if inside and tokens[-1] == ")" else None
        is_word = any(len(token.strip("'")) > 2 for token in tokens)
        return found._replace(is_bare=False) if found and is_word else None
    has_slash = "/" in tokens or "\\frac" in tokens
    is_alone = after_space and sum(token[-1].isalpha() for token in tokens) == 1
    unit = Unit(Fraction(1), (), frozenset())
    words, sign, square, is_bare, at = 0, 1, 1, True, 0
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if token in (" ", ".", "*", "\\frac", "{") or (token == "}" and tokens[at : at + 1] != ["{"]):
            continue
        if token in ("/", "}"):
            sign = -1
            continue
        if token == "°" and tokens[at : at + 1] in (["C"], ["F"], ["'C"], ["'F"]):
            token += tokens[at].strip("'")
            at += 1
        power, at = _power(tokens, at)
        if power == 0:
            return None
        is_text = token[0] == "'" and len(token) > 1
        for word in token[1:].replace("-", " ").split() if is_text else [token]:
            word = word.strip(".")
            if word == "per":
                sign, is_bare = -1, False
                continue
            words += 1
            if words > MAX_WORDS or not word or word.casefold() in NOT_UNITS:
                return None
            if word.casefold() in _SQUARES:
                square, is_bare = _SQUARES[word.casefold()], False
                continue
            if word.casefold() in _ANY:
                is_bare = False
                continue
            known = known_unit(word)
            if known and len(word) == 1 and word.isalpha() and not (is_text or has_slash or is_alone):
                known = None
            if known is not None:
                unit = product(unit, known, sign * power * square)
                is_bare = is_bare and not is_text and len(word) <= 3 and word.isalpha()
                square = 1
                continue
            if not word.isascii() or not word.replace("'", "").isalpha():
                return None
            if not is_text and len(word) < (3 if after_space else 5):
                return None
            is_bare = is_bare and not is_text and len(word) <= 4
            unit = unit._replace(things=unit.things | {word.casefold().removesuffix("s"), word.casefold()})
    if not words or (is_bare and not after_space and not has_slash and max(map(len, tokens)) == 1):
        return None
    return Reading(unit._replace(things=frozenset()) if unit.powers else unit, is_bare)


def _power(tokens: Sequence[str], at: int) -> tuple[int, int]:
    """The exponent at a place, 1 if there is none and 0 if it is none of a unit, and where it ends."""
    if tokens[at : at + 2] != ["^", "{"]:
        return 1, at
    end = at + 2 + (tokens[at + 2 : at + 3] == ["-"])
    if tokens[end : end + 2] not in (["1", "}"], ["2", "}"], ["3", "}"]):
        return 0, at
    return int("".join(tokens[at + 2 : end + 1])), end + 2


def product(unit: Unit, other: Unit, power: int) -> Unit:
    """A unit times a power of another."""
    powers = dict(unit.powers)
    for base, exponent in other.powers:
        powers[base] = powers.get(base, 0) + power * exponent
    kept = tuple(sorted((base, exponent) for base, exponent in powers.items() if exponent))
    return Unit(unit.factor * other.factor**power, kept, unit.things)


def conversion(gold: Unit | None, answer: Unit | None) -> Fraction | None:
    """The factor from the unit of an answer to that of the right answer; None if they do not agree.

    Example: from ``cm`` to ``m`` it is 1/100.
    """
    if (
        gold is None
        or answer is None
        or not (gold.powers or gold.things)
        or not (answer.powers or answer.things)
    ):
        return Fraction(1)
    if gold.powers or answer.powers:
        return answer.factor / gold.factor if gold.powers == answer.powers else None
    return Fraction(1) if gold.things & answer.things else None


def currency_unit(token: str) -> Unit:
    """The unit of a currency sign or code."""
    return known_unit(token.removeprefix("'")) or _NONE
