"""The searches of a comparison (`eval.search`) over seeds: each case's last stage, and cases at equal tokens.

In: cases, whose runs keep every completion of their searches. Out: a `SearchedCase` for each case that has
some, and from these means over seeds with intervals. Where cases differ in what their models write, as traces
of a search against solutions, `at_equal_tokens` gives the samples of one case the tokens that greedy decoding
of another took on the same problem.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from configs.schema.search import Merge
from rl.compare.results import CaseRecord
from rl.search.choose import within
from rl.search.record import ProblemRow, has_search, problem_log, stage_folder, stage_settings
from rl.search.summary import (
    BEST_OF_N,
    GREEDY,
    MAJORITY,
    Method,
    Result,
    arms,
    chosen,
    greedy_result,
    results_of,
)
from rl.stats.intervals import share_interval
from rl.stats.paired import Difference, paired_difference

COVERED = "any_of_n"
"""Any completion right, whichever would be chosen: best-of-N with a perfect choice."""

BySeed = Mapping[int, Sequence[Result]]
"""What a method did on each problem, by seed."""


@dataclass(frozen=True, kw_only=True)
class SearchedCase:
    """The searches of a case's last stage.

    Attributes:
        case: The case.
        rows: Everything that was sampled, by seed.
        merge: Merge rule of the searches.
        depth: Their largest b.
    """

    case: CaseRecord
    rows: Mapping[int, Sequence[ProblemRow]]
    merge: Merge
    depth: int

    @cached_property
    def results(self) -> dict[Method, dict[int, list[Result]]]:
        """What every method did, by method and seed."""
        found: dict[Method, dict[int, list[Result]]] = {}
        for seed, rows in self.rows.items():
            for method, results in results_of(rows, self.merge, depth=self.depth).items():
                found.setdefault(method, {})[seed] = results
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class MeanArm:
    """A method over seeds.

    Attributes:
        method: The method, a key of `LABELS` or `COVERED`.
        seeds: Seeds that have it.
        problems: Problems of each.
        accuracy: Mean share of right answers.
        low: Lower end of its 95 % interval over seeds and problems.
        high: Upper end.
        covered: Mean share with any right completion.
        verified: Mean share with every line valid too; None where the task checks no steps.
        tokens: Mean tokens a problem.
        gain: Accuracy less that of what it is compared with, paired over seeds and problems; None for what is
            not compared.
        samples: Mean completions a problem that fit into the tokens of another case; None elsewhere.
    """

    method: str
    seeds: int
    problems: int
    accuracy: float
    low: float
    high: float
    covered: float
    verified: float | None
    tokens: float
    gain: Difference | None = None
    samples: float | None = None


def read_searches(cases: Sequence[CaseRecord], shared: Mapping[str, int]) -> tuple[SearchedCase, ...]:
    """The searches of each case's last stage, finished or not; a case without one is left out.

    Args:
        cases: The cases.
        shared: Number of problems that all cases share, for splits on which some have more.

    Raises:
        RunFolderError: A file of one is damaged.
    """
    found = []
    for case in cases:
        folders = {seed: stage_folder(record.folder, record.stage) for seed, record in case.last().items()}
        folders = {seed: folder for seed, folder in folders.items() if has_search(folder)}
        rows = {seed: made for seed, folder in folders.items() if (made := _read(folder, shared))}
        if rows:
            record = case.last()[next(iter(rows))]
            search = stage_settings(record.folder, record.stage)
            found.append(SearchedCase(case=case, rows=rows, merge=search["merge"], depth=search["depth"]))
    return tuple(found)


def _read(folder: Path, shared: Mapping[str, int]) -> list[ProblemRow]:
    rows = problem_log(folder).read()
    return [row for row in rows if row.index < shared.get(row.split, row.index + 1)]


def mean_arms(searched: SearchedCase, split: str) -> dict[Method, MeanArm]:
    """Every method of a case over seeds; a search is compared with best-of-N at its tokens."""
    found = {}
    for method, results in searched.results.items():
        if method.split == split:
            best = searched.results.get(method.beside(BEST_OF_N)) if method.is_search else None
            found[method] = mean_arm(method.name, results, best)
    return found


def at_equal_tokens(base: SearchedCase, other: SearchedCase, split: str) -> list[MeanArm]:
    """What the samples of one case do with the tokens that greedy decoding of another took on each problem.

    The first sample counts even where it is longer than that. Only problems that both have count.

    Returns:
        Greedy decoding of `base`, then greedy decoding, best-of-N, majority vote and any completion right of
        `other`, each compared with it; empty where no seed has both.
    """
    greedy: dict[int, list[Result]] = {}
    direct: dict[int, list[Result]] = {}
    counts: list[int] = []
    samples: dict[str, dict[int, list[Result]]] = {BEST_OF_N: {}, MAJORITY: {}, COVERED: {}}
    for seed in base.rows.keys() & other.rows.keys():
        theirs = {_problem(row): row for row in other.rows[seed] if row.split == split and row.samples}
        pairs = [
            (greedy_result(row), theirs[_problem(row)])
            for row in base.rows[seed]
            if row.split == split and row.greedy is not None and _problem(row) in theirs
        ]
        if not pairs:
            continue
        greedy[seed] = [one for one, _ in pairs]
        if found := [greedy_result(row) for _, row in pairs if row.greedy is not None]:
            direct[seed] = found
        budgets = [max(one.tokens, row.samples[0].tokens) for one, row in pairs]
        counts += [len(within(row.samples, budget)) for budget, (_, row) in zip(budgets, pairs, strict=True)]
        for name in (BEST_OF_N, MAJORITY):
            samples[name][seed] = [
                chosen(row, budget, name) for budget, (_, row) in zip(budgets, pairs, strict=True)
            ]
        samples[COVERED][seed] = [
            replace(one, correct=one.covered, verified=None) for one in samples[BEST_OF_N][seed]
        ]
    if not greedy:
        return []
    return [
        mean_arm(GREEDY, greedy),
        *([mean_arm(GREEDY, direct, greedy)] if direct else []),
        *[replace(mean_arm(name, results, greedy), samples=fmean(counts)) for name, results in samples.items()],
    ]


def mean_arm(name: str, results: BySeed, base: BySeed | None = None) -> MeanArm:
    """A method over seeds, compared with another on the same seeds and problems."""
    every = [one for found in results.values() for one in found]
    accuracy, low, high = share_interval([(sum(one.correct for one in r), len(r)) for r in results.values()])
    checked = [one.verified for one in every if one.verified is not None]
    return MeanArm(
        method=name,
        seeds=len(results),
        problems=max(map(len, results.values())),
        accuracy=accuracy,
        low=low,
        high=high,
        covered=fmean(one.covered for one in every),
        verified=fmean(checked) if checked else None,
        tokens=fmean(one.tokens for one in every),
        gain=None if base is None else paired_difference(_right(results), _right(base), is_share=True),
    )


def searches_csv(searches: Sequence[SearchedCase]) -> str:
    """Every method of each case and seed, a line each, with intervals over its problems."""
    rows = [
        {"case": one.case.name, "seed": seed, **asdict(arm)}
        for one in searches
        for seed, found in one.rows.items()
        for arm in arms(found, one.merge, depth=one.depth)
    ]
    return _csv(rows)


def mean_searches_csv(searches: Sequence[SearchedCase], splits: Sequence[str]) -> str:
    """Every method of each case over seeds, then cases at the tokens of the first one's greedy decoding.

    Args:
        searches: The searches.
        splits: The splits on which all cases have the same problems.
    """
    made: list[dict[str, Any]] = []
    for one in searches:
        for split in dict.fromkeys(row.split for rows in one.rows.values() for row in rows):
            for method, arm in mean_arms(one, split).items():
                about = {"case": one.case.name, "tokens_of": method.search, **method._asdict()}
                made.append({**about, **_flat(arm)})
    for split in splits:
        for one in searches[1:]:
            for arm in at_equal_tokens(searches[0], one, split)[1:]:
                about = {"case": one.case.name, "split": split, "name": arm.method}
                made.append({**about, "tokens_of": f"greedy of {searches[0].case.name}", **_flat(arm)})
    return _csv(made)


def _problem(row: ProblemRow) -> tuple[int, str, str]:
    """What makes a problem the same in two cases."""
    return row.index, row.question, row.answer


def _right(results: BySeed) -> dict[int, dict[int, float]]:
    return {seed: {one.index: float(one.correct) for one in found} for seed, found in results.items()}


def _flat(arm: MeanArm) -> dict[str, Any]:
    figures = asdict(arm)
    del figures["method"], figures["gain"]
    gain = (
        {}
        if arm.gain is None
        else {"gain": arm.gain.mean, "gain_low": arm.gain.low, "gain_high": arm.gain.high}
    )
    return {**figures, **gain}


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    table = pd.DataFrame(rows)
    table = table.drop(columns=["search"], errors="ignore").rename(columns={"name": "method"})
    whole = {name: "Int64" for name in ("breadth", "depth") if name in table}
    csv: str = table.astype(whole).to_csv(index=False)
    return csv
