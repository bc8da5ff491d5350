"""From a config to the pieces of a run; the only place where configs and packages meet.

Everything a user can get wrong is found here, before a model is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from pydantic import ValidationError
from transformers.integrations import get_available_reporting_integrations

from configs import Config, ConfigError, describe_errors
from configs.schema.config import RewardTermConfig
from envs import ENVS, Env, Split, make_env
from rewards import RewardSum, Term, When, find_reward
from rl.grpo.advantages import AdvantageWeight
from rl.policy import Policy
from rl.sft.examples import make_examples
from rollout.engines.embedded import CallSize, cache_bytes
from rollout.engines.vllm import MIN_TEMPERATURE, VllmRoom, check_installed
from rollout.pools.local import LocalPool, RolloutPool
from rollout.types import Sampling
from rollout.worker import WorkerSpec

_ON_BUDGETS = ("steps_over_budget", "steps_off_budget", "budget_margin")
_PROMPTS_TRIED = 64  # of each split, before the run; a longer one met later is an error too


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The checked pieces of a run that need no model.

    Attributes:
        env: The task.
        curriculum: The task with the settings of each stage of the warm start's curriculum.
        rewards: The reward.
        advantage_weight: Weighs advantages by accuracy, or None.
        device: "cpu" or "cuda", for the learner and the local engine.
    """

    env: Env[Any]
    curriculum: tuple[Env[Any], ...]
    rewards: RewardSum
    advantage_weight: AdvantageWeight | None
    device: str


def build_parts(config: Config) -> Parts:
    """Build what needs no model.

    Raises:
        ConfigError: Something in the config names what does not exist or does not fit.
    """
    env = build_env(config)
    _check_report_to(config.report_to)
    _check_engine(config)
    rewards = build_rewards(config)
    weight = config.rewards.advantage_weight
    curriculum = _curriculum(config)
    if config.warm_start is not None:
        try:
            for learnt in (*curriculum, env):
                make_examples(learnt, config.warm_start, num_problems=1, seed=config.seed)
        except ValueError as error:
            raise ConfigError(str(error)) from None
    return Parts(
        env=env,
        curriculum=curriculum,
        rewards=rewards,
        advantage_weight=AdvantageWeight(**weight.model_dump()) if weight else None,
        device=_device(config),
    )


def build_rewards(config: Config) -> RewardSum:
    """Build the reward.

    Raises:
        ConfigError: A term names what there is not, or does not fit the others or the rest of the config.
    """
    try:
        rewards = RewardSum(
            [_term(term, config.rollout.max_new_tokens) for term in config.rewards.terms],
            allow_wrong_above_right=config.rewards.allow_wrong_above_right,
            timeout_s=config.rewards.timeout_s,
        )
    except ValueError as error:
        raise ConfigError(f"rewards: {error}") from None
    on_budgets = [term.name for term in rewards.terms if term.name in _ON_BUDGETS]
    if on_budgets and config.grpo is not None and config.grpo.budget_frac == 0:
        raise ConfigError(
            f"rewards: '{on_budgets[0]}' compares with the budget in the prompt, but grpo.budget_frac is 0, so "
            "no prompt states one; set grpo.budget_frac, or leave the reward out"
        )
    return rewards


def _term(term: RewardTermConfig, limit: int) -> Term:
    """A term with the run's length limit where its reward takes one and none is given."""
    takes_limit = ":" not in term.name and "limit" in signature(find_reward(term.name).function).parameters
    return Term(
        name=term.name,
        weight=term.weight,
        gate=term.gate,
        when=When(**term.when.model_dump()),
        schedule=tuple(sorted(term.schedule.items())),
        args={"limit": limit, **term.args} if takes_limit else term.args,
    )


def _curriculum(config: Config) -> tuple[Env[Any], ...]:
    envs = []
    for index, stage in enumerate(config.warm_start.curriculum if config.warm_start else ()):
        settings = {**config.env.settings, **stage.settings}
        changed = {"env": config.env.model_copy(update={"settings": settings})}
        try:
            envs.append(build_env(config.model_copy(update=changed)))
        except ConfigError as error:
            raise ConfigError(f"warm_start.curriculum[{index}]: {error}") from None
    return tuple(envs)


def build_env(config: Config) -> Env[Any]:
    """Build the environment.

    Raises:
        ConfigError: The name or a setting is wrong.
    """
    try:
        env = make_env(config.env.name, config.env.settings)
    except ValidationError as error:
        reason = describe_errors(error, ENVS[config.env.name].Settings)
        raise ConfigError(f"env.settings of '{config.env.name}': {reason}") from None
    except ValueError as error:
        key = "settings" if config.env.name in ENVS else "name"
        raise ConfigError(f"env.{key}: {error}") from None
    try:
        for split in env.splits:
            env.problem(split, 0)
        sizes = {name: env.num_problems(Split(name)) for name in config.eval.splits}
    except ValueError as error:
        raise ConfigError(f"env.settings: {error}") from None
    for name, size in sizes.items():
        if size is not None and size < config.eval.num_problems:
            raise ConfigError(
                f"eval.num_problems is {config.eval.num_problems}, but {name} has {size}; lower it"
            )
    return env


def check_lengths(config: Config, parts: Parts, policy: Policy) -> None:
    """Refuse a run that would meet prompts over the limit, or outgrow the model's context, on the way.

    Raises:
        ConfigError: Names the numbers and what to change.
    """
    rollout = config.rollout
    budget_asked = config.grpo is not None and config.grpo.budget_frac > 0
    longest, where = 0, ""
    for split in dict.fromkeys(("train", *config.eval.splits)):
        for index in range(_PROMPTS_TRIED):
            problem = parts.env.problem(Split(split), index)
            if budget_asked:
                problem = parts.env.with_budget(problem, problem.num_full_steps)
            length = len(policy.encoder.encode_prompt(problem.prompt))
            if length > longest:
                longest, where = length, f"{split} {index}"
    if longest > rollout.max_prompt_tokens:
        raise ConfigError(
            f"rollout.max_prompt_tokens is {rollout.max_prompt_tokens}, but the prompt of {where} has "
            f"{longest} tokens; raise it or make env.settings easier"
        )
    context = getattr(policy.model.config, "max_position_embeddings", None)
    new = max([rollout.max_new_tokens, *config.eval.max_new_tokens.values()])
    if context is not None and rollout.max_prompt_tokens + new > context:
        raise ConfigError(
            f"rollout.max_prompt_tokens ({rollout.max_prompt_tokens}) plus the longest max_new_tokens "
            f"({new}) is over the model's context of {context} tokens; lower one of them"
        )


def cache_mebibytes(config: Config, policy: Policy) -> float:
    """The most that keys and values take in one engine, in training or evaluation."""
    if (room := _vllm_room(config)) is not None:
        return room.cache_bytes(policy.model, _engine_dtype(config)) / (1 << 20)
    size = cache_bytes(
        policy.model,
        _largest_calls(config),
        prompt_tokens=config.rollout.max_prompt_tokens,
        max_rows=config.rollout.max_rows,
        dtype=_engine_dtype(config),
    )
    return size / (1 << 20)


def _largest_calls(config: Config) -> list[CallSize]:
    """Of an engine, in training and in evaluation."""
    rollout, evaluation = config.rollout, config.eval
    eval_tokens = max([rollout.max_new_tokens, *evaluation.max_new_tokens.values()])
    return [
        CallSize(rollout.problems_per_batch, rollout.samples_per_problem, rollout.max_new_tokens),
        CallSize(evaluation.problems_per_batch, max(1, evaluation.num_samples), eval_tokens),
    ]


def _vllm_room(config: Config) -> VllmRoom | None:
    if config.rollout.engine != "vllm":
        return None
    calls = _largest_calls(config)
    rows = max(problems * samples for problems, samples, _ in calls)
    return VllmRoom(
        max_rows=min(rows, config.rollout.max_rows or rows),
        max_tokens=config.rollout.max_prompt_tokens + max(new_tokens for _, _, new_tokens in calls),
    )


def _engine_dtype(config: Config) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, config.rollout.dtype or config.policy.dtype)
    return dtype


def build_pool(config: Config, parts: Parts, policy: Policy) -> RolloutPool:
    """Start the sampling side; it takes a copy of the policy's weights as they are now.

    Raises:
        ResourceError: The cluster has less than is asked for.
        VllmError: vLLM cannot run this model.
    """
    rollout = config.rollout
    spec = WorkerSpec(
        model=policy.model,
        encoder=policy.encoder,
        env_name=config.env.name,
        env_settings=config.env.settings,
        rewards=parts.rewards,
        sampling=Sampling(temperature=rollout.temperature, max_new_tokens=rollout.max_new_tokens),
        max_prompt_tokens=rollout.max_prompt_tokens,
        max_rows=rollout.max_rows,
        threads=rollout.threads,
        device=parts.device,
        cuda_graphs=rollout.cuda_graphs,
        dtype=_engine_dtype(config),
        vllm=_vllm_room(config),
    )
    if rollout.backend == "local":
        return LocalPool(spec)
    from rollout.pools.ray_pool import RayPool  # Ray is only imported where it is used: it takes a second

    return RayPool(
        spec,
        num_actors=rollout.num_actors,
        cpus_per_actor=rollout.cpus_per_actor,
        gpus_per_actor=rollout.gpus_per_actor,
        deadline_s=rollout.deadline_s,
        max_restarts=rollout.max_restarts,
    )


def _check_engine(config: Config) -> None:
    if config.rollout.engine != "vllm":
        return
    try:
        check_installed()
    except ValueError as error:
        raise ConfigError(f"rollout.engine is 'vllm', but {error}") from None
    for key, value in (
        ("rollout.temperature", config.rollout.temperature),
        ("eval.temperature", config.eval.temperature),
    ):
        if value < MIN_TEMPERATURE:
            raise ConfigError(
                f"{key} is {value:g}, but vLLM goes down to {MIN_TEMPERATURE:g}; raise it or set "
                "rollout.engine to 'torch'"
            )


def _check_report_to(names: list[str]) -> None:
    installed = get_available_reporting_integrations()
    if unknown := [name for name in names if name not in (*installed, "none", "all")]:
        raise ConfigError(
            f"report_to has {unknown}; installed here: {', '.join(installed) or 'none'} (or 'none')"
        )


def _device(config: Config) -> str:
    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is 'cuda', but torch sees no GPU; set device to 'cpu' or 'auto'")
    return config.device
