"""Prompts over the limit: counted before a run, and left out or refused as `rollout.long_prompts` says.

In: a task and an encoder. Out: a line for the user, or a refusal. The problems of an evaluation and of a train
split with an end are all measured; of an endless one the first are, and the rest as they come (`fits`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from configs import Config, ConfigError
from envs import Env, Problem, Split
from envs.own import draw_problem
from rollout.encoder import Encoder

_TRIED = 64  # train problems of an endless split


def fits(config: Config, encoder: Encoder) -> Callable[[Problem], bool]:
    """Whether a problem is used: with `long_prompts: skip`, whether its prompt is within the limit."""
    limit = config.rollout.max_prompt_tokens
    if config.rollout.long_prompts == "error":
        return lambda problem: True  # the worker raises where one is over it
    return lambda problem: len(encoder.encode_prompt(problem)) <= limit


def check_prompts(config: Config, env: Env[Any], encoder: Encoder) -> str:
    """Measure the prompts of the problems that training samples from and evaluations use.

    Args:
        config: The run's.
        env: The task.
        encoder: Encodes the prompts.

    Returns:
        A warning about problems that are skipped; "" without any.

    Raises:
        ConfigError: A prompt is over the limit and may not be skipped, or no prompt of a split is within it.
    """
    limit, skip = config.rollout.max_prompt_tokens, config.rollout.long_prompts == "skip"
    learns = _learns_from_samples(config)
    splits = dict.fromkeys((*(("train",) if learns else ()), *config.eval.splits))
    lengths = {
        split: [len(encoder.encode_prompt(problem)) for problem in _problems(config, env, split)]
        for split in map(Split, splits)
    }
    over = {split: sum([length > limit for length in found]) for split, found in lengths.items()}
    if not any(over.values()):
        return ""
    longest, widest = max((max(found), split) for split, found in lengths.items())
    where = f"{widest} {lengths[widest].index(longest)}"
    lost = [split for split, found in lengths.items() if over[split] == len(found)]
    if lost or not skip:
        none = f", and none of {lost[0]} is within the limit" if lost else ""
        other = "" if skip or lost else ", set rollout.long_prompts to skip"
        raise ConfigError(
            f"rollout.max_prompt_tokens is {limit}, but the prompt of {where} has {longest} tokens{none}; "
            f"raise it{other} or make env.settings easier"
        )
    endless = env.num_problems(Split.TRAIN) is None and learns
    counts = [
        f"{num:,} of {'the first ' if endless and split is Split.TRAIN else ''}{len(lengths[split]):,} {split}"
        for split, num in over.items()
        if num
    ]
    return (
        f"warning: prompts over rollout.max_prompt_tokens ({limit}) are skipped: {', '.join(counts)} "
        f"problems; the longest, {where}, has {longest} tokens"
    )


def describe_skipped(updates: Sequence[Mapping[str, float]]) -> str:
    """A line for the end of a run that passed over problems; empty otherwise.

    Args:
        updates: The logged metrics of the GRPO updates.
    """
    num = int(sum([metrics.get("prompts/skipped", 0.0) for metrics in updates]))
    problems = "1 problem" if num == 1 else f"{num:,} problems"
    return f"GRPO skipped {problems} with a prompt over rollout.max_prompt_tokens" if num else ""


def _learns_from_samples(config: Config) -> bool:
    return any(part is not None for part in (config.grpo, config.iterate, config.expert_iteration))


def _problems(config: Config, env: Env[Any], split: Split) -> Iterator[Problem]:
    """The problems of a split that are measured, with the longest budget that may be asked for."""
    trained_on = split is Split.TRAIN and _learns_from_samples(config)
    size = env.num_problems(split)
    num = (size or _TRIED) if trained_on else min(size or config.eval.num_problems, config.eval.num_problems)
    asked = trained_on and config.grpo is not None and config.grpo.budget_frac > 0
    asked = asked or (config.iterate is not None and split in (Split.TRAIN, Split.ID))
    for index in range(num):
        problem = draw_problem(env, split, index)
        yield env.with_budget(problem, problem.num_full_steps) if asked else problem
