"""What the rules for stopping cost over several loops, and what mixed data gains over full traces alone.

In: the answers of the standard models of finished loops, round by round, over cases and seeds. Out: the round
that each rule keeps and its regret on the test cells, with intervals over seeds; differences of every round
to the model trained on full traces alone, paired over seeds and problems.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

import numpy as np

from rl.iterate.read import LoopRecord
from rl.iterate.record import VALIDATION
from rl.iterate.stopping import Cell, Regret, Rule, chosen_by, regret
from rl.stats.intervals import mean_interval
from rl.stats.paired import Difference, holm, paired_difference

ALL_MIXES = "all"
"""Stands for the case where a rule chooses among the rounds of all cases."""
_OF_ROUNDS = (Rule.LAST, Rule.FIRST)  # say nothing about mixes


class Answer(Protocol):
    """A greedy answer: an `AnswerRow` of a loop, or the `TraceFacts` of any run."""

    @property
    def correct(self) -> bool:
        """Whether it is right."""

    @property
    def steps(self) -> int:
        """Steps written."""

    @property
    def full_steps(self) -> int:
        """Steps of the full trace."""


Answers = Mapping[int, Answer]
"""A model's answers to the problems of a cell, by problem index."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopAnswers:
    """What the standard models of one loop answered.

    Attributes:
        case: The case, which sets the mix and everything else but the seed.
        seed: Run seed.
        rounds: By round and cell; a round or a cell that was not evaluated is absent.
    """

    case: str
    seed: int
    rounds: Mapping[int, Mapping[str, Answers]]


@dataclass(frozen=True, order=True, slots=True)
class Candidate:
    """A round of a case, of which each seed has a model."""

    case: str
    round: int

    def __str__(self) -> str:
        return f"{self.case}, round {self.round}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What a rule keeps of the loops of one seed, and what that costs on a test cell.

    Attributes:
        case: The case whose rounds are candidates, or `ALL_MIXES`.
        seed: The seed.
        rule: The rule.
        cell: The test cell.
        kept: The candidate that the rule keeps.
        oracle: The most accurate candidate on the test cell.
        cost: What it costs to keep the one and not the other.
    """

    case: str
    seed: int
    rule: Rule
    cell: str
    kept: Candidate
    oracle: Candidate
    cost: Regret


def loop_answers(loop: LoopRecord, case: str, seed: int) -> LoopAnswers:
    """The answers of a loop's standard models."""
    rounds = {
        number: {cell: {row.index: row for row in rows} for cell, rows in cells.items()}
        for number, cells in loop.standard.items()
    }
    return LoopAnswers(case=case, seed=seed, rounds=rounds)


def candidates(loops: Sequence[LoopAnswers], cell: str) -> tuple[list[Candidate], Cell]:
    """All rounds of some loops of one seed, and their answers on a cell, as arrays."""
    found = [(Candidate(loop.case, number), loop.rounds[number]) for loop in loops for number in loop.rounds]
    answers = [cells.get(cell, {}) for _, cells in found]
    indices = sorted({index for one in answers for index in one})
    correct = np.full((len(found), len(indices)), np.nan)
    saved = np.full_like(correct, np.nan)
    for row, one in enumerate(answers):
        for column, index in enumerate(indices):
            if (facts := one.get(index)) is not None:
                correct[row, column] = facts.correct
                if facts.correct and facts.full_steps:
                    saved[row, column] = 1 - facts.steps / facts.full_steps
    return [candidate for candidate, _ in found], Cell(correct=correct, saved=saved)


def kept_by_rules(
    loops: Sequence[LoopAnswers], cells: Sequence[str], rules: Sequence[Rule] = tuple(Rule)
) -> list[Kept]:
    """What every rule keeps in every case and seed, and among all cases of a seed, on each test cell.

    A rule that reads a cell without answers has no entry, and neither has a test cell without answers of the
    candidate that was kept.

    Args:
        loops: Finished loops, any number of seeds and cases.
        cells: The test cells.
        rules: The rules.
    """
    found = []
    for case, seed, group in _groups(loops):
        names, validation = candidates(group, VALIDATION)
        _, on_id = candidates(group, "id")
        for rule in rules:
            if case == ALL_MIXES and rule in _OF_ROUNDS:
                continue
            for cell in cells:
                _, test = candidates(group, cell)
                try:
                    place = chosen_by(rule, validation, on_id)
                    cost = regret(test, place)
                except ValueError:  # not evaluated there
                    continue
                found.append(
                    Kept(
                        case=case,
                        seed=seed,
                        rule=rule,
                        cell=cell,
                        kept=names[place],
                        oracle=names[cost.oracle_place],
                        cost=cost,
                    )
                )
    return found


def _groups(loops: Sequence[LoopAnswers]) -> list[tuple[str, int, list[LoopAnswers]]]:
    """Loops whose rounds compete: each on its own, and where a seed has several cases, all of them."""
    groups = [(loop.case, loop.seed, [loop]) for loop in loops]
    for seed in dict.fromkeys(loop.seed for loop in loops):
        ours = [loop for loop in loops if loop.seed == seed]
        if len(ours) > 1:
            groups.append((ALL_MIXES, seed, ours))
    return groups


@dataclass(frozen=True, kw_only=True, slots=True)
class RegretRow:
    """The regret of a rule on a cell, over seeds; shares in 0..1, intervals are Student's t, NaN where unknown.

    Attributes:
        case: The case, or `ALL_MIXES`.
        rule: The rule.
        cell: The test cell.
        num_seeds: Seeds.
        mean: Mean regret.
        low: Lower end of its 95 % interval, not below 0.
        high: Upper end.
        accuracy: Mean accuracy of what was kept.
        steps_saved: Mean of the steps it saves; NaN where no seed has a right answer.
        kept: What was kept, seed by seed.
        gain: Mean accuracy above that of the last round of the same loops; None where there is no such rule.
        gain_low: Lower end of its 95 % interval.
        gain_high: Upper end.
    """

    case: str
    rule: Rule
    cell: str
    num_seeds: int
    mean: float
    low: float
    high: float
    accuracy: float
    steps_saved: float
    kept: tuple[Candidate, ...]
    gain: float | None
    gain_low: float
    gain_high: float


def regret_rows(kept: Sequence[Kept]) -> list[RegretRow]:
    """The regret of every rule, case and cell over its seeds."""
    by_key: dict[tuple[str, str, Rule], dict[int, Kept]] = {}
    for one in kept:
        by_key.setdefault((one.case, one.cell, one.rule), {})[one.seed] = one
    rows = []
    for (case, cell, rule), seeds in by_key.items():
        mean, low, high = mean_interval([one.cost.regret for one in seeds.values()])
        saved = [one.cost.steps_saved for one in seeds.values() if not math.isnan(one.cost.steps_saved)]
        last = by_key.get((case, cell, Rule.LAST), {})
        gains = [one.cost.accuracy - last[seed].cost.accuracy for seed, one in seeds.items() if seed in last]
        gain, gain_low, gain_high = mean_interval(gains) if gains else (None, math.nan, math.nan)
        rows.append(
            RegretRow(
                case=case,
                rule=rule,
                cell=cell,
                num_seeds=len(seeds),
                mean=mean,
                low=low if math.isnan(low) else max(0.0, low),
                high=high,
                accuracy=fmean(one.cost.accuracy for one in seeds.values()),
                steps_saved=fmean(saved) if saved else math.nan,
                kept=tuple(seeds[seed].kept for seed in sorted(seeds)),
                gain=gain,
                gain_low=gain_low,
                gain_high=gain_high,
            )
        )
    return rows


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundDifference:
    """The accuracy of the models of a case less that of the models trained on full traces alone.

    Attributes:
        case: The case.
        round: The round; None for the round that the stopping rule keeps of each seed.
        cell: The cell.
        found: Paired over seeds and problems; None where no seed has both.
        exceeds: Whether it is more than noise after Holm's correction: of the rounds kept for each other on the
            cell, of all other rounds for all other rounds.
    """

    case: str
    round: int | None
    cell: str
    found: Difference | None
    exceeds: bool


def round_differences(
    loops: Sequence[LoopAnswers], base: Candidate, cells: Sequence[str]
) -> list[RoundDifference]:
    """Differences of every other round, and of the rounds kept, to `base`; paired over seeds and problems."""
    names: list[tuple[str, int | None]] = []
    several = set()  # cases with a choice between rounds
    for case in dict.fromkeys(loop.case for loop in loops):
        rounds = sorted({number for loop in loops if loop.case == case for number in loop.rounds})
        names += [(case, number) for number in rounds if Candidate(case, number) != base]
        if len(rounds) > 1:
            several.add(case)
            names.append((case, None))
    kept = {(one.case, one.seed): one.kept.round for one in kept_by_rules(loops, cells, (Rule.VALIDATION,))}
    made = []
    for cell in cells:
        theirs = _right(loops, base.case, base.round, cell, kept)
        found = [
            paired_difference(_right(loops, case, number, cell, kept), theirs, is_share=True)
            for case, number in names
        ]
        ps = [math.nan if one is None else one.p for one in found]
        # The rounds kept answer the question; what single rounds do is looked at afterwards.
        is_kept = [number is None or case not in several for case, number in names]
        families = [
            holm([p if kept_ is wanted else math.nan for p, kept_ in zip(ps, is_kept, strict=True)])
            for wanted in (True, False)
        ]
        made += [
            RoundDifference(case=case, round=number, cell=cell, found=one, exceeds=first or second)
            for (case, number), one, first, second in zip(names, found, *families, strict=True)
        ]
    return made


def _right(
    loops: Sequence[LoopAnswers], case: str, number: int | None, cell: str, kept: Mapping[tuple[str, int], int]
) -> dict[int, dict[int, float]]:
    """Right answers by seed and problem, of a round or, with None, of the round kept of each seed."""
    found = {}
    for loop in [loop for loop in loops if loop.case == case]:
        at = kept.get((case, loop.seed)) if number is None else number
        if at is not None and (answers := loop.rounds.get(at, {}).get(cell)):
            found[loop.seed] = {index: float(facts.correct) for index, facts in answers.items()}
    return found
