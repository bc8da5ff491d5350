"""Prints the table of docs/LOG.md that compares rules for stopping a loop, by simulation.

python docs/stopping_rules.py

A loop is simulated as its rounds' chances to solve single problems. The logit of round r on a problem of a
cell is the cell's level plus a trend over rounds, plus what training happened to make of that round (shared
between the cells with correlation `rho`), less the problem's difficulty. Everything that the rules read is
drawn from these chances; regret is measured on the chances themselves, so it has none of the noise that the
rules meet.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rl.iterate.stopping import Cell, Rule, choose, chosen_by
from rl.stats.intervals import mean_interval

Array = np.ndarray[Any, Any]

NUM_ROUNDS = 6
TRENDS: dict[str, tuple[float, ...]] = {
    "flat": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "rises": (0.0, 0.3, 0.5, 0.65, 0.75, 0.8),
    "rises, falls": (0.0, 0.4, 0.6, 0.5, 0.2, -0.2),
}
LEVELS = {"id": 4.5, "validation": 0.3, "ood_easy": 0.8, "ood_hard": -1.2}
SHARE_OF_TREND = {"id": 0.2, "validation": 1.0, "ood_easy": 0.8, "ood_hard": 1.2}
DIFFICULTY = 1.5  # standard deviation over problems, in logits
NUM_TEST = 200
SAVED_A_ROUND = 0.04  # of the full trace's steps
TWO_ERRORS = 0.0455


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A kind of loop.

    Attributes:
        trend: Name in `TRENDS`.
        noise: Standard deviation of a round's own luck in training, in logits.
        rho: Correlation of that luck between cells.
        num: Validation problems.
    """

    trend: str
    noise: float
    rho: float
    num: int


SETTINGS = [
    *(Setting(trend=trend, noise=0.5, rho=0.7, num=200) for trend in TRENDS),
    Setting(trend="rises", noise=0.5, rho=0.7, num=50),
    Setting(trend="rises", noise=0.5, rho=0.7, num=800),
    Setting(trend="rises", noise=0.2, rho=0.7, num=200),
    Setting(trend="rises", noise=0.5, rho=0.2, num=200),
]


def simulate(setting: Setting, rng: np.random.Generator) -> tuple[dict[str, Cell], dict[str, Array]]:
    """One loop: what the rules read, and each round's chance of a right answer on the test cells."""
    trend = np.array(TRENDS[setting.trend])
    shared = rng.normal(size=NUM_ROUNDS)
    mean_saved = SAVED_A_ROUND * np.arange(NUM_ROUNDS) + rng.normal(scale=0.01, size=NUM_ROUNDS)
    cells, chances = {}, {}
    for name, level in LEVELS.items():
        own = rng.normal(size=NUM_ROUNDS)
        luck = setting.noise * (np.sqrt(setting.rho) * shared + np.sqrt(1 - setting.rho) * own)
        num = setting.num if name == "validation" else NUM_TEST
        difficulty = rng.normal(scale=DIFFICULTY, size=num)
        logits = (level + SHARE_OF_TREND[name] * trend + luck)[:, None] - difficulty
        chance = 1 / (1 + np.exp(-logits))
        correct = (rng.random(chance.shape) < chance).astype(float)
        saved = np.clip(mean_saved[:, None] + rng.normal(scale=0.1, size=chance.shape), None, 0.9)
        cells[name] = Cell(correct=correct, saved=np.where(correct > 0, saved, np.nan))
        chances[name] = chance.mean(axis=1)
    return cells, {name: chances[name] for name in ("ood_easy", "ood_hard")}


def picks(cells: Mapping[str, Cell]) -> dict[str, int]:
    """The round that each rule keeps."""
    validation, on_id = cells["validation"], cells["id"]
    found = {str(rule): chosen_by(rule, validation, on_id) for rule in Rule}
    return found | {
        "one error, earliest": min(choose(validation).within),
        "two errors, most steps saved": choose(validation, TWO_ERRORS).place,
    }


def table(settings: Sequence[Setting], num: int, seed: int) -> str:
    """A row for each setting; of each rule the regret in points, over both test cells, and the steps saved."""
    lines: list[str] = []
    for place, setting in enumerate(settings):
        rng = np.random.default_rng([seed, place])
        regrets: dict[str, list[float]] = {}
        saved: dict[str, list[float]] = {}
        for _ in range(num):
            cells, chances = simulate(setting, rng)
            for rule, kept in picks(cells).items():
                costs = [float(chance.max() - chance[kept]) for chance in chances.values()]
                regrets.setdefault(rule, []).append(100 * float(np.mean(costs)))
                saved.setdefault(rule, []).append(SAVED_A_ROUND * kept)
        if not lines:
            lines = [
                f"| rounds | luck | rho | problems | {' | '.join(regrets)} |",
                "|---" * (4 + len(regrets)) + "|",
            ]
        about = f"{setting.trend} | {setting.noise} | {setting.rho} | {setting.num}"
        figures = []
        for rule, values in regrets.items():
            mean, low, _ = mean_interval(values)
            figures.append(f"{mean:.1f} ± {mean - low:.1f}, {100 * np.mean(saved[rule]):.0f} %")
        lines.append(f"| {about} | {' | '.join(figures)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--num", type=int, default=1000, help="loops per setting")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sys.stdout.write(f"{table(SETTINGS, arguments.num, arguments.seed)}\n")


if __name__ == "__main__":
    main()
