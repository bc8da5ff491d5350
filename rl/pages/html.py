"""HTML that all pages share: escaping, the frame, tables."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Sequence
from itertools import groupby

from rl.pages.style import stage_colour, style_sheet
from rl.runs.record import Stage

_OURS = '<meta name="generator" content="Stride">'


_MAX_CHARS = 400


_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


_PICTURES = {"\n": "↵", "\r": "[CR]", "\t": "⇥"}


def visible(text: object, *, newlines: bool = False) -> str:
    """Escape text for HTML, with control and direction characters shown instead of obeyed.

    Example: a tab and "<b>" give "<span class="ctl">⇥</span>&lt;b&gt;"; a long run of one such character is
    shown once, with its length.
    """
    shown = []
    for char, run in groupby(str(text)):
        num = sum(1 for _ in run)
        if (char == "\n" and newlines) or unicodedata.category(char) not in _HIDDEN:
            shown.append(html.escape(char) * num)
            continue
        picture = _PICTURES.get(char, f"[U+{ord(char):04X}]")
        shown.append(f'<span class="ctl">{picture * num if num < 4 else f"{picture} ×{num}"}</span>')
    return "".join(shown)


def page(title: str, parts: Sequence[str]) -> str:
    """A whole page that needs nothing but itself, from parts that are HTML."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n{_OURS}\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{visible(title)}</title>\n<style>{style_sheet()}</style></head>\n"
        "<body><main>\n" + "\n".join(parts) + "\n</main></body></html>\n"
    )


def is_page(text: str) -> bool:
    """Whether a file's text is a page of ours."""
    return _OURS in text[:500]


def clipped(text: str, limit: int = _MAX_CHARS) -> str:
    """The start of a long text, escaped, and how much was left out."""
    rest = f' <span class="ctl">… {len(text) - limit:,} more characters</span>' if len(text) > limit else ""
    return visible(text[:limit]) + rest


def table(heads: Sequence[str], rows: Sequence[str]) -> str:
    """A table that scrolls where it is wider than the page: column heads and `<tr>` rows, both HTML."""
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def group_row(split: str, num_columns: int, about: str = "") -> str:
    """The row above those of a split; `about` is HTML that stands beside its name."""
    if not about:
        return f'<tr class="group"><th scope="rowgroup" colspan="{num_columns}">{visible(split)}</th></tr>'
    return (
        f'<tr class="group"><th scope="rowgroup">{visible(split)}</th>'
        f'<td colspan="{num_columns - 1}" style="text-align:left"><small>{about}</small></td></tr>'
    )


def row_head(row: str) -> str:
    """The head of a table's row: the label of a stage, beside its colour, or any other name."""
    shown = f"{dot(row)}{visible(row.label)}" if isinstance(row, Stage) else visible(row)
    return f'<th scope="row">{shown}</th>'


def row_name(row: str) -> str:
    """The label of a stage, or any other name as it is."""
    return row.label if isinstance(row, Stage) else row


def dot(stage: Stage) -> str:
    """A spot in a stage's colour."""
    return f'<span class="dot" style="background:var(--{stage_colour(stage)})"></span>'
