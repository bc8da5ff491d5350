"""Docstrings as Markdown, and the docstrings under the fields of a class.

In: text or classes of the packages. Out: Markdown. Only what the docstrings of this project use is read:
literal blocks after `::`, double backticks, and a term with its explanation on an indented line.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable

_ENTRY = re.compile(r"(`?[\w*.\-]+`?(?:, `?[\w*.\-]+`?)*): (.*)")


def markdown(text: str) -> str:
    """A docstring as Markdown."""
    lines = inspect.cleandoc(text).split("\n")
    out: list[str] = []
    while lines:
        line = lines.pop(0)
        if line.endswith("::"):
            out.append(line[:-1] if line != "::" else "")
            while lines and not lines[0]:
                lines.pop(0)
            block = _take(lines, lambda each: not each or each.startswith("    "))
            out += ["", "```text", textwrap.dedent("\n".join(block)).rstrip(), "```", ""]
        elif line.startswith("    "):
            block = [line, *_take(lines, lambda each: not each or each.startswith("    "))]
            out += ["", *_indented(textwrap.dedent("\n".join(block)).rstrip().split("\n")), ""]
        else:
            out.append(line.replace("``", "`"))
    return "\n".join(out).strip() + "\n"


def field_docs(cls: type) -> dict[str, str]:
    """What a class, without its bases, says of each field: under it, or in `Attributes`; one line each."""
    return {**_attributes(inspect.cleandoc(cls.__doc__ or "")), **_below_fields(cls)}


def _attributes(docstring: str) -> dict[str, str]:
    """The entries of a Google docstring's `Attributes` section."""
    _, found, section = docstring.partition("\nAttributes:\n")
    entries: dict[str, str] = {}
    name = ""
    for line in section.split("\n") if found else []:
        if not line.startswith("    "):
            break
        entry = _ENTRY.fullmatch(line.strip())
        if entry and not line.startswith("     "):
            name, entries[entry[1]] = entry[1], entry[2]
        elif name:
            entries[name] += f" {line.strip()}"
    return entries


def _below_fields(cls: type) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, after in zip(body.body, [*body.body[1:], ast.Pass()], strict=True):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(after.value.value).split())
    return found


def cell(text: str) -> str:
    """Text as a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def _take(lines: list[str], belongs: Callable[[str], bool]) -> list[str]:
    taken: list[str] = []
    while lines and belongs(lines[0]):
        taken.append(lines.pop(0))
    return taken


def _indented(lines: list[str]) -> list[str]:
    """Terms with their explanations as a list; anything else as it is, verbatim."""
    if not _ENTRY.fullmatch(lines[0]):
        return ["```text", *lines, "```"]
    items: list[str] = []
    for line in lines:
        if not line.startswith(" ") and (entry := _ENTRY.fullmatch(line)):
            items.append(f"- **{entry[1].strip('`')}**: {entry[2]}")
        elif items:
            items[-1] += f" {line.strip()}"
    return [item.replace("``", "`") for item in items]
