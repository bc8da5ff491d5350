"""The page of expert iteration: accuracy by round, and what each round learnt from.

In: the folder of a run, finished or not. Out: `report.html` in it, laid out by `templates/expert.html`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rl.pages.figures import Plot, Tile
from rl.pages.render import render
from rl.pages.style import stand_in
from rl.pages.svg import LINE_STYLES, RC, name_y_axis, to_svg
from rl.pages.table import Cell, Group, Note, Row, Table
from rl.pages.text import text_table
from rl.runs.errors import RunFolderError
from rl.runs.files import write_text
from rl.runs.read import read_config
from rl.search.expert_record import ExpertRow, evaluated_log, expert_log
from rl.search.summary import GREEDY, LABELS, NO_SEARCH, Arm, arms
from rl.stats.format import ABSENT, bare_percent, percent, signed

Rounds = Mapping[int, Sequence[Arm]]
"""The arms of each finished round."""

_COLOURS = ("line1", "line3", "line2", "line4", "line6")
_MARKERS = ("o", "D", "s", "^", "v")


def write_expert_report(folder: Path) -> Path:
    """Write `report.html` into the folder of a run.

    Returns:
        Its path.

    Raises:
        RunFolderError: The folder holds no such run, or one of its files is damaged.
    """
    config = read_config(folder)
    if not config.get("expert_iteration"):
        raise RunFolderError(f"{folder} holds no expert iteration")
    path = folder / "report.html"
    rows = expert_log(folder).read()
    write_text(path, render_expert(config, rows, evaluated(folder, config, rows)))
    return path


def evaluated(folder: Path, config: Mapping[str, Any], rows: Sequence[ExpertRow]) -> Rounds:
    """The arms of each finished round, from its completions."""
    search = config["search"]
    return {
        row.round: arms(evaluated_log(folder, row.round).read(), search["merge"], depth=search["depth"])
        for row in rows
    }


def expert_table(folder: Path) -> str:
    """A text table of the rounds, in percent: what `stride iterate` ends with.

    Args:
        folder: The folder of the run.
    """
    rows, search = expert_log(folder).read(), read_config(folder)["search"]
    splits = list(dict.fromkeys(split for row in rows for split in row.greedy))
    heads = ["round", "searched", "right", "kept", "updates"]
    heads += [f"{name} {split}" for split in splits for name in ("greedy", "search")]
    table = text_table(
        heads,
        [
            [
                str(row.round),
                str(row.asked),
                str(row.right),
                str(row.kept),
                str(row.updates),
                *[
                    bare_percent(found[split]) if split in found else "-"
                    for split in splits
                    for found in (row.greedy, row.searched)
                ],
            ]
            for row in rows
        ],
        num_left=1,
    )
    return f"{table}\n\nsearch: {_learnt_from(search)}" if any(row.searched for row in rows) else table


def render_expert(config: Mapping[str, Any], rows: Sequence[ExpertRow], rounds: Rounds) -> str:
    """The whole page.

    Args:
        config: The run's, as plain data.
        rows: The finished rounds.
        rounds: Their arms.
    """
    searched = bool(rows) and bool(rows[0].searched)
    shown = {number: _shown(found, searched=searched) for number, found in rounds.items()}
    splits = list(dict.fromkeys(arm.split for found in shown.values() for arm in found))
    settings, search = config["expert_iteration"], config["search"]
    return render(
        "expert.html",
        title=f"{config['name']}: expert iteration",
        name=str(config["name"]),
        task=str(config["env"]["name"]),
        verdict=_verdict(rows),
        tiles=_tiles(rows, _learnt_from(search)),
        legend=_legend(shown),
        plots=[
            Plot(title=f"Split {split}", svg=_plot(shown, split, f"rounds{place}"))
            for place, split in enumerate(splits)
        ],
        table=_accuracy_table(shown, splits) if rows else None,
        learnt=_learnt_table(rows) if rows else None,
        search=_learnt_from(search),
        merge=search["merge"],
        keep=settings["keep"],
        problems=settings["num_problems"],
        updates=settings["updates"],
        searched=searched,
    )


def _shown(found: Sequence[Arm], *, searched: bool) -> list[Arm]:
    """Greedy decoding, and every search."""
    return [arm for arm in found if arm.method == GREEDY or (searched and arm.method not in NO_SEARCH)]


def _verdict(rows: Sequence[ExpertRow]) -> str:
    if not rows:
        return "No round is finished yet."
    first, last = rows[0], rows[-1]
    parts = [
        f"{percent(first.greedy[split])} to {percent(last.greedy[split])} of {split} "
        f"({signed(100 * (last.greedy[split] - first.greedy[split]), 1)} points)"
        for split in first.greedy
    ]
    return f"By round {last.round}, greedy decoding has gone from {'; '.join(parts)}."


def _learnt_from(search: Mapping[str, Any]) -> str:
    """The search that rounds learn from, and whose accuracy is a round's."""
    return f"{LABELS[search['strategies'][0]]}, N = {max(search['breadth'])}, b = {search['depth']}"


def _tiles(rows: Sequence[ExpertRow], search: str) -> tuple[Tile, ...]:
    if not rows:
        return ()
    last = rows[-1]
    tiles = [
        Tile(
            name=f"Greedy, {split}",
            figure=percent(share),
            notes=(f"round 0: {percent(rows[0].greedy[split])}",),
        )
        for split, share in last.greedy.items()
    ]
    tiles += [
        Tile(name=f"Search, {split}", figure=percent(share), notes=(search,))
        for split, share in last.searched.items()
    ]
    return (*tiles, Tile(name="Tokens searched on train", figure=f"{sum(row.tokens for row in rows):,}"))


def _name(arm: Arm) -> str:
    setting = "" if arm.breadth is None else f", N = {arm.breadth}, b = {arm.depth}"
    return f"{LABELS[arm.method]}{setting}"


def _looks(shown: Rounds) -> dict[str, tuple[str, str, str]]:
    """Colour, mark and line style of each arm by its name: a colour for a method, a style for a depth."""
    found = list(dict.fromkeys((arm.method, arm.breadth, arm.depth) for one in shown.values() for arm in one))
    pairs = list(dict.fromkeys((method, breadth) for method, breadth, _ in found if method != GREEDY))
    looks = {}
    for arm in (arm for one in shown.values() for arm in one):
        if arm.method == GREEDY:
            looks[_name(arm)] = ("ink", "*", LINE_STYLES[0])
        else:
            place = pairs.index((arm.method, arm.breadth)) % len(_COLOURS)
            style = LINE_STYLES[min(arm.depth or 0, len(LINE_STYLES) - 1)]
            looks[_name(arm)] = (_COLOURS[place], _MARKERS[place], style)
    return looks


def _legend(shown: Rounds) -> list[tuple[str, str, str]]:
    """Colour, class of the line style and text of each entry."""
    return [(colour, style, name) for name, (colour, _, style) in _looks(shown).items()]


def _plot(shown: Rounds, split: str, name: str) -> Markup:
    """Accuracy by round, with 95 % intervals."""
    looks = _looks(shown)
    with mpl.rc_context(RC):
        figure = Figure(figsize=(5.4, 3.3), layout="constrained")
        axes = figure.subplots()
        for label, (colour, marker, style) in looks.items():
            points = [
                (number, arm)
                for number, found in shown.items()
                for arm in found
                if arm.split == split and _name(arm) == label
            ]
            numbers = [number for number, _ in points]
            low, middle, high = (
                [100 * getattr(arm, end) for _, arm in points] for end in ("low", "accuracy", "high")
            )
            axes.fill_between(numbers, low, high, color=stand_in(colour), alpha=0.1, linewidth=0)
            axes.plot(
                numbers,
                middle,
                color=stand_in(colour),
                marker=marker,
                markersize=8 if marker == "*" else 4,
                linestyle=style,
                linewidth=1.6,
            )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("round")
        name_y_axis(axes, "correct, %")
        return to_svg(figure, name, f"Accuracy by round on {split}")


def _accuracy_table(shown: Rounds, splits: Sequence[str]) -> Table:
    names = list(_looks(shown))
    groups = []
    for split in splits:
        rows = []
        for name in names:
            cells = []
            for found in shown.values():
                arm = next((one for one in found if one.split == split and _name(one) == name), None)
                if arm is None:
                    cells.append(Cell(text=ABSENT))
                else:
                    between = f"{100 * arm.low:.1f} to {100 * arm.high:.1f}"
                    cells.append(Cell(text=percent(arm.accuracy), notes=(Note(text=between),)))
            rows.append(Row(head=name, cells=tuple(cells)))
        groups.append(Group(name=split, rows=tuple(rows)))
    heads = ("Correct", *[f"Round {number}" for number in shown])
    return Table(label="accuracy by round", heads=heads, groups=tuple(groups))


def _learnt_table(rows: Sequence[ExpertRow]) -> Table:
    heads = ("Round", "Problems searched", "Right", "Kept", "Tokens", "Updates")
    found = [
        Row(
            head=f"{row.round}",
            note="" if row.round else "the warm start",
            cells=tuple(
                [
                    Cell(text=f"{figure:,}" if figure else ABSENT)
                    for figure in (row.asked, row.right, row.kept, row.tokens, row.updates)
                ]
            ),
        )
        for row in rows
    ]
    return Table(label="what each round learnt from", heads=heads, groups=(Group(name="", rows=tuple(found)),))
