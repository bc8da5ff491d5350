"""Pages from templates: the Jinja environment that all pages share.

In: the name of a template in `templates/` and the data it shows. Out: one self-contained HTML file: no script,
no outside file, the same bytes for the same data. Every value a template prints passes through `visible`, so
text from a model, a config or an environment can neither become HTML nor hide or reorder characters. In an
attribute use the filter `attribute`, which does the same without HTML.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined
from markupsafe import Markup, escape

from rl.pages.style import stage_colour, style_sheet
from rl.stats.format import ABSENT

_TEMPLATES = Path(__file__).parent / "templates"
_OURS = Markup('<meta name="generator" content="Stride">')
_MAX_CHARS = 400
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
_PICTURES = {"\n": "↵", "\r": "[CR]", "\t": "⇥"}
_MOST_PICTURES = 3  # of one character in a row; a longer run is shown once, with its length


class Heading(NamedTuple):
    """A section's heading, for the table of contents."""

    anchor: str
    title: str


class Headings:
    """Prints the heading of a section and remembers it for the table of contents."""

    def __init__(self) -> None:
        self.found: list[Heading] = []

    def __call__(self, title: str) -> Markup:
        """The heading of a section as HTML."""
        anchor = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
        taken = [heading.anchor for heading in self.found]
        anchor = anchor if anchor not in taken else f"{anchor}-{len(taken)}"
        self.found.append(Heading(anchor=anchor, title=title))
        return Markup('<h2 id="{}">{}</h2>').format(anchor, visible(title))


def render(template: str, *, title: str, **view: Any) -> str:
    """A whole page.

    Args:
        template: Name of a file in `templates/`.
        title: Title of the page.
        view: The data the template shows.
    """
    shared = {"title": title, "generator": _OURS, "style": Markup(style_sheet()), "heading": Headings()}
    return _environment().get_template(template).render(**shared, **view)


def is_page(text: str) -> bool:
    """Whether the text of a file is a page made here."""
    return _OURS in text[:500]


def visible(text: object, newlines: bool = False) -> Markup:
    """Text as HTML, with control and direction characters shown instead of obeyed.

    Example: a tab and "<b>" give "<span class="ctl">⇥</span>&lt;b&gt;"; a long run of one such character is
    shown once, with its length.

    Args:
        text: The text; HTML stays as it is.
        newlines: Keep line breaks instead of showing a sign.
    """
    if isinstance(text, Markup):
        return text
    shown = []
    for char, num in _runs(str(text)):
        if _is_shown(char) or (char == "\n" and newlines):
            shown.append(escape(char * num))
        else:
            shown.append(Markup('<span class="ctl">{}</span>').format(_picture(char, num)))
    return Markup("").join(shown)


def attribute(text: object) -> Markup:
    """Text for an attribute, with control and direction characters shown instead of obeyed."""
    shown = [char * num if _is_shown(char) else _picture(char, num) for char, num in _runs(str(text))]
    return escape("".join(shown))


def clipped(text: str, limit: int = _MAX_CHARS, *, newlines: bool = False) -> Markup:
    """The start of a long text, as `visible` shows it, and how much was left out."""
    left = len(text) - limit
    rest = Markup(' <span class="ctl">… {:,} more characters</span>').format(left) if left > 0 else ""
    return visible(text[:limit], newlines) + rest


def _runs(text: str) -> list[tuple[str, int]]:
    return [(char, sum(1 for _ in run)) for char, run in groupby(text)]


def _is_shown(char: str) -> bool:
    return unicodedata.category(char) not in _HIDDEN


def _picture(char: str, num: int) -> str:
    picture = _PICTURES.get(char, f"[U+{ord(char):04X}]")
    return picture * num if num <= _MOST_PICTURES else f"{picture} ×{num}"


def _finalize(value: object) -> object:
    """Make every printed value visible text; an undefined one raises its error."""
    if isinstance(value, Undefined):
        return value
    return visible(ABSENT if value is None else value)


def _tied(text: object) -> Markup:
    """Text in which no line breaks before a percent sign."""
    return Markup(str(visible(text)).replace(" %", "&nbsp;%"))


def _plural(num: int, one: str, many: str | None = None) -> str:
    return f"{num:,} {one if num == 1 else many or one + 's'}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        visible=visible,
        attribute=attribute,
        clipped=clipped,
        tied=_tied,
        plural=_plural,
        listed=_listed,
        colour=stage_colour,
    )
    return environment
