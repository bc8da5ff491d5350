"""Single values of a record: text, numbers, chats, choices, solutions and detours, in the forms people use.

Every reader raises `BadValueError` for a value that it cannot take; `read.py` makes that a fault of the row.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from envs.data.choices import without_letters
from envs.data.rows import FaultKind
from envs.problem import Split

_LEVEL = re.compile(r"(?:level )?([0-9]{1,3})(?:\.0)?", re.IGNORECASE)
NUMBER = re.compile(r"-?(?:[0-9]{1,3}(?:,[0-9]{3})++|[0-9]++)(?:\.[0-9]++)?|-?\.[0-9]++")
_MAX_NUMBER = 40
_MAX_EXACT_FLOAT = 1e15  # whole floats below it are written as integers
_ROLES = {"human": "user", "gpt": "assistant"}  # ShareGPT's names
_CHOICE_LIST = re.compile(r"(?:^|[ \n,\[;])\(?([a-zA-Z]) ?[).:][ \n]*+")  # "a ) 38 , b ) 27.6"
_SPLITS = {
    **{split.value: split for split in Split},
    **dict.fromkeys(("test", "validation", "valid", "val", "dev", "eval"), Split.ID),
}


class BadValueError(ValueError):
    """A value of a row that cannot be taken; the message is the fault's reason."""

    def __init__(self, reason: str, kind: FaultKind = FaultKind.VALUE) -> None:
        super().__init__(reason)
        self.kind = kind


def look_up(record: Mapping[str, Any], name: str) -> Any:
    """The value of a column, or of a field inside one (`reward_model.ground_truth`); None if it is missing."""
    if name in record:
        return record[name]
    value: Any = record
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def is_missing(value: object) -> bool:
    """Whether a cell is empty: null, NaN, blank text or an empty list."""
    if isinstance(value, float):
        return math.isnan(value)
    return (
        value is None
        or (isinstance(value, str) and not value.strip())
        or (isinstance(value, list) and not value)
    )


def unpack(value: Any) -> Any:
    """A list in the cell of a table, written as JSON, as a list; other values as they are.

    Raises:
        BadValueError: The cell starts like a list and is no JSON.
    """
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        if value.lstrip().startswith(("['", '["', "[[", "[{'", "{'")) and value.rstrip().endswith(("]", "}")):
            raise BadValueError(
                f"{value[:60]!r} looks like a list, but is not JSON; write lists in cells as JSON"
            ) from None
        return value
    return found if isinstance(found, (list, dict)) else value


def to_text(value: Any) -> str | None:
    """Text or a number as text; a list of one as its element; None for anything else or for blank text.

    Whole floats lose their ".0", since tables store integers with gaps as floats.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_EXACT_FLOAT:
        value = int(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    return value.strip() if isinstance(value, str) and value.strip() else None


def to_number(text: str) -> Fraction | None:
    """The exact value of a plain decimal number, thousands separators allowed; None for any other text."""
    if len(text) > _MAX_NUMBER or NUMBER.fullmatch(text) is None:
        return None
    return Fraction(text.replace(",", ""))


def is_chat(value: object) -> bool:
    """Whether a value is a chat: messages with TRL's `role` and `content`, or ShareGPT's `from` and `value`."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(m, Mapping) and (m.keys() & {"role", "from"}) for m in value)
    )


def said(messages: Sequence[Mapping[str, Any]], role: str) -> str | None:
    """What one role says in a chat; None if it says nothing.

    Raises:
        BadValueError: It speaks more than once, or not in text.
    """
    found = []
    for message in messages:
        speaker = str(message.get("role", message.get("from")))
        if _ROLES.get(speaker, speaker) != role:
            continue
        content = message.get("content", message.get("value"))
        if isinstance(content, list):
            content = "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
        if not isinstance(content, str):
            raise BadValueError(f"the {role} says {content!r} in the chat, which is no text")
        found.append(content.strip())
    if len(found) > 1:
        raise BadValueError(
            f"the chat has {len(found)} turns of the {role}; a problem is one question and one solution"
        )
    return found[0] if found else None


def to_level(value: object) -> int | None:
    """A difficulty: a number from 0, or text such as "Level 3"; None for anything else."""
    text = to_text(value)
    match = _LEVEL.fullmatch(text) if text else None
    return int(match[1]) if match else None


def to_split(value: object) -> Split:
    """The split that a cell names.

    Raises:
        BadValueError: There is no such split.
    """
    found = _SPLITS.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        raise BadValueError(f"the split is {value!r}; known: {', '.join(_SPLITS)}")
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """The choices of a question, with the data's own labels if it has any."""

    texts: tuple[str, ...]
    labels: tuple[str, ...] = ()


def to_choices(value: Any) -> Choices:
    """Choices given as a list, as `{"text": […], "label": […]}`, by letter, or in one text ("a) 38, b) 27").

    Raises:
        BadValueError: There are not between 2 and 26 of them, or they are no texts.
    """
    value = unpack(value)
    labels: list[Any] = []
    if isinstance(value, Mapping) and "text" in value:
        value, labels = value["text"], list(value.get("label") or ())
    elif isinstance(value, Mapping):
        value, labels = list(value.values()), list(value)
    elif isinstance(value, str):
        parts = _CHOICE_LIST.split(value)
        value = [part.strip().rstrip(",;]").strip().strip("'\"") for part in parts[2::2]]
        labels = [letter.upper() for letter in parts[1::2]]
    texts = [to_text(item) for item in value] if isinstance(value, list) else []
    if not 2 <= len(texts) <= 26 or (labels and len(labels) != len(texts)):
        raise BadValueError(f"{len(texts)} choices with {len(labels)} labels; give 2 to 26 texts")
    if None in texts:
        raise BadValueError("a choice is empty; each must be text or a number")
    given = without_letters([text for text in texts if text is not None])
    return Choices(texts=tuple(given), labels=tuple(map(str, labels)))


def to_solutions(value: Any) -> list[str | list[str]]:
    """Shorter solutions: a text, a list of texts that are a solution each, or a list of lists of steps.

    Raises:
        BadValueError: It is none of these.
    """
    value = unpack(value)
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(item, str) and item.strip() for item in value):
        return list(value)
    if isinstance(value, list) and all(isinstance(item, list) for item in value):
        return [to_lines(item) for item in value]
    raise BadValueError(f"{str(value)[:60]!r} is no solution, list of solutions, or list of lists of steps")


def to_lines(value: object) -> list[str]:
    """A list of steps.

    Raises:
        BadValueError: It is no list of texts.
    """
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(item, str) and item.strip() for item in value)
    ):
        raise BadValueError(f"{str(value)[:60]!r} is no list of steps; each must be text that is not empty")
    return [item.strip() for item in value]


def to_detours(value: Any) -> list[tuple[list[str], frozenset[int]]]:
    """Solutions with a wrong turn, `{"lines": […], "wrong": [0]}`, one or a list of them.

    Raises:
        BadValueError: A field is missing or wrong.
    """
    value = unpack(value)
    found = []
    for item in [value] if isinstance(value, Mapping) else value if isinstance(value, list) else [None]:
        if not isinstance(item, Mapping) or not {"lines", "wrong"} <= item.keys():
            raise BadValueError(
                'a detour is an object with "lines" and "wrong", the positions of its wrong lines from 0'
            )
        lines = item["lines"]
        if isinstance(lines, str):
            lines = [line for line in lines.split("\n") if line.strip()]
        lines = to_lines(lines)
        wrong = [item["wrong"]] if isinstance(item["wrong"], int) else item["wrong"]
        if (
            not isinstance(wrong, list)
            or not wrong
            or not all(type(place) is int and 0 <= place < len(lines) for place in wrong)
            or len(set(wrong)) == len(lines)
        ):
            raise BadValueError(
                f"the wrong lines of a detour are {item['wrong']!r}; give some positions from 0 to "
                f"{len(lines) - 1}"
            )
        found.append((lines, frozenset(wrong)))
    return found
