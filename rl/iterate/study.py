"""Step-skipping loops over seeds and cases, beside ordinary runs where the study has some.

In: a `Comparison` of which some folders are loops, finished or not. Out: a `LoopStudy`, from which the page
of the study and its CSV files are made. The paper's question, whether mixed data beats full traces alone at
equally many updates, needs a model trained on full traces alone: that is round 0 of a case with
`iterate.init: cold`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from rl.compare.results import CaseRecord, read_cases
from rl.compare.runs import Comparison
from rl.iterate.metrics import asked, following
from rl.iterate.read import LoopRecord, is_loop, read_loop
from rl.iterate.record import VALIDATION, Asked, Following, Solved
from rl.iterate.regret import (
    Candidate,
    Kept,
    LoopAnswers,
    RegretRow,
    RoundDifference,
    kept_by_rules,
    loop_answers,
    regret_rows,
    round_differences,
)
from rl.iterate.stopping import Rule
from rl.runs.read import is_run
from rl.stats.intervals import share_interval


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyLoop:
    """One loop of a study.

    Attributes:
        case: Its case.
        seed: Its seed.
        record: What its folder holds.
        answers: The answers of its standard models, as the rules for stopping read them.
    """

    case: str
    seed: int
    record: LoopRecord
    answers: LoopAnswers

    @property
    def last_round(self) -> int:
        """The last finished round; -1 before the first."""
        return self.record.rounds[-1].round if self.record.rounds else -1


@dataclass(frozen=True, kw_only=True)
class LoopStudy:
    """Loops by case and seed.

    Attributes:
        comparison: Title, question, configs and failures.
        loops: The loops that have begun.
        others: Ordinary runs of the same study, by case.
    """

    comparison: Comparison
    loops: tuple[StudyLoop, ...]
    others: tuple[CaseRecord, ...]

    def parts(self) -> list[tuple[str, LoopStudy]]:
        """The study by task: cases with the same problems, which can be compared, under the name of their task.

        Cases of the same task with other problems are parts of their own, under the name of their first case.
        """
        configs = self.comparison.configs
        keys = {case: _problems(config) for case, config in configs.items()}
        found = []
        for key in dict.fromkeys(keys[case] for case in self.cases):
            loops = tuple(loop for loop in self.loops if keys[loop.case] == key)
            others = tuple(case for case in self.others if keys[case.name].env == key.env)
            found.append((key.task, replace(self, loops=loops, others=others)))
        names = [name for name, _ in found]
        return [(name if names.count(name) == 1 else one.cases[0], one) for name, one in found]

    @property
    def cases(self) -> list[str]:
        """Cases that are loops, in the order of the study."""
        return list(dict.fromkeys(loop.case for loop in self.loops))

    @property
    def seeds(self) -> list[int]:
        """Seeds of which a loop has begun."""
        return sorted({loop.seed for loop in self.loops})

    @property
    def cells(self) -> list[str]:
        """Cells that standard models were evaluated on, the validation cell last."""
        return list(dict.fromkeys(cell for loop in self.loops for cell in loop.record.cells))

    @property
    def test_cells(self) -> list[str]:
        """Cells that play no part in choosing a round."""
        return [cell for cell in self.cells if cell != VALIDATION]

    @property
    def full_only(self) -> Candidate | None:
        """The model trained on full traces alone: round 0 of the first case with a cold initialisation."""
        cold = [
            loop for loop in self.loops if loop.record.settings.get("init") == "cold" and loop.record.rounds
        ]
        return Candidate(cold[0].case, 0) if cold else None

    def of(self, case: str) -> list[StudyLoop]:
        """The loops of a case, by seed."""
        return [loop for loop in self.loops if loop.case == case]

    def rounds(self, case: str) -> list[int]:
        """Rounds that some seed of a case has finished."""
        return sorted({row.round for loop in self.of(case) for row in loop.record.rounds})

    def fewer(self, case: str) -> list[int]:
        """The requests of a case."""
        return sorted({fewer for loop in self.of(case) for fewer in loop.record.fewer})

    @cached_property
    def kept(self) -> list[Kept]:
        """What every rule keeps, by case and seed, on every test cell."""
        return kept_by_rules([loop.answers for loop in self.loops], self.test_cells)

    @cached_property
    def regrets(self) -> list[RegretRow]:
        """The regret of every rule over seeds."""
        return regret_rows(self.kept)

    @cached_property
    def differences(self) -> list[RoundDifference]:
        """Every round less the model trained on full traces alone; none without one."""
        if self.full_only is None:
            return []
        return round_differences([loop.answers for loop in self.loops], self.full_only, self.cells)

    def kept_rounds(self, case: str) -> dict[int, int]:
        """The round that the stopping rule keeps, by seed."""
        return {
            one.seed: one.kept.round for one in self.kept if one.case == case and one.rule is Rule.VALIDATION
        }

    def solved(self, case: str, cell: str, number: int | None) -> dict[int, Solved]:
        """Results of standard models on a cell by seed: of a round or, with None, of the round kept."""
        kept, found = self.kept_rounds(case), {}
        for loop in self.of(case):
            at = kept.get(loop.seed) if number is None else number
            for row in loop.record.rounds:
                if row.round == at and cell in row.solved:
                    found[loop.seed] = row.solved[cell]
        return found

    def followed(self, case: str, cell: str, fewer: int, number: int) -> dict[int, Following]:
        """How a request is followed on a cell after a round, by seed."""
        found = {}
        for loop in self.of(case):
            rows = loop.record.conditioned.get(number, {}).get(cell, [])
            if answers := [row for row in rows if row.fewer == fewer]:
                found[loop.seed] = following(answers)
        return found

    def asked(self, case: str, number: int, fewer: int) -> dict[int, Asked]:
        """What a request for fewer steps on train has brought for a round, by seed."""
        found = {}
        for loop in self.of(case):
            if answers := [row for row in loop.record.asked.get(number, []) if row.fewer == fewer]:
                found[loop.seed] = asked(answers)
        return found

    def unfinished(self) -> list[str]:
        """Loops that lack rounds, and those that have not begun."""
        lines = []
        for loop in self.loops:
            if loop.last_round + 1 < loop.record.planned:
                done = f"{loop.last_round + 1} of {loop.record.planned} rounds"
                lines.append(f"{loop.case}, seed {loop.seed}: {done}")
        begun = {(loop.case, loop.seed) for loop in self.loops}
        configs = self.comparison.configs
        for case, seeds in self.comparison.folders.items():
            if configs.get(case, {}).get("iterate"):
                lines += [f"{case}, seed {seed}: not begun" for seed in seeds if (case, seed) not in begun]
        return lines


class _Problems(NamedTuple):
    """What decides which problems the models of a case are evaluated on."""

    task: str
    env: str
    evaluated: str


def _problems(config: Mapping[str, Any]) -> _Problems:
    env, loop, evaluation = config.get("env") or {}, config.get("iterate") or {}, config.get("eval") or {}
    settings = [loop.get("validation"), evaluation.get("splits"), evaluation.get("num_problems")]
    return _Problems(str(env.get("name")), *(json.dumps(one, sort_keys=True) for one in (env, settings)))


def read_loop_study(comparison: Comparison) -> LoopStudy:
    """Read every folder of a comparison once.

    Raises:
        RunFolderError: A file of a run is damaged.
    """
    loops, others = [], {}
    for case, seeds in comparison.folders.items():
        if not comparison.configs.get(case, {}).get("iterate"):
            others[case] = seeds
            continue
        for seed, chain in seeds.items():
            folder = chain[-1]
            if is_run(folder) and is_loop(folder):
                record = read_loop(folder)
                loops.append(
                    StudyLoop(case=case, seed=seed, record=record, answers=loop_answers(record, case, seed))
                )
    return LoopStudy(
        comparison=comparison,
        loops=tuple(loops),
        others=tuple(read_cases(replace(comparison, folders=others))) if others else (),
    )


def mean_accuracy(results: Mapping[int, Solved]) -> tuple[float, float, float] | None:
    """Mean over seeds of the accuracy, and the ends of its 95 % interval; None without an answer."""
    known = [(one.accuracy * one.num, one.num) for one in results.values() if one.accuracy is not None]
    return share_interval(known) if known else None


def values(results: Mapping[int, Solved], figure: Callable[[Solved], float | None]) -> list[float]:
    """A figure of each seed that has it."""
    return [value for one in results.values() if (value := figure(one)) is not None]


def has_loops(comparison: Comparison) -> bool:
    """Whether some cases are loops."""
    return any(config.get("iterate") for config in comparison.configs.values())
