"""Both contestants from the same warm start, each until it has the target reward.

::

    warm start (Stride's, once, kept) --+-- Stride, all its updates --> target: a share of what it gained
                                        +-- stock TRL, to the target or until its time is up

Time is that of training alone: sampling, rewards, loss, optimiser. Loading and measuring rewards do not count.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers.trainer_utils import SaveStrategy

from configs import Config
from rl.bench.to_reward.curve import Duel, Point, target_reward, time_to
from rl.bench.to_reward.judge import Clock, Judge
from rl.bench.to_reward.stock_trl import check_rows, stock_trl
from rl.bench.to_reward.tasks import task_config
from rl.build import build_policy, build_pool, checked_memory
from rl.grpo.arguments import grpo_arguments
from rl.grpo.trainer import StrideTrainer
from rl.grpo.update import Updates
from rl.parts import Parts, build_parts
from rl.precision import Passes
from rl.runs.folder import run_path
from rl.runs.quiet import quiet_libraries
from rl.runs.record import Stage
from rl.stages import run_stages
from rl.train import CheckedRun
from rollout.source import GroupSource

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Contest:
    """How the contestants are compared.

    Attributes:
        updates: Updates of Stride; None: those of the task.
        warm_updates: Updates of the warm start; None: those of the task.
        learning_rate: Of GRPO, for both; None: that of the task.
        every: Updates between two measurements of the reward.
        judged_on: Held-out problems of a measurement, sampled once each.
        share: The target, as a share of the way from the warm start's reward to Stride's last.
        patience: TRL's time, in those that Stride took to the target.
        trl_rows: Completions of TRL's micro-batches; must divide those of an update.
        threads: CPU threads of both.
        tiny: Sizes with which a run takes seconds and little is learnt.
    """

    updates: int | None = None
    warm_updates: int | None = None
    learning_rate: float | None = None
    every: int = 4
    judged_on: int = 512
    share: float = 0.8
    patience: float = 8.0
    trl_rows: int = 8
    threads: int = 1
    tiny: bool = False


def run_duels(
    tasks: Sequence[str], seeds: Sequence[int], contest: Contest, *, folder: Path, say: Say
) -> list[Duel]:
    """Every task with every seed, one after the other.

    Args:
        tasks: Names in `TASKS`.
        seeds: Seeds.
        contest: How they are compared.
        folder: Keeps data and warm starts for the next call.
        say: Shows a line.

    Raises:
        ConfigError: TRL's micro-batches do not fit an update.
        RunFolderError: The folder has a warm start of other settings.
    """
    torch.set_num_threads(contest.threads)
    quiet_libraries()
    duels = []
    for task in tasks:
        for seed in seeds:
            config = task_config(
                task,
                folder,
                seed=seed,
                threads=contest.threads,
                updates=contest.updates,
                warm_updates=contest.warm_updates,
                learning_rate=contest.learning_rate,
                tiny=contest.tiny,
            )
            duels.append(run_duel(task, config, contest, say))
    return duels


def run_duel(task: str, config: Config, contest: Contest, say: Say) -> Duel:
    """Let both train, Stride first.

    Args:
        task: Name of the task.
        config: The run.
        contest: How they are compared.
        say: Shows a line.

    Raises:
        ConfigError: TRL's micro-batches do not fit an update.
    """
    assert config.grpo is not None
    check_rows(config, contest.trl_rows)
    parts = build_parts(config)
    warm = warm_start(config, parts)

    def show(name: str) -> Callable[[Point], None]:
        return lambda point: say(
            f"{config.name} {name}: update {point.update:g}, {point.seconds:.1f} s, reward {point.reward:.3f}"
        )

    policy = build_policy(config, parts, warm)
    with closing(Judge(config, parts, policy, num_problems=contest.judged_on)) as judge:
        start = Point(update=0, seconds=0.0, reward=judge.reward(policy.model))
        show("warm start")(start)
        clock = Clock(judge, start, every=contest.every, on_point=show("Stride"))
        train_stride(config, parts, warm, clock)
        ours = tuple(clock.points)
        target = target_reward(ours, contest.share)
        reached = None if target is None else time_to(ours, target)
        if target is None or reached is None:
            say(f"{config.name}: training has not raised the reward; give it more updates")
            return Duel(task=task, seed=config.seed, target=None, stride=ours, trl=())
        time_s = contest.patience * reached.seconds
        say(f"{config.name} Stride: {reached.seconds:.1f} s to reward {target:.3f}; TRL gets {time_s:.0f} s")
        clock = Clock(
            judge,
            start,
            every=contest.every,
            is_over=lambda points: points[-1].reward >= target or points[-1].seconds >= time_s,
            on_point=show("TRL"),
        )
        updates = round(contest.patience * config.grpo.updates)
        train_trl(config, parts, warm, clock, rows=contest.trl_rows, updates=updates)
        return Duel(task=task, seed=config.seed, target=target, stride=ours, trl=tuple(clock.points))


def warm_start(config: Config, parts: Parts) -> Path:
    """The folder of the model that both start from; made by a run of Stride without GRPO, once."""
    settings = config.model_copy(update={"grpo": None})
    known = run_path(settings).is_dir()
    return run_stages(settings, CheckedRun(parts=parts), resume=known, overwrite=False).model(Stage.WARM)


def train_stride(config: Config, parts: Parts, warm: Path, clock: Clock) -> None:
    """Stride's GRPO as a run does it, without the files of a run."""
    assert config.grpo is not None
    policy = build_policy(config, parts, warm)
    with (
        closing(build_pool(config, parts, policy, checked_memory(config, policy))) as pool,
        tempfile.TemporaryDirectory() as folder,
    ):
        source = GroupSource(
            pool,
            parts.env,
            seed=config.seed,
            num_samples=config.rollout.samples_per_problem,
            problems_per_batch=config.rollout.problems_per_batch,
            dynamic_sampling=config.grpo.dynamic_sampling,
            max_resamples=config.grpo.max_resamples,
            max_ungraded=config.rollout.max_ungraded,
        )
        updates = Updates(
            source,
            pool,
            config.grpo,
            config.rollout,
            pad_id=policy.encoder.pad_id,
            on_rollouts=lambda update, rollouts, advantages: None,
        )
        arguments = grpo_arguments(
            config.grpo,
            config.rollout,
            folder=Path(folder),
            seed=config.seed,
            passes=Passes(cpu=True),
            report_to=config.report_to,
        )
        arguments.save_strategy = SaveStrategy.NO
        StrideTrainer(policy, updates, arguments, [clock]).run()
    gc.collect()  # trainers are in reference cycles


def train_trl(config: Config, parts: Parts, warm: Path, clock: Clock, *, rows: int, updates: int) -> None:
    """Stock TRL from the same weights, until the clock ends it."""
    policy = build_policy(config, parts, warm)
    with tempfile.TemporaryDirectory() as folder:
        trainer = stock_trl(
            config, parts, policy, updates=updates, rows=rows, folder=Path(folder), callbacks=[clock]
        )
        trainer.train()
    gc.collect()
