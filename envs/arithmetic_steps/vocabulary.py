"""Words of word problems: operators, relations, units, and the numbers that words stand for."""

from __future__ import annotations

from fractions import Fraction


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OPERATOR_WORDS = {"x": "*", "X": "*", "times": "*", "plus": "+", "minus": "-"}
OPERATOR_PAIRS = {("divided", "by"): "/", ("multiplied", "by"): "*"}
EQUALS = _words("is equals equal gives makes")
ABOUT = _words("about approximately roughly around almost nearly")
FILLERS = _words("a an the to of exactly total only just or") | ABOUT
SHARE_NAMES = _words(
    "half third thirds quarter quarters fourth fourths fifth fifths sixth sixths eighth eighths tenth tenths"
)
CHANGES = _words("twice double triple half quadruple thrice")  # a number after one of them is not the operand
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
NUMBER_WORDS = {word: value for value, word in enumerate(_ONES.split())} | {
    word: 10 * value for value, word in enumerate(_TENS.split(), 2)
}
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "k": 10**3}
UNIT_LETTERS = _words("m g h s l L c k")
ABBREVIATIONS = _words("sq ft lb lbs oz hr hrs min mins sec secs yd yds pt qt gal cu")
ARTICLES = _words(
    "all those these this that the her his their its my your our another an a additional extra original first "
    "other"
)
ORDINALS = _words("st nd rd th")

UNITS: dict[str, tuple[str, Fraction]] = {}
"""A unit's dimension and its size there."""
for _dimension, _sizes in {
    "money": {"cent cents penny pennies c": "1/100", "$ dollar dollars": "1"},
    "time": {
        "second seconds sec secs s": "1/60",
        "minute minutes min mins": "1",
        "hour hours hr hrs h": "60",
        "day days": "1440",
        "week weeks": "10080",
    },
    "years": {"month months": "1/12", "year years yr yrs": "1", "decade decades": "10"},
    "inches": {"inch inches in": "1", "foot feet ft": "12", "yard yards yd": "36"},
    "metres": {
        "mm millimeter millimeters": "1/1000",
        "cm centimeter centimeters": "1/100",
        "m meter meters metre metres": "1",
        "km kilometer kilometers": "1000",
    },
    "grams": {"mg": "1/1000", "g gram grams": "1", "kg kilogram kilograms kilos": "1000"},
    "litres": {"ml milliliter milliliters": "1/1000", "l liter liters litre litres": "1"},
    "ounces": {"ounce ounces oz": "1", "pound pounds lb lbs": "16", "ton tons": "32000"},
    "count": {"dozen dozens": "12"},
}.items():
    for _names, _size in _sizes.items():
        UNITS.update(dict.fromkeys(_names.split(), (_dimension, Fraction(_size))))
