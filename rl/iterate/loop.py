"""The step-skipping loop of "Can Language Models Learn to Skip Steps?" (arXiv 2411.01855, section 3).

::

    round 0:  full traces (+ hand-skipped) ----> conditioned, standard       each from the base model
    round r:  conditioned of r - 1 --asked for fewer steps--> kept answers
              kept + full traces --------------> conditioned, standard       each from the base model
              every model is evaluated on the same problems

Each phase leaves a file or a folder that is written whole or goes on where it was cut off, and a phase whose
result is there is not repeated. So a loop is resumed by running it again: the mix of a round follows from its
answers, and a training from its mix and its checkpoint.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from configs import Config
from envs import Split
from envs.seeding import derive_seed
from rl.build import build_policy
from rl.grpo.micro_batches import Advantage
from rl.grpo.train import train_grpo
from rl.iterate.ask import Request, answer, cell_problems, requests_on
from rl.iterate.files import asked_log, evaluation_log, model_folder, rounds_log, training_folder
from rl.iterate.metrics import asked, following, solved
from rl.iterate.mix import Mix, initial_mix, round_mix, train_problems
from rl.iterate.plan import Phase, Sizes, kinds, planned, trains_by_grpo, work
from rl.iterate.record import TRAIN, VALIDATION, AnswerRow, ModelKind, RoundRow
from rl.memory.exhausted import memory_errors
from rl.memory.fit import Fit
from rl.models.adapter import share_base
from rl.models.policy import Policy, trainable_weights
from rl.opening import opened_run
from rl.pages.iteration.write import write_loop_report
from rl.precision import prepare_learner
from rl.prompt_lengths import check_prompts, fits
from rl.runs.checkpoints import checkpoint_to_resume, checkpoint_update, checkpoints
from rl.runs.folder import RunFolder
from rl.runs.log import metrics_log, sample_rows
from rl.runs.manifest import MANIFEST
from rl.runs.progress import Progress
from rl.runs.record import Stage
from rl.runs.saving import whole_folder
from rl.runs.trajectories import trajectory_log
from rl.sft.examples import Phase as SftPhase
from rl.sft.examples import describe_mix
from rl.sft.trainer import warm_start
from rl.train import CheckedRun
from rl.trainer_callback import LEGEND, UpdateCallback
from rollout.pools.base import RolloutPool
from rollout.source import RolloutBatch


def run_loop(
    config: Config,
    checked: CheckedRun,
    *,
    resume: bool,
    overwrite: bool,
    allow: Sequence[str] = (),
    out: TextIO | None = None,
) -> RunFolder:
    """Run a loop whose config is checked; see `rl.iterate.run.iterate`."""
    with opened_run(
        config,
        checked,
        resume=resume,
        overwrite=overwrite,
        allow=allow,
        check=lambda policy: _check_validation(config, checked, policy),
    ) as (policy, fit, pool, folder, lines):
        run = _Loop(config, checked, folder, fit, policy, pool, out or sys.stderr)
        for line in lines:
            run.say(line)
        pool.sleep()  # only answers and GRPO are sampled
        del policy
        run.rounds()
        write_loop_report(folder.path)
    return folder


def _check_validation(config: Config, checked: CheckedRun, policy: Policy) -> list[str]:
    """Refuse a validation cell none of whose prompts is within the limit; warn of those that are not."""
    if (env := checked.parts.others.get(VALIDATION)) is None:
        return []
    splits = config.eval.model_copy(update={"splits": [Split.OOD_EASY.value]})
    alone = config.model_copy(update={"eval": splits, "grpo": None, "iterate": None})
    warning = check_prompts(alone, env, policy.encoder)
    return [f"{warning} (of iterate.validation)"] if warning else []


class _Loop:
    """The rounds of one loop, which share a config, a folder, a pool and a progress line."""

    def __init__(
        self,
        config: Config,
        checked: CheckedRun,
        folder: RunFolder,
        fit: Fit,
        policy: Policy,
        pool: RolloutPool,
        out: TextIO,
    ) -> None:
        assert config.iterate is not None
        self.config, self.settings = config, config.iterate
        self.parts, self.env = checked.parts, checked.parts.env
        self.folder, self.fit, self.pool = folder, fit, pool
        self.encoder = policy.encoder
        self._base = policy.model if config.policy.lora is not None else None  # all adapters share it
        self.fits = fits(config, policy.encoder)
        self.problems = train_problems(self.env, config)
        self.asks = requests_on(self.env, TRAIN, self.problems, self.settings.fewer)
        self.tests = {kind: self._tests(kind) for kind in kinds(config)}
        self.done = {row.round for row in rounds_log(folder.path).read()}
        self.progress = Progress(out, list(planned(config, folder.path, self.done, self._sizes())))
        self.say = self.progress.say

    def rounds(self) -> None:
        """Run the rounds that are not finished."""
        log = rounds_log(self.folder.path)
        for number in range(self.settings.rounds + 1):
            if number in self.done:
                continue
            row = self._round(number)
            log.replace(sorted([*log.read(), row], key=lambda one: one.round))

    def _round(self, number: int) -> RoundRow:
        answers: list[AnswerRow] = []
        if number == 0:
            mix = initial_mix(self.env, self.config, self.problems)
        else:
            answers = self._ask(number)
            mix = round_mix(self.env, self.config, self.problems, answers, self.encoder, number=number)
        tested: dict[ModelKind, list[AnswerRow]] = {}
        for kind in kinds(self.config):
            if self._has_learnt(number, kind, mix):
                self._keep(number, kind)
            else:
                self._train(number, kind, mix)
            tested[kind] = self._answers(Phase.EVALUATE, number, kind, self.tests[kind], of_round=number)
        standard = tested.get(ModelKind.STANDARD, [])
        cells = dict.fromkeys(row.cell for row in standard)
        requests = dict.fromkeys(str(row.fewer) for row in tested[ModelKind.CONDITIONED])
        assert self.config.warm_start is not None
        row = RoundRow(
            round=number,
            num_full=mix.num_full,
            num_skipped=mix.num_skipped,
            updates=self.config.warm_start.updates,
            asked=asked(answers) if number else None,
            following={
                fewer: following(one for one in tested[ModelKind.CONDITIONED] if str(one.fewer) == fewer)
                for fewer in requests
            },
            solved={cell: solved(one for one in standard if one.cell == cell) for cell in cells},
        )
        return row

    def _ask(self, number: int) -> list[AnswerRow]:
        """The answers of the model of the round before to requests for fewer steps on the train problems."""
        answers = self._answers(Phase.ASK, number, ModelKind.CONDITIONED, self.asks, of_round=number - 1)
        found = asked(answers)
        verified = (
            "" if found.kept_verified is None else f", {found.kept_verified:,} of them with every line verified"
        )
        self.say(f"round {number}: kept {found.kept:,} of {found.num:,} answers{verified}")
        return answers

    def _answers(
        self, phase: Phase, number: int, kind: ModelKind, requests: Sequence[Request], *, of_round: int
    ) -> list[AnswerRow]:
        run = self.folder.path
        log = asked_log(run, number) if phase is Phase.ASK else evaluation_log(run, number, kind)
        units = work(self.config, number, phase, kind, len(requests))
        with self.progress.showing(units, done=len(log.read())) as task:
            rows = answer(
                self.pool,
                self.config,
                requests,
                log,
                number=of_round,
                kind=kind,
                fits=self.fits,
                prepare=lambda: self._publish(of_round, kind),
                on_batch=task.advance,
            )
        self.pool.sleep()
        return rows

    def _has_learnt(self, number: int, kind: ModelKind, mix: Mix) -> bool:
        """Whether the model of the round before has learnt the same: full traces alone, from the base model."""
        if trains_by_grpo(self.config, number, kind) or mix.num_skipped:
            return False
        before = next((row for row in rounds_log(self.folder.path).read() if row.round == number - 1), None)
        assert self.config.warm_start is not None
        ours = (0, mix.num_full, self.config.warm_start.updates)
        return before is not None and (before.num_skipped, before.num_full, before.updates) == ours

    def _keep(self, number: int, kind: ModelKind) -> None:
        """Take the model of the round before, which training would end with, unless the model is there."""
        model, before = (model_folder(self.folder.path, one, kind) for one in (number, number - 1))
        if not model.is_dir():
            left_out = work(self.config, number, Phase.TRAIN, kind)
            same = f"the model is that of round {number - 1}"
            self.say(f"{left_out.label}: left out, since nothing was kept; {same}")
            with self.progress.showing(left_out, done=left_out.units), whole_folder(model) as new:
                shutil.copytree(before, new, ignore=shutil.ignore_patterns(MANIFEST), dirs_exist_ok=True)

    def _train(self, number: int, kind: ModelKind, mix: Mix) -> None:
        """Train a model, unless it is there."""
        model, place = model_folder(self.folder.path, number, kind), self._training(number, kind)
        grpo = trains_by_grpo(self.config, number, kind)
        stage = Stage.GRPO if grpo else Stage.WARM
        if not model.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            os.environ["TENSORBOARD_LOGGING_DIR"] = str(place / "tensorboard")
            resume_from, done = self._rewind(place, stage)
            before = model_folder(self.folder.path, number - 1, kind) if grpo else None
            policy = self._policy(before)
            label = work(self.config, number, Phase.TRAIN, kind)
            self.say(f"{label.label}{'' if grpo else f' on {describe_mix(mix.examples)}'}")
            with (
                memory_errors(self.config, self.fit, stage),
                self.progress.showing(label, done=done) as task,
            ):
                callback = UpdateCallback(stage, metrics_log(place), task)
                if grpo:
                    self._grpo(number, policy, place, callback, resume_from)
                else:
                    self._sft(kind, policy, mix, place, callback, resume_from)
            with whole_folder(model) as new:
                policy.save(new)
            del policy
            gc.collect()  # the trainer and its model hold each other
        shutil.rmtree(checkpoints(place, stage), ignore_errors=True)

    def _sft(
        self,
        kind: ModelKind,
        policy: Policy,
        mix: Mix,
        place: Path,
        callback: UpdateCallback,
        resume_from: Path | None,
    ) -> None:
        settings = self.config.warm_start
        assert settings is not None
        conditioned = kind is ModelKind.CONDITIONED
        examples = mix.examples if conditioned else mix.without_budgets(self.env)
        warm_start(
            policy,
            [SftPhase(examples=examples, updates=settings.updates)],
            settings,
            pass_tokens=self.fit.warm_tokens,
            folder=checkpoints(place, Stage.WARM),
            seed=self.config.seed,
            passes=prepare_learner(self.config, policy.model),
            report_to=self.config.report_to,
            callbacks=[callback],
            resume_from=resume_from,
            say=self.say,
        )

    def _grpo(
        self, number: int, policy: Policy, place: Path, callback: UpdateCallback, resume_from: Path | None
    ) -> None:
        settings, kept = self.config.grpo, self.config.trajectories
        assert settings is not None

        def write(update: int, rollouts: RolloutBatch, advantages: Mapping[int, Sequence[Advantage]]) -> None:
            if (update - 1) % kept.every == 0:
                rows = (
                    row
                    for group in rollouts.sampled
                    for row in sample_rows(
                        Stage.GRPO,
                        update,
                        group,
                        policy.encoder,
                        advantages.get(group.group_id),
                        tokens=kept.tokens,
                    )
                )
                trajectory_log(place).write(update, rows)

        self.say(LEGEND)
        batches = settings.updates // settings.num_iterations
        train_grpo(
            policy,
            self.pool,
            self.config,
            self.parts,
            settings,
            pass_tokens=self.fit.pass_tokens,
            folder=checkpoints(place, Stage.GRPO),
            callbacks=[callback],
            on_rollouts=write,
            resume_from=resume_from,
            say=self.say,
            seed=derive_seed(self.config.seed, "iterate", "grpo", number),
            fewer=() if settings.budget_frac else self.settings.fewer,
            first=(number - 1) * batches * settings.problems_per_update,
        )

    def _rewind(self, place: Path, stage: Stage) -> tuple[Path | None, int]:
        """Drop what was logged after the checkpoint to go on from; returns it and its update."""
        checkpoint = checkpoint_to_resume(place, stage, self.say)
        update = checkpoint_update(checkpoint) if checkpoint else 0
        metrics_log(place).forget_after(stage, update)
        trajectory_log(place).forget_after(update)
        if update:
            self.say(f"{place.name}: continuing from update {update}")
        return checkpoint, update

    def _policy(self, checkpoint: Path | None = None) -> Policy:
        """The base model, or a trained one."""
        policy = build_policy(self.config, self.parts, checkpoint)
        if self._base is not None:
            share_base(policy.model, self._base)
        return policy

    def _publish(self, number: int, kind: ModelKind) -> None:
        policy = self._policy(model_folder(self.folder.path, number, kind))
        self.pool.publish(trainable_weights(policy.model), 0)

    def _training(self, number: int, kind: ModelKind) -> Path:
        return training_folder(self.folder.path, number, kind)

    def _tests(self, kind: ModelKind) -> list[Request]:
        """What a model is evaluated on: requests on id, or all cells without any."""
        num = self.config.eval.num_problems
        if kind is ModelKind.CONDITIONED:
            problems = cell_problems(self.env, Split.ID, num)
            return requests_on(self.env, Split.ID.value, problems, (0, *self.settings.fewer))
        found = []
        for name in self.config.eval.splits:
            found += requests_on(self.env, name, cell_problems(self.env, Split(name), num), (None,))
        if (validation := self.parts.others.get(VALIDATION)) is not None:
            problems = cell_problems(validation, Split.OOD_EASY, num)
            found += requests_on(validation, VALIDATION, problems, (None,))
        return found

    def _sizes(self) -> Sizes:
        return Sizes(asked=len(self.asks), evaluated={kind: len(found) for kind, found in self.tests.items()})
