"""How often each rule is right about needless lines: precision, recall and ranking, over a table of lines.

In: the rows of problems. Out: a row for each line of each right trace (`line_table`), and one for each rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from envs.line_facts import LineUse
from rl.needless.guesses import LABELS, RULES
from rl.needless.record import ProblemRow
from rl.stats.intervals import clustered_interval

NEEDLESS = (LineUse.SKIPPABLE.value, LineUse.WASTED.value)
KNOWN = (LineUse.NEEDED.value, *NEEDLESS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """A share with its 95 % interval, clustered by problem; NaN where nothing was counted."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleRow:
    """How good a rule is.

    Attributes:
        name: Its name.
        lines: Lines it judged.
        needless: Those of them that are needless.
        called: Those that it calls needless.
        precision: Share of needless lines among those it calls so.
        recall: Share of the needless lines that it calls so.
        auc: Probability that a needless line looks more needless to it than a needed one (ties count half): 0.5
            is chance.
    """

    name: str
    lines: int
    needless: int
    called: int
    precision: Share
    recall: Share
    auc: float

    @property
    def label(self) -> str:
        """Its name on pages."""
        return LABELS[self.name]


def line_table(rows: Sequence[ProblemRow]) -> pd.DataFrame:
    """A row for each line, with columns `<rule>_score` and `<rule>_called` for each rule."""
    about = ["index", "sample", "line", "text", "use", "progress"]
    columns = [*about, *[f"{name}_{what}" for name in RULES for what in ("score", "called")]]
    found = []
    for row in rows:
        for line in row.lines:
            flat: dict[str, Any] = {name: getattr(line, name) for name in about[1:]}
            for name, guess in line.guesses.items():
                flat[f"{name}_score"] = None if guess is None else guess.score
                flat[f"{name}_called"] = None if guess is None else int(guess.called)
            found.append({**flat, "index": row.index, "use": line.use.value})
    return pd.DataFrame(found, columns=columns)


def rule_rows(lines: pd.DataFrame) -> list[RuleRow]:
    """A row for each rule. Lines that are wrong, and those of which nothing is known, are left out.

    Args:
        lines: Columns `index` (of the problem), `use`, and for each rule `<rule>_score` and `<rule>_called`.
    """
    known = lines[lines["use"].isin(KNOWN)]
    rows = []
    for name in RULES:
        judged = known[known[f"{name}_called"].notna()] if len(known) else known
        called = judged[f"{name}_called"].astype(bool).to_numpy() if len(judged) else np.zeros(0, bool)
        needless = judged["use"].isin(NEEDLESS).to_numpy()
        problems = judged["index"].to_numpy()
        rows.append(
            RuleRow(
                name=name,
                lines=len(judged),
                needless=int(needless.sum()),
                called=int(called.sum()),
                precision=_share(needless[called], problems[called]),
                recall=_share(called[needless], problems[needless]),
                auc=area_under_curve(judged[f"{name}_score"].to_numpy(dtype=float), needless),
            )
        )
    return rows


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float:
    """Probability that a positive scores above a negative, ties counting half; NaN without both.

    Example: positives 2 and 1, negatives 1 and 0: (1 + 1 + 0.5 + 1) / 4 = 0.875.
    """
    if positive.all() or not positive.any():
        return float("nan")
    ranks = pd.Series(scores).rank().to_numpy()
    num = int(positive.sum())
    return float((ranks[positive].sum() - num * (num + 1) / 2) / (num * (len(scores) - num)))


def _share(hits: Sequence[bool] | np.ndarray, problems: Sequence[int] | np.ndarray) -> Share:
    if not len(hits):
        return Share(value=float("nan"), low=float("nan"), high=float("nan"))
    grouped = pd.Series(np.asarray(hits, dtype=int)).groupby(np.asarray(problems))
    counts = [(int(found.sum()), len(found)) for _, found in grouped]
    low, high = clustered_interval(counts)
    return Share(value=float(np.mean(hits)), low=low, high=high)
