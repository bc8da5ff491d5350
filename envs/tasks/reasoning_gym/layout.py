r"""Answers of reasoning-gym that are right in another layout than the package's own.

In: the right answer and a stated one. Out: the stated answer as the package writes it. Most of its scorers
compare texts, so a grid with two spaces between cells, a list of JSON on several lines, `1,476` for `1476`, a
full stop after `Sunday` or a box around ``\text{Yes}`` would be wrong. Only the layout is read here: whether
a value is right is left to equality and to the scorers. Nothing is evaluated, and every reader is bounded by
the 2,000 characters of the text gate.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any, NoReturn

_MAX_WRAPS = 4
_MAX_DEPTH = 50
_WRAPS = (
    re.compile(r"```[A-Za-z0-9]*[ \n](.*)```", re.DOTALL),
    re.compile(r"`([^`]+)`", re.DOTALL),
    re.compile(r"\*\*(.+)\*\*", re.DOTALL),
    re.compile(r"\$\$([^$]+)\$\$", re.DOTALL),
    re.compile(r"\$([^$]+)\$", re.DOTALL),
    re.compile(r"\\\((.+)\\\)", re.DOTALL),
    re.compile(r"\\\[(.+)\\\]", re.DOTALL),
    re.compile(r"\\(?:boxed|text|textbf|textit|texttt|mathrm|mathbf) ?\{([^{}]*)\}", re.DOTALL),
    re.compile(r'"([^"]+)"', re.DOTALL),
    re.compile(r"'([^']+)'", re.DOTALL),
    re.compile("“([^”]+)”", re.DOTALL),
)
_FRACTION = re.compile(r"\\[dt]?frac ?\{ ?([0-9]{1,40}) ?\} ?\{ ?([0-9]{1,40}) ?\}")
_TEXT = re.compile(r"\\(?:text|textbf|textit|texttt|mathrm|mathbf) ?\{([^{}]*)\}")
_COMMANDS = {
    r"\\": "\n",
    r"\times": "×",
    r"\to": "→",
    r"\rightarrow": "→",
    r"\degree": "°",
    r"^\circ": "°",
    r"^{\circ}": "°",
    r"\_": "_",
    r"\#": "#",
    r"\$": "$",
    r"\%": "%",
    r"\{": "{",
    r"\}": "}",
    r"\,": " ",
    r"\ ": " ",
}
_COMMAND = re.compile(
    "|".join(
        re.escape(name) + ("(?![A-Za-z])" if name[-1].isalpha() else "")
        for name in sorted(_COMMANDS, key=len, reverse=True)
    )
)
_NUMBER = re.compile("-?(?:0|[1-9][0-9]{0,39})(?:\\.[0-9]{1,40})?")
_THOUSANDS = re.compile("-?[1-9][0-9]{0,2}(?:,[0-9]{3}){1,13}(?:\\.[0-9]{1,40})?")
_ANY_CASE = re.compile(
    "yes|no|true|false|on|off|undetermined|chi|peng|pass|infeasible|(?:mon|tues|wednes|thurs|fri|satur|sun)day",
    re.IGNORECASE,
)


def as_written(gold: str, answer: str) -> str:
    r"""The answer as reasoning-gym writes it.

    Args:
        gold: The right answer, unchanged.
        answer: The stated answer; untrusted.

    Returns:
        `gold` itself if the two differ in layout only. Otherwise the answer without marks around it.

    Example: `as_written("1 2\n3 4", "``` \n1  2\n3  4\n```")` is ``"1 2\n3 4"``.
    """
    for text in _unwrapped(gold, answer):
        if _same(gold, text):
            return gold
        if not gold.endswith(".") and text.endswith(".") and _same(gold, text[:-1]):
            return gold
        if gold.endswith(".") and _same(gold, f"{text}."):
            return gold
    return text.removesuffix(".") if not gold.endswith(".") else text


def _unwrapped(gold: str, answer: str) -> list[str]:
    """The answer, then what is left as marks around it are taken off one after another."""
    found = [answer.strip()]
    if "\\" in answer and "\\" not in gold:
        found.append(_plain(found[-1]))
    for _ in range(_MAX_WRAPS):
        text = found[-1].removesuffix(".").rstrip()
        inside = next((match[1] for wrap in _WRAPS if (match := wrap.fullmatch(text))), None)
        if inside is None:
            break
        found.append(inside.strip())
    return found


def _plain(text: str) -> str:
    """LaTeX of a box as plain text: words, fractions of whole numbers, arrows, signs and line breaks."""
    text = _FRACTION.sub(r"\1/\2", _TEXT.sub(r"\1", text))
    return _COMMAND.sub(lambda match: _COMMANDS[match[0]], text).strip()


def _same(gold: str, text: str) -> bool:
    """Whether two texts differ in spaces, or in the layout of a number, a list or a JSON value, and no more."""
    if rows_of(text) == rows_of(gold):
        return True
    if "\n" in gold and " " not in gold:  # signs without spaces between them
        return ["".join(cells) for cells in rows_of(text)] == gold.split("\n")
    if _ANY_CASE.fullmatch(gold):
        return text.casefold() == gold.casefold()
    if _NUMBER.fullmatch(gold):
        return _same_number(gold, text)
    if gold[:1] in ("[", "{"):
        return _same_json(gold, text) or _same_list(gold, text)
    return ", " in gold and "\n" not in gold and [*map(str.strip, text.split(","))] == gold.split(", ")


def rows_of(text: str) -> list[list[str]]:
    """The cells of every row that has any."""
    return [cells for row in text.split("\n") if (cells := row.split())]


def _same_number(gold: str, text: str) -> bool:
    r"""Whether a number is the right one with commas between thousands, or zeros after its decimal point."""
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    return bool(_NUMBER.fullmatch(text)) and _trimmed(text) == _trimmed(gold)


def _trimmed(number: str) -> str:
    return number.rstrip("0").removesuffix(".") if "." in number else number


def _same_json(gold: str, text: str) -> bool:
    """Whether two texts are the same JSON value; true is not 1."""
    try:
        return bool(_typed(read_json(gold)) == _typed(read_json(text)))
    except ValueError:
        return False


def read_json(text: str) -> Any:
    """Read a JSON value.

    Raises:
        ValueError: It is none, has NaN or an infinity, states a key twice, or is nested deeper than
        `_MAX_DEPTH`.
    """
    if max(accumulate((character in "[{") - (character in "]}") for character in text), default=0) > _MAX_DEPTH:
        raise ValueError(f"nested deeper than {_MAX_DEPTH}")
    return json.loads(text, parse_constant=_refuse, object_pairs_hook=_keys_once)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is stated twice")
    return dict(pairs)


def _typed(value: Any) -> Any:
    """The value with the type of each scalar beside it, so that true differs from 1; 1 equals 1.0."""
    if isinstance(value, list):
        return [_typed(one) for one in value]
    if isinstance(value, dict):
        return {key: _typed(one) for key, one in value.items()}
    return (isinstance(value, bool), value)


def _same_list(gold: str, text: str) -> bool:
    """Whether two texts are the same flat list, as Python writes it, with either quotes or none."""
    one, other = _flat(gold), _flat(text)
    return one is not None and one == other


def _flat(text: str) -> list[str] | None:
    inside = text.strip()
    if inside[:1] != "[" or inside[-1:] != "]" or "[" in inside[1:] or "{" in inside:
        return None
    items = [item.strip() for item in inside[1:-1].split(",")]
    return [item[1:-1] if len(item) > 1 and item[0] == item[-1] in "'\"" else item for item in items]
