"""How the cases of a comparison look: a colour, a mark and a line each, the same in every plot.

In: a case's place. Out: its style, and the legend. With more cases than colours the marks differ; letters
beside the points and lines tell them apart without either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rl.compare.results import CaseRecord, Entry
from rl.pages.html import visible
from rl.runs.record import Stage

_COLOURS = ("line1", "line2", "line3", "line4", "line6", "line5")
_MARKERS = "oDs^vP"
_GLYPHS = dict(zip(_MARKERS, "●◆■▲▼✚", strict=True))

GROUP = len(_COLOURS)
"""Cases with colours of their own; plots of lines show so many at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseStyle:
    """Names of a colour (`rl/pages/style.py`) and of matplotlib's mark."""

    colour: str
    marker: str


def case_style(place: int) -> CaseStyle:
    """The style of the case at this place; unlike all others among the first 36."""
    turn = place // len(_COLOURS)
    return CaseStyle(colour=_COLOURS[place % len(_COLOURS)], marker=_MARKERS[(place + turn) % len(_MARKERS)])


Start = tuple[tuple[str, ...], Stage]
"""What cases began with: the names of the cases, and the stage."""


def start_keys(cases: Sequence[CaseRecord], entries: Sequence[Entry]) -> dict[Start, str]:
    """Keys of the stages that last stages began with, by their cases and stage: w1, w2, ..."""
    lasts = {case.name: case.last_stage for case in cases}
    found = dict.fromkeys(
        (entry.cases, entry.stage)
        for entry in entries
        if all(lasts[case] != entry.stage for case in entry.cases)
    )
    return {start: f"w{place + 1}" for place, start in enumerate(found)}


def legend(cases: Sequence[CaseRecord], starts: Mapping[Start, str]) -> str:
    """The list of cases, and of what they began with."""
    keys = {case.name: case.key for case in cases}
    items = [
        f'<li><b style="color:var(--{style.colour})">{_GLYPHS[style.marker]}</b><strong>{case.key}</strong> '
        f"{visible(case.name)}{' (base)' if not place and len(cases) > 1 else ''}</li>"
        for place, case in enumerate(cases)
        for style in [case_style(place)]
    ]
    for (names, stage), key in starts.items():
        whose = "all" if len(names) == len(cases) > 2 else ", ".join(keys[name] for name in names)
        of = f"{visible(stage.label)} of {whose}"
        items.append(f'<li><b style="color:var(--muted)">○</b><strong>{key}</strong> {of}</li>')
    return f'<ul class="legend">{"".join(items)}</ul>'
