"""The dual traces of a run: its policy is sampled, and its environment writes the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from configs import Config, ConfigError
from configs.schema.key_steps import KeyStepsConfig
from envs import Env, Split
from envs.own import draw_problem
from envs.seeding import derive_seed
from rl.key_steps.duals import Duals, make_duals, split_problems, usable
from rl.models.policy import Policy, trainable_weights
from rl.prompt_lengths import fits
from rl.runs.planned_work import dual_work
from rl.runs.progress import Progress
from rollout.pools.base import RolloutPool
from rollout.types import GroupRequest, RolloutGroup, Sampling
from rollout.ungraded_limit import UngradedLimit


def gather_duals(config: Config, env: Env[Any], policy: Policy, pool: RolloutPool, progress: Progress) -> Duals:
    """The dual traces of the train problems; the same on every call with the same weights.

    Args:
        config: The run; it has a section `key_steps`.
        env: The task.
        policy: What is sampled.
        pool: Samples it.
        progress: Shows how far that is.

    Raises:
        ConfigError: No problem has a pair.
        GraderError: Graders failed on more completions than allowed.
    """
    settings, fit = config.key_steps, fits(config, policy.encoder)
    assert settings is not None
    found = usable(env, settings.num_problems)
    indices = [index for index in found if fit(draw_problem(env, Split.TRAIN, index))]
    written, sampled = split_problems(indices, settings, seed=config.seed)
    groups: list[RolloutGroup] = []
    if sampled:
        pool.publish(trainable_weights(policy.model), 0)
        with progress.showing(dual_work(len(sampled) * settings.num_samples)) as task:
            groups = sample_groups(
                pool, config, settings, sampled, on_batch=lambda done: task.advance(done, [])
            )
        pool.sleep()
    duals = make_duals(env, policy.encoder, settings, written, groups, seed=config.seed)
    if not duals.pairs:
        raise ConfigError(
            f"key_steps: {duals.describe()}; raise key_steps.num_problems, num_samples, temperature or "
            "environment_frac, or set key_steps to null"
        )
    return duals


def sample_groups(
    pool: RolloutPool,
    config: Config,
    settings: KeyStepsConfig,
    indices: Sequence[int],
    *,
    on_batch: Callable[[int], None] = lambda done: None,
) -> list[RolloutGroup]:
    """Sample train problems with the weights that the pool holds; the same tokens on every call.

    Args:
        pool: Samples the completions.
        config: Its `rollout` and `seed` are used.
        settings: The `key_steps` section.
        indices: The problems.
        on_batch: Called after each engine call with the number of completions so far.

    Raises:
        GraderError: Graders failed on more completions than allowed.
    """
    rollout = config.rollout
    requests = [
        GroupRequest(
            group_id=index,
            split=Split.TRAIN,
            index=index,
            budget=None,
            num_samples=settings.num_samples,
            seed=derive_seed(config.seed, "key_steps"),  # GRPO meets the same problems with other samples
            evaluation=True,
        )
        for index in indices
    ]
    # As many completions in a call as in training, so that its memory is enough.
    size = max(1, rollout.problems_per_batch * rollout.samples_per_problem // settings.num_samples)
    batches = [requests[start : start + size] for start in range(0, len(requests), size)]
    ungraded = UngradedLimit(rollout.max_ungraded)
    num_done = 0

    def count(num: int) -> None:
        nonlocal num_done
        num_done += num
        on_batch(num_done)

    done = pool.rollout(
        batches,
        Sampling(temperature=settings.temperature, max_new_tokens=rollout.max_new_tokens),
        on_batch=lambda batch: count(len(batch.groups) * settings.num_samples),
    )
    groups = [group for batch in done for group in batch.groups]
    for group in groups:
        ungraded.add(group)
    return groups
