"""Draws the growth curves of docs/search.md and prints their table: how a search grows over L, W and K.

    python docs/path_star_growth.py docs/path_star_growth.svg docs/results/path_star

In: stored results (`stride ablate path_star --store FOLDER`). Out: plots over each of the three, of the lines
of right answers (steps and backtracks) and of the backtracks it takes, in right and wrong answers, to leave a
wrong arm; and a table of all difficulty buckets. Means over seeds with 95 % intervals. Beside them stand two
searches written for the same problems: every way (`straight_back: 0`) and straight back (`straight_back: 1`).
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from study_plots import svg_of_rows

from envs import Split, make_env
from envs.trace import BACKTRACK
from rl.compare.results import CaseRecord
from rl.compare.stored import read_stored
from rl.pages.figures import Plot
from rl.pages.iteration.curves import RoundLine, round_curves
from rl.runs.record import BucketResult, Stage
from rl.stats.intervals import mean_interval

SPLITS = ("id", "ood_easy")
PANELS = {  # what grows, and the bucket of each value
    "ways L (two arms, one stage)": "2x{0}_1-1",
    "arms W (two ways, one stage)": "{0}x2_1-1",
    "stages K (two arms, two ways)": "2x2_{0}-{0}",
}
SIZES = range(1, 10)
WRITTEN = {"every way": 0.0, "straight back": 1.0}
KEYS = "abcde"
HEIGHT = 166


def lines_of(result: BucketResult) -> float | None:
    """Lines per right answer; None without one."""
    steps, backtracks = result.steps_per_correct, result.backtracks_per_correct
    return None if steps is None or backtracks is None else steps + backtracks


def backtracks_of(result: BucketResult) -> float | None:
    """Backtracks per wrong arm that was left; None if none was."""
    return 1 / result.straight_back if result.straight_back else None


Figure = Callable[[BucketResult], float | None]
FIGURES: dict[str, Figure] = {
    "lines per right answer": lines_of,
    "backtracks to leave a wrong arm": backtracks_of,
}
Buckets = Mapping[str, Sequence[BucketResult]]
"""Results by bucket, one of each seed."""
Searches = Mapping[str, Mapping[str, tuple[float, float]]]
"""The two figures of a written search, by its name and the bucket."""


def main(out: str, folder: str) -> None:
    """Print the table, write the plots."""
    comparison, cases = read_stored(Path(folder))
    config = next(iter(comparison.configs.values()))
    found = {"warm start": buckets_of(cases[0], Stage.WARM)}
    found |= {case.name: buckets_of(case, Stage.GRPO) for case in cases}
    written = {name: written_search(config, share) for name, share in WRITTEN.items()}
    sys.stdout.write(table(found, written))
    keys = list(zip(KEYS, (*found, *written), strict=True))
    rows = []
    for place, name in enumerate(FIGURES):
        plots = [
            Plot(title=over, svg=panel(place, over, found, written, f"growth{place}-{number}"))
            for number, over in enumerate(PANELS)
        ]
        rows.append((name, keys, plots))
    Path(out).write_text(svg_of_rows(rows, HEIGHT))


def buckets_of(case: CaseRecord, stage: Stage) -> Buckets:
    """Results of a stage by bucket, of all seeds that have it."""
    found: dict[str, list[BucketResult]] = {}
    for record in case.seeds.values():
        if at := record.at(stage):
            for split in SPLITS:
                for name, bucket in at.results[split].buckets.items():
                    found.setdefault(name, []).append(bucket)
    return found


def written_search(config: Mapping[str, Any], straight_back: float) -> dict[str, tuple[float, float]]:
    """The figures of a search that the environment writes, by bucket, on the problems evaluated."""
    settings = {**config["env"]["settings"], "straight_back": straight_back}
    env = make_env(config["env"]["name"], settings)
    found: dict[str, list[tuple[str, ...]]] = {}
    for split in SPLITS:
        for index in range(config["eval"]["num_problems"]):
            problem = env.problem(Split(split), index)
            search = env.search_trace(problem, random.Random(0))
            assert search is not None
            found.setdefault(env.bucket(problem) or "", []).append(search.lines)
    figures = {}
    for name, traces in found.items():
        backs = [line for lines in traces for line in lines if line.startswith(BACKTRACK)]
        figures[name] = (fmean(map(len, traces)), len(backs) / max(1, backs.count(f"{BACKTRACK} 0")))
    return figures


def values(results: Sequence[BucketResult], figure: Figure) -> list[float]:
    """A figure of the seeds that have it."""
    return [value for result in results if (value := figure(result)) is not None]


def panel(place: int, over: str, found: Mapping[str, Buckets], written: Searches, name: str) -> Any:
    """One figure over one of the three sizes."""
    title, figure = list(FIGURES.items())[place]
    buckets = {size: PANELS[over].format(size) for size in SIZES}
    lines = []
    for number, results in enumerate(found.values()):
        known = {size: values(results.get(bucket, ()), figure) for size, bucket in buckets.items()}
        means = {size: mean_interval(seeds) for size, seeds in known.items() if seeds}
        lines.append(
            RoundLine(
                label=KEYS[number],
                place=number,
                values={size: mean for size, (mean, _, _) in means.items()},
                intervals={size: (low, high) for size, (_, low, high) in means.items() if not math.isnan(low)},
            )
        )
    for number, search in enumerate(written.values(), len(lines)):
        sizes = {size: search[bucket][place] for size, bucket in buckets.items() if bucket in search}
        lines.append(RoundLine(label=KEYS[number], place=number, values=sizes, dashed=True))
    unit, letter = title.split()[0], over.split()[1]
    return round_curves(lines, unit=unit, name=name, alt=f"{title} over {over}", over=letter)


def table(found: Mapping[str, Buckets], written: Searches) -> str:
    """A row for each bucket."""
    heads = [f"{name}: lines" for name in written]
    heads += [f"{name}: right, %; lines; straight back, %" for name in found]
    rows = [f"| graphs | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    shares: list[tuple[Figure, int]] = [
        (lambda result: 100 * result.accuracy, 0),
        (lines_of, 2),
        (lambda result: None if result.straight_back is None else 100 * result.straight_back, 0),
    ]
    for name in next(iter(found.values())):
        cells = [f"{search[name][0]:.2f}" for search in written.values()]
        for results in found.values():
            cells.append("; ".join(_interval(values(results[name], one), digits) for one, digits in shares))
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*rows, ""])


def _interval(seeds: Sequence[float], digits: int) -> str:
    if not seeds:
        return "–"
    mean, low, high = mean_interval(seeds)
    if math.isnan(low):
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ({max(0.0, low):.{digits}f} to {min(100.0, high):.{digits}f})"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
