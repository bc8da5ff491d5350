"""The page of an ablation: every case over its seeds.

In: a `Plan`, its runs finished or not. Out: `report.html` and `summary.csv` in its folder. The page needs
nothing but itself and has no scripts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from configs.ablation import Plan
from rl.ablation import Failure, make_folder
from rl.ablation_results import Entry, mean_interval, read_entries, results_csv
from rl.report_backtracks import backtracks
from rl.report_cells import by_cell
from rl.report_page import group_row, number, page, table, visible
from rl.report_plots import RC, to_svg
from rl.report_run import percent
from rl.report_style import stand_in
from rl.run_folder import write_text

_COLOURS = ("line1", "line2", "line3", "line4", "line6", "line5")
_MARKERS = "oDs^vP"
_SHARES = ("accuracy", "verified", "sampled_accuracy")
_FIGURES = (
    ("Tokens", "tokens", 1),
    ("Steps per<br>correct", "steps_per_correct", 2),
    ("Invalid<br>steps", "invalid_steps", 2),
    ("Back-<br>tracks", "backtracks", 2),
    ("Real", "real_backtracks", 2),
    ("Fake", "fake_backtracks", 2),
    ("Needless", "needless_backtracks", 2),
    ("Wasted<br>steps", "wasted_steps", 2),
)


def write_comparison(plan: Plan, failures: Sequence[Failure] = ()) -> Path:
    """Write `report.html` and `summary.csv`.

    Returns:
        Path of the page.

    Raises:
        RunFolderError: The folder cannot be written.
    """
    make_folder(plan)
    write_text(plan.folder / "summary.csv", results_csv(plan))
    path = plan.folder / "report.html"
    write_text(path, render_comparison(plan, failures))
    return path


def render_comparison(plan: Plan, failures: Sequence[Failure] = ()) -> str:
    """The whole page."""
    entries = read_entries(plan)
    splits: dict[str, list[Entry]] = {}
    for entry in entries:
        splits.setdefault(entry.split, []).append(entry)
    seeds = ", ".join(map(str, plan.config.seeds))
    parts = [
        f'<header><p class="kind">Ablation · seeds {seeds}</p><h1>{visible(plan.config.name)}</h1>'
        f'<p class="verdict">{visible(plan.config.question)}</p></header>'
    ]
    if failures:
        said = "".join(f"<li><b>{visible(f.trial)}</b>: {visible(f.reason)}</li>" for f in failures)
        parts.append(f'<h2>Failed runs</h2><ul class="said">{said}</ul>')
    if not entries:
        return page(f"{plan.config.name}: ablation", [*parts, "<p>No run has been evaluated yet.</p>"])
    means = {split: {entry.name: entry.mean() for entry in found} for split, found in splits.items()}
    parts += [
        "<h2>Accuracy against tokens</h2>",
        "<p>Up and to the left is better. Large marks are means over seeds with 95 % intervals, small ones "
        "single seeds; warm starts are hollow.</p>",
        _legend(entries),
        _panels(splits),
        "<h2>All results</h2>",
        _table(splits),
        '<p class="note">Greedy decoding; means over seeds of figures per trace, with 95 % intervals of the '
        "mean by Student's t, which are wide for few seeds. The same problems for every case and seed.</p>",
        by_cell(means),
        backtracks(means),
        "<h2>Cases</h2>",
        _cases(plan),
    ]
    return page(f"{plan.config.name}: ablation", parts)


def _style(entry: Entry, entries: Sequence[Entry]) -> tuple[str, str]:
    """Colour and marker by the first of its cases, the same in every panel."""
    firsts = list(dict.fromkeys(other.cases[0] for other in entries))
    place = firsts.index(entry.cases[0])
    return _COLOURS[place % len(_COLOURS)], _MARKERS[(place + place // len(_COLOURS)) % len(_MARKERS)]


_GLYPHS = dict(zip(_MARKERS, "●◆■▲▼✚", strict=True))


def _legend(entries: Sequence[Entry]) -> str:
    cases = {entry.cases[0]: _style(entry, entries) for entry in entries}
    items = "".join(
        f'<li><b style="color:var(--{colour})">{_GLYPHS[marker]}</b>{visible(case)}</li>'
        for case, (colour, marker) in cases.items()
    )
    return f'<ul class="legend">{items}</ul>'


def _panels(splits: dict[str, list[Entry]]) -> str:
    every = [entry for found in splits.values() for entry in found]
    figures = [
        f"<figure><figcaption>{visible(split)}</figcaption>{_scatter(found, every, position)}</figure>"
        for position, (split, found) in enumerate(splits.items())
    ]
    return f'<div class="panels wide">{"".join(figures)}</div>'


def _scatter(found: Sequence[Entry], every: Sequence[Entry], position: int) -> str:
    said = "; ".join(
        f"{entry.name} {percent(mean['accuracy'])}, {mean['tokens']:.1f} tokens"
        for entry, mean in [(entry, entry.mean()) for entry in found]
    )
    with mpl.rc_context(RC):
        figure = Figure(figsize=(4.6, 3.1), layout="constrained")
        axes = figure.subplots()
        for entry in found:
            colour, marker = _style(entry, every)
            ink = stand_in(colour)
            inside = stand_in("paper") if entry.stage == "warm" else ink
            tokens, accuracy = entry.values("tokens"), [100 * value for value in entry.values("accuracy")]
            axes.plot(tokens, accuracy, marker, markersize=2.6, color=ink, alpha=0.55, zorder=2)
            x, left, right = mean_interval(tokens)
            y, low, high = mean_interval(accuracy)
            axes.errorbar(
                [x],
                [y],
                xerr=None if math.isnan(left) else [[x - left], [right - x]],
                yerr=None if math.isnan(low) else [[y - max(0.0, low)], [min(100.0, high) - y]],
                fmt=marker,
                markersize=7,
                color=ink,
                markerfacecolor=inside,
                elinewidth=1.1,
                capsize=2.5,
                zorder=3,
            )
        low, high = axes.get_ylim()
        axes.set_ylim(max(-3.0, low), min(103.0, high))
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_xlabel("tokens per trace")
        axes.set_ylabel("correct, %")
        return to_svg(figure, f"cases{position}", visible(f"Accuracy against tokens: {said}"))


def _table(splits: dict[str, list[Entry]]) -> str:
    heads = ["Case and stage", "Seeds", "Accuracy", "Every<br>step<br>valid", "Sampled<br>accuracy"]
    heads += [head for head, *_ in _FIGURES]
    rows = []
    for split, found in splits.items():
        one = found[0].mean()
        about = f"{one['num_problems']:.0f} problems, full traces {number(one.get('full_steps'))} steps"
        rows.append(group_row(split, len(heads), about))
        for entry in found:
            cells = [str(len(entry.results))]
            cells += [_with_interval(entry, key, percent, most=1.0) for key in _SHARES]
            cells += [_with_interval(entry, key, partial(number, digits=digits)) for _, key, digits in _FIGURES]
            values = "".join(f"<td>{cell}</td>" for cell in cells)
            more = f"<br><small>{visible(', '.join(entry.cases))}</small>" if len(entry.cases) > 1 else ""
            rows.append(f'<tr><th scope="row">{visible(entry.name)}{more}</th>{values}</tr>')
    return table(heads, rows)


def _with_interval(entry: Entry, key: str, form: Callable[[float], str], most: float = math.inf) -> str:
    """The mean over seeds and, where there are several, its interval, as far as the figure can be."""
    values = entry.values(key)
    if not values:
        return "–"
    mean, low, high = mean_interval(values)
    if math.isnan(low):
        return form(mean)
    ends = "–".join(form(end).removesuffix(" %") for end in (max(0.0, low), min(most, high)))
    return f"{form(mean)}<small>{ends}</small>"


def _cases(plan: Plan) -> str:
    items = []
    for case, keys in plan.config.cases.items():
        changes = "; ".join(f"{key} = {value}" for key, value in keys.items()) or "the base config as it is"
        items.append(f"<dt>{visible(case)}</dt><dd><code>{visible(changes)}</code></dd>")
    return f'<p>Base: <code>{visible(plan.config.base)}</code></p><dl class="facts">{"".join(items)}</dl>'
