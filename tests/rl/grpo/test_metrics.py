"""The metrics logged for one update, worked by hand."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest

from envs import Split, make_env, make_example, parse_trace, render_trace
from rewards import RewardSum, Term
from rl.grpo.metrics import rollout_metrics
from rollout.types import RolloutGroup
from tests.kit.credit_groups import credit_group
from tests.kit.directional import END, FULL
from tests.kit.rollouts import make_batch, make_group, score_texts

ENV = make_env("directional", {"train": [3], "ood_easy": [4], "ood_hard": [5]})
REWARDS = RewardSum([Term(name="correct", weight=1.0), Term(name="step_count", weight=-0.5, gate="correct")])
OFF = "east. right, around\n"  # a wrong heading


def scored_group(number: int, texts: list[str], lengths: list[int]) -> RolloutGroup:
    problem = ENV.problem(Split.TRAIN, number)
    traces = [ENV.check(problem, parse_trace(text)) for text in texts]
    return make_group(problem, score_texts(problem, traces, texts, lengths, REWARDS), number=number)


def test_worked_by_hand() -> None:
    """Group 0: the full trace (3 steps) and a wrong answer; group 1: two wrong answers."""
    problem = ENV.problem(Split.TRAIN, 0)
    full = render_trace(ENV.full_trace(problem), problem.answer)
    wrong = "Thus, the answer is up."
    useful = scored_group(0, [full, wrong], [20, 4])
    zero_signal = replace(scored_group(1, [wrong, f"nowhere\n{wrong}"], [4, 12]), ungraded=5)
    rollouts = make_batch(useful, zero_signal)
    assert (rollouts.useful, rollouts.zero_signal) == ((useful,), Counter(all_malformed=1))
    metrics = rollout_metrics(rollouts, num_groups=2)
    expected = {
        "reward": 0.5 / 4,  # the full trace earns 1 - 0.5, the others 0
        "reward/correct": 1 / 4,
        "reward/step_count": -0.5 / 4,
        "reward/group_std": 0.25 / 2,  # deviations 0.25 and 0
        "accuracy": 1 / 4,
        "accuracy/strict_form": 1 / 4,
        "steps": (3 + 0 + 0 + 1) / 4,
        "steps_per_correct": 3.0,
        "steps_saved": 0.0,
        "steps/invalid": 1 / 4,
        "backtracks": 0.0,
        "groups/sampled": 2.0,
        "groups/useful_frac": 1 / 2,
        "groups/filled_frac": 1 / 2,
        "groups/all_malformed": 1 / 2,
        "tokens/mean": 10.0,
        "tokens/max": 20.0,
        "tokens/sampled": 40.0,
        "outcome/verified": 1 / 4,
        "outcome/wrong": 0.0,
        "outcome/malformed": 3 / 4,  # "up" is no heading
        "ungraded": 5.0,
        "outcome/truncated": 0.0,
    }
    assert {key: metrics[key] for key in expected} == pytest.approx(expected)


def test_continuations_are_counted_beside_completions() -> None:
    group = scored_group(0, ["up", "up"], [6, 4])
    valued = replace(group, extra_tokens=25, extra_ungraded=2)
    metrics = rollout_metrics(make_batch(group, valued), num_groups=2)
    found = {key: value for key, value in metrics.items() if key.startswith("credit/") or key == "ungraded"}
    expected = {"credit/extra_tokens": 25, "credit/extra_frac": 25 / 20, "credit/extra_ungraded": 2}
    assert found == {**expected, "ungraded": 0}
    assert metrics["tokens/sampled"] == 20 + 25
    none_graded = replace(group, extra_ungraded=2)
    assert rollout_metrics(make_batch(none_graded), num_groups=1)["credit/extra_ungraded"] == 2


def test_wrong_turns_are_counted_where_it_is_known_how_far_lines_lead() -> None:
    """Two wrong lines in three completions, one of which is taken back. Without facts nothing is said."""
    texts = [OFF + "<backtrack>\n" + FULL + END, OFF + FULL + END, FULL + END]
    found = {"wrong_turns": 2 / 3, "wrong_turns/taken_back": 1 / 2, "wrong_turns/taken_back/invalid": 1 / 2}
    group = credit_group(texts)
    metrics = rollout_metrics(make_batch(group), num_groups=1)
    assert {key: metrics[key] for key in metrics if key.startswith("wrong_turns")} == pytest.approx(found)
    none = rollout_metrics(make_batch(credit_group(texts[2:])), num_groups=1)
    assert none["wrong_turns"] == 0 and "wrong_turns/taken_back" not in none
    unknown = replace(group, samples=tuple(replace(sample, facts=None) for sample in group.samples))
    assert "wrong_turns" not in rollout_metrics(make_batch(unknown), num_groups=1)


def test_wrong_turns_that_are_taken_back_are_counted_by_kind() -> None:
    """Two wrong lines, one of them taken back, and a line into what is said to be a dead end, which stands."""
    group = credit_group([OFF + "<backtrack>\n" + FULL + END, OFF + FULL + END, FULL + END])
    *others, last = group.samples
    assert last.facts is not None
    last = replace(last, facts=tuple(fact._replace(before=math.inf, after=math.inf) for fact in last.facts))
    last = replace(last, facts=(last.facts[0]._replace(before=3.0), *last.facts[1:]))
    metrics = rollout_metrics(make_batch(replace(group, samples=(*others, last))), num_groups=1)
    found = {"": 1 / 3, "/invalid": 1 / 2, "/dead_end": 0.0}
    assert {kind: metrics[f"wrong_turns/taken_back{kind}"] for kind in found} == pytest.approx(found)
    assert metrics["wrong_turns"] == 1.0


def test_backtracks_from_dead_ends_are_counted_by_where_they_lead() -> None:
    """Three backtracks, two of them from what is said to be a dead end, one of which leads out of it."""
    group = credit_group([OFF + "<backtrack>\n" + FULL + END] * 3)
    afters = [2.0, math.inf, None]
    samples = []
    for sample, after in zip(group.samples, afters, strict=True):
        assert sample.facts is not None
        turn, back, *rest = sample.facts
        if after is not None:
            back = back._replace(before=math.inf, after=after)
        samples.append(replace(sample, facts=(turn, back, *rest)))
    metrics = rollout_metrics(make_batch(replace(group, samples=tuple(samples))), num_groups=1)
    assert metrics["backtracks/straight_back"] == 1 / 2
    assert "backtracks/straight_back" not in rollout_metrics(make_batch(group), num_groups=1)


def test_nothing_correct_leaves_steps_per_correct_out() -> None:
    group = scored_group(0, ["", ""], [1, 1])
    rollouts = make_batch(group)
    assert (rollouts.useful, rollouts.zero_signal) == ((), Counter(all_malformed=1))
    metrics = rollout_metrics(rollouts, num_groups=1)
    assert "steps_per_correct" not in metrics and "steps_saved" not in metrics
    assert metrics["accuracy"] == 0.0 and metrics["groups/useful_frac"] == 0.0


def test_what_judges_steps_is_logged_for_checked_steps_alone() -> None:
    """A task that counts steps logs nothing as verified or invalid, alone or beside one that checks them."""
    counting = make_example("math", steps="paragraphs")
    counted = counting.problem(Split.ID, 0)
    texts = [f"2 + 2 = 5\n\nThus, the answer is {counted.answer}.", "So it is 3.\n\nWait, no.\n\nSo it is 4."]
    traces = [counting.check(counted, counting.parse(text)) for text in texts]
    group = make_group(counted, score_texts(counted, traces, texts, [9, 9], REWARDS), number=7)
    judging = {"outcome/verified", "steps_saved", "steps/invalid", "steps/wasted"}
    judging |= {f"backtracks/{kind}" for kind in ("real", "fake", "needless")}
    metrics = rollout_metrics(make_batch(group), num_groups=1)
    assert not judging & metrics.keys()
    assert (metrics["accuracy"], metrics["outcome/correct"], metrics["steps_per_correct"]) == (0.5, 0.5, 1.0)
    assert (metrics["steps"], metrics["backtracks"]) == (2.0, 0.5)

    problem = ENV.problem(Split.TRAIN, 0)
    full = render_trace(ENV.full_trace(problem), problem.answer)
    mixed = rollout_metrics(
        make_batch(group, scored_group(0, [full, f"nowhere\n{full}"], [9, 9])), num_groups=2
    )
    assert judging <= mixed.keys()
    assert (mixed["outcome/verified"], mixed["outcome/correct"]) == (1 / 4, 2 / 4)
    assert mixed["steps/invalid"] == 1 / 2  # of the two completions with checked steps


def test_parts_of_a_mixture_have_figures_of_their_own() -> None:
    """Part a: right in 3 steps (1 - 0.5) and wrong; part b: wrong, in two groups; part c has no completion."""
    problem = ENV.problem(Split.TRAIN, 0)
    full = render_trace(ENV.full_trace(problem), problem.answer)
    groups = [scored_group(0, [full, "up"], [9, 9]), *(scored_group(n, ["", "up"], [1, 1]) for n in (1, 2))]
    of_parts = [
        replace(group, problem=replace(group.problem, part=part))
        for group, part in zip(groups, ("a", "b", "b"), strict=True)
    ]
    metrics = rollout_metrics(make_batch(*of_parts), num_groups=1)
    assert {key: value for key, value in metrics.items() if key.startswith("part/")} == {
        "part/a/reward": 0.25,
        "part/a/accuracy": 0.5,
        "part/a/steps_per_correct": 3.0,
        "part/b/reward": 0.0,
        "part/b/accuracy": 0.0,
    }
    assert not any(key.startswith("part/") for key in rollout_metrics(make_batch(*groups), num_groups=1))
