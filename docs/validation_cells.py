"""Prints what choosing a round costs with another validation cell, from the stored answers of finished loops.

    python docs/validation_cells.py docs/results/step_skipping_mixes/answers.csv.gz ood_easy

The test cell's problems are halved at random, many times. Regret is always measured on one half; rounds are
chosen on the study's own validation cell, on as many problems of `id`, and on the other half: a validation
cell as like the test cell as there can be. Means over halvings, then over seeds with Student's t intervals.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rl.iterate.record import VALIDATION
from rl.iterate.stopping import Cell, Rule, chosen_by, regret
from rl.stats.intervals import mean_interval

HALVINGS = 100
Array = np.ndarray[Any, Any]


def main(answers: Path, test: str) -> None:
    """Print a row for each case, and for all cases of a seed together, with each way to choose."""
    table = pd.read_csv(answers)
    ways: dict[str, Callable[[Cell, Cell, Cell], int]] = {
        "own validation cell": lambda own, on_id, half: chosen_by(Rule.VALIDATION, own, on_id),
        "own, most accurate": lambda own, on_id, half: chosen_by(Rule.MOST_ACCURATE, own, on_id),
        "id, most accurate": lambda own, on_id, half: chosen_by(Rule.BEST_ON_ID, own, on_id),
        "half of the test cell": lambda own, on_id, half: chosen_by(Rule.VALIDATION, half, on_id),
        "half, most accurate": lambda own, on_id, half: chosen_by(Rule.MOST_ACCURATE, half, on_id),
        "last round": lambda own, on_id, half: chosen_by(Rule.LAST, own, on_id),
    }
    cases = list(table.case.unique())
    for case in [*cases, *(["all"] if len(cases) > 1 else [])]:
        ours = table if case == "all" else table[table.case == case]
        for name, way in ways.items():
            if case == "all" and name == "last round":
                continue  # says nothing about cases
            costs = [_cost(loops, test, way) for _, loops in ours.groupby("seed")]
            mean, low, high = (100 * value for value in mean_interval(costs))
            span = "" if math.isnan(low) else f" ({max(0.0, low):.1f} to {high:.1f})"
            sys.stdout.write(f"{case:14} {name:22} {mean:5.1f}{span}  over {len(costs)} seeds\n")


def _cost(loops: pd.DataFrame, test: str, way: Callable[[Cell, Cell, Cell], int]) -> float:
    """Mean regret over halvings, for the loops of one seed."""
    own, on_id, tested = (_cell(loops, name) for name in (VALIDATION, "id", test))
    num, draw = tested.correct.shape[1], np.random.default_rng(0)
    found = []
    for _ in range(HALVINGS):
        order = draw.permutation(num)
        half, rest = (_some(tested, part) for part in (order[: num // 2], order[num // 2 :]))
        found.append(regret(rest, way(own, on_id, half)).regret)
    return float(np.mean(found))


def _cell(loops: pd.DataFrame, name: str) -> Cell:
    """The answers of every round on a cell; rounds of all cases are candidates."""
    rows = loops[loops.cell == name]
    right = rows.pivot_table(index=["case", "round"], columns="index", values="correct", sort=False)
    saved = rows.assign(saved=np.where(rows.correct == 1, 1 - rows.steps / rows.full_steps, np.nan))
    by_round = saved.pivot_table(
        index=["case", "round"], columns="index", values="saved", sort=False, dropna=False
    )
    by_round = by_round.reindex(index=right.index, columns=right.columns)
    return Cell(correct=right.to_numpy(float), saved=by_round.to_numpy(float))


def _some(cell: Cell, places: Array) -> Cell:
    return Cell(correct=cell.correct[:, places], saved=cell.saved[:, places])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2])
