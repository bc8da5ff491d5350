"""An update, worked by hand and without TRL: advantages, micro-batches, metrics, order, timings."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.schema.config import GrpoConfig, RolloutConfig
from envs import Split, make_env, parse_trace
from rewards import Outcome
from rl.finite import NotFiniteError
from rl.grpo.advantages import AdvantageWeight
from rl.grpo.logprob_check import LogprobCheck, LogprobMismatchError
from rl.grpo.update import Updates, combine_figures
from rl.grpo.zero_signal import (
    STALLED_AFTER,
    StalledError,
    ZeroSignalWatch,
    describe_outcomes,
    describe_zero_signal,
)
from rollout.source import RolloutBatch
from rollout.types import RolloutGroup
from tests.kit.rollouts import make_batch, make_group, make_sample, make_score
from tests.kit.scripted_pool import RecordingPool, ScriptedSource

ROOT = Path(__file__).resolve().parents[3]
ENV = make_env("directional", {"train": [3], "ood_easy": [4], "ood_hard": [5]})
CPU = torch.device("cpu")
WRONG, MALFORMED = "Thus, the answer is north.", "no closing line"


def group_of(number: int, rewards: Sequence[float], *, text: str = WRONG, version: int = 0) -> RolloutGroup:
    """Completions of 1, 2, 3, ... tokens."""
    problem = ENV.problem(Split.TRAIN, number)
    trace = ENV.check(problem, parse_trace(text))
    samples = [
        make_sample(
            make_score(reward, Outcome.of(trace)),
            trace=trace,
            text=text,
            ids=(7,) * n,
            logprobs=(-0.5,) * n,
            version=version,
        )
        for n, reward in enumerate(rewards, start=1)
    ]
    return make_group(problem, samples, number=number)


class Clock:
    """Seconds that pass only where a test adds them."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make_updates(batch: RolloutBatch, *, pool: RecordingPool | None = None, **more: Any) -> Updates:
    names = ("pad_id", "on_rollouts", "advantage_weight", "warn", "clock")
    given = {name: more.pop(name) for name in names if name in more}
    return Updates(
        ScriptedSource(batch),  # type: ignore[arg-type]
        pool or RecordingPool(),
        GrpoConfig(**{"updates": 40, "problems_per_update": 2, **more}),
        RolloutConfig(samples_per_problem=2),
        **{"pad_id": 0, "on_rollouts": lambda update, rollouts, advantages: None, **given},
    )


@pytest.mark.slow
def test_an_update_imports_neither_trl_nor_transformers() -> None:
    code = "import sys, rl.grpo.update; print(*{'trl', 'transformers', 'datasets', 'peft'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "\n"


def test_an_update_by_hand() -> None:
    """Group 0 has rewards (1, 0), group 1 equal ones: mean 1/2, advantages +-1/2, and group 1 is left out."""
    seen: dict[str, Any] = {}

    def on_rollouts(update: int, rollouts: RolloutBatch, advantages: Mapping[int, Sequence[float]]) -> None:
        seen.update(update=update, advantages=dict(advantages))

    equal = replace(group_of(1, [0.5, 0.5], version=3), extra_tokens=10)
    batch = make_batch(group_of(0, [1.0, 0.0], version=2), equal)
    pool = RecordingPool()
    updates = make_updates(batch, pool=pool, on_rollouts=on_rollouts)
    update = updates.next({}, 3, device=CPU)
    assert seen == {"update": 4, "advantages": {0: [0.5, -0.5]}}
    assert pool.versions == [3] and updates.state == {"cursor": 2}
    (part,) = update.micro_batches  # sorted by length: the completion of two tokens comes first
    assert part["advantages"].tolist() == [[-0.5, -0.5], [0.5, 0.0]]
    assert part["old_per_token_logps"].tolist() == [[-0.5, -0.5], [-0.5, 0.0]]
    assert part["num_items_in_batch"].item() == 3
    expected = {
        "staleness/mean": 0.5,  # group 0 was sampled one update ago
        "staleness/max": 1.0,
        "groups/useful_frac": 0.5,
        "useful_positions": 7 / 8,  # rows of 2 + 2 and 2 + 1 tokens in a pass of width 4
        "cursor": 2.0,
        "seconds/score": 0.25,
        "tokens/mean": 1.5,
    }
    assert {key: update.metrics[key] for key in expected} == pytest.approx(expected)
    sampled = update.metrics["tokens_per_s"] * update.metrics["seconds/rollout"]
    assert sampled == pytest.approx(3 + 3 + 10)  # continuations too


@pytest.mark.parametrize(
    ("scale", "deviations"),
    [("none", (1.0, 1.0)), ("group", (0.70721, 1.41431)), ("batch", (0.95753, 0.95753))],
)
def test_advantages_are_divided_as_the_config_says(scale: str, deviations: tuple[float, float]) -> None:
    """Rewards (1, 0) and (2, 0), deviations 0.70711 and 1.41421; that of all four is sqrt(11/12) = 0.95743."""
    batch = make_batch(group_of(0, [1.0, 0.0]), group_of(1, [2.0, 0.0]), group_of(2, [5.0, 5.0]))
    seen: dict[int, Sequence[float]] = {}
    updates = make_updates(
        batch, scale_rewards=scale, on_rollouts=lambda update, rollouts, advantages: seen.update(advantages)
    )
    updates.next({}, 0, device=CPU)
    assert seen.keys() == {0, 1}  # the group of equal rewards is not trained on, and does not count
    assert seen[0] == pytest.approx([0.5 / deviations[0], -0.5 / deviations[0]], abs=1e-4)
    assert seen[1] == pytest.approx([1.0 / deviations[1], -1.0 / deviations[1]], abs=1e-4)


def test_advantages_are_weighed_by_the_accuracy_of_the_group() -> None:
    """Nothing is right: w(0) = 2 above the mean and w(1) = 1 below it, with a slope that is a step."""
    weight = AdvantageWeight(low=1.0, high=2.0, midpoint=0.5, slope=1000.0)
    updates = make_updates(make_batch(group_of(0, [1.0, 0.0])), advantage_weight=weight)
    advantages = updates.next({}, 0, device=CPU).micro_batches[0]["advantages"]
    assert advantages[:, 0].tolist() == pytest.approx([-0.5, 1.0])


@pytest.mark.parametrize("constant", [0.0, -3.0, 100.0])
def test_a_constant_added_to_all_rewards_changes_no_tensor(constant: float) -> None:
    rewards = [1.0, 0.25, 0.0, 0.75]
    plain, moved = (
        make_updates(make_batch(group_of(0, [r + shift for r in rewards]))).next({}, 0, device=CPU)
        for shift in (0.0, constant)
    )
    for one, other in zip(plain.micro_batches, moved.micro_batches, strict=True):
        assert torch.allclose(one["advantages"], other["advantages"], atol=1e-6)
        assert torch.equal(one["completion_ids"], other["completion_ids"])


def test_without_a_signal_all_advantages_are_zero() -> None:
    update = make_updates(make_batch(group_of(0, [0.5, 0.5]), group_of(1, [0.0, 0.0]))).next({}, 0, device=CPU)
    assert len(update.micro_batches) == 1
    assert update.micro_batches[0]["advantages"].abs().sum() == 0.0


def test_the_reference_model_is_called_for_every_micro_batch() -> None:
    updates = make_updates(make_batch(group_of(0, [1.0, 0.0])), micro_batch_tokens=1)
    update = updates.next({}, 0, device=CPU, reference=lambda part: part["old_per_token_logps"] - 1.0)
    assert len(update.micro_batches) == 2
    for part in update.micro_batches:
        assert torch.equal(part["ref_per_token_logps"], part["old_per_token_logps"] - 1.0)


def test_seconds_of_an_update() -> None:
    """2 s for rollouts, 3 s for loss and optimiser; an evaluation; an update that samples nothing, of 4 s."""
    clock = Clock()

    def sampled(update: int, rollouts: RolloutBatch, advantages: Mapping[int, Sequence[float]]) -> None:
        clock.now += 2.0

    updates = make_updates(make_batch(group_of(0, [1.0, 0.0])), clock=clock, on_rollouts=sampled)
    assert updates.next({}, 0, device=CPU).metrics["seconds/prepare"] == 2.0
    clock.now += 3.0
    assert updates.finish(1) == {"seconds/update": 3.0, "seconds/total": 5.0}

    def evaluate(update: int) -> dict[str, float]:
        clock.now += 60.0
        return {"eval_id/accuracy": 0.5, "update": update}

    assert updates.between({}, 1, evaluate) == {"eval_id/accuracy": 0.5, "update": 1}
    clock.now += 4.0
    assert updates.finish(2) == {"seconds/update": 4.0, "seconds/total": 4.0}


def test_the_state_is_that_of_the_last_batch_given_out() -> None:
    updates = make_updates(make_batch(group_of(0, [1.0, 0.0]), group_of(1, [1.0, 0.0])))
    assert updates.state == {"cursor": 0}
    updates.next({}, 0, device=CPU)
    updates.next({}, 1, device=CPU)
    assert updates.state == {"cursor": 4}
    again = make_updates(make_batch(group_of(0, [1.0, 0.0]), group_of(1, [1.0, 0.0])))
    again.restore(updates.state)
    again.next({}, 2, device=CPU)
    assert again.state == {"cursor": 6}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("step_time", 6.0), ("clip_ratio/low_min", 1.0), ("clip_ratio/high_max", 3.0), ("entropy", 1.5)],
)
def test_figures_of_micro_batches_become_one(name: str, expected: float) -> None:
    """1, 2 and 3 over 6, 3 and 1 tokens: the mean over tokens is (6 + 6 + 3) / 10."""
    assert combine_figures(name, [1.0, 2.0, 3.0], [6, 3, 1]) == pytest.approx(expected)


def test_log_probabilities_are_compared_by_hand() -> None:
    """Differences 0.1 and 0.3 count; the 9 stands on padding."""
    check = LogprobCheck(limit=0.5)
    mask = torch.tensor([[True, True, False]])
    check.add(torch.tensor([[-1.0, -2.0, 9.0]]), torch.tensor([[-1.1, -1.7, 0.0]]), mask, same=True)
    assert check.take(1) == pytest.approx({"logprob_diff/mean": 0.2, "logprob_diff/max": 0.3})
    assert check.take(2) == {}
    check.add(torch.tensor([[-1.0, 0.0, 0.0]]), torch.tensor([[-1.625, 0.0, 0.0]]), mask, same=False)
    assert check.take(2) == {}  # a second pass: the weights have moved
    for on_policy in (False, True):
        check.add(torch.tensor([[-1.0, 0.0, 0.0]]), torch.tensor([[-1.625, 0.0, 0.0]]), mask, same=True)
        if not on_policy:
            assert check.take(3, on_policy=False)["logprob_diff/max"] == 0.625
    with pytest.raises(
        LogprobMismatchError, match=r"^at update 3 .* 0\.625 .*over grpo\.max_logprob_diff \(0\.5\)"
    ):
        check.take(3)


def test_the_limit_holds_where_sampler_and_learner_have_the_same_weights() -> None:
    """Sampled with the weights of update 3, and trained on as update 4: they are the same; as update 5,
    older."""
    mask = torch.tensor([[True]])
    for update, on_policy in ((3, True), (4, False)):
        updates = make_updates(make_batch(group_of(0, [1.0, 0.0], version=3)), max_logprob_diff=0.5)
        updates.next({}, update, device=CPU)
        updates.compare_logprobs(torch.tensor([[-1.0]]), torch.tensor([[-2.0]]), mask, same=True)
        if on_policy:
            with pytest.raises(LogprobMismatchError):
                updates.finish(update + 1)
        else:
            assert updates.finish(update + 1)["logprob_diff/max"] == 1.0


def test_by_default_float32_stops_over_a_hundredth_and_bfloat16_warns_once_over_one() -> None:
    lines: list[str] = []
    mask = torch.tensor([[True]])

    def differ(check: LogprobCheck, by: float) -> dict[str, float]:
        check.add(torch.tensor([[-1.0]]), torch.tensor([[-1.0 - by]]), mask, same=True)
        return check.take(7)

    exact = LogprobCheck(GrpoConfig().max_logprob_diff, float32=True)
    assert differ(exact, 0.009)
    with pytest.raises(LogprobMismatchError, match=r"\(0\.01\)"):
        differ(exact, 0.011)
    rounded = LogprobCheck(GrpoConfig().max_logprob_diff, float32=False, warn=lines.append)
    assert differ(rounded, 0.9) and not lines
    assert differ(rounded, 1.25) and differ(rounded, 1.5)
    (line,) = lines
    assert line.startswith("warning: at update 7 sampler and learner differ by 1.25 in the log-probability")
    assert differ(LogprobCheck(None, warn=lines.append), 9.0) and len(lines) == 1


@pytest.mark.parametrize("limit", [None, 0.5, "auto"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_log_probability_that_is_not_finite_stops_the_run(limit: Any, value: float) -> None:
    """NaN is over no limit, so a comparison alone does not notice it; on padding it does not matter."""
    mask = torch.tensor([[True, False]])
    good, bad = torch.tensor([[-1.0, 0.0]]), torch.tensor([[value, 0.0]])
    for new, old, who in ((bad, good, "learner"), (good, bad, "sampler")):
        for same in (True, False):
            check = LogprobCheck(limit)
            check.add(new, old, mask, same=same)
            with pytest.raises(NotFiniteError, match=f"^at update 4 a log-probability of the {who} is not fin"):
                check.take(4)
    padding = torch.tensor([[-1.0, value]])
    check = LogprobCheck(limit)
    check.add(padding, padding, mask, same=True)
    assert check.take(4) == {"logprob_diff/mean": 0.0, "logprob_diff/max": 0.0}


def test_updates_without_a_signal_warn_and_then_stop_the_run() -> None:
    lines: list[str] = []
    watch = ZeroSignalWatch(lines.append)
    nothing = make_batch(group_of(0, [0.0, 0.0], text=MALFORMED), group_of(1, [0.0, 0.0], text=MALFORMED))
    for _ in range(4):
        watch.add(nothing)
    assert lines == []
    watch.add(make_batch(group_of(0, [1.0, 0.0])))  # a signal: the count starts again
    for _ in range(STALLED_AFTER - 1):
        watch.add(nothing)
    first = "100 % malformed (no closing line that states an answer)"
    assert lines == [f"warning: {n} updates without a signal: {first}" for n in (5, 10, 15)]
    with pytest.raises(StalledError, match=r"last 20 updates .*'all_malformed': 2.*100 % malformed.*change"):
        watch.add(nothing)


def test_outcomes_are_described_by_their_share() -> None:
    text = describe_outcomes({Outcome.WRONG: 1, Outcome.TRUNCATED: 3, Outcome.CRASH: 0})
    assert text == "75 % truncated (cut off at the length limit), 25 % wrong (wrong answer)"


def test_a_run_without_a_signal_says_so_at_its_end() -> None:
    """Two of three rollout batches have no signal, 75 % and 25 % malformed; a second pass samples nothing."""
    silent = [
        {"groups/useful_frac": 0.0, "outcome/malformed": share, "outcome/truncated": 1 - share}
        for share in (0.75, 0.25)
    ]
    learnt = {"groups/useful_frac": 0.5, "outcome/wrong": 1.0}
    assert describe_zero_signal([silent[0], {"loss": 0.0}, silent[1], learnt]) == (
        "warning: 2 of 3 rollout batches had no signal, so nothing was learnt from them: 50 % truncated (cut "
        "off at the length limit), 50 % malformed (no closing line that states an answer); change "
        "env.settings, rewards or the warm start"
    )
    assert describe_zero_signal([silent[0], learnt, learnt]) == ""
    assert describe_zero_signal([]) == ""
