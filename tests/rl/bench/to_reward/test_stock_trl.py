"""What TRL is given: Stride's rewards, prompts and settings."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from trl import GRPOConfig

from configs import Config, ConfigError
from envs import Split
from rl.bench.to_reward.stock_trl import StrideReward, check_rows, stock_trl, trl_arguments
from rl.bench.to_reward.tasks import TASKS, task_config
from rl.build import build_policy
from rl.grpo.arguments import grpo_arguments
from rl.models.policy import Policy
from rl.parts import Parts, build_parts
from rl.precision import Passes

pytestmark = pytest.mark.slow


def make(folder: Path, task: str = "addition") -> tuple[Config, Parts, Policy]:
    config = task_config(task, folder, seed=0, threads=1, tiny=True)
    parts = build_parts(config)
    return config, parts, build_policy(config, parts)


def test_rewards_are_those_that_stride_gives_to_the_same_texts(tmp_path: Path) -> None:
    """Two groups of four: the full trace, a skipped or wrong one, a bare answer, one cut off."""
    config, parts, policy = make(tmp_path)
    env, encoder, rng = parts.env, policy.encoder, random.Random(0)
    ids: list[list[int]] = []
    expected: list[float] = []
    index = [5, 2]
    for number in index:
        problem = env.problem(Split.TRAIN, number)
        lines = env.full_trace(problem)
        skipped = env.skipped_trace(problem, "low_pair", rng)
        texts = [
            env.demonstrate(lines, problem.answer),
            env.demonstrate(skipped or lines, problem.answer if skipped else "7777777"),
            env.demonstrate((), problem.answer),
        ]
        rows = [list(encoder.encode_completion(text)) for text in texts]
        rows.append(rows[0][:-2])  # without the stop token
        traces = [env.check(problem, env.parse(text)) for text in texts]
        cut = env.check(problem, env.parse(encoder.decode(rows[-1]), truncated=True))
        traces = [replace(trace, num_tokens=len(row)) for trace, row in zip([*traces, cut], rows, strict=True)]
        expected += [score.total for score in parts.rewards(problem, traces)]
        ids += rows
    reward = StrideReward(config, parts, policy)
    given = reward(
        completion_ids=ids, index=[number for number in index for _ in range(4)], prompts=[], trainer_state=None
    )
    assert given == expected
    assert len({*expected}) > 2 and max(expected) > 0.5


def test_settings_are_those_of_stride_but_for_micro_batches(tmp_path: Path) -> None:
    config, _, _ = make(tmp_path)
    assert config.grpo is not None
    theirs = trl_arguments(config, updates=7, rows=8, folder=tmp_path)
    grpo = config.grpo.model_copy(update={"updates": 7})
    ours = grpo_arguments(
        grpo, config.rollout, folder=tmp_path, seed=0, passes=Passes(cpu=True), report_to=config.report_to
    )
    other = {
        field.name for field in fields(GRPOConfig) if getattr(ours, field.name) != getattr(theirs, field.name)
    }
    assert other <= {
        *("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation"),
        *("scale_rewards", "mask_truncated_completions", "save_strategy"),
    }
    assert theirs.scale_rewards == config.grpo.scale_rewards
    assert theirs.per_device_train_batch_size * theirs.gradient_accumulation_steps == 4 * 4
    assert theirs.generation_batch_size == 4 * 4
    assert (theirs.max_steps, theirs.loss_type, theirs.temperature) == (7, config.grpo.loss_type, 1.0)


def test_micro_batches_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    config = task_config("addition", tmp_path, seed=0, threads=1)
    check_rows(config, 32)
    with pytest.raises(ConfigError, match=r"^--trl-rows is 24; it must divide the 128 completions of "):
        check_rows(config, 24)


@pytest.mark.parametrize("task", list(TASKS))
def test_prompts_are_the_train_problems_in_their_order(task: str, tmp_path: Path) -> None:
    """Two updates: problems 0 to 3, then 4 to 7, each four times, with the ids that Stride's engine gets."""
    config, parts, policy = make(tmp_path, task)
    short = config.rollout.model_copy(update={"max_new_tokens": 8})  # what is sampled does not matter
    config = config.model_copy(update={"rollout": short})
    trainer = stock_trl(config, parts, policy, updates=2, rows=8, folder=tmp_path, callbacks=[])
    seen: list[tuple[int, ...]] = []
    model: Any = trainer.model
    generate = model.generate

    def record(input_ids: Any, attention_mask: Any, **rest: Any) -> Any:
        for row, mask in zip(input_ids.tolist(), attention_mask.tolist(), strict=True):
            seen.append(tuple(token for token, kept in zip(row, mask, strict=True) if kept))
        return generate(input_ids=input_ids, attention_mask=attention_mask, **rest)

    model.generate = record
    trainer.train()
    problems = [parts.env.problem(Split.TRAIN, index) for index in range(8)]
    assert seen == [policy.encoder.encode_prompt(problem) for problem in problems for _ in range(4)]
