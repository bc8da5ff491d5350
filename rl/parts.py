"""From a config to the checked pieces of a run that need no model: environment, curriculum, reward.

In: a `Config`. Out: `Parts`. Most mistakes of a user are found here. Torch is not imported, so they are
reported within two seconds, all that can be found together in one message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from configs import Config, ConfigError, describe_errors
from configs.schema.config import RewardTermConfig
from envs import Env, Split, make_env
from envs.mixture import PartError
from envs.modules import add_folder
from envs.own import is_own, own_fault
from envs.registry import find_env
from rewards import RewardSum, Term, When
from rl.iterate.record import VALIDATION
from rl.memory.machine import check_tiny_model
from rl.models.files import PolicyError
from rl.models.saved_adapter import check_model
from rl.models.tiny_words import check_tiny_words
from rl.prompts import build_prompt_format
from rl.search.record import VERIFIED_STATES
from rl.sft.examples import make_examples
from rollout.prompt_format import PromptFormat


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The checked pieces of a run that need no model.

    Attributes:
        env: The task.
        curriculum: The task with the settings of each phase of the warm start's curriculum.
        prompts: The format of prompts.
        rewards: The reward.
        others: Further tasks that are only evaluated, by name: the validation cell of a loop.
    """

    env: Env[Any]
    curriculum: tuple[Env[Any], ...]
    prompts: PromptFormat
    rewards: RewardSum
    others: Mapping[str, Env[Any]] = field(default_factory=dict)


def build_parts(config: Config, *, find_model: bool = True) -> Parts:
    """Build what needs no model.

    Args:
        config: The run.
        find_model: Check that the files of `policy.model` exist. False where an earlier run will write them.

    Raises:
        ConfigError: The config names something that does not exist or does not fit. Several mistakes are joined
            to one message.
        PolicyError: The only mistake is that the model cannot be found.
    """
    add_folder(config.modules_dir)
    mistakes: list[ValueError] = []
    env: Env[Any] | None = None
    rewards: RewardSum | None = None
    others: Mapping[str, Env[Any]] = {}
    with _collected(mistakes):
        env = build_env(config)
        with _collected(mistakes):
            prompts = build_prompt_format(config, env)
        with _collected(mistakes):
            if find_model and config.policy.model == "tiny":
                check_tiny_words(env)
        with _collected(mistakes):
            curriculum = _curriculum(config)
            if config.iterate is None:
                _check_warm_start(config, (*curriculum, env))
            if config.iterate is not None:
                others = _check_loop(config, env)
        with _collected(mistakes):
            _check_key_steps(config, env)
        with _collected(mistakes):
            _check_search(config, env)
    with _collected(mistakes):
        rewards = build_rewards(config)
    with _collected(mistakes):
        _check_judged_steps(config, env, rewards)
    with _collected(mistakes):
        _check_judged_backtracks(env, rewards)
    with _collected(mistakes):
        _check_credit(config, env, rewards)
    with _collected(mistakes):
        check_tiny_model(config)
    if find_model:
        with _collected(mistakes):
            check_model(config.policy)
    if len(mistakes) == 1:
        raise mistakes[0]
    if mistakes:
        raise ConfigError("; ".join(dict.fromkeys(map(str, mistakes))))
    assert env is not None and rewards is not None
    return Parts(env=env, curriculum=curriculum, prompts=prompts, rewards=rewards, others=others)


@contextmanager
def _collected(mistakes: list[ValueError]) -> Iterator[None]:
    """Keep a mistake for later, so that the checks after it run too."""
    try:
        yield
    except (ConfigError, PolicyError) as error:
        mistakes.append(error)


def build_rewards(config: Config) -> RewardSum:
    """Build the reward.

    Raises:
        ConfigError: A term names an unknown reward, or does not fit the others or the rest of the config.
    """
    try:
        rewards = RewardSum(
            [_term(term) for term in config.rewards.terms],
            allow_wrong_above_right=config.rewards.allow_wrong_above_right,
            timeout_s=config.rewards.timeout_s,
            memory_gib=config.rewards.memory_gib,
            length_limit=config.rollout.max_new_tokens,
        )
    except ValueError as error:
        raise ConfigError(f"rewards: {error}") from None
    states_budget = config.iterate is not None or (config.grpo is not None and config.grpo.budget_frac > 0)
    if rewards.on_budget and config.grpo is not None and not states_budget:
        raise ConfigError(
            f"rewards: '{rewards.on_budget[0]}' compares with the budget in the prompt, but "
            "grpo.budget_frac is 0, so no prompt states one; set grpo.budget_frac, or leave the reward out"
        )
    return rewards


def _check_judged_steps(config: Config, env: Env[Any] | None, rewards: RewardSum | None) -> None:
    """Refuse to judge by steps that the task only counts. What could not be built is None."""
    counting = [] if env is None else [part for part in env.parts.values() if not part.checks_steps]
    if env is None or not counting:
        return
    counts = f"'{counting[0].name}' counts steps and checks none"
    can_check = "check_steps" in counting[0].Settings.model_fields
    check = "set its check_steps to 'arithmetic', or " if can_check else ""
    if rewards is not None and rewards.on_checked_steps:
        raise ConfigError(
            f"rewards: checked steps are needed for {', '.join(rewards.on_checked_steps)}, but {counts}; "
            f"{check}leave that out: 'correct' pays for a right answer"
        )
    if config.eval.best == "verified" and len(counting) == len(env.parts):
        raise ConfigError(
            f"eval.best is 'verified', but {counts}, so no completion is verified; {check}set it to 'accuracy'"
        )


def _check_judged_backtracks(env: Env[Any] | None, rewards: RewardSum | None) -> None:
    """Refuse to judge backtracks that a task with checked steps only announces: the reward would never change.

    Tasks that check no steps are `_check_judged_steps`'s.
    """
    if env is None or rewards is None or not rewards.on_checked_backtracks:
        return
    parts = env.parts.values()
    announcing = [part for part in parts if part.checks_steps and not part.checks_backtracks]
    if not announcing or not all(part.checks_steps for part in parts):
        return
    names = ", ".join(f"'{name}'" for name in rewards.on_checked_backtracks)
    raise ConfigError(
        f"rewards: checked backtracks are needed for {names}, but '{announcing[0].name}' only finds sentences "
        "that announce one ('Wait, ...'): none is real, fake or needless, and no step is wasted; leave that "
        "out, or price all of them with 'backtrack_count'"
    )


def _check_credit(config: Config, env: Env[Any] | None, rewards: RewardSum | None) -> None:
    """Refuse step credit that gives nothing: no price is on lines, or nothing is known of them."""
    if config.grpo is None:
        return
    name = config.grpo.credit.name
    if name == "parts" and rewards is not None and not rewards.priced_lines:
        raise ConfigError(
            "grpo.credit is parts, but no reward prices steps or backtracks; add one, such as 'step_count' "
            "with a negative weight, or set grpo.credit to sequence"
        )
    if name == "monte_carlo" and rewards is not None and rewards.on_group:
        raise ConfigError(
            f"grpo.credit is monte_carlo, but '{rewards.on_group[0]}' compares the samples of a group, and "
            "continuations are none; leave it out, or set grpo.credit to sequence"
        )
    if env is None:
        return
    parts = list(env.parts.values())
    if name in ("progress", "decs") and not any(part.defines("remaining") for part in parts):
        raise ConfigError(
            f"grpo.credit is {name}, but '{env.name}' does not say how many lines remain (Env.remaining); "
            "set grpo.credit to sequence, or to same_state where the task checks steps"
        )
    if name == "same_state" and not any(part.checks_steps for part in parts):
        raise ConfigError(
            f"grpo.credit is same_state, but '{env.name}' checks no steps, so the state after a line is "
            "unknown; set grpo.credit to sequence"
        )


def _check_search(config: Config, env: Env[Any]) -> None:
    """Refuse a search without problems, and strategies that the task has no rules for."""
    if not config.eval.search and config.expert_iteration is None:
        return
    if not config.eval.splits:
        raise ConfigError("eval.splits is empty, so there is nothing to solve; name a split")
    unchecked = [part.name for part in env.parts.values() if not part.checks_steps]
    if VERIFIED_STATES in config.search.strategies and unchecked:
        raise ConfigError(
            f"search.strategies has {VERIFIED_STATES}, but the task '{unchecked[0]}' does not check steps; "
            "leave it out"
        )


def _term(term: RewardTermConfig) -> Term:
    return Term(
        name=term.name,
        weight=term.weight,
        gate=term.gate,
        when=When(**term.when.model_dump()),
        schedule=tuple(sorted(term.schedule.items())),
        args=term.args,
    )


def _curriculum(config: Config) -> tuple[Env[Any], ...]:
    envs = []
    for index, phase in enumerate(config.warm_start.curriculum if config.warm_start else ()):
        settings = {**config.env.settings, **phase.settings}
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
    name, folder = config.env.name, config.modules_dir
    try:
        settings = find_env(name, folder).Settings
    except ValueError as error:
        raise ConfigError(f"env.name: {error}") from None
    try:
        env = make_env(name, config.env.settings, folder)
    except ValidationError as error:
        raise ConfigError(f"env.settings of '{name}': {describe_errors(error, settings)}") from None
    except PartError as error:
        raise ConfigError(f"env.settings.{error.where}: {describe_errors(error.error, error.schema)}") from None
    except ValueError as error:
        raise ConfigError(f"env.settings: {error}") from None
    own = next((part for part in env.parts.values() if is_own(part)), None)
    try:
        for split in env.splits:
            env.problem(split, 0)
        sizes = {name: env.num_problems(Split(name)) for name in config.eval.splits}
    except ValueError as error:
        raise ConfigError(f"env.settings: {error}") from None
    except Exception as error:
        if own is None:
            raise
        raise ConfigError(f"{own_fault(own, error)}; try it with `stride check`") from None
    for name, size in sizes.items():
        if size is not None and size < config.eval.num_problems:
            raise ConfigError(
                f"eval.num_problems is {config.eval.num_problems}, but {name} has {size}; lower it"
            )
    return env


def _check_warm_start(config: Config, envs: tuple[Env[Any], ...]) -> None:
    if config.warm_start is None:
        return
    try:
        for env in envs:
            make_examples(env, config.warm_start, num_problems=1, seed=config.seed)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _check_loop(config: Config, env: Env[Any]) -> dict[str, Env[Any]]:
    """Refuse a loop that the task cannot go through; returns the task of its validation cell.

    Raises:
        ConfigError: The task lacks what the loop learns from or judges by, or the validation cell is wrong.
    """
    loop, warm_start = config.iterate, config.warm_start
    assert loop is not None and warm_start is not None
    mix = {"skipped_frac": 1.0 if loop.init == "warm" else 0.0}
    if loop.init == "warm" and not env.skip_kinds:
        raise ConfigError(
            f"iterate.init is warm, but '{env.name}' has no rule to skip a step by; set it to cold"
        )
    _check_warm_start(config.model_copy(update={"warm_start": warm_start.model_copy(update=mix)}), (env,))
    if loop.keep == "verified" and not all(part.checks_steps for part in env.parts.values()):
        raise ConfigError(
            f"iterate.keep is verified, but '{env.name}' counts steps and checks none; set it to right"
        )
    if loop.validation is None:
        return {}
    settings = {**config.env.settings, **loop.validation}
    changed = {
        "env": config.env.model_copy(update={"settings": settings}),
        "eval": config.eval.model_copy(update={"splits": [Split.OOD_EASY.value]}),
    }
    try:
        validation = build_env(config.model_copy(update=changed))
    except ConfigError as error:
        raise ConfigError(f"iterate.validation: {error}") from None
    _check_disjoint(config, env, validation)
    return {VALIDATION: validation}


def _check_disjoint(config: Config, env: Env[Any], validation: Env[Any]) -> None:
    """Refuse a validation cell that has a problem of a cell that is tested or learnt from."""
    warm_start, num = config.warm_start, config.eval.num_problems
    assert warm_start is not None
    found = {validation.problem(Split.OOD_EASY, index).question for index in range(num)}
    sizes = {Split(split): num for split in config.eval.splits}
    train = env.num_problems(Split.TRAIN)
    sizes[Split.TRAIN] = min(warm_start.num_problems, train or warm_start.num_problems)
    for split, size in sizes.items():
        shared = sum(env.problem(split, index).question in found for index in range(size))
        if shared:
            raise ConfigError(
                f"iterate.validation: {shared:,} of the {size:,} {split} problems are also in the validation "
                "cell, by which round and mix are chosen; give it buckets that no other cell has"
            )


def _check_key_steps(config: Config, env: Env[Any]) -> None:
    """Refuse pairs that the task cannot give.

    Raises:
        ConfigError: Names all keys that do not fit.
    """
    settings = config.key_steps
    if settings is None:
        return
    mistakes = []
    if config.iterate is not None:
        mistakes.append("key_steps is set, but the loop of iterate has no such stage; set one of them to null")
    if settings.environment_frac > 0 and not env.mistake_kinds:
        mistakes.append(
            f"key_steps.environment_frac is {settings.environment_frac:g}, but '{env.name}' writes no "
            "mistakes; set it to 0, and pairs are made of the policy's samples"
        )
    elif unknown := sorted(set(settings.mistakes) - set(env.mistake_kinds)):
        known = ", ".join(env.mistake_kinds) or "none"
        mistakes.append(f"key_steps.mistakes has {unknown}, which '{env.name}' does not know; known: {known}")
    if settings.key == "true" and not env.checks_steps:
        mistakes.append(
            f"key_steps.key is 'true', but '{env.name}' checks no steps, so true key steps are unknown; set it "
            "to 'edit_distance'"
        )
    if mistakes:
        raise ConfigError("; ".join(mistakes))
