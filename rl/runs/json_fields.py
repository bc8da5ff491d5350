"""Checks JSON data field by field and makes dataclasses of it.

In: a JSON object and a dataclass. Out: an instance whose fields have the declared types; a `RecordError` that
names the first field that is missing or has another type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from enum import StrEnum
from typing import Any, TypeVar

T = TypeVar("T")
Check = Callable[[Any], Any]
"""Returns a value as the field holds it, or raises `RecordError`."""

_MOST_SHOWN = 60  # characters of a value in a message


class RecordError(ValueError):
    """JSON data that is not the record it should be."""


def text(value: Any) -> str:
    """A string."""
    if type(value) is not str:
        raise RecordError(f"{shown(value)} is not a string")
    return value


def integer(value: Any) -> int:
    """An integer; `true` is none."""
    if type(value) is not int:
        raise RecordError(f"{shown(value)} is not an integer")
    return value


def number(value: Any) -> float:
    """A number, NaN and the infinities included."""
    if type(value) is float:
        return value
    if type(value) is not int:
        raise RecordError(f"{shown(value)} is not a number")
    try:
        return float(value)
    except OverflowError:
        raise RecordError(f"{shown(value)} is too large a number") from None


def flag(value: Any) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise RecordError(f"{shown(value)} is neither true nor false")
    return value


def optional(check: Check) -> Check:
    """A value that `check` accepts, or null."""
    return lambda value: None if value is None else check(value)


def several(check: Check) -> Check:
    """A list of values that `check` accepts, as a tuple."""

    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise RecordError(f"{shown(value)} is not a list")
        return tuple([check(item) for item in value])

    return read


def mapping(check: Check) -> Check:
    """An object whose values `check` accepts."""

    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise RecordError(f"{shown(value)} is not a JSON object")
        return {key: check(item) for key, item in value.items()}

    return read


def one_of(kind: type[StrEnum]) -> Check:
    """The member of an enum that has the value."""
    members: Mapping[Any, StrEnum] = {member.value: member for member in kind}

    def read(value: Any) -> StrEnum:
        try:
            return members[value]
        except (KeyError, TypeError):
            raise RecordError(f"{shown(value)} is none of {', '.join(members)}") from None

    return read


def record(kind: type[T], checks: Mapping[str, Check]) -> Callable[[Any], T]:
    """A function that makes a dataclass of a JSON object with one key for each field.

    Args:
        kind: The dataclass; a field with a default may be missing in the object.
        checks: By the annotation of a field, as it is written.
    """
    plan = [
        (field.name, checks[str(field.type)], field.default is not MISSING)
        for field in fields(kind)  # type: ignore[arg-type]
    ]

    def read(data: Any) -> T:
        if type(data) is not dict:
            raise RecordError(f"{shown(data)} is not a JSON object")
        values = {}
        for name, check, may_lack in plan:
            if name in data:
                try:
                    values[name] = check(data[name])
                except RecordError as error:
                    raise RecordError(f"{name}: {error}") from None
            elif not may_lack:
                raise RecordError(f"it has no {name!r}")
        return kind(**values)

    return read


def shown(value: Any) -> str:
    """A value as a message shows it, shortened."""
    try:
        found = repr(value)
    except (ValueError, RecursionError):  # integers of thousands of digits, lists nested as deep
        return f"a value of type {type(value).__name__}"
    return found if len(found) <= _MOST_SHOWN else f"{found[:_MOST_SHOWN]}..."
