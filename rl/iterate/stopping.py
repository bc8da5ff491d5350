"""Which round of a loop to keep, chosen from held-out problems that are harder than the training ones.

In: the answers of every round's standard model on a cell, problem by problem. Out: the round to keep, or what
choosing it in some way costs (its regret). Pure functions on arrays.

Legend: `C` candidates (the rounds of a loop, or of several loops with different mixes), `P` problems.

The paper ("Can Language Models Learn to Skip Steps?", arXiv 2411.01855) always takes the last round and
leaves open when to stop: out of distribution, accuracy rises and falls from round to round. Every round
trains a model of its own from the base model, so how it turned out belongs to the model that is kept, and no
round is better than another beforehand. All that tells candidates apart is what they do on problems that none
was trained on.

**The rule.** A cell harder than the training problems, and disjoint from the test cells, is the *validation*
cell. The candidate with the most right answers there is the best guess for accuracy: with equally many
problems, and nothing known beforehand, no other guess is right more often. Its lead over another candidate is
noisy, though, and what it costs in steps is not: steps per right answer are known to a few percent. So of the
candidates whose accuracy is within one standard error of the best one's, the rule keeps the one that saves
the most steps. The standard error is that of the difference paired over problems (`rl/stats/paired.py`): the
candidates answer the same problems, and most of these are right in both or wrong in both and tell nothing.
One standard error, as in the rule of that name for pruning trees (Breiman et al. 1984, section 3.4.3), and
not the two of a test: a test asks whether the worse one may pass for equal, and would give up a lead of
several points for one step. `docs/step_skipping.md` has a simulation of the alternatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from scipy.special import ndtr

from rl.stats.paired import Difference, paired_difference

Array = np.ndarray[Any, Any]

ONE_ERROR = 2 * float(ndtr(-1.0))
"""Level of an interval of one standard error to each side: it misses in 31.7 % of cases."""

_DIGITS = 9  # means of equal shares differ in the last bits


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """The answers of all candidates to the problems of a cell.

    Example, two rounds and three problems, the second round without its last problem::

        Cell(correct=[[1, 0, 1], [1, 1, nan]], saved=[[0.0, nan, 0.0], [0.25, 0.0, nan]])

    Attributes:
        correct: `[C, P]`; 1 or 0, NaN where a candidate has no answer to a problem.
        saved: `[C, P]`; 1 - steps / full steps of the right answers, NaN elsewhere.
    """

    correct: Array
    saved: Array

    def __post_init__(self) -> None:
        if self.correct.ndim != 2 or self.correct.shape != self.saved.shape:
            raise ValueError(f"correct is {self.correct.shape} and saved {self.saved.shape}; give two [C, P]")

    @property
    def present(self) -> list[int]:
        """Candidates that have answers at all; a round that was not evaluated has none."""
        return [place for place, row in enumerate(self.correct) if not np.isnan(row).all()]

    @property
    def shared(self) -> Array:
        """`[P]`; whether all candidates that are there have an answer to the problem."""
        there = self.present
        found: Array = np.zeros(self.correct.shape[1], bool)
        if there:
            found = np.logical_not(np.isnan(self.correct[there]).any(axis=0))
        return found

    def accuracy(self) -> Array:
        """`[C]`; share of right answers to the shared problems, NaN for a candidate that is not there."""
        return self._mean(self.correct)

    def steps_saved(self) -> Array:
        """`[C]`; mean of `saved` over the right answers to shared problems, NaN without one."""
        return self._mean(np.where(self.correct > 0, self.saved, np.nan))

    def _mean(self, values: Array) -> Array:
        kept = values[:, self.shared]
        known = ~np.isnan(kept)
        total, num = np.where(known, kept, 0.0).sum(axis=1), known.sum(axis=1)
        found = np.full(len(kept), np.nan)
        found[num > 0] = total[num > 0] / num[num > 0]
        found[[place for place in range(len(kept)) if place not in self.present]] = np.nan
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The candidate to keep.

    Attributes:
        place: Its place among the candidates.
        best: The most accurate one on the validation cell; of equal ones, that which saves the most steps.
        within: Those within one paired standard error of the best, itself included.
        differences: Of every candidate, its accuracy less that of the best, paired over problems; None where it
            is not there.
        told_apart: Whether anything told the candidates apart: not if none, or all, answered every problem
            and with the same steps.
    """

    place: int
    best: int
    within: tuple[int, ...]
    differences: tuple[Difference | None, ...]
    told_apart: bool


def choose(validation: Cell, level: float = ONE_ERROR) -> Choice:
    """The candidate within one paired standard error of the most accurate that saves the most steps.

    Of equal ones the more accurate is taken, then the earlier: a later round costs more and shows nothing for
    it.

    Args:
        validation: The candidates on the validation cell.
        level: Of the interval around each difference: how often it misses.

    Raises:
        ValueError: No candidate has answers, or no problem was answered by all that have.
    """
    there = _comparable(validation, "the validation cell")
    accuracy, saved = validation.accuracy(), validation.steps_saved()
    best = _highest(there, accuracy, saved)
    differences = tuple(
        _difference(validation, place, best) if place in there else None
        for place in range(len(validation.correct))
    )
    within = tuple(
        place
        for place, found in enumerate(differences)
        if found is not None and (place == best or found.p > level)
    )
    place = _highest(within, saved, accuracy)
    told = len({(_or_nothing(accuracy[p]), _or_nothing(saved[p])) for p in there}) > 1
    return Choice(place=place, best=best, within=within, differences=differences, told_apart=told)


class Rule(StrEnum):
    """Ways to choose a candidate; the first is `choose`, the others are compared with it."""

    VALIDATION = "validation"
    MOST_ACCURATE = "most accurate on validation"
    BEST_ON_ID = "most accurate on id"
    LAST = "last round"
    FIRST = "first round"


def chosen_by(rule: Rule, validation: Cell, on_id: Cell) -> int:
    """The place that a rule chooses.

    Args:
        rule: The rule.
        validation: The candidates on the validation cell.
        on_id: The same candidates on the held-out problems of the training distribution.

    Raises:
        ValueError: The cell that the rule reads has no problem that all candidates answered; for the last and
            the first round, neither cell has answers.
    """
    if rule is Rule.VALIDATION:
        return choose(validation).place
    if rule is Rule.BEST_ON_ID:
        there = _comparable(on_id, "id")
        return _highest(there, on_id.accuracy(), on_id.steps_saved())
    if rule is Rule.MOST_ACCURATE:
        there = _comparable(validation, "the validation cell")
        return _highest(there, validation.accuracy(), validation.steps_saved())
    there = sorted({*validation.present, *on_id.present})
    if not there:
        raise ValueError("no candidate has answers; evaluate them after every round")
    return there[-1] if rule is Rule.LAST else there[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Regret:
    """What a choice costs on a test cell.

    The oracle is the candidate with the most right answers on the test cell itself. It is picked with the noise
    of these answers, so a regret is a little larger than what the choice really costs, for every rule alike.

    Attributes:
        accuracy: Of the chosen candidate.
        steps_saved: Of the chosen candidate's right answers; NaN without one.
        oracle: Accuracy of the most accurate candidate.
        oracle_place: Its place.
    """

    accuracy: float
    steps_saved: float
    oracle: float
    oracle_place: int

    @property
    def regret(self) -> float:
        """The oracle's accuracy less that of the choice; never below 0."""
        return self.oracle - self.accuracy


def regret(test: Cell, place: int) -> Regret:
    """What it costs on a test cell to keep the candidate at `place`.

    Example: accuracies 0.2, 0.5 and 0.4, place 2 kept: 0.1.

    Raises:
        ValueError: The cell has no answers of that candidate.
    """
    there = _comparable(test, "the test cell")
    if place not in there:
        raise ValueError(f"candidate {place} has no answers on the test cell; those that have: {there}")
    accuracy, saved = test.accuracy(), test.steps_saved()
    oracle = _highest(there, accuracy, saved)
    return Regret(
        accuracy=float(accuracy[place]),
        steps_saved=float(saved[place]),
        oracle=float(accuracy[oracle]),
        oracle_place=oracle,
    )


def _comparable(cell: Cell, name: str) -> list[int]:
    there = cell.present
    if not there:
        raise ValueError(f"no candidate has answers on {name}; evaluate it after every round")
    if not cell.shared.any():
        raise ValueError(f"no problem of {name} was answered by every candidate; evaluate all on the same ones")
    return there


def _highest(places: Sequence[int], first: Array, second: Array) -> int:
    """The place with the highest `first`, then the highest `second`, then the earliest; NaN is the lowest."""
    return max(places, key=lambda place: (_or_nothing(first[place]), _or_nothing(second[place]), -place))


def _or_nothing(value: Any) -> float:
    return float("-inf") if np.isnan(value) else round(float(value), _DIGITS)


def _difference(cell: Cell, place: int, best: int) -> Difference | None:
    ours, theirs = (
        {int(index): float(cell.correct[one, index]) for index in np.flatnonzero(cell.shared)}
        for one in (place, best)
    )
    return paired_difference({0: ours}, {0: theirs}, is_share=True)
