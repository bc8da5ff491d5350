"""Expert iteration over seeds and cases: greedy decoding and search of every round.

In: a `Comparison` whose folders are runs of expert iteration, finished or not. Out: an `ExpertStudy`, from
which page, text and CSV are made. All rounds of a case solve the same problems, so each is compared with its
round 0 in pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from rl.compare.runs import Comparison
from rl.compare.searches import BySeed, MeanArm, mean_arm
from rl.runs.read import is_run, read_config
from rl.search.expert_record import ExpertRow, evaluated_log, expert_log
from rl.search.record import ProblemRow
from rl.search.summary import GREEDY, LABELS, Result, greedy_result, searched_by


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpertRun:
    """One run.

    Attributes:
        case: Its case.
        seed: Its seed.
        search: The section `search` of its config.
        rows: Its finished rounds, 0 first.
        evaluated: By round, the problems that it was evaluated on, with every completion.
    """

    case: str
    seed: int
    search: Mapping[str, Any]
    rows: Sequence[ExpertRow]
    evaluated: Mapping[int, Sequence[ProblemRow]]

    def results(self, number: int, split: str, method: str) -> list[Result]:
        """What greedy decoding, or the search that rounds learn from, did in a round; empty without one."""
        rows = [row for row in self.evaluated.get(number, ()) if row.split == split]
        if method == GREEDY:
            return [greedy_result(row) for row in rows if row.greedy is not None]
        breadth = max(self.search["breadth"])
        return [
            searched_by(row, one, self.search["merge"], depth=self.search["depth"])
            for row in rows
            for one in row.searches
            if (one.strategy, one.breadth) == (self.search["strategies"][0], breadth)
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundArm:
    """A method in a round, over seeds; its gain is that over round 0 of the case.

    Attributes:
        case: The case.
        split: The split.
        method: A key of `LABELS`: greedy decoding, or the search that rounds learn from.
        round: The round.
        mean: The figures over seeds.
    """

    case: str
    split: str
    method: str
    round: int
    mean: MeanArm


@dataclass(frozen=True, kw_only=True)
class ExpertStudy:
    """Runs by case and seed.

    Attributes:
        comparison: Title, question, configs and failures.
        runs: The runs that have begun.
    """

    comparison: Comparison
    runs: tuple[ExpertRun, ...]

    @property
    def cases(self) -> list[str]:
        """Cases of which a run has begun, in the order of the study."""
        return list(dict.fromkeys(run.case for run in self.runs))

    @property
    def splits(self) -> list[str]:
        """The splits that rounds were evaluated on."""
        return list(dict.fromkeys(split for run in self.runs for row in run.rows for split in row.greedy))

    def of(self, case: str) -> list[ExpertRun]:
        """The runs of a case, by seed."""
        return [run for run in self.runs if run.case == case]

    def rounds(self, case: str) -> list[int]:
        """Rounds that some seed of a case has finished."""
        return sorted({row.round for run in self.of(case) for row in run.rows})

    def methods(self, case: str) -> list[str]:
        """Greedy decoding and, where it was evaluated, the search that rounds learn from."""
        searched = [
            run.search["strategies"][0] for run in self.of(case) if any(row.searched for row in run.rows)
        ]
        return list(dict.fromkeys([GREEDY, *searched]))

    @cached_property
    def arms(self) -> list[RoundArm]:
        """Every split, case, method and round over the seeds that have the round."""
        return [
            arm
            for split in self.splits
            for case in self.cases
            for method in self.methods(case)
            for arm in self._arms(self.of(case), split, method)
        ]

    def of_arm(self, case: str, split: str, method: str) -> list[RoundArm]:
        """The rounds of a method."""
        return [arm for arm in self.arms if (arm.case, arm.split, arm.method) == (case, split, method)]

    def followed(self, case: str, split: str, method: str) -> list[RoundArm]:
        """The rounds of a method over the seeds that have the last of the case: the same seeds in each."""
        last = max(self.rounds(case), default=0)
        runs = [run for run in self.of(case) if any(row.round == last for row in run.rows)]
        return self._arms(runs, split, method)

    def learnt(self, case: str, number: int, figure: Callable[[ExpertRow], int]) -> float:
        """Mean over seeds of a figure of a round, such as how many answers it has kept."""
        return fmean(figure(row) for run in self.of(case) for row in run.rows if row.round == number)

    def unfinished(self) -> list[str]:
        """Runs that lack rounds, and those that have not begun."""
        begun = {(run.case, run.seed): len(run.rows) for run in self.runs}
        lines = []
        for case, seeds in self.comparison.folders.items():
            planned = 1 + int(self.comparison.configs[case]["expert_iteration"]["rounds"])
            for seed in seeds:
                if (done := begun.get((case, seed))) is None:
                    lines.append(f"{case}, seed {seed}: not begun")
                elif done < planned:
                    lines.append(f"{case}, seed {seed}: {done} of {planned} rounds")
        return lines

    def _arms(self, runs: Sequence[ExpertRun], split: str, method: str) -> list[RoundArm]:
        """The rounds of runs of one case, each compared with round 0 of the same runs."""
        base = _by_seed(runs, 0, split, method)
        return [
            RoundArm(
                case=runs[0].case,
                split=split,
                method=method,
                round=number,
                mean=mean_arm(method, results, base if number else None),
            )
            for number in sorted({row.round for run in runs for row in run.rows})
            if (results := _by_seed(runs, number, split, method))
        ]


def _by_seed(runs: Sequence[ExpertRun], number: int, split: str, method: str) -> BySeed:
    found = {run.seed: run.results(number, split, method) for run in runs}
    return {seed: results for seed, results in found.items() if results}


def has_experts(comparison: Comparison) -> bool:
    """Whether the cases are expert iteration."""
    return any(config.get("expert_iteration") for config in comparison.configs.values())


def read_expert_study(comparison: Comparison) -> ExpertStudy:
    """Read every folder of a comparison once.

    Raises:
        RunFolderError: A file of a run is damaged.
    """
    runs = [
        _read(case, seed, chain[-1])
        for case, seeds in comparison.folders.items()
        for seed, chain in seeds.items()
        if is_run(chain[-1])
    ]
    return ExpertStudy(comparison=comparison, runs=tuple(runs))


def _read(case: str, seed: int, folder: Path) -> ExpertRun:
    rows = expert_log(folder).read()
    return ExpertRun(
        case=case,
        seed=seed,
        search=read_config(folder)["search"],
        rows=rows,
        evaluated={row.round: evaluated_log(folder, row.round).read() for row in rows},
    )


# ---- as CSV ----


def rounds_csv(study: ExpertStudy) -> str:
    """A line for each case, seed and round: what it learnt from, and accuracy on every split."""
    rows = []
    for run in study.runs:
        for row in run.rows:
            figures = asdict(row)
            for name in ("greedy", "searched"):
                figures |= {f"{name}.{split}": share for split, share in figures.pop(name).items()}
            rows.append({"case": run.case, "seed": run.seed, **figures})
    text: str = pd.DataFrame(rows).to_csv(index=False)
    return text


def mean_rounds_csv(study: ExpertStudy) -> str:
    """A line for each case, round, split and method: means over seeds, intervals, gains over round 0."""
    rows = []
    for arm in study.arms:
        mean, gain = arm.mean, arm.mean.gain
        rows.append(
            {
                "case": arm.case,
                "split": arm.split,
                "method": LABELS[arm.method],
                "round": arm.round,
                "seeds": mean.seeds,
                "problems": mean.problems,
                "accuracy": mean.accuracy,
                "low": mean.low,
                "high": mean.high,
                "tokens": mean.tokens,
                **({} if gain is None else {"gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high}),
            }
        )
    text: str = pd.DataFrame(rows).to_csv(index=False)
    return text
