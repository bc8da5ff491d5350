"""The stages of a run: evaluate, warm start, evaluate, key steps, evaluate, GRPO, evaluate, report.

::

    base --warm_start--> warm --key_steps--> key_steps --grpo--> grpo
                 |                  |                     |
            checkpoints        checkpoints           checkpoints      a resumed run continues from the newest
                                                                      that verifies
Each is evaluated on the same problems; one whose section is null is left out.

A stage that is in `summary.json` is done and not repeated on resume.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TextIO

from configs import Config
from rl.build import build_policy
from rl.evaluate import evaluate
from rl.evaluation_files import write_evaluation
from rl.grpo.checkpoint_state import logged_until
from rl.grpo.evaluations import Evaluations
from rl.grpo.micro_batches import Advantage
from rl.grpo.train import train_grpo
from rl.grpo.zero_signal import describe_zero_signal
from rl.key_steps.agreement import describe_agreement
from rl.key_steps.sampling import gather_duals
from rl.key_steps.trainer import train_key_steps
from rl.memory.exhausted import memory_errors
from rl.memory.fit import Fit
from rl.models.adapter import share_base
from rl.models.policy import Policy, trainable_weights
from rl.models.push import create_repository
from rl.models.upload import HubUploads
from rl.opening import opened_run
from rl.pages.run.write import write_report
from rl.parts import Parts
from rl.precision import prepare_learner
from rl.prompt_lengths import describe_skipped, fits
from rl.proxy_steps import describe_dropout, describe_proxies
from rl.runs.checkpoints import checkpoint_to_resume, checkpoint_update, checkpoints
from rl.runs.early_stopping import is_over
from rl.runs.errors import RunFolderError
from rl.runs.folder import RunFolder
from rl.runs.log import sample_rows
from rl.runs.planned_work import base_config, evaluation_work, planned_work, training_work
from rl.runs.progress import Progress
from rl.runs.record import SampleRow, Stage
from rl.runs.saving import whole_folder
from rl.sample_tables import SampleTables
from rl.search.record import is_finished, stage_folder
from rl.search.run import search_stage
from rl.sft.examples import describe_mix, make_phases
from rl.sft.trainer import warm_start
from rl.train import CheckedRun
from rl.trainer_callback import LEGEND, UpdateCallback
from rollout.encoder import Encoder
from rollout.pools.base import RolloutPool
from rollout.source import RolloutBatch


def run_stages(
    config: Config,
    checked: CheckedRun,
    *,
    resume: bool,
    overwrite: bool,
    allow: Sequence[str] = (),
    out: TextIO | None = None,
) -> RunFolder:
    """Run the stages of a config that is checked; see `rl.train.train`.

    Args:
        config: The run.
        checked: Its parts, and what is known of them.
        resume: Continue the run in the output folder.
        overwrite: Replace the run in the output folder.
        allow: Keys that may change in a resumed run.
        out: Where progress is shown; None: stderr.

    Raises:
        ConfigError, PolicyError, RunFolderError, ResourceError, VllmError, DecodingError: A mistake of the
            user's, found before anything is written.
        DiskError: A file of the run could not be written.
    """
    hub, repo_id = config.push_to_hub, None

    def create(policy: Policy) -> tuple[()]:
        nonlocal repo_id
        repo_id = create_repository(hub.repo_id, private=hub.private) if hub else None
        return ()

    with (
        opened_run(config, checked, resume=resume, overwrite=overwrite, allow=allow, check=create) as (
            policy,
            fit,
            pool,
            folder,
            lines,
        ),
        closing(SampleTables(config.sample_tables, config.report_to, folder.path / "tensorboard")) as tables,
    ):
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder.path / "tensorboard")
        run = _Run(config, checked.parts, folder, fit, out or sys.stderr, tables, repo_id)
        for line in (lines[0], *(f"warning: {warning}" for warning in run.keep_warnings()), *lines[1:]):
            run.say(line)
        pool.sleep()  # only evaluation and GRPO sample
        run.stage_base(policy, pool)
        if config.warm_start is not None:
            with memory_errors(config, fit, Stage.WARM):
                policy = run.stage_warm(policy, pool)
        if config.key_steps is not None:
            with memory_errors(config, fit, Stage.KEY_STEPS):
                policy = run.stage_key_steps(policy, pool)
        if config.grpo is not None:
            with memory_errors(config, fit, Stage.GRPO):
                run.stage_grpo(policy, pool)
        run.upload_final()
        run.say(f"report: {write_report(folder.path)}")
        updates = [row.metrics for row in folder.metrics.read() if row.stage is Stage.GRPO]
        for line in (describe_skipped(updates), describe_zero_signal(updates)):
            if line:
                run.say(line)
    return folder


class _Run:
    """The stages of one run, which share a config, a folder and a progress line."""

    def __init__(
        self,
        config: Config,
        parts: Parts,
        folder: RunFolder,
        fit: Fit,
        out: TextIO,
        tables: SampleTables,
        repo_id: str | None = None,
    ) -> None:
        self.config = config
        self.parts = parts
        self.folder = folder
        self.fit = fit
        self._reopen()
        self.progress = Progress(out, planned_work(config, folder.summary()))
        self.say = self.progress.say
        self.tables = tables
        self.uploads: HubUploads | None = None
        if repo_id is not None and config.push_to_hub is not None:
            self.uploads = HubUploads(config.push_to_hub, repo_id, folder.path, self.say)

    def _reopen(self) -> None:
        """Forget an early stop that the config no longer asks for."""
        summary = self.folder.summary()
        if summary.stopped is not None and not is_over(self.config.eval, summary.best, summary.stopped):
            self.folder.write_summary(summary.with_stop(None))

    def keep_warnings(self) -> tuple[str, ...]:
        """What readers of the results must know, kept for the report."""
        if self.config.grpo is None:
            return ()
        rewards, env, warm = self.parts.rewards, self.parts.env, self.config.warm_start
        dropout = describe_dropout(rewards, env, warm.thought_dropout if warm else 0.0)
        found = (describe_proxies(rewards, env), dropout)
        warnings = (*self.config.grpo.warnings(), *[line for line in found if line])
        summary = self.folder.summary()
        if warnings != summary.warnings:
            self.folder.write_summary(replace(summary, warnings=warnings))
        return warnings

    def done(self, stage: Stage, updates: int = 0) -> bool:
        """Whether a stage was trained for at least so many updates and evaluated, and its model is there."""
        return self.folder.summary().done(stage, updates) and self.folder.model(stage).is_dir()

    def stage_base(self, policy: Policy, pool: RolloutPool) -> None:
        if self.config.warm_start is None and not self.folder.model(Stage.BASE).is_dir():
            self._save(Stage.BASE, policy)
        config = base_config(self.config)
        if not self.folder.summary().done(Stage.BASE):
            self.evaluate(Stage.BASE, policy, pool, config)
        elif self._is_unsearched(Stage.BASE, config):
            self._search(Stage.BASE, policy, pool)

    def stage_warm(self, policy: Policy, pool: RolloutPool) -> Policy:
        config, model = self.config, self.folder.model(Stage.WARM)
        assert config.warm_start is not None
        if not self.done(Stage.WARM, config.warm_start.updates):
            started = time.perf_counter()
            resume_from, done = self._rewind(Stage.WARM)
            parts = self.parts
            phases = make_phases(parts.env, parts.curriculum, config.warm_start, seed=config.seed)
            for phase in phases:
                self.say(f"warm start, {phase.updates} updates on {describe_mix(phase.examples)}")
            with self.progress.showing(training_work(Stage.WARM, config), done=done) as task:
                warm_start(
                    policy,
                    phases,
                    config.warm_start,
                    pass_tokens=self.fit.warm_tokens,
                    folder=checkpoints(self.folder.path, Stage.WARM),
                    seed=config.seed,
                    passes=prepare_learner(config, policy.model),
                    report_to=config.report_to,
                    callbacks=[UpdateCallback(Stage.WARM, self.folder.metrics, task)],
                    resume_from=resume_from,
                    say=self.say,
                )
            self._save(Stage.WARM, policy)
            self._trained(Stage.WARM, config.warm_start.updates, time.perf_counter() - started)
            self.evaluate(Stage.WARM, policy, pool, config)
        # Loaded from its folder: without the SFT trainer's hooks, and with a path for GRPO's reference.
        policy = self._loaded(model, policy)
        if self._is_unsearched(Stage.WARM, config):
            self._search(Stage.WARM, policy, pool)
        return policy

    def stage_key_steps(self, policy: Policy, pool: RolloutPool) -> Policy:
        config, settings = self.config, self.config.key_steps
        assert settings is not None
        if not self.done(Stage.KEY_STEPS, settings.updates):
            if config.warm_start is None:
                policy = self._loaded(self.folder.model(Stage.BASE), policy)
            started = time.perf_counter()
            resume_from, done = self._rewind(Stage.KEY_STEPS)
            duals = gather_duals(config, self.parts.env, policy, pool, self.progress)
            self.say(f"key steps, {settings.updates} updates on {duals.describe()}")
            if found := describe_agreement(duals.pairs):
                self.say(found)
            with self.progress.showing(training_work(Stage.KEY_STEPS, config), done=done) as task:
                train_key_steps(
                    policy,
                    duals.pairs,
                    settings,
                    pass_tokens=self.fit.key_tokens,
                    folder=checkpoints(self.folder.path, Stage.KEY_STEPS),
                    seed=config.seed,
                    passes=prepare_learner(config, policy.model),
                    report_to=config.report_to,
                    callbacks=[UpdateCallback(Stage.KEY_STEPS, self.folder.metrics, task)],
                    resume_from=resume_from,
                    say=self.say,
                )
            self._save(Stage.KEY_STEPS, policy)
            self._trained(Stage.KEY_STEPS, settings.updates, time.perf_counter() - started)
            self.evaluate(Stage.KEY_STEPS, policy, pool, config)
        policy = self._loaded(self.folder.model(Stage.KEY_STEPS), policy)
        if self._is_unsearched(Stage.KEY_STEPS, config):
            self._search(Stage.KEY_STEPS, policy, pool)
        return policy

    def _loaded(self, model: Path, before: Policy) -> Policy:
        """The policy in a folder; with an adapter, on the base of the one before, which the engine has too."""
        policy = build_policy(self.config, self.parts, model)
        share_base(policy.model, before.model)
        return policy

    def stage_grpo(self, policy: Policy, pool: RolloutPool) -> None:
        config = self.config
        assert config.grpo is not None
        if self.done(Stage.GRPO, config.grpo.updates):
            if self._is_unsearched(Stage.GRPO, config):
                self._search(Stage.GRPO, self._loaded(self.folder.model(Stage.GRPO), policy), pool)
            return
        if config.warm_start is None and config.key_steps is None:
            policy = self._loaded(self.folder.model(Stage.BASE), policy)
        resume_from, done = self._rewind(Stage.GRPO)
        settings, stopped = config.grpo, self.folder.summary().stopped
        if stopped is not None and done >= stopped:  # only the evaluation after it is missing
            settings = settings.model_copy(update={"updates": done})
        started = time.perf_counter()
        self.say(LEGEND)
        with self.progress.showing(training_work(Stage.GRPO, config), done=done) as task:
            callback = UpdateCallback(Stage.GRPO, self.folder.metrics, task)
            callbacks = [callback, *([self.uploads] if self.uploads else [])]
            evaluations = Evaluations(
                config,
                self.parts.env,
                pool,
                self.folder,
                policy,
                say=self.say,
                show=lambda split, update, rows: self.tables.show(f"eval/{split}", update, rows),
            )
            train_grpo(
                policy,
                pool,
                config,
                self.parts,
                settings,
                pass_tokens=self.fit.pass_tokens,
                folder=checkpoints(self.folder.path, Stage.GRPO),
                callbacks=callbacks,
                on_rollouts=partial(self._log_rollouts, policy.encoder),
                evaluations=evaluations,
                resume_from=resume_from,
                say=self.say,
            )
        self._save(Stage.GRPO, policy)
        num_updates = self.folder.summary().stopped or config.grpo.updates
        self._trained(Stage.GRPO, num_updates, time.perf_counter() - started)
        self.evaluate(Stage.GRPO, policy, pool, config)

    def upload_final(self) -> None:
        if self.uploads is not None:
            self.uploads.upload_final(self.folder.best_model)

    def evaluate(self, stage: Stage, policy: Policy, pool: RolloutPool, config: Config) -> None:
        started = time.perf_counter()
        pool.publish(trainable_weights(policy.model), 0)
        with self.progress.showing(evaluation_work(stage, config)) as task:
            evaluation = evaluate(
                pool,
                config,
                self.parts.env,
                fits=fits(config, policy.encoder),
                on_batch=lambda split, done: task.advance(done, [f"split {split}"]),
            )
        if config.eval.search:
            search_stage(self.folder.path, stage, config, self.parts.env, policy.encoder, pool, self.progress)
        pool.sleep()
        seconds = time.perf_counter() - started
        write_evaluation(self.folder, config, stage, evaluation, policy.encoder, seconds=seconds)
        for split in evaluation.results:
            shown = evaluation.headline(split)[: config.sample_tables.num_samples]
            rows = [row for g in shown for row in sample_rows(stage, 0, g, policy.encoder, tokens=False)]
            self.tables.show(f"eval-{stage}/{split}", 0, rows)

    def _is_unsearched(self, stage: Stage, config: Config) -> bool:
        """Whether a stage was evaluated before `eval.search` was set, or has lost rows of its search."""
        return config.eval.search and not is_finished(stage_folder(self.folder.path, stage))

    def _search(self, stage: Stage, policy: Policy, pool: RolloutPool) -> None:
        pool.publish(trainable_weights(policy.model), 0)
        search_stage(self.folder.path, stage, self.config, self.parts.env, policy.encoder, pool, self.progress)
        pool.sleep()

    def _log_rollouts(
        self,
        encoder: Encoder,
        update: int,
        rollouts: RolloutBatch,
        advantages: Mapping[int, Sequence[Advantage]],
    ) -> None:
        def rows(*, tokens: bool) -> Iterator[SampleRow]:
            for group in rollouts.sampled:
                given = advantages.get(group.group_id)
                yield from sample_rows(Stage.GRPO, update, group, encoder, given, tokens=tokens)

        kept = self.config.trajectories
        if (update - 1) % kept.every == 0:
            self.folder.trajectories.write(update, rows(tokens=kept.tokens))
        if self.tables.wants(update):
            shown = islice(rows(tokens=False), self.config.sample_tables.num_samples)
            self.tables.show(Stage.GRPO.value, update, list(shown))

    def _rewind(self, stage: Stage) -> tuple[Path | None, int]:
        """Drop the rows logged after the checkpoint to go on from, which are logged again.

        Returns:
            The checkpoint, or None, and its update.

        Raises:
            RunFolderError: The stage has no usable checkpoint, and had some.
        """
        checkpoint = checkpoint_to_resume(self.folder.path, stage, self.say)
        update = logged = checkpoint_update(checkpoint) if checkpoint else 0
        if checkpoint is None and (trained := self.folder.summary().updates.get(stage, 0)):
            raise RunFolderError(
                f"--resume: {stage.label} was trained for {trained} updates, but neither its model "
                f"({self.folder.model(stage)}) nor a checkpoint of it is left; put back a copy of either"
            )
        if stage is Stage.GRPO:
            logged = logged_until(checkpoint) if checkpoint else 0
            self.folder.trajectories.forget_after(update)
            self.folder.during.forget_after(logged)
        self.folder.metrics.forget_after(stage, logged)
        if update:
            self.say(f"{stage.label}: continuing from update {update}")
            self.folder.continued(stage, update)
        return checkpoint, update

    def _save(self, stage: Stage, policy: Policy) -> None:
        with whole_folder(self.folder.model(stage)) as new:
            policy.save(new)

    def _trained(self, stage: Stage, updates: int, seconds: float) -> None:
        self.folder.write_summary(self.folder.summary().with_training(stage, updates, seconds))
