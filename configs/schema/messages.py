"""What is wrong with a config, in the words of its keys: pydantic's errors as one line of clauses."""

from __future__ import annotations

import types
import typing
from difflib import get_close_matches
from itertools import groupby
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

_SHOULD_BE = "Input should be "


class _Mistake(NamedTuple):
    """An error, and the key it is about.

    Attributes:
        item: Pydantic's description.
        key: Location without the names that pydantic gives the alternatives of a value.
        value: The same up to the first value that has alternatives; the whole key if none has.
        fields: Keys of the section the location is in.
    """

    item: dict[str, Any]
    key: tuple[str, ...]
    value: tuple[str, ...]
    fields: tuple[str, ...]


def describe_errors(error: ValidationError, model: type[BaseModel]) -> str:
    """Every mistake of a validation error as one line of clauses."""
    mistakes = [_mistake(dict(item), model) for item in error.errors()]
    return "; ".join([_describe(list(group)) for _, group in groupby(mistakes, key=lambda one: one.value)])


def section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a value of this type is, or may be; of a list, the section of its entries."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, list):
        for inner in typing.get_args(annotation):
            if found := section_in(inner):
                return found
    return None


def _mistake(item: dict[str, Any], model: type[BaseModel]) -> _Mistake:
    key: list[str] = []
    alternatives: int | None = None
    annotation: Any = model
    fields = tuple(model.model_fields)
    for part in item["loc"]:
        inside = _alternatives(annotation)
        if len(inside) > 1:
            alternatives = len(key) if alternatives is None else alternatives
            annotation = next((one for one in inside if getattr(one, "__name__", None) == part), None)
        else:
            annotation = _inner(inside[0] if inside else annotation, part)
            key.append(str(part))
        if (section := section_in(annotation)) is not None:
            fields = tuple(section.model_fields)
    return _Mistake(item, tuple(key), tuple(key[:alternatives]), fields)


def _alternatives(annotation: Any) -> list[Any]:
    """The types that a value may have, None left out; empty if there is one type."""
    annotation = _bare(annotation)
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return []
    return [inner for inner in typing.get_args(annotation) if inner is not type(None)]


def _inner(annotation: Any, part: Any) -> Any:
    """The type of a field, an entry of a list or a value of a mapping; None if it is not known."""
    annotation = _bare(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(part)
        return None if field is None else field.annotation
    arguments = typing.get_args(annotation)
    return arguments[-1] if typing.get_origin(annotation) in (list, dict) else None


def _bare(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation


def _describe(mistakes: list[_Mistake]) -> str:
    """The mistakes in one value. Of a value with alternatives, those within the one that it is meant to be."""
    within = [one for one in mistakes if len(one.key) > len(one.value)]
    if within or len(mistakes) == 1:
        return "; ".join([_clause(one) for one in within or mistakes])
    allowed = [message.removeprefix(_SHOULD_BE) for message in map(_message, mistakes)]
    given = mistakes[0].item.get("input")
    return f"{'.'.join(mistakes[0].key)} is {given!r}: input should be {' or '.join(dict.fromkeys(allowed))}"


def _clause(mistake: _Mistake) -> str:
    item, key = mistake.item, ".".join(mistake.key)
    if item["type"] == "extra_forbidden":
        close = get_close_matches(mistake.key[-1], mistake.fields, n=1, cutoff=0.5)
        hint = f"; did you mean '{close[0]}'?" if close else "."
        return f"unknown key '{key}'{hint} known: {', '.join(mistake.fields)}"
    if item["type"] == "missing":
        return f"missing key '{key}'"
    if item["type"] == "value_error":
        message = str(item["ctx"]["error"])
        return f"{key}: {message}" if key else message
    message = _message(mistake)
    return f"{key} is {item.get('input')!r}: {message[0].lower()}{message[1:]}"


def _message(mistake: _Mistake) -> str:
    if mistake.item["type"] == "model_type":
        return f"{_SHOULD_BE}a section with keys such as {', '.join(mistake.fields[:3])}"
    return str(mistake.item["msg"])
