"""The page of a step-skipping loop: one HTML file that needs nothing but itself.

In: the folder of a loop, finished or not. Out: `report.html` in it, laid out by `templates/iteration.html`:
the round to keep and why, standard models round by round, how requests for fewer steps were followed, what
was kept, examples.
"""

from __future__ import annotations

from pathlib import Path

from rl.iterate.read import LoopRecord, read_loop
from rl.pages.iteration.choice import choice_table, kept_round, rules_table, why
from rl.pages.iteration.curves import legend
from rl.pages.iteration.examples import examples
from rl.pages.iteration.followed import (
    followed_cells,
    following_plots,
    following_table,
    kept_plots,
    kept_table,
)
from rl.pages.iteration.solved import solved_plots, solved_table
from rl.pages.iteration.summary import shown_round, tiles, verdict, what_was_run
from rl.pages.render import render
from rl.pages.run.origin import provenance, stride_command
from rl.runs.files import write_text


def write_loop_report(folder: Path) -> Path:
    """Write `report.html` into the folder of a loop.

    Returns:
        Its path.

    Raises:
        RunFolderError: The folder holds no loop, or one of its files is damaged.
    """
    path = folder / "report.html"
    write_text(path, render_loop(read_loop(folder)))
    return path


def render_loop(loop: LoopRecord) -> str:
    """The whole page."""
    run = loop.run
    kept = kept_round(loop)
    asked_on = followed_cells(loop)
    shown = shown_round(loop, kept)
    return render(
        "iteration.html",
        title=f"{run.name}: loop report",
        name=run.name,
        task=str((run.config.get("env") or {}).get("name", "unknown task")),
        started=str(run.provenance.get("started") or "")[:10],
        revision=str(run.provenance.get("git_revision") or "")[:7],
        verdict=verdict(loop, kept),
        warnings=run.summary.warnings,
        tiles=tiles(loop, kept),
        settings=what_was_run(loop),
        is_begun=shown is not None,
        legend=legend(loop.cells),
        solved=solved_plots(loop, kept.round if kept else None) if loop.cells else [],
        solved_table=solved_table(loop, kept.round if kept else None) if loop.cells else None,
        why=why(kept) if kept else "",
        choice=choice_table(kept) if kept else None,
        rules=rules_table(loop) if kept else None,
        asked_on=asked_on,
        following=following_plots(loop, asked_on[0]) if asked_on else [],
        following_table=following_table(loop) if asked_on else None,
        kept=kept_plots(loop),
        kept_table=kept_table(loop),
        examples=examples(loop),
        command=stride_command(run.provenance.get("command")),
        provenance=provenance(run),
        config_text=run.config_text,
    )
