"""Small parts of a page as data: a plot with its caption, a headline figure, a fact with its name."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """A plot with its caption.

    Attributes:
        title: Shown above.
        svg: The plot.
        notes: Small lines below the title.
        below: Small lines below the plot; they may be HTML.
    """

    title: str
    svg: Markup
    notes: tuple[str, ...] = ()
    below: tuple[str | Markup, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """A headline figure with its name and small lines below."""

    name: str
    figure: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """A fact with its name; `is_code` sets it in the font of code, `more` follows it in the usual font."""

    name: str
    text: str
    is_code: bool = False
    more: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """An entry of a legend: a colour by its name in `style.py`, and what it stands for."""

    colour: str
    text: str
