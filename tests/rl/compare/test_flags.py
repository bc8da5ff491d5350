"""Named failures: each is found in figures that show it and in no others."""

from __future__ import annotations

from typing import Any

import pytest

from rewards import Outcome
from rl.compare.flags import Flag, FlagKind, by_kind, reward_hacking, stage_flags, training_flags, where
from rl.compare.results import TraceFacts
from rl.runs.record import Stage, UpdateRow
from rl.stats.repetition import repeats_itself

Completions = dict[int, tuple[TraceFacts, ...]]


def traces(num: int = 100, *, wrong: int = 0, **changes: Any) -> Completions:
    """Completions of which the first `wrong` are not correct; the rest as given."""
    usual: dict[str, Any] = {
        "problem": "p",
        "outcome": Outcome.VERIFIED,
        "steps_checked": True,
        "full_steps": 4,
        "steps": 3,
        "invalid": 0,
        "wasted": 0,
        "backtracks": 0,
        "tokens": 30,
        "repeats": False,
    }
    made = {}
    for index in range(num):
        facts = {**usual, **changes, **({"outcome": Outcome.WRONG} if index < wrong else {})}
        right = facts["outcome"] in (Outcome.VERIFIED, Outcome.CORRECT)
        made[index] = (TraceFacts(**facts, correct=right),)
    return made


def part(num: int, whole: Completions, **changes: Any) -> Completions:
    """`whole` with its last `num` completions as given."""
    changed = traces(len(whole), **changes)
    return {index: changed[index] if index >= len(whole) - num else facts for index, facts in whole.items()}


def kinds(before: Completions, after: Completions, needed: tuple[float, float] = (0.0, 0.0)) -> list[FlagKind]:
    return [kind for kind, _ in stage_flags(before, after, needed)]


def test_a_collapse_to_empty_reasoning_is_named_with_its_figures() -> None:
    after = part(60, traces(wrong=40), steps=0, outcome=Outcome.WRONG)
    ((kind, figures),) = stage_flags(traces(wrong=5), after, (0.0, 0.0))
    assert kind is FlagKind.LENGTH_COLLAPSE
    assert figures == (
        "traces without any step 0.0 % → 60.0 %, steps per trace 3.00 → 1.20, correct 95.0 % → 0.0 %"
    )


def test_answers_without_steps_that_stay_right_are_no_collapse() -> None:
    assert kinds(traces(), traces(steps=0)) == []
    # A bare answer does not count as verified, where steps are checked: the flag names that.
    assert kinds(traces(), traces(steps=0, outcome=Outcome.CORRECT)) == [FlagKind.UNVERIFIED_REASONING]
    # Where steps are counted, every right answer is only correct; more of them are no failure.
    counted = {"outcome": Outcome.CORRECT, "steps_checked": False}
    assert kinds(traces(wrong=100, **counted), traces(wrong=10, **counted)) == []


def test_a_collapse_has_one_name() -> None:
    after = traces(steps=0, outcome=Outcome.WRONG)
    assert kinds(traces(), after, needed=(0.4, 0.0)) == [FlagKind.LENGTH_COLLAPSE]


def test_a_regression_is_distinguished_from_noise_problem_by_problem() -> None:
    # 8 lost, none won: 2 / 2**8 = 0.0078. 7 lost: 0.0156.
    assert kinds(traces(wrong=10), traces(wrong=18)) == [FlagKind.ACCURACY_REGRESSION]
    assert kinds(traces(wrong=10), traces(wrong=17)) == []
    assert kinds(traces(wrong=18), traces(wrong=10)) == []


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"outcome": Outcome.MALFORMED}, FlagKind.FORMAT_COLLAPSE),
        ({"outcome": Outcome.TRUNCATED}, FlagKind.TRUNCATION),
        ({"outcome": Outcome.CORRECT}, FlagKind.UNVERIFIED_REASONING),
        ({"repeats": True}, FlagKind.REPETITION),
    ],
)
def test_shares_that_grow_by_a_tenth_are_named(changes: dict[str, Any], kind: FlagKind) -> None:
    before = traces(200)
    assert kind in kinds(before, part(20, before, **changes))
    assert kind not in kinds(before, part(19, before, **changes))
    # A share that was already there is no failure of this stage.
    assert kind not in kinds(part(100, before, **changes), part(110, before, **changes))


def test_backtracks_are_missed_only_where_accuracy_fell() -> None:
    fell, gone = FlagKind.ACCURACY_REGRESSION, FlagKind.BACKTRACKING_COLLAPSE
    assert kinds(traces(), traces(wrong=20), needed=(0.4, 0.05)) == [fell, gone]
    assert kinds(traces(), traces(wrong=20), needed=(0.4, 0.3)) == [fell]
    assert kinds(traces(), traces(wrong=20), needed=(0.01, 0.0)) == [fell]
    assert kinds(traces(), traces(), needed=(0.4, 0.0)) == []


def test_without_shared_problems_nothing_is_flagged() -> None:
    assert stage_flags({}, traces(), (0.0, 0.0)) == []
    assert stage_flags({1000: traces()[0]}, traces(wrong=50), (0.0, 0.0)) == []


def test_a_missing_signal_has_its_cause() -> None:
    shares = {"groups/useful_frac": 0.02, "groups/all_wrong": 0.9, "groups/all_verified": 0.08}
    ((kind, figures),) = training_flags([UpdateRow(stage=Stage.GRPO, update=1, metrics=shares)] * 4)
    assert kind is FlagKind.NO_SIGNAL
    assert figures == "2.0 % of the sampled groups had a signal; 90.0 % were all wrong"
    # Groups without a signal because every answer is right are not counted.
    learnt = [
        UpdateRow(stage=Stage.GRPO, update=1, metrics={"groups/useful_frac": share})
        for share in (0.6, 0.4, 0.1, 0.0)
    ]
    assert training_flags(learnt) == [] and training_flags([]) == []


@pytest.mark.parametrize(
    ("lines", "repeats"),
    [
        ("aaa", True),
        ("aa", False),
        ("xababab", True),
        ("abacab", False),
        ("abcdabcdabcdx", True),
        ("abcdeabcdeabcde", False),  # five lines are longer than any loop looked for
        ("aabbaabb", False),
        ("", False),
    ],
)
def test_repetition_is_what_follows_itself(lines: str, repeats: bool) -> None:
    assert repeats_itself(list(lines)) is repeats


def logged(name: str, *values: float, **more: float) -> list[UpdateRow]:
    """Updates of GRPO with one metric each, and others that stay the same."""
    return [
        UpdateRow(stage=Stage.GRPO, update=number, metrics={name: value, **more})
        for number, value in enumerate(values, start=1)
    ]


def test_reward_hacking_is_more_reward_with_less_accuracy() -> None:
    fell = {FlagKind.ACCURACY_REGRESSION: "correct 90.0 % → 50.0 %"}
    # Quarters of two updates: means 0.3 and 0.7, standard errors 0.1 each, together 0.141; 0.4 is 2.8 of them.
    noisy = logged("reward", 0.2, 0.4, 0.5, 0.5, 0.5, 0.5, 0.6, 0.8)
    assert reward_hacking(noisy, fell) == []
    clear = logged("reward", 0.29, 0.31, 0.5, 0.5, 0.5, 0.5, 0.69, 0.71)
    assert reward_hacking(clear, fell) == [
        (
            FlagKind.REWARD_HACKING,
            "training reward 0.30 → 0.70 (first and last quarter), correct 90.0 % → 50.0 %",
        )
    ]
    assert reward_hacking(clear, {}) == []  # accuracy did not fall
    assert reward_hacking(clear, {FlagKind.REPETITION: ""}) == []
    assert reward_hacking(clear[::-1], fell) == []  # the reward fell too
    assert reward_hacking(clear[:7], fell) == []  # too short to say
    assert [kind for kind, _ in reward_hacking(clear, {FlagKind.LENGTH_COLLAPSE: "x"})] == [
        FlagKind.REWARD_HACKING
    ]


def test_entropy_collapses_before_the_task_is_solved() -> None:
    entropy = (0.5, 0.7, 0.3, 0.3, 0.2, 0.1, 0.06, 0.04)  # quarters: 0.6 and 0.05
    assert training_flags(logged("entropy", *entropy, accuracy=0.4)) == [
        (
            FlagKind.ENTROPY_COLLAPSE,
            "entropy per token 0.600 → 0.050 nats (first and last quarter), training accuracy 40.0 %",
        )
    ]
    assert training_flags(logged("entropy", *entropy, accuracy=0.9)) == []  # little is left to explore
    assert training_flags(logged("entropy", *entropy[:6], 0.07, 0.06, accuracy=0.4)) == []  # 0.065 of 0.6
    assert training_flags(logged("entropy", *entropy)) == []  # without accuracy nothing is known


def test_where_a_failure_was_seen() -> None:
    flags = [
        Flag(kind=FlagKind.ACCURACY_REGRESSION, split="id", seed=0, figures=""),
        Flag(kind=FlagKind.ACCURACY_REGRESSION, split="id", seed=2, figures=""),
        Flag(kind=FlagKind.ACCURACY_REGRESSION, split="ood_easy", seed=1, figures=""),
        Flag(kind=FlagKind.NO_SIGNAL, split="", seed=1, figures=""),
    ]
    lost, nothing = by_kind(flags).values()
    assert where(lost) == "id (seeds 0, 2), ood_easy (seed 1)" and where(nothing) == "seed 1"
