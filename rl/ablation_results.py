"""What an ablation found: results of every case over its seeds, as records, as text and as CSV.

In: a `Plan` whose runs may be unfinished. Out: one `Entry` a case, stage and split. Nothing here knows HTML.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import Any

from configs.ablation import Plan
from rl.report_run import LABELS, Row, label
from rl.run_folder import read_summary
from rl.table import aligned

_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)  # 97.5 % quantiles for 1 to 9 degrees
_Z = NormalDist().inv_cdf(0.975)
_COLUMNS = (
    ("steps/correct", "steps_per_correct", 2),
    ("tokens", "tokens", 1),
    ("backtracks", "backtracks", 2),
    ("real", "real_backtracks", 2),
    ("fake", "fake_backtracks", 2),
    ("needless", "needless_backtracks", 2),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One case at one stage on one split.

    Attributes:
        cases: The case; for a warm start all cases that begin with it.
        stage: `base`, `warm` or `grpo`.
        split: Split of the problems.
        results: By seed, with the fields of `SplitResult`.
    """

    cases: tuple[str, ...]
    stage: str
    split: str
    results: dict[int, Row]

    @property
    def name(self) -> str:
        """As a reader calls it."""
        first, *rest = self.cases
        return f"{first}{f' and {len(rest)} more' if rest else ''}: {label(self.stage)}"

    def mean(self) -> Row:
        """The mean over seeds of every number; of a figure some seeds lack, over those that have it."""
        return _mean(list(self.results.values()))

    def values(self, key: str) -> list[float]:
        """One figure of every seed that has it."""
        return [row[key] for row in self.results.values() if row.get(key) is not None]


def read_entries(plan: Plan) -> list[Entry]:
    """Results so far: of each split the warm starts, then what became of them; in the order of the cases.

    The base stage is left out where it is random weights or another run's last stage.
    """
    trials = {trial.name: trial for trial in plan.trials}
    found: dict[tuple[str, str, str], tuple[list[str], dict[int, Row]]] = {}
    for (case, seed), names in plan.results.items():
        for trial in [trials[name] for name in names]:
            stages = read_summary(plan.folder / trial.name)["stages"]
            if trial.after is not None or trial.config.policy.model == "tiny":
                stages.pop("base", None)
            for stage, splits in stages.items():
                for split, row in splits.items():
                    cases, rows = found.setdefault((trial.case, stage, split), ([], {}))
                    rows[seed] = row
                    if case not in cases:
                        cases.append(case)
    entries = [
        Entry(cases=tuple(cases), stage=stage, split=split, results=rows)
        for (_, stage, split), (cases, rows) in found.items()
    ]
    splits, stages = list(dict.fromkeys(entry.split for entry in entries)), list(LABELS)
    return sorted(entries, key=lambda entry: (splits.index(entry.split), stages.index(entry.stage)))


def comparison(plan: Plan) -> str:
    """The results as aligned text: means over seeds, with the interval of the accuracy."""
    rows = [["split", "case", "seeds", "accuracy", "95 % interval", *(name for name, *_ in _COLUMNS)]]
    for entry in read_entries(plan):
        mean = entry.mean()
        accuracy, low, high = mean_interval(entry.values("accuracy"))
        interval = "-" if math.isnan(low) else f"{max(0.0, low):.3f}-{min(1.0, high):.3f}"
        cells = [_number(mean.get(key), digits) for _, key, digits in _COLUMNS]
        rows.append([entry.split, entry.name, str(len(entry.results)), f"{accuracy:.3f}", interval, *cells])
    return aligned(rows, num_left=2)


def results_csv(plan: Plan) -> str:
    """Every number of every seed: one line a case, stage, split and seed."""
    rows = [
        {"cases": " ".join(entry.cases), "stage": entry.stage, "split": entry.split, "seed": seed, **_flat(row)}
        for entry in read_entries(plan)
        for seed, row in entry.results.items()
    ]
    file = io.StringIO()
    writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of independent values and the ends of its 95 % interval (Student's t); NaN ends for one value.

    Example: 1, 2 and 3: mean 2, deviation 1, 4.303 / sqrt(3) = 2.484 to each side.
    """
    mean, num = fmean(values), len(values)
    if num < 2:
        return mean, math.nan, math.nan
    half = _quantile(num - 1) * stdev(values) / math.sqrt(num)
    return mean, mean - half, mean + half


def _mean(rows: Sequence[Row], *, lacking: float | None = None) -> Row:
    """The mean of every number; a row that lacks one counts as `lacking`, or not at all."""
    mean: Row = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        values = [lacking if row.get(key) is None else row[key] for row in rows]
        known: list[Any] = [value for value in values if value is not None]
        if known and isinstance(known[0], dict):  # a seed without an error of some kind has none of them
            mean[key] = _mean(known, lacking=0.0 if key == "errors" else None)
        else:
            mean[key] = fmean(known) if known else None
    return mean


def _flat(row: Row, prefix: str = "") -> Row:
    """A result with its inner figures as `outer.inner`."""
    flat: Row = {}
    for key, value in row.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _quantile(degrees: int) -> float:
    if degrees <= len(_T):
        return _T[degrees - 1]
    return _Z + (_Z**3 + _Z) / (4 * degrees) + (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / (96 * degrees**2)
