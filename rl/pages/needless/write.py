"""The page of `stride needless`: one HTML file that needs nothing but itself.

In: the folder of a measurement. Out: `needless.html` in it, laid out by `templates/needless.html`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from rl.needless.record import problem_log
from rl.needless.run import LINES
from rl.needless.table import RuleRow, rule_rows
from rl.needless.text import HEAD, cells_of
from rl.pages.figures import Tile
from rl.pages.render import render
from rl.pages.table import Group, Row, Table, cells
from rl.runs.analysis import read_settings
from rl.runs.files import write_text
from rl.stats.format import percent

PAGE = "needless.html"


def write_page(folder: Path) -> Path:
    """Write the page of a measurement into its folder.

    Returns:
        Its path.

    Raises:
        RunFolderError: The folder holds no measurement.
    """
    settings, lines = read_settings(folder, "needless"), pd.read_csv(folder / LINES)
    rows = rule_rows(lines)
    uses = lines["use"].value_counts()
    page = render(
        "needless.html",
        title=f"{settings['name']}: needless steps",
        name=str(settings["name"]),
        model=str(settings["model"]),
        task=str(settings["env"]["name"]),
        split=str(settings["split"]),
        num_problems=len(problem_log(folder).read()),
        num_samples=int(settings["num_samples"]),
        num_continuations=int(settings["num_continuations"]),
        verdict=_verdict(rows),
        tiles=[
            Tile(name="Lines of right traces", figure=f"{len(lines):,}"),
            *[Tile(name=str(use).capitalize(), figure=f"{num:,}") for use, num in uses.items()],
        ],
        table=Table(
            label="How good each rule is",
            heads=HEAD,
            groups=(Group(name="", rows=tuple(_row(row) for row in rows)),),
        )
        if rows[0].lines
        else None,
    )
    path = folder / PAGE
    write_text(path, page)
    return path


def _row(row: RuleRow) -> Row:
    label, *figures = cells_of(row)
    return Row(head=label, cells=cells(figures))


def _verdict(rows: list[RuleRow]) -> str:
    guesses = [row for row in rows if row.name != "all" and row.called and row.auc == row.auc]
    if not guesses:
        return "No needless line, or no needed one, was sampled."
    best = max(guesses, key=lambda row: row.auc)
    base = next(row for row in rows if row.name == "all")
    return (
        f"{percent(base.precision.value)} of the lines were needless. Of the rules, {best.label.split(':')[0]} "
        f"ranks them best ({best.auc:.2f}, where 0.5 is chance)."
    )
