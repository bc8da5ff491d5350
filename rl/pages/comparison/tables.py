"""The tables of a comparison: results, differences to the baseline, differences between the configs.

In: a `Study`. Out: tables as data for the template.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from rl.compare.config_differences import case_changes
from rl.compare.results import Entry, Figure
from rl.compare.study import MEASURES, Measure, Study
from rl.pages.comparison.legend import entry_name
from rl.pages.steps import worded
from rl.pages.table import Cell, Group, Note, Row, Table, cells
from rl.pages.text import line_uses, optional_shares, other_forms
from rl.stats.format import ABSENT, number, percent, signed
from rl.stats.intervals import mean_interval
from rl.stats.paired import Difference

Column = tuple[str, Callable[[Entry], Cell]]
"""Head, and the cell of a case at a stage."""


def _share(share: Figure) -> Callable[[Entry], Cell]:
    """A share of the problems, with an interval never narrower than the problems alone make it."""

    def cell(entry: Entry) -> Cell:
        if not entry.values(share):
            return Cell(text=ABSENT)
        return _between(*entry.share_interval(share), percent)

    return cell


def _over_seeds(
    figure: Figure, form: Callable[[float], str] = number, most: float = math.inf
) -> Callable[[Entry], Cell]:
    """The mean over seeds with its interval, cut off at 0 and at the highest value the figure can have."""

    def cell(entry: Entry) -> Cell:
        values = entry.values(figure)
        if not values:
            return Cell(text=ABSENT)
        mean, low, high = mean_interval(values)
        if math.isnan(low):  # `max` and `min` would drop a NaN
            return Cell(text=form(mean))
        return _between(mean, max(0.0, low), min(most, high), form)

    return cell


def _between(mean: float, low: float, high: float, form: Callable[[float], str]) -> Cell:
    ends = "–".join(form(end).removesuffix(" %") for end in (low, high))
    return Cell(text=form(mean), notes=(Note(text=ends),))


_ACCURACY: Column = ("Accuracy", _share(lambda result: result.accuracy))
_STRICT: Column = ("Accuracy in the closing line", _share(lambda result: result.strict_accuracy))
_VERIFIED: Column = ("No step invalid", _share(lambda result: result.verified))
_STEPS = _over_seeds(lambda result: result.steps_per_correct)
_COSTS: tuple[Column, ...] = (
    ("Backtracks", _over_seeds(lambda result: result.backtracks)),
    ("Tokens", _over_seeds(lambda result: result.tokens, partial(number, digits=1))),
)
_SAMPLED: Column = (
    "Sampled accuracy",
    _over_seeds(lambda result: result.sampled_accuracy, percent, most=1.0),
)
_JUDGING: tuple[Column, ...] = (
    ("Invalid steps", _over_seeds(lambda result: result.invalid_steps)),
    ("Real backtracks", _over_seeds(lambda result: result.real_backtracks)),
    ("Fake backtracks", _over_seeds(lambda result: result.fake_backtracks)),
    ("Needless backtracks", _over_seeds(lambda result: result.needless_backtracks)),
    ("Wasted steps", _over_seeds(lambda result: result.wasted_steps)),
)
_LONGEST = 60  # characters of a config's value that are shown


def headline_table(study: Study) -> Table:
    """The figures that most readers want, of every case, stage and split: means over seeds with intervals."""
    checked = study.steps_checked
    steps: Column = (worded("Steps per correct", checked=checked), _STEPS)
    means = [entry.mean() for found in study.compared().values() for entry in found]
    shares = (_ACCURACY, *(_STRICT,) * other_forms(means), *(_VERIFIED,) * checked)
    more = [(name, _over_seeds(figure, percent, most=1.0)) for name, figure in optional_shares(means)]
    return _results(study, "results", (*shares, steps, *more, *_COSTS))


def full_table(study: Study) -> Table:
    """The remaining figures."""
    means = [entry.mean() for found in study.compared().values() for entry in found]
    uses = [(name, _over_seeds(figure, percent, most=1.0)) for name, figure in line_uses(means)]
    return _results(study, "more results", (_SAMPLED, *((*_JUDGING, *uses) if study.steps_checked else ())))


def _results(study: Study, label: str, columns: Sequence[Column]) -> Table:
    groups = []
    for split, found in study.compared().items():
        one = found[0].mean()
        about = f"{one.num_problems} problems, full traces {number(one.full_steps)} steps"
        groups.append(
            Group(name=split, about=about, rows=tuple(_row(study, entry, columns) for entry in found))
        )
    heads = ("Case and stage", "Seeds", *(head for head, _ in columns))
    return Table(label=label, heads=heads, groups=tuple(groups))


def _row(study: Study, entry: Entry, columns: Sequence[Column]) -> Row:
    key, name = entry_name(study, entry)
    figures = [cell(entry) for _, cell in columns]
    return Row(key=key, head=name, cells=(Cell(text=str(len(entry.results))), *figures))


def difference_table(study: Study) -> Table | None:
    """Every case against the baseline, and whether it is more than noise; None without a pair to compare."""
    found = study.differences()
    if not any(one for case in found for one in case.found):
        return None
    base = study.cases[0]
    groups = []
    for split in study.splits:
        rows = []
        for case in [case for case in found if case.split == split]:
            seeds = max([one.num_seeds for one in case.found if one is not None], default=0)
            stage = case.case.last_stage
            figures = [
                _difference(one, exceeds, measure)
                for one, exceeds, measure in zip(case.found, case.exceeds, MEASURES, strict=True)
            ]
            note = stage.label if stage is not None and stage != base.last_stage else ""
            seeds_cell = Cell(text=str(seeds))
            rows.append(Row(key=case.case.key, head=case.case.name, note=note, cells=(seeds_cell, *figures)))
        stage_name = base.last_stage.label if base.last_stage else ""
        groups.append(Group(name=split, about=f"less {base.name} ({stage_name})", rows=tuple(rows)))
    heads = ("Case", "Seeds", *map(_head, MEASURES))
    return Table(label="differences to the baseline", heads=heads, groups=tuple(groups))


def config_table(study: Study) -> Table | None:
    """The changes of each case to the baseline's config, one row per key; None if nothing differs."""
    changes = case_changes(study.comparison.configs)
    groups = []
    for case in study.cases:
        rows = [
            Row(head=change.key, cells=cells([_short(change.base), _short(change.value)]))
            for change in changes.get(case.name, [])
        ]
        if rows:
            groups.append(Group(name=f"{case.key} {case.name}", rows=tuple(rows)))
    if not groups:
        return None
    base = study.cases[0]
    heads = ("Key", f"Baseline ({base.key} {base.name})", "Case")
    return Table(label="differences between the configs", heads=heads, groups=tuple(groups))


def _short(value: str) -> str:
    return (
        value if len(value) <= _LONGEST else f"{value[:_LONGEST]} … {len(value) - _LONGEST:,} more characters"
    )


def _head(measure: Measure) -> str:
    return f"{measure.name.capitalize()}{', points' if measure.is_share else ''}"


def _difference(found: Difference | None, exceeds: bool, measure: Measure) -> Cell:
    if found is None:
        return Cell(text=ABSENT)
    scale, digits = (100.0, 1) if measure.is_share else (1.0, 2)
    middle, low, high = [signed(scale * value, digits) for value in (found.mean, found.low, found.high)]
    notes = [Note(text="no interval" if math.isnan(found.low) else f"{low} to {high}")]
    if measure.only_correct:
        notes.append(Note(text=f"{found.num_pairs:,} pairs"))
    if exceeds:
        # Fewer steps or tokens are good only as far as accuracy holds, so they have no colour.
        css = "strong" if not measure.is_share else "ok" if found.mean > 0 else "no"
        notes.append(Note(text="more than noise", css=css))
    else:
        corrected = " (corrected)" if found.low > 0 or found.high < 0 else ""
        notes.append(Note(text=f"within noise{corrected}"))
    return Cell(text=middle, notes=tuple(notes))
