"""Names and looks of the cases of a comparison: a key, a colour and a mark each, the same on the whole page.

In: a `Study`. Out: the style of a case, the names of the stages that cases start from, and the legend. With
more cases than colours the marks differ; every case has another key beside its points and lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rl.compare.results import CaseRecord, Entry
from rl.compare.study import Study
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


@dataclass(frozen=True, kw_only=True, slots=True)
class LegendEntry:
    """A case or a start of cases: its key, its name, and its mark in a colour."""

    key: str
    name: str
    colour: str
    glyph: str


Start = tuple[tuple[str, ...], Stage]
"""A stage that cases start from: the names of the cases, and the stage."""


def start_keys(cases: Sequence[CaseRecord], entries: Sequence[Entry]) -> dict[Start, str]:
    """Keys of the stages that the last stages started from, by their cases and stage: w1, w2, ..."""
    lasts = {case.name: case.last_stage for case in cases}
    found = dict.fromkeys(
        (entry.cases, entry.stage)
        for entry in entries
        if all(lasts[case] != entry.stage for case in entry.cases)
    )
    return {start: f"w{place + 1}" for place, start in enumerate(found)}


def start_name(cases: Sequence[CaseRecord], start: Start) -> str:
    """The name of a stage that cases start from, the only one on the page: "warm start of a, b"."""
    names, stage = start
    keys = {case.name: case.key for case in cases}
    if len(cases) == 1:
        return stage.label
    whose = "all cases" if len(names) == len(cases) else ", ".join(keys[name] for name in names)
    return f"{stage.label} of {whose}"


def entry_name(study: Study, entry: Entry) -> tuple[str, str]:
    """Key and name of a case at a stage, as in the legend; a last stage is named after its case."""
    key = start_keys(study.cases, study.entries).get((entry.cases, entry.stage))
    if key is not None:
        return key, start_name(study.cases, (entry.cases, entry.stage))
    keys = {case.name: case.key for case in study.cases}
    return keys[entry.cases[0]], f"{entry.cases[0]}: {entry.stage.label}"


def legend(study: Study) -> list[LegendEntry]:
    """The cases, and the stages they start from."""
    made = []
    for place, case in enumerate(study.cases):
        style = case_style(place)
        base = " (baseline)" if not place and len(study.cases) > 1 else ""
        glyph = _GLYPHS[style.marker]
        made.append(LegendEntry(key=case.key, name=f"{case.name}{base}", colour=style.colour, glyph=glyph))
    for start, key in start_keys(study.cases, study.entries).items():
        name = start_name(study.cases, start)
        made.append(LegendEntry(key=key, name=name, colour="muted", glyph="○"))
    return made
