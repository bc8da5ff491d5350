"""Tables of a page as data: the template `parts.html` lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rl.runs.record import Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """A small line below a figure.

    Attributes:
        text: The line.
        css: Its class: "ok" and "no" colour it, "strong" makes it stand out.
    """

    text: str
    css: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A figure with small lines below it."""

    text: str
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row.

    Attributes:
        head: Its name.
        cells: The figures, as many as the table has heads less one.
        key: A letter before the name; empty without one.
        stage: Stage whose colour stands before the name.
        note: A small line below the name; empty without one.
    """

    head: str
    cells: tuple[Cell, ...]
    key: str = ""
    stage: Stage | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Rows under a common name, mostly those of a split."""

    name: str
    rows: tuple[Row, ...]
    about: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table; `label` names it for screen readers."""

    label: str
    heads: tuple[str, ...]
    groups: tuple[Group, ...]


def cells(texts: Sequence[str]) -> tuple[Cell, ...]:
    """Cells without small lines."""
    return tuple(Cell(text=text) for text in texts)


def row_of(name: str, figures: Sequence[Cell]) -> Row:
    """A row named for a stage, beside its colour, or for anything else."""
    if isinstance(name, Stage):
        return Row(head=name.label, stage=name, cells=tuple(figures))
    return Row(head=name, cells=tuple(figures))


def name_of(name: str) -> str:
    """The label of a stage, or any other name as it is."""
    return name.label if isinstance(name, Stage) else name
