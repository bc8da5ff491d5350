"""The report of a run: one HTML page that needs nothing but itself.

In: a run folder, finished or not. Out: `report.html` in it, laid out by `templates/run.html`: the verdict,
accuracy against steps, results, curves of the training, step counts and problems before and after, provenance.
The page has no script and no outside file, and is the same bytes for the same folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rl.pages.decoding import decoding
from rl.pages.render import render
from rl.pages.run.backtracks import backtracks
from rl.pages.run.bucket_steps import steps_by_bucket
from rl.pages.run.buckets import by_bucket, empty_thoughts
from rl.pages.run.curves import training
from rl.pages.run.examples import examples
from rl.pages.run.lengths import lengths
from rl.pages.run.origin import next_steps, provenance
from rl.pages.run.results import full_table, headline_table
from rl.pages.run.search import StageSearch, stage_searches
from rl.pages.run.summary import distributions, tiles, trade_offs
from rl.pages.run.verdict import verdict
from rl.pages.steps import COUNTED
from rl.runs.files import write_text
from rl.runs.read import RunRecord, read_run

_EXAMPLES = (8, 3)
"""Problems shown of the first split, and of each other one."""

_VIEWER_PAGE = "rollouts.html"


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run folder.

    Returns:
        Its path.

    Raises:
        RunFolderError: The folder holds no run, or one of its files is damaged.
    """
    path = folder / "report.html"
    viewer = _VIEWER_PAGE if (folder / _VIEWER_PAGE).is_file() else None
    run = read_run(folder)
    write_text(path, render_report(run, viewer=viewer, searches=stage_searches(folder, run.stages)))
    return path


def render_report(run: RunRecord, *, viewer: str | None = None, searches: Sequence[StageSearch] = ()) -> str:
    """The whole page.

    Args:
        run: The run.
        viewer: Path of the viewer's page beside this one; None if there is none.
        searches: Of its stages.
    """
    env = run.config.get("env") or {}
    results = {split: list(run.results(split).items()) for split in run.splits}
    shown = [(split, examples(run, split, _EXAMPLES[min(place, 1)])) for place, split in enumerate(run.splits)]
    return render(
        "run.html",
        title=f"{run.name}: run report",
        name=run.name,
        task=str(env.get("name", "unknown task")),
        started=str(run.provenance.get("started") or "")[:10],
        revision=str(run.provenance.get("git_revision") or "")[:7],
        verdict=verdict(run),
        warnings=run.summary.warnings,
        tiles=tiles(run),
        trade_offs=trade_offs(run),
        decoding=decoding(result for rows in results.values() for _, result in rows),
        is_greedy=run.greedy,
        steps_checked=run.steps_checked,
        partly_checked=run.steps_partly_checked,
        counted=COUNTED,
        headlines=headline_table(run, {one.stage: one.arms for one in searches}) if run.stages else None,
        figures=full_table(run) if run.stages else None,
        searches=searches,
        lengths=lengths(run),
        buckets=by_bucket(results),
        bucket_steps=steps_by_bucket(results, checked=run.steps_checked),
        empty_thoughts=empty_thoughts(results),
        backtracks=backtracks(results),
        training=training(run),
        distributions=distributions(run),
        examples=shown,
        next_steps=next_steps(run),
        viewer=viewer,
        provenance=provenance(run),
        config_text=run.config_text,
    )
