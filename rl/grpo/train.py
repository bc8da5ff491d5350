"""GRPO from a config: the group source, the updates and the trainer, put together.

In: a policy, a pool that samples, and a config. Out: the same policy, trained. A run's stage and the rounds of
a step-skipping loop both call it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from transformers import TrainerCallback

from configs import Config
from configs.schema.config import GrpoConfig
from rewards import RewardSum, RunHistory
from rl.grpo.advantages import AdvantageWeight
from rl.grpo.arguments import grpo_arguments
from rl.grpo.credit.credit import continuations, make_credit
from rl.grpo.evaluations import Evaluations
from rl.grpo.micro_batches import Advantage
from rl.grpo.trainer import StrideTrainer
from rl.grpo.update import Updates
from rl.models.policy import Policy
from rl.parts import Parts
from rl.precision import all_float32, prepare_learner
from rl.prompt_lengths import fits
from rollout.pools.base import RolloutPool
from rollout.source import GroupSource, RolloutBatch, zero_signal_cause


def train_grpo(
    policy: Policy,
    pool: RolloutPool,
    config: Config,
    parts: Parts,
    settings: GrpoConfig,
    *,
    pass_tokens: int,
    folder: Path,
    callbacks: list[TrainerCallback],
    on_rollouts: Callable[[int, RolloutBatch, Mapping[int, Sequence[Advantage]]], None],
    evaluations: Evaluations | None = None,
    resume_from: Path | None = None,
    say: Callable[[str], None],
    seed: int | None = None,
    fewer: Sequence[int] = (),
    first: int = 0,
) -> None:
    """Train `policy.model` in place.

    Args:
        policy: The policy to train; with `grpo.beta` > 0 one loaded from a folder, which is the reference.
        pool: Samples the groups.
        config: Its `rollout`, `rewards` and `seed` are used, and what says how passes run.
        parts: Its task and rewards.
        settings: The section `grpo`, where it differs from the config's.
        pass_tokens: Tokens of a forward pass at most.
        folder: Checkpoints go here.
        callbacks: Notified of every update.
        on_rollouts: Called with each update, its rollout batch, and the advantages by group.
        evaluations: Judges the policy every few updates; None: nothing does.
        resume_from: Checkpoint folder to continue from.
        say: Shows a line.
        seed: Of budgets and samples; None: the config's.
        fewer: See `GroupSource`.
        first: Number of the first group.
    """
    weight, decoupled = config.rewards.advantage_weight, config.rewards.decoupled
    credit = make_credit(
        settings, parts.rewards, parts.env, policy.encoder, max_length=config.rollout.max_new_tokens
    )
    zero_signal = partial(zero_signal_cause, decoupled=decoupled is not None)
    source = GroupSource(
        pool,
        parts.env,
        seed=config.seed if seed is None else seed,
        num_samples=config.rollout.samples_per_problem,
        problems_per_batch=config.rollout.problems_per_batch,
        dynamic_sampling=settings.dynamic_sampling,
        max_resamples=settings.max_resamples,
        max_ungraded=config.rollout.max_ungraded,
        budget_frac=settings.budget_frac,
        fewer=fewer,
        first=first,
        zero_signal=zero_signal if credit is None else credit.zero_signal,
        fits=fits(config, policy.encoder),
        history=_history(parts.rewards, settings),
        facts=settings.credit.reads_facts or parts.env.defines("remaining"),
        continuations=continuations(settings.credit),
    )
    updates = Updates(
        source,
        pool,
        settings.model_copy(update={"micro_batch_tokens": pass_tokens}),
        config.rollout,
        pad_id=policy.encoder.pad_id,
        on_rollouts=on_rollouts,
        advantage_weight=AdvantageWeight(**weight.model_dump()) if weight else None,
        decoupled=decoupled.temperature if decoupled else None,
        credit=credit,
        float32=all_float32(config),
        warn=say,
    )
    arguments = grpo_arguments(
        settings,
        config.rollout,
        folder=folder,
        seed=config.seed,
        passes=prepare_learner(config, policy.model),
        report_to=config.report_to,
    )
    StrideTrainer(policy, updates, arguments, callbacks, evaluations=evaluations, say=say).run(resume_from)


def _history(rewards: RewardSum, settings: GrpoConfig) -> RunHistory | None:
    if not rewards.reads_history:
        return None
    return RunHistory(updates_per_batch=settings.num_iterations, keep_shortest=rewards.reads_problems)
