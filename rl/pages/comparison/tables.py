"""The tables of a comparison: all results, differences to the base, what the configs differ in.

In: a `Study`. Out: HTML.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from rl.compare.config_differences import differences
from rl.compare.results import CaseRecord, Figure
from rl.compare.study import MEASURES, Measure, Study
from rl.pages.html import clipped, group_row, table, visible
from rl.runs.record import SplitResult
from rl.stats.format import ABSENT, number, percent, signed
from rl.stats.intervals import mean_interval
from rl.stats.paired import Difference

_SHARES: tuple[tuple[str, Callable[[SplitResult], float]], ...] = (
    ("Accuracy", lambda result: result.accuracy),
    ("Every<br>step<br>valid", lambda result: result.verified),
)
_FIGURES: tuple[tuple[str, Figure, int], ...] = (
    ("Tokens", lambda result: result.tokens, 1),
    ("Steps per<br>correct", lambda result: result.steps_per_correct, 2),
    ("Invalid<br>steps", lambda result: result.invalid_steps, 2),
    ("Back-<br>tracks", lambda result: result.backtracks, 2),
    ("Real", lambda result: result.real_backtracks, 2),
    ("Fake", lambda result: result.fake_backtracks, 2),
    ("Needless", lambda result: result.needless_backtracks, 2),
    ("Wasted<br>steps", lambda result: result.wasted_steps, 2),
)
_LONGEST = 60  # characters of a config's value that are shown

METHOD = (
    "A case and the base are paired by seed and problem: each seed of both met the same problems and, where "
    "they share a warm start, began with the same weights. The 95 % interval is Student's t over the seeds' "
    "mean differences, widened by what the choice of problems adds (two-way clustered variance: Cameron, "
    "Gelbach and Miller 2011), and never narrower than problems alone make it. Where all pairs differ by the "
    "same amount there is no interval, and an exact sign test over the problems judges. A difference is called "
    "more than noise where it stays so after Holm's correction for all cases of its column and split (5 %)."
)
"""How the differences are judged, as the page says it."""

ONE_SEED = (
    "With one seed only problems are paired: that another seed would train another model is not accounted for, "
    "so “more than noise” holds for these weights, not for the recipe."
)
"""What is added where that is so."""


def result_table(study: Study) -> str:
    """Every case, stage and split, means over seeds with intervals."""
    heads = ["Case and stage", "Seeds", *(head for head, _ in _SHARES), "Sampled<br>accuracy"]
    heads += [head for head, *_ in _FIGURES]
    rows = []
    for split, found in study.compared().items():
        one = found[0].mean()
        about = f"{one.num_problems} problems, full traces {number(one.full_steps)} steps"
        rows.append(group_row(split, len(heads), about))
        for entry in found:
            cells = [str(len(entry.results))]
            cells += [_between(*entry.share_interval(share), percent) for _, share in _SHARES]
            cells.append(_over_seeds(entry.values(lambda result: result.sampled_accuracy), percent, most=1.0))
            cells += [
                _over_seeds(entry.values(figure), partial(number, digits=digits))
                for _, figure, digits in _FIGURES
            ]
            values = "".join(f"<td>{cell}</td>" for cell in cells)
            more = f"<br><small>{visible(', '.join(entry.cases))}</small>" if len(entry.cases) > 1 else ""
            rows.append(f'<tr><th scope="row">{visible(entry.name)}{more}</th>{values}</tr>')
    return table(heads, rows)


def difference_table(study: Study) -> str:
    """Every case against the base, and how it is judged."""
    base = study.cases[0]
    found = study.differences()
    if not found:
        return "<p>There is one case, so there is nothing to compare it with.</p>"
    if not any(one for case in found for one in case.found):
        return "<p>No seed has completions both of the base and of another case yet.</p>"
    heads = ["Case", "Seeds", *(_head(measure) for measure in MEASURES)]
    rows = []
    for split in study.splits:
        rows.append(group_row(split, len(heads), f"less {visible(base.name)} ({_last(base)})"))
        for case in [case for case in found if case.split == split]:
            seeds = max([one.num_seeds for one in case.found if one is not None], default=0)
            cells = [
                _difference(one, exceeds, measure)
                for one, exceeds, measure in zip(case.found, case.exceeds, MEASURES, strict=True)
            ]
            name = f"<b>{case.case.key}</b> {visible(case.case.name)}"
            if case.case.last_stage != base.last_stage:
                name += f" <small>{visible(_last(case.case))}</small>"
            rows.append(f'<tr><th scope="row">{name}</th><td>{seeds}</td>{"".join(cells)}</tr>')
    single = any(one is not None and one.num_seeds == 1 for case in found for one in case.found)
    note = f"{METHOD} {ONE_SEED}" if single else METHOD
    return f'{table(heads, rows)}<p class="note">{visible(note)}</p>'


def config_table(study: Study) -> str:
    """The keys in which the cases' configs differ, a column a case."""
    found = differences(study.comparison.configs)
    if not found:
        return "<p>The configs do not differ.</p>" if len(study.cases) > 1 else ""
    heads = ["Key", *(f"<b>{case.key}</b> {visible(case.name)}" for case in study.cases)]
    rows = []
    for key, values in found.items():
        base = values[study.cases[0].name]
        cells = [values[case.name] for case in study.cases]
        shown = [
            f"<td{'' if cell == base else ' class=other'}>{clipped(cell, _LONGEST)}</td>" for cell in cells
        ]
        rows.append(f'<tr><th scope="row"><code>{visible(key)}</code></th>{"".join(shown)}</tr>')
    note = '<p class="note">Strong: other than in the base. A dash: no such key.</p>'
    return table(heads, rows) + note


def _head(measure: Measure) -> str:
    unit = ", points" if measure.is_share else ""
    first, _, rest = measure.name.partition(", ")
    return f"{first.capitalize()}{unit}" + (f"<br>{rest}" if rest else "")


def _difference(found: Difference | None, exceeds: bool, measure: Measure) -> str:
    if found is None:
        return f"<td>{ABSENT}</td>"
    scale, digits = (100.0, 1) if measure.is_share else (1.0, 2)
    middle, low, high = [signed(scale * value, digits) for value in (found.mean, found.low, found.high)]
    interval = "<small>no interval</small>" if math.isnan(found.low) else f"<small>{low} to {high}</small>"
    pairs = f"<small>{found.num_pairs:,} pairs</small>" if measure.only_correct else ""
    if exceeds:
        # Fewer steps or tokens are good only as far as accuracy holds, so they have no colour.
        css = "strong" if not measure.is_share else "ok" if found.mean > 0 else "no"
        said = f'<small class="{css}">more than noise</small>'
    else:
        corrected = " (corrected)" if found.low > 0 or found.high < 0 else ""
        said = f"<small>within noise{corrected}</small>"
    return f"<td>{middle}{interval}{pairs}{said}</td>"


def _last(case: CaseRecord) -> str:
    return case.last_stage.label if case.last_stage is not None else ""


def _over_seeds(values: Sequence[float], form: Callable[[float], str], most: float = math.inf) -> str:
    """The mean over seeds with its interval, cut off at 0 and at the most the figure can be."""
    if not values:
        return ABSENT
    mean, low, high = mean_interval(values)
    # `max` and `min` would drop a NaN.
    return form(mean) if math.isnan(low) else _between(mean, max(0.0, low), min(most, high), form)


def _between(mean: float, low: float, high: float, form: Callable[[float], str]) -> str:
    return f"{form(mean)}<small>{form(low).removesuffix(' %')}–{form(high).removesuffix(' %')}</small>"
