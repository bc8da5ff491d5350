"""The page of a search: one HTML file that needs nothing but itself.

In: the folder of a search, finished or not. Out: `search.html` in it, laid out by `templates/search.html`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rl.pages.figures import Plot, Tile
from rl.pages.render import render
from rl.pages.search.plots import accuracy_plot, legend
from rl.pages.table import Cell, Group, Note, Row, Table
from rl.runs.analysis import read_settings
from rl.runs.files import write_text
from rl.search.choose import spent
from rl.search.record import PAGE, ProblemRow, SearchRow, problem_log
from rl.search.summary import (
    BEST_OF_N,
    GREEDY,
    LABELS,
    MAJORITY,
    NO_SEARCH,
    SYMBOLIC,
    Arm,
    arms,
    beside,
    by_merge,
    curves,
    searched_by,
)
from rl.stats.format import ABSENT, percent, signed

_MOST_PROBLEMS = 6
_MOST_DRAWS = 40


def write_page(folder: Path) -> Path:
    """Write the page of a search into its folder.

    Returns:
        Its path.

    Raises:
        RunFolderError: The folder holds no search, or a file of it is damaged.
    """
    path = folder / PAGE
    write_text(path, render_page(read_settings(folder, "search"), problem_log(folder).read()))
    return path


def render_page(settings: dict[str, Any], rows: Sequence[ProblemRow]) -> str:
    """The whole page.

    Args:
        settings: What the search was started with.
        rows: The problems so far.
    """
    search = settings["search"]
    merge, depth = search["merge"], search["depth"]
    found = arms(rows, merge, depth=depth)
    lines = curves(rows, merge)
    greedy = {arm.split: arm for arm in found if arm.method == GREEDY}
    plots = [
        Plot(title=f"Split {split}", svg=accuracy_plot(made, greedy.get(split), name=f"curve{place}"))
        for place, (split, made) in enumerate(lines.items())
    ]
    made = next(iter(lines.values()), [])
    return render(
        "search.html",
        title=f"{settings['name']}: search",
        name=str(settings["name"]),
        model=str(settings["model"]),
        task=str(settings["env"]["name"]),
        verdict=_verdict(found),
        tiles=_tiles(rows, found),
        legend=legend(made, next(iter(greedy.values()), None)),
        plots=plots,
        table=arm_table(found) if found else None,
        merges=_merge_table(by_merge(rows, depth=depth)) if rows else None,
        merge=merge,
        depth=depth,
        states=search["states"],
        drawn=_drawn(search),
        max_tokens=search["max_tokens"],
        strategies=search["strategies"],
        problems=[(row, one, _draw_table(row, one, merge)) for row, one in _shown(rows)],
    )


def _drawn(search: Mapping[str, Any]) -> str:
    """How tokens were drawn; older folders have no `top_p` and `top_k`."""
    top_p, top_k = search.get("top_p", 1.0), search.get("top_k")
    told = [f"temperature {search['temperature']:g}"]
    told += [f"top-p {top_p:g}"] if top_p < 1 else []
    return ", ".join(told + ([f"top-k {top_k}"] if top_k else []))


def _verdict(found: Sequence[Arm]) -> str:
    searched = [arm for arm in found if arm.method not in NO_SEARCH]
    if not searched:
        return "No problem has been solved yet."
    best = max(searched, key=lambda arm: arm.accuracy)
    right = (
        f"The best search ({LABELS[best.method]}, N = {best.breadth}, b = {best.depth}) is right on "
        f"{percent(best.accuracy)} of {best.split}"
    )
    if best.gain is None or best.gain_low is None or best.gain_high is None:
        return f"{right}."
    return (
        f"{right}, {signed(100 * best.gain, 1)} points against best-of-N with the same tokens "
        f"({_between(best.gain_low, best.gain_high)})."
    )


def _tiles(rows: Sequence[ProblemRow], found: Sequence[Arm]) -> tuple[Tile, ...]:
    if not rows:
        return ()
    splits = list(dict.fromkeys(row.split for row in rows))
    notes = tuple(f"{sum(row.split == split for row in rows):,} of {split}" for split in splits)
    tiles = [Tile(name="Problems", figure=f"{len(rows):,}", notes=notes)]
    num = sum(
        len(row.samples) + sum(sum(d.round > 0 for d in one.draws) for one in row.searches) for row in rows
    )
    tiles.append(Tile(name="Completions", figure=f"{num:,}"))
    greedy = [arm for arm in found if arm.method == GREEDY]
    if greedy:
        notes = tuple(f"{percent(arm.accuracy)} of {arm.split}" for arm in greedy[1:])
        tiles.append(Tile(name=f"Greedy, {greedy[0].split}", figure=percent(greedy[0].accuracy), notes=notes))
    covered = max((arm for arm in found if arm.method != SYMBOLIC), key=lambda arm: arm.covered)
    tiles.append(
        Tile(
            name="Any completion right",
            figure=percent(covered.covered),
            notes=(f"{LABELS[covered.method]}, {_setting(covered)}, {covered.split}",),
        )
    )
    return tuple(tiles)


_HEADS = (
    "Method",
    "Correct",
    "Every line valid",
    "Any right",
    "Answered",
    "Tokens a problem",
    "Best of N",
    "Against it",
    "Majority vote",
    "Symbolic search",
)


def arm_table(found: Sequence[Arm]) -> Table:
    """Greedy decoding and every search, with the other methods at its tokens."""
    groups = []
    for split in dict.fromkeys(arm.split for arm in found):
        ours = [arm for arm in found if arm.split == split]
        rows = tuple(
            [
                Row(head=LABELS[arm.method], note=_setting(arm), cells=_cells(arm, others))
                for arm, others in beside(ours)
            ]
        )
        groups.append(Group(name=split, rows=rows, about=f"{ours[0].problems:,} problems"))
    return Table(label="methods", heads=_HEADS, groups=tuple(groups))


def _setting(arm: Arm) -> str:
    return "" if arm.breadth is None else f"N = {arm.breadth}, b = {arm.depth}"


def _cells(arm: Arm, others: Mapping[str, Arm]) -> tuple[Cell, ...]:
    gain = Cell(text=ABSENT)
    if arm.gain is not None and arm.gain_low is not None and arm.gain_high is not None:
        between = () if math.isnan(arm.gain_low) else (Note(text=_between(arm.gain_low, arm.gain_high)),)
        gain = Cell(text=signed(100 * arm.gain, 1), notes=between)
    return (
        _share(arm),
        Cell(text=percent(arm.verified)),
        Cell(text=percent(arm.covered)),
        Cell(text=percent(arm.answered)),
        Cell(text=f"{arm.tokens:,.0f}"),
        _share(others.get(BEST_OF_N)),
        gain,
        _share(others.get(MAJORITY)),
        _share(others.get(SYMBOLIC)),
    )


def _share(arm: Arm | None) -> Cell:
    """Accuracy with its interval below it."""
    if arm is None:
        return Cell(text=ABSENT)
    return Cell(text=percent(arm.accuracy), notes=(Note(text=f"{100 * arm.low:.1f} to {100 * arm.high:.1f}"),))


def _merge_table(found: Sequence[Arm]) -> Table:
    rules = tuple(dict.fromkeys(arm.merge for arm in found))
    groups = []
    for split in dict.fromkeys(arm.split for arm in found):
        settings = dict.fromkeys((arm.method, arm.breadth) for arm in found if arm.split == split)
        rows = []
        for method, breadth in settings:
            ours = [a for a in found if (a.split, a.method, a.breadth) == (split, method, breadth)]
            rows.append(Row(head=LABELS[method], note=_setting(ours[0]), cells=tuple(map(_share, ours))))
        groups.append(Group(name=split, rows=tuple(rows)))
    return Table(label="merge rules", heads=("Search", *rules), groups=tuple(groups))


def _shown(rows: Sequence[ProblemRow]) -> list[tuple[ProblemRow, SearchRow]]:
    """The first problems whose search went back, with that search."""
    found = [(row, one) for row in rows for one in row.searches[:1] if len(one.states) > 1]
    return found[:_MOST_PROBLEMS]


def _draw_table(row: ProblemRow, search: SearchRow, merge: Any) -> Table:
    """The completions of a search, with equal ones of a state together."""
    counts: dict[tuple[int, int], list[float]] = {}
    for draw in search.draws:
        counts.setdefault((draw.state, draw.response), []).append(draw.score)
    rows = []
    for (state, place), scores in list(counts.items())[:_MOST_DRAWS]:
        response = row.responses[place]
        rows.append(
            Row(
                head=response.text.replace("\n", " · "),
                note=f"from: {search.states[state].replace(chr(10), ' · ')}" if state else "from the prompt",
                cells=(
                    Cell(text=f"{len(scores)}"),
                    Cell(text=f"{scores[0]:.3f}"),
                    Cell(text=_kind(response.complete, response.correct)),
                ),
            )
        )
    heads = ("Completion", "Times", "Mean log-probability", "Ends")
    chosen = searched_by(row, search, merge)
    about = f"{len(search.draws)} completions, {spent(search.draws):,} tokens"
    name = f"chosen answer {'right' if chosen.correct else 'wrong' if chosen.answered else 'missing'}"
    return Table(label="completions", heads=heads, groups=(Group(name=name, rows=tuple(rows), about=about),))


def _kind(complete: bool, correct: bool) -> str:
    return "right" if correct else "wrong answer" if complete else "no answer"


def _between(low: float, high: float) -> str:
    return ABSENT if math.isnan(low) else f"{signed(100 * low, 1)} to {signed(100 * high, 1)}"
