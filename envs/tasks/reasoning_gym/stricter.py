"""Stricter checks before reasoning-gym scorers that are known to accept wrong answers.

In: the right answer, and one stated answer that has passed the text gate, as the package writes it. Out:
whether it can be right at all. Nothing here evaluates text, recurses or raises, and every reader is bounded
by the 2,000 characters of the gate.

Each entry of `STRICTER` names the flaw of the scorer (reasoning-gym 0.1.25).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from envs.tasks.reasoning_gym.layout import read_json, rows_of

Stricter = Callable[[str, str], bool]

_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_FRACTION = re.compile(r"(-?[0-9]{1,40})/([0-9]{1,40})")
_DIGITS = re.compile("[0-9]+")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac ?\{ ?([0-9]{1,40}) ?\} ?\{ ?([0-9]{1,40}) ?\}")
_HEXADECIMAL = re.compile("-?0[xX][0-9a-fA-F]{1,100}")
_SCIENTIFIC = re.compile(r"([+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?)[eE]([+-]?[0-9]{1,2})")
_DAYS = re.compile("([0-9]{1,9})(?: days?)?", re.IGNORECASE)
_CLOCK = re.compile(r"[0-9]{1,3}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?")
_DAYS_AND_CLOCK = re.compile(rf"[0-9]{{1,9}} days, {_CLOCK.pattern}", re.IGNORECASE)
_JUG_MOVE = re.compile("(?:fill|empty) [A-Z]|pour [A-Z]->[A-Z]")
_DISK_MOVE = re.compile(r"Move disk [0-9]{1,3} from Peg [0-9]{1,3} to Peg [0-9]{1,3}\.?")
_BUTTONS = re.compile("[A-Ca-c](?: ?(?:→|->|,| ) ?[A-Ca-c])*")
_NO_CLAIM = frozenset(("is", "a", "an", "and"))
_POINT = re.compile(r"\(? *(-?[0-9.]+) *, *(-?[0-9.]+) *\)?")


def _number(text: str) -> Fraction | None:
    text = text.strip()
    return Fraction(text) if _NUMBER.fullmatch(text) else None


def _ratio(text: str) -> Fraction | None:
    match = _FRACTION.fullmatch(text.strip())
    if match is None:
        return _number(text)
    return Fraction(int(match[1]), int(match[2])) if int(match[2]) else None


def _items(text: str) -> list[Fraction | None]:
    inside = text.strip().removeprefix("[").removesuffix("]")
    return [_number(item.strip().strip("'\"")) for item in inside.split(",")]


def _same_text(gold: str, answer: str) -> bool:
    return answer.casefold().split() == gold.casefold().split()


def _same_without_spaces(gold: str, answer: str) -> bool:
    return "".join(answer.split()) == "".join(gold.split())


def _same_number(gold: str, answer: str) -> bool:
    found = _number(answer)
    return found is not None and found == _number(gold)


def _same_numbers(gold: str, answer: str) -> bool:
    found = _items(answer)
    return None not in found and found == _items(gold)


def _close_ratio(gold: str, answer: str) -> bool:
    found, right = _ratio(answer), _ratio(gold)
    return found is not None and right is not None and abs(found - right) <= abs(right) / 10**6


def _close_cells(gold: str, answer: str) -> bool:
    found, right = ([[_number(cell) for cell in row] for row in rows_of(text)] for text in (answer, gold))
    if [len(row) for row in found] != [len(row) for row in right]:
        return False
    pairs = [(a, b) for one, other in zip(found, right, strict=True) for a, b in zip(one, other, strict=True)]
    return all(a is not None and b is not None and abs(a - b) <= Fraction(5, 1000) for a, b in pairs)


def _all_numbers(gold: str, answer: str) -> bool:
    return None not in _items(answer) and len(_items(answer)) == len(_items(gold))


def _finite_complex(gold: str, answer: str) -> bool:
    return set(answer.lower()) <= set("0123456789+-.()ij ")


def _one_measure(gold: str, answer: str) -> bool:
    """An angle is one number, a point is two; a radius is compared as text."""
    if gold.endswith("°"):
        found, right = _number(answer.removesuffix("°")), _number(gold.removesuffix("°"))
        return found is not None and right is not None and abs(found - right) <= Fraction(1, 100)
    if not gold.startswith("("):
        return answer == gold
    one, other = _POINT.fullmatch(answer.strip()), _POINT.fullmatch(gold)
    if one is None or other is None:
        return False
    pairs = [(_number(one[i]), _number(other[i])) for i in (1, 2)]
    return all(a is not None and b is not None and abs(a - b) <= Fraction(1, 1000) for a, b in pairs)


def _one_fraction(gold: str, answer: str) -> bool:
    text = answer.strip("$ ")
    return bool(_FRACTION.fullmatch(text) or _LATEX_FRACTION.fullmatch(text))


def _one_duration(gold: str, answer: str) -> bool:
    """In the unit and with the precision of the right answer."""
    if gold.endswith("days"):
        return bool(_DAYS.fullmatch(answer))
    form = _DAYS_AND_CLOCK if " days, " in gold else _CLOCK
    return bool(form.fullmatch(answer)) and len(_DIGITS.findall(answer)) == len(_DIGITS.findall(gold))


def _same_claims(gold: str, answer: str) -> bool:
    """The same names and roles, each as often; the scorer pairs them."""
    found, right = (
        sorted(word for word in re.split("[ ,.()\n]+", text.casefold()) if word and word not in _NO_CLAIM)
        for text in (answer, gold)
    )
    return found == right


def _same_value(gold: str, answer: str) -> bool:
    """The same number up to the last place of a float, in plain or scientific notation."""
    scientific = _SCIENTIFIC.fullmatch(answer)
    found = Fraction(scientific[1]) * Fraction(10) ** int(scientific[2]) if scientific else _number(answer)
    right = _number(gold)
    return found is not None and right is not None and abs(found - right) <= Fraction(1, 10**6)


def _lists_of_texts(gold: str, answer: str) -> bool:
    try:
        found = read_json(answer)
    except ValueError:
        return False
    return isinstance(found, list) and all(
        isinstance(one, list) and all(isinstance(text, str) for text in one) for one in found
    )


def _jug_moves(gold: str, answer: str) -> bool:
    try:
        found = read_json(answer)
    except ValueError:
        return False
    return isinstance(found, list) and all(isinstance(one, str) and _JUG_MOVE.fullmatch(one) for one in found)


def _disk_moves(gold: str, answer: str) -> bool:
    return all(_DISK_MOVE.fullmatch(row.strip()) for row in answer.strip().split("\n"))


def _exactly(gold: str, answer: str) -> bool:
    return answer == gold


def _hexadecimal(gold: str, answer: str) -> bool:
    return bool(_HEXADECIMAL.fullmatch(answer))


def _without_commas(gold: str, answer: str) -> bool:
    return "," not in answer


def _buttons(gold: str, answer: str) -> bool:
    return bool(_BUTTONS.fullmatch(answer))


def _letters_once(gold: str, answer: str) -> bool:
    letters = [pair.split("=")[0].strip() for pair in answer.split(",")]
    return len(set(letters)) == len(letters)


def _same_cells(gold: str, answer: str) -> bool:
    return rows_of(answer) == rows_of(gold)


def _same_list(gold: str, answer: str) -> bool:
    return [item.strip() for item in answer.split(",")] == [item.strip() for item in gold.split(",")]


def _only(allowed: str) -> Stricter:
    permitted = frozenset(allowed)
    return lambda gold, answer: permitted.issuperset(answer)


STRICTER: dict[str, Stricter] = {
    "advanced_geometry": _one_measure,  # ignores text after the first two numbers
    "bitwise_arithmetic": _hexadecimal,  # takes other bases, so that the conversion can be left out
    "calendar_arithmetic": _exactly,  # its score of a wrong number may exceed 1
    "chain_sum": _without_commas,  # ignores commas wherever they are
    "codeio": _exactly,  # takes true for 1, and the last of two values of a key
    "coin_flip": _close_ratio,  # accepts 1e-4 off, so 0 often passes; Fraction("1e999999999") hangs
    "complex_arithmetic": _finite_complex,  # min(1.0, nan) is 1.0
    "cryptarithm": _letters_once,  # of several digits for one letter the last counts
    "decimal_arithmetic": _same_number,  # accepts one unit of the last place off
    "figlet_font": _same_text,  # accepts ten right letters
    "fraction_simplification": _one_fraction,  # ignores text after the fraction
    "game_of_life": _same_without_spaces,  # ignores extra rows and cells
    "game_of_life_halting": _same_text,  # takes any text as true
    "group_anagrams": _lists_of_texts,  # reads a text as the list of its letters
    "gsm_symbolic": _same_number,  # takes the first number in the text, without its sign
    "jugs": _jug_moves,  # ignores text after a move, and takes the keys of an object
    "kakurasu": _only("01 \n"),  # ignores other characters
    "knights_knaves": _same_claims,  # ignores other words, so "not Ann is a knight" passes
    "letter_jumble": _same_text,  # ignores text after the answer
    "number_format": _same_value,  # accepts 0.01 off, and commas wherever they are
    "number_sorting": _same_numbers,  # accepts numbers 1 off, and NaN anywhere
    "palindrome_partitioning": _lists_of_texts,  # reads a text as the list of its letters
    "polynomial_equations": _all_numbers,  # ignores text that is no number
    "pool_matrix": _close_cells,  # accepts 1 % off
    "products": _without_commas,  # ignores commas wherever they are
    "quantum_lock": _buttons,  # ignores other letters and signs
    "rectangle_count": _same_number,
    "sokoban": _only("UDLRudlr"),  # ignores other letters
    "spell_backward": _same_text,  # adds rounded fractions, and some sums exceed 1
    "survo": _same_cells,  # ignores text that is no number
    "time_intervals": _one_duration,  # ignores the unit and text after it: 99 weeks for 99 days
    "tower_of_hanoi": _disk_moves,  # ignores text around a move
    "word_sorting": _same_list,  # ignores text after the answer
}
