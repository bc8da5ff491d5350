"""The figures of an analysis over its lines, with intervals over problems.

In: the table of lines (`record.line_table`). Out: means by what the environment knows of a line, and rank
correlations of importance with it. The lines of a trace depend on each other, so whole problems are drawn again
for an interval (bootstrap, percentiles), and one problem alone has none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from rl.importance.lines import LineKind
from rl.stats.intervals import LEVEL

_RESAMPLES = 1000

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A figure over the problems, with its 95 % interval.

    Attributes:
        value: The figure; NaN where there is none.
        low: Lower end; NaN for fewer than two problems.
        high: Upper end; likewise.
    """

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, kw_only=True, slots=True)
class KindSummary:
    """What the lines of one kind do to the answer.

    Attributes:
        label: The kind.
        lines: Number of lines.
        problems: Problems that have some.
        importance: Mean divergence less chance, in nats.
        change: Mean change of accuracy.
        size: Mean size of the change of accuracy.
        others: Share of continuations that write another step.
        counterfactual: Mean counterfactual importance, in nats, of the lines that have one.
        counterfactual_change: Mean change of accuracy against other steps.
    """

    label: str
    lines: int
    problems: int
    importance: Estimate
    change: Estimate
    size: Estimate
    others: Estimate
    counterfactual: Estimate
    counterfactual_change: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Correlation:
    """Spearman's rank correlation of importance, and of counterfactual importance, with something known.

    Attributes:
        about: What it is.
        lines: Lines of which it is known.
        importance: The correlation with importance.
        counterfactual: That with counterfactual importance.
    """

    about: str
    lines: int
    importance: Estimate
    counterfactual: Estimate


def by_kind(table: pd.DataFrame) -> list[KindSummary]:
    """A summary for each kind of line that there is, then of lines taken back and not, then of all.

    Where a trace has several wrong lines, the first ones and those after them are two more parts.
    """
    measured = table["importance"].notna()
    known, first = table[measured], _first_wrong(table)[measured]
    parts = [(kind.label, known[known["kind"] == kind.value]) for kind in LineKind]
    wrong = known["kind"] == LineKind.INVALID.value
    if (wrong & ~first).any():
        parts += [("invalid, the first", known[first]), ("invalid, after another", known[wrong & ~first])]
    if known["taken_back"].any():
        forward = ~known["kind"].str.contains("backtrack")
        parts.append(("taken back later", known[forward & known["taken_back"]]))
        parts.append(("not taken back", known[forward & ~known["taken_back"]]))
    parts.append(("all lines", known))
    return [_kind(label, part) for label, part in parts if len(part)]


def correlations(table: pd.DataFrame) -> list[Correlation]:
    """Rank correlations of importance with what the environment knows, and with the place in the trace."""
    measured = table["importance"].notna()
    known = table[measured]
    things = {
        "the way to the end is lost or found again with it (0, 1)": known["decides"],
        "the first wrong line of its trace (0, 1)": _first_wrong(table)[measured],
        "elementary steps that it does": known["num_elementary"],
        "taken back later (0, 1)": known["taken_back"],
        "place in the trace (0 to 1)": known["line"] / known["num_lines"],
        "accuracy before it": known["accuracy_before"],
    }
    found = []
    for about, values in things.items():
        numbers = pd.to_numeric(values, errors="coerce").astype(float)
        if numbers.nunique(dropna=True) < 2:
            continue
        found.append(
            Correlation(
                about=about,
                lines=int(numbers.notna().sum()),
                importance=_correlation(known["index"], known["importance"], numbers),
                counterfactual=_correlation(known["index"], known["counterfactual_importance"], numbers),
            )
        )
    return found


def _first_wrong(table: pd.DataFrame) -> pd.Series[Any]:
    """Whether a line is the first invalid one of its trace; those after it mostly follow from it."""
    wrong = table["kind"] == LineKind.INVALID.value
    return wrong & (wrong.groupby(table["index"]).cumsum() == 1)


def spearman(first: Array, second: Array) -> float:
    """Spearman's rank correlation; ties share their mean rank. NaN where one of both does not vary.

    Example: (1, 2, 3, 4) and (1, 3, 2, 4): 1 - 6 * 2 / (4 * 15) = 0.8.
    """
    if len(first) < 2:
        return math.nan
    x, y = (rankdata(values) - (len(values) + 1) / 2 for values in (first, second))
    size = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / size if size else math.nan


def bootstrap(problem_of: Array, figure: Callable[[Array], float]) -> Estimate:
    """A figure of lines, with a 95 % interval from drawing whole problems again.

    Args:
        problem_of: The problem of each line.
        figure: From the positions of the lines that count, each as often as its problem was drawn.
    """
    value = figure(np.arange(len(problem_of)))
    problems = [np.flatnonzero(problem_of == problem) for problem in np.unique(problem_of)]
    if len(problems) < 2 or math.isnan(value):
        return Estimate(value=value)
    rng = np.random.default_rng(0)
    drawn = [
        figure(np.concatenate([problems[place] for place in rng.integers(len(problems), size=len(problems))]))
        for _ in range(_RESAMPLES)
    ]
    kept = [one for one in drawn if not math.isnan(one)]
    low, high = np.quantile(kept, [LEVEL / 2, 1 - LEVEL / 2]) if kept else (math.nan, math.nan)
    return Estimate(value=value, low=float(low), high=float(high))


def _kind(label: str, part: pd.DataFrame) -> KindSummary:
    return KindSummary(
        label=label,
        lines=len(part),
        problems=part["index"].nunique(),
        importance=_mean(part, part["importance"]),
        change=_mean(part, part["change"]),
        size=_mean(part, part["change"].abs()),
        others=_mean(part, part["other_frac"]),
        counterfactual=_mean(part, part["counterfactual_importance"]),
        counterfactual_change=_mean(part, part["counterfactual_change"]),
    )


def _mean(part: pd.DataFrame, column: pd.Series[Any]) -> Estimate:
    """Mean over the lines that have the value: sums by problem, so that drawing them again is quick."""
    values = column.astype(float)
    kept = values.notna()
    if not kept.any():
        return Estimate(value=math.nan)
    grouped = values[kept].groupby(part.loc[kept, "index"])
    sums, counts = grouped.sum().to_numpy(), grouped.count().to_numpy()
    mean = float(sums.sum() / counts.sum())
    if len(sums) < 2:
        return Estimate(value=mean)
    drawn = np.random.default_rng(0).integers(len(sums), size=(_RESAMPLES, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [LEVEL / 2, 1 - LEVEL / 2])
    return Estimate(value=mean, low=float(low), high=float(high))


def _correlation(problem: pd.Series[Any], first: pd.Series[Any], second: pd.Series[Any]) -> Estimate:
    x, y = first.astype(float), second.astype(float)
    kept = x.notna() & y.notna()
    if not kept.any():
        return Estimate(value=math.nan)
    ours, theirs = x[kept].to_numpy(), y[kept].to_numpy()
    return bootstrap(problem[kept].to_numpy(), lambda lines: spearman(ours[lines], theirs[lines]))
