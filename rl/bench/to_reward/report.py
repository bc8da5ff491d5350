"""The results of `bench to_reward` as a table, JSON and a plot."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from rl.bench.machine import describe_cpu
from rl.bench.to_reward.contest import Contest
from rl.bench.to_reward.curve import Duel, Point
from rl.pages.svg import know_own_fonts
from rl.pages.text import text_table

_COLOURS = {"Stride": "#2a6fb0", "stock TRL": "#c2571a"}


def as_table(duels: Sequence[Duel], contest: Contest) -> str:
    """The machine, a row for each task and seed, and a row for each task's median."""
    head = ["task", "seed", "start", "target", "Stride", "updates", "TRL", "updates", "Stride / TRL"]
    rows = []
    for duel in duels:
        ours = duel.stride_to
        row = [duel.task, str(duel.seed), f"{duel.stride[0].reward:.3f}"]
        if duel.target is None or ours is None or duel.ratio is None:
            rows.append([*row, "no gain", *[""] * 5])
            continue
        row += [f"{duel.target:.3f}", f"{ours.seconds:.1f} s", f"{ours.update:.1f}"]
        rows.append([*row, *_reached(duel.trl_to, duel.trl[-1]), _ratio(duel.ratio, duel.is_bound)])
    for task, of_task in groupby(duels, key=lambda duel: duel.task):
        own = list(of_task)
        if ratios := sorted(duel.ratio for duel in own if duel.ratio is not None):
            median = _ratio(statistics.median(ratios), any(duel.is_bound for duel in own))
            cell = f"{median} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
            rows.append([task, "median", *[""] * (len(head) - 3), cell])
    return f"{describe_cpu()}, {contest.threads} threads\n{text_table(head, rows, num_left=2)}"


def _reached(point: Point | None, last: Point) -> tuple[str, str]:
    """Seconds and updates to the target, or of the whole training that did not reach it."""
    if point is None:
        return f"not reached in {last.seconds:.1f} s", f"{last.update:g}"
    return f"{point.seconds:.1f} s", f"{point.update:.1f}"


def _ratio(ratio: float, is_bound: bool) -> str:
    return f"{'<= ' if is_bound else ''}{ratio:.3f}"


def as_json(duels: Sequence[Duel], contest: Contest) -> dict[str, Any]:
    """Machine, settings, and of every duel its curves and what follows from them."""
    figures = []
    for duel in duels:
        reached = {"stride_to": duel.stride_to, "trl_to": duel.trl_to}
        points = {key: asdict(point) if point else None for key, point in reached.items()}
        figures.append({**asdict(duel), **points, "ratio": duel.ratio, "is_bound": duel.is_bound})
    return {"cpu": describe_cpu(), **asdict(contest), "to_reward": figures}


def plot(duels: Sequence[Duel], path: Path) -> None:
    """Reward against seconds: a panel for each task, a line for each seed; dots where the target is reached."""
    know_own_fonts()
    tasks = list(dict.fromkeys(duel.task for duel in duels))
    with mpl.rc_context({"svg.hashsalt": "to_reward", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(4.2 * len(tasks), 3.0), layout="constrained")
        for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
            axes.set_title(task.replace("_", " "), fontsize=9)
            axes.set_xlabel("seconds of training")
            axes.set_ylabel("sampled reward")
            axes.spines[["top", "right"]].set_visible(False)
            for number, duel in enumerate(duel for duel in duels if duel.task == task):
                curves = {"Stride": (duel.stride, duel.stride_to), "stock TRL": (duel.trl, duel.trl_to)}
                for name, (points, reached) in curves.items():
                    colour = _COLOURS[name]
                    axes.plot(
                        [point.seconds for point in points],
                        [point.reward for point in points],
                        color=colour,
                        linewidth=1.0,
                        label=name if number == 0 else None,
                    )
                    if reached is not None:
                        axes.plot([reached.seconds], [reached.reward], "o", color=colour, markersize=4)
            axes.legend(frameon=False, loc="best")
        metadata: dict[str, Any] = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, metadata=metadata)
