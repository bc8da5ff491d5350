"""The config reference, from the schema: a table per section with key, help, type, default and range."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

import yaml
from docstrings import cell, field_docs
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from configs import Config
from configs.schema.ablation import AblationConfig
from configs.schema.shipped import Shipped

_BOUNDS = (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"), ("min_length", "length >="))
_INTRO = """\
# Config reference

Generated from the schema that every config is checked against (`configs/schema/config.py`). A config is a
YAML file; `stride train FILE section.key=value` sets single keys. Unknown keys are errors that name the
nearest key, and every run writes its resolved config, defaults included, to `config.yaml`.

Shipped configs, found by name: {runs}. Shipped ablations: {ablations}.
"""


def config_page() -> str:
    """The page."""
    parts = [
        _INTRO.format(
            runs=", ".join(f"`{name}`" for name in Shipped.RUN.names),
            ablations=", ".join(f"`{name}`" for name in Shipped.ABLATION.names),
        )
    ]
    for prefix, section in _sections(Config):
        parts.append(_section(prefix or "Top level", section))
    parts.append("# Ablation reference\n\nThe keys of an ablation file (`configs/schema/ablation.py`).\n")
    parts.append(_table(AblationConfig))
    return "\n".join(parts)


def settings_table(section: type[BaseModel]) -> str:
    """The table of one section."""
    return _table(section)


def _section(prefix: str, section: type[BaseModel]) -> str:
    about = " ".join((section.__doc__ or "").split("\n\n")[0].split())
    heading = f"## `{prefix}`" if prefix != "Top level" else f"## {prefix}"
    return f"{heading}\n\n{about}\n\n{_table(section)}"


def _sections(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    yield prefix, section
    for name, field in section.model_fields.items():
        inner, many = _section_in(field.annotation)
        if inner is not None:
            yield from _sections(inner, f"{prefix}.{name}{'[]' if many else ''}".lstrip("."))


def _table(section: type[BaseModel]) -> str:
    docs: dict[str, str] = {}
    for base in reversed(section.__mro__):
        if issubclass(base, BaseModel) and not base.__module__.startswith("pydantic"):
            docs |= field_docs(base)
    rows = ["| key | help | type | default | range |", "|---|---|---|---|---|"]
    for name, field in section.model_fields.items():
        rows.append(
            f"| `{name}` | {cell(docs.get(name, _section_doc(field)))} | {cell(_type(field.annotation))} | "
            f"{_default(field)} | {_range(field)} |"
        )
    return "\n".join(rows) + "\n"


def _section_doc(field: FieldInfo) -> str:
    inner, _ = _section_in(field.annotation)
    return "" if inner is None else " ".join((inner.__doc__ or "").split("\n\n")[0].split())


def _section_in(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The section an annotation names, and whether it is a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for inner in typing.get_args(annotation):
        found, many = _section_in(inner)
        if found is not None:
            return found, many or typing.get_origin(annotation) is list
    return None, False


def _type(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(inner[0])
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("`null`" if each is types.NoneType else _type(each) for each in inner)
    if origin is list:
        return f"list of {_type(inner[0])}"
    if origin is tuple:
        return f"[{', '.join(map(_type, inner))}]"
    if origin is dict:
        return f"mapping of {_type(inner[0])} to {_type(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f"`{member.value}`" for member in annotation)
    names = {str: "text", int: "integer", float: "number", bool: "true or false", Any: "any"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "defaults below"
    text = (
        yaml.safe_dump(to_jsonable_python(value), default_flow_style=True, width=10_000)
        .removesuffix("...\n")
        .strip()
    )
    return f"`{cell(text)}`" if len(text) <= 60 else f"`{cell(text[:57])}...`"


def _range(field: FieldInfo) -> str:
    return cell(", ".join(_bounds([field.metadata, field.annotation])))


def _bounds(places: list[Any]) -> Iterator[str]:
    """Bounds of the field and of what it holds."""
    metadata, annotation = places
    for item in metadata:
        for name, sign in _BOUNDS:
            if (bound := getattr(item, name, None)) is not None:
                yield f"{sign} {bound:,}" if isinstance(bound, int) else f"{sign} {bound}"
        if isinstance(item, FieldInfo):
            yield from _bounds([item.metadata, None])
        if (pattern := getattr(item, "pattern", None)) is not None:
            yield f"`{pattern}`"
    if typing.get_origin(annotation) is typing.Annotated:
        yield from _bounds([annotation.__metadata__, annotation.__origin__])
    elif annotation is not None:
        for inner in typing.get_args(annotation):
            if typing.get_origin(inner) is typing.Annotated:
                yield from (f"each {bound}" for bound in _bounds([inner.__metadata__, inner.__origin__]))
