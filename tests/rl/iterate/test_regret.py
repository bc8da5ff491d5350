"""Regret over seeds, and differences to full traces alone, by hand-worked numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest

from rewards import Outcome
from rl.compare.results import TraceFacts
from rl.iterate.regret import (
    ALL_MIXES,
    Answers,
    Candidate,
    LoopAnswers,
    candidates,
    kept_by_rules,
    regret_rows,
    round_differences,
)
from rl.iterate.stopping import Rule


def facts(index: int, correct: bool, steps: int = 4) -> TraceFacts:
    outcome = Outcome.VERIFIED if correct else Outcome.WRONG
    return TraceFacts(
        problem=str(index),
        outcome=outcome,
        correct=correct,
        steps_checked=True,
        full_steps=4,
        steps=steps,
        invalid=0,
        wasted=0,
        backtracks=0,
        tokens=9,
        repeats=False,
    )


def answers(num_right: int, steps: int = 4, num: int = 10) -> Answers:
    return {index: facts(index, index < num_right, steps) for index in range(num)}


def loop(case: str, seed: int, rounds: Sequence[Mapping[str, tuple[int, int]]]) -> LoopAnswers:
    """A loop by round and cell: how many of ten problems it solves, and with how many of four steps."""
    found = {
        number: {cell: answers(*figures) for cell, figures in cells.items()}
        for number, cells in enumerate(rounds)
    }
    return LoopAnswers(case=case, seed=seed, rounds=found)


# Validation: round 1 is best, and round 2 loses four problems and wins none.
def three(case: str, seed: int, *, on_test: Sequence[int]) -> LoopAnswers:
    right = ((3, 4), (8, 3), (4, 2))
    return loop(
        case,
        seed,
        [
            {"validation": (num, steps), "id": (10 - place, steps), "ood_hard": (test, steps)}
            for place, ((num, steps), test) in enumerate(zip(right, on_test, strict=True))
        ],
    )


def test_arrays_of_candidates_hold_right_answers_and_the_steps_they_save() -> None:
    uneven = loop("new", 0, [{"id": (1, 4)}, {"id": (2, 3)}, {}])
    names, cell = candidates([uneven], "id")
    assert names == [Candidate("new", 0), Candidate("new", 1), Candidate("new", 2)]
    assert cell.accuracy()[:2] == pytest.approx([0.1, 0.2])
    assert cell.steps_saved()[:2] == pytest.approx([0.0, 0.25])  # three of four steps
    assert cell.present == [0, 1]


def test_regret_over_seeds_has_students_interval() -> None:
    # Kept: round 1 of each seed. On the test cell the oracle has 1, 2 and 3 of ten problems more.
    loops = [three("new", seed, on_test=(0, 5, 6 + seed)) for seed in range(3)]
    rows = {row.rule: row for row in regret_rows(kept_by_rules(loops, ["ood_hard"]))}
    ours = rows[Rule.VALIDATION]
    assert ours.kept == (Candidate("new", 1),) * 3
    # Mean 0.2, deviation 0.1: 4.303 * 0.1 / sqrt(3) = 0.248 to each side, and a regret is not below 0.
    assert (ours.mean, ours.low, ours.high) == (pytest.approx(0.2), 0.0, pytest.approx(0.4484, abs=1e-4))
    assert (ours.num_seeds, ours.accuracy, ours.steps_saved) == (3, 0.5, 0.25)
    # The last round has the regret 0 in every seed: no interval.
    last = rows[Rule.LAST]
    assert (last.mean, math.isnan(last.low), last.gain) == (0.0, True, 0.0)
    # Ours against the last round: -0.1, -0.2 and -0.3.
    assert (ours.gain, ours.gain_low) == (pytest.approx(-0.2), pytest.approx(-0.4484, abs=1e-4))
    assert rows[Rule.FIRST].kept == rows[Rule.BEST_ON_ID].kept == (Candidate("new", 0),) * 3


def test_over_several_mixes_a_rule_chooses_the_mix_too() -> None:
    loops = [three("new", 0, on_test=(1, 5, 3)), loop("only", 0, [dict.fromkeys(("validation", "id"), (1, 1))])]
    kept = kept_by_rules([*loops, three("new", 1, on_test=(1, 5, 3))], ["ood_hard"])
    both = [one for one in kept if one.case == ALL_MIXES]
    assert {(one.seed, one.rule) for one in both} == {
        (0, Rule.VALIDATION),
        (0, Rule.MOST_ACCURATE),
        (0, Rule.BEST_ON_ID),
    }
    assert {one.kept for one in both if one.rule is Rule.VALIDATION} == {Candidate("new", 1)}
    # The case "only" was not evaluated on the test cell, and has no entry of its own.
    assert {one.case for one in kept} == {"new", ALL_MIXES}


def test_what_was_not_evaluated_has_no_regret() -> None:
    without = loop("new", 0, [{"id": (9, 4), "ood_hard": (3, 4)}])
    kept = kept_by_rules([without], ["ood_hard", "ood_easy"])
    # Rules that read the validation cell have nothing to choose by, and no rule has a cost on ood_easy.
    assert [(one.rule, one.cell) for one in kept] == [
        (rule, "ood_hard") for rule in (Rule.BEST_ON_ID, Rule.LAST, Rule.FIRST)
    ]


def test_rounds_are_compared_with_full_traces_alone_over_seeds_and_problems() -> None:
    loops = [
        loop("cold", seed, [{"ood_hard": (2, 4)}, {"ood_hard": (6 + seed, 3)}, {"id": (5, 3)}])
        for seed in (0, 1)
    ]
    found = round_differences(loops, Candidate("cold", 0), ["ood_hard"])
    assert [one.round for one in found] == [1, 2, None]
    first, second, kept = found
    assert first.found is not None
    # 4 and 5 of ten problems won, none lost.
    assert first.found.mean == pytest.approx(0.45)
    assert (first.found.num_pairs, first.found.num_seeds) == (20, 2)
    # Round 2 was not evaluated on the cell, and without a validation cell no round is kept.
    assert second.found is None and not second.exceeds
    assert kept.found is None


def test_the_round_kept_may_differ_from_seed_to_seed() -> None:
    low, high = {"validation": (2, 4), "id": (9, 4)}, {"validation": (9, 3), "id": (9, 3)}
    loops = [
        loop("cold", 0, [{**low, "ood_hard": (1, 4)}, {**high, "ood_hard": (4, 3)}]),
        loop("cold", 1, [{**high, "ood_hard": (2, 4)}, {**low, "ood_hard": (7, 3)}]),
    ]
    *_, kept = round_differences(loops, Candidate("cold", 0), ["ood_hard"])
    # Seed 0 keeps round 1, three problems better; seed 1 keeps round 0 itself.
    assert kept.round is None and kept.found is not None
    assert kept.found.mean == pytest.approx(0.15)
