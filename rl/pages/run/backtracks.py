"""The report's section on backtracks: how many, of which kind, and the first errors of a trace by category.

In: the results of every stage and split. Out: HTML with one plot a split and a table; nothing where no stage
ever went back or erred in a named way.
"""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rl.pages.html import dot, group_row, number, table, visible
from rl.pages.run.examples import percent
from rl.pages.style import stand_in
from rl.pages.svg import RC, to_svg
from rl.runs.record import Row, label

_KINDS = (
    ("needed_backtracks", "out of a dead end or a wrong line", "line3", ""),
    ("needless_backtracks", "out of a branch that was right", "line2", "////"),
    ("other_backtracks", "to no earlier step, or not known", "wrong", "...."),
)
_HEADS = (
    ("Stage", None),
    ("Backtracks", "backtracks"),
    ("Real", "real_backtracks"),
    ("Fake", "fake_backtracks"),
    ("Needed", "needed_backtracks"),
    ("Needless", "needless_backtracks"),
    ("Lines undone, each", "backtrack_depth"),
    ("Wasted steps", "wasted_steps"),
)


def backtracks(results: dict[str, dict[str, Row]]) -> str:
    """The section, or nothing where there is nothing to say.

    Args:
        results: By split and stage, with the fields of `SplitResult`.
    """
    parts = []
    if any(result.get("backtracks") for found in results.values() for result in found.values()):
        parts += [_plots(results), _table(results)]
        parts.append(
            '<p class="note">Per trace, greedy. A real backtrack returned to an earlier state and then took '
            "another branch; it was needed where the branch it left could not have led to the end. Wasted "
            "steps were undone later.</p>"
        )
    if any(result.get("errors") for found in results.values() for result in found.values()):
        parts.append(_errors(results))
    return "<h2>Backtracks and errors</h2>" + "".join(parts) if parts else ""


def _plots(results: dict[str, dict[str, Row]]) -> str:
    most = max(result.get("backtracks", 0.0) for found in results.values() for result in found.values())
    figures = [
        f"<figure><figcaption>{visible(split)}</figcaption>{_bars(found, most, position)}</figure>"
        for position, (split, found) in enumerate(results.items())
    ]
    legend = "".join(
        f'<li><i class="box" style="background:var(--{colour})"></i>{text}</li>'
        for _, text, colour, _ in _KINDS
    )
    return f'<ul class="legend">{legend}</ul><div class="panels wide">{"".join(figures)}</div>'


def _bars(found: dict[str, Row], most: float, position: int) -> str:
    stages = list(found)
    said = "; ".join(f"{label(stage)} {found[stage].get('backtracks', 0.0):.2f}" for stage in stages)
    with mpl.rc_context(RC):
        figure = Figure(figsize=(3.7, 0.55 + 0.36 * len(stages)), layout="constrained")
        axes = figure.subplots()
        left = [0.0] * len(stages)
        for key, _, colour, hatch in _KINDS:
            widths = [_amount(found[stage], key) for stage in stages]
            axes.barh(
                range(len(stages)),
                widths,
                left=left,
                height=0.6,
                facecolor=stand_in(colour),
                edgecolor=stand_in("muted"),
                hatch=hatch,
                linewidth=0.5,
            )
            left = [start + width for start, width in zip(left, widths, strict=True)]
        axes.set_yticks(range(len(stages)), [label(stage) for stage in stages])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, 1.05 * most)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("backtracks per trace")
        return to_svg(figure, f"backtracks{position}", f"Backtracks per trace: {said}")


def _amount(result: Row, key: str) -> float:
    if key != "other_backtracks":
        return float(result.get(key) or 0.0)
    known = sum(float(result.get(kind) or 0.0) for kind, *_ in _KINDS[:2])
    return max(0.0, float(result.get("backtracks") or 0.0) - known)


def _table(results: dict[str, dict[str, Row]]) -> str:
    lines = []
    for split, found in results.items():
        lines.append(group_row(split, len(_HEADS)))
        for stage, result in found.items():
            cells = "".join(f"<td>{number(result.get(key))}</td>" for _, key in _HEADS[1:] if key)
            lines.append(f'<tr><th scope="row">{dot(stage)}{visible(label(stage))}</th>{cells}</tr>')
    return table([head for head, _ in _HEADS], lines)


def _errors(results: dict[str, dict[str, Row]]) -> str:
    every = [result.get("errors") or {} for found in results.values() for result in found.values()]
    names = sorted({name for errors in every for name in errors})
    lines = []
    for split, found in results.items():
        lines.append(group_row(split, len(names) + 1))
        for stage, result in found.items():
            errors = result.get("errors") or {}
            cells = "".join(f"<td>{percent(errors.get(name, 0.0))}</td>" for name in names)
            lines.append(f'<tr><th scope="row">{dot(stage)}{visible(label(stage))}</th>{cells}</tr>')
    note = '<p class="note">Share of problems whose first wrong line is of this kind.</p>'
    return table(["Stage", *(visible(name) for name in names)], lines) + note
