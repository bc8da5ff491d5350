"""The searches of a comparison (`eval.search`): methods at equal tokens, and cases beside each other.

In: a `Study`. Out: tables as data for the template, and as text; nothing where no case was evaluated by search.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rl.compare.searches import COVERED, MeanArm, SearchedCase, at_equal_tokens, mean_arms
from rl.compare.study import Study
from rl.pages.table import Cell, Group, Note, Row, Table
from rl.pages.text import text_table
from rl.search.summary import BEST_OF_N, GREEDY, LABELS, MAJORITY, SYMBOLIC, Method
from rl.stats.format import ABSENT, bare_percent, percent, signed

_HEADS = (
    "Case and method",
    "Seeds",
    "Correct",
    "Every line valid",
    "Any right",
    "Tokens a problem",
    "Best of N",
    "Against it",
    "Majority vote",
    "Symbolic search",
)
_EQUAL_HEADS = ("Case and method", "Seeds", "Correct", "Tokens a problem", "Samples that fit", "Against it")
_TEXT_HEADS = ("split", "case", "method", "seeds", "correct", "interval", "any right", "tokens", "against")
_NAMES = {**LABELS, COVERED: "any completion right"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Searches:
    """The section of searches.

    Attributes:
        methods: Greedy decoding and every search of every case, with the methods at its tokens.
        equal: Samples of other cases with the tokens of the first one's greedy decoding; None without another.
        base: The name of the first case.
    """

    methods: Table
    equal: Table | None
    base: str


def searches(study: Study) -> Searches | None:
    """The section, for the splits that can be compared; None without a search."""
    groups = [Group(name=split, rows=tuple(_rows(study, split))) for split in study.splits]
    if not any(group.rows for group in groups):
        return None
    equal = [Group(name=split, rows=tuple(_equal_rows(study, split))) for split in study.splits]
    has_equal = any(group.rows for group in equal)
    return Searches(
        methods=Table(label="searches", heads=_HEADS, groups=tuple(groups)),
        equal=Table(label="equal tokens", heads=_EQUAL_HEADS, groups=tuple(equal)) if has_equal else None,
        base=study.searches[0].case.name,
    )


def searches_text(study: Study) -> str:
    """The same for the terminal, in percent; empty without a search."""
    if not study.searches:
        return ""
    rows, base = [], study.searches[0].case.name
    for split in study.splits:
        for one in study.searches:
            for method, arm, _ in _methods(one, split):
                rows.append([split, one.case.name, _name(method), *_text_cells(arm)])
        for one, arms in _equal(study, split):
            for arm in arms:
                rows.append([split, one.case.name, _equal_name(arm, base), *_text_cells(arm)])
    return text_table(_TEXT_HEADS, rows, num_left=3) if rows else ""


def _methods(one: SearchedCase, split: str) -> Iterator[tuple[Method, MeanArm, Mapping[str, MeanArm]]]:
    """Greedy decoding and every search, each with the methods at its tokens."""
    found = mean_arms(one, split)
    for method, arm in found.items():
        if method.is_search or method.name == GREEDY:
            others = {name: found.get(method.beside(name)) for name in (BEST_OF_N, MAJORITY, SYMBOLIC)}
            yield method, arm, {name: other for name, other in others.items() if other is not None}


def _equal(study: Study, split: str) -> Iterator[tuple[SearchedCase, list[MeanArm]]]:
    """Other cases at the tokens of the first one's greedy decoding, its own figures left out."""
    base, *others = study.searches
    for one in others:
        if found := at_equal_tokens(base, one, split):
            yield one, found[1:]


def _rows(study: Study, split: str) -> Iterator[Row]:
    for one in study.searches:
        for method, arm, others in _methods(one, split):
            yield Row(
                key=one.case.key,
                head=one.case.name,
                note=_name(method),
                cells=(
                    Cell(text=str(arm.seeds)),
                    _share(arm),
                    Cell(text=percent(arm.verified)),
                    Cell(text=percent(arm.covered)),
                    Cell(text=f"{arm.tokens:,.0f}"),
                    _share(others.get(BEST_OF_N)),
                    _gain(arm),
                    _share(others.get(MAJORITY)),
                    _share(others.get(SYMBOLIC)),
                ),
            )


def _equal_rows(study: Study, split: str) -> Iterator[Row]:
    for one, arms in _equal(study, split):
        for arm in arms:
            fit = Cell(text=ABSENT if arm.samples is None else f"{arm.samples:.2f}")
            figures = (
                *(Cell(text=str(arm.seeds)), _share(arm), Cell(text=f"{arm.tokens:,.0f}")),
                *(fit, _gain(arm)),
            )
            yield Row(key=one.case.key, head=one.case.name, note=_NAMES[arm.method], cells=figures)


def _name(method: Method) -> str:
    name = _NAMES[method.name]
    return name if method.breadth is None else f"{name}, N = {method.breadth}, b = {method.depth}"


def _equal_name(arm: MeanArm, base: str) -> str:
    if arm.samples is None:
        return f"{_NAMES[arm.method]}, against that of {base}"
    return f"{_NAMES[arm.method]}, tokens of {base}: {arm.samples:.2f} samples"


def _share(arm: MeanArm | None) -> Cell:
    """Accuracy with its interval below it."""
    if arm is None:
        return Cell(text=ABSENT)
    return Cell(text=percent(arm.accuracy), notes=(Note(text=_between(arm.low, arm.high)),))


def _gain(arm: MeanArm) -> Cell:
    if arm.gain is None:
        return Cell(text=ABSENT)
    low, high = 100 * arm.gain.low, 100 * arm.gain.high
    notes = () if math.isnan(low) else (Note(text=f"{signed(low, 1)} to {signed(high, 1)}"),)
    return Cell(text=signed(100 * arm.gain.mean, 1), notes=notes)


def _text_cells(arm: MeanArm) -> list[str]:
    gain = "-" if arm.gain is None else f"{100 * arm.gain.mean:+.1f}"
    if arm.gain is not None and not math.isnan(arm.gain.low):
        gain += f" ({100 * arm.gain.low:+.1f} to {100 * arm.gain.high:+.1f})"
    figures = (
        bare_percent(arm.accuracy),
        f"{100 * arm.low:.1f}-{100 * arm.high:.1f}",
        bare_percent(arm.covered),
    )
    return [str(arm.seeds), *figures, f"{arm.tokens:.0f}", gain]


def _between(low: float, high: float) -> str:
    return f"{bare_percent(low)}–{bare_percent(high)}"
