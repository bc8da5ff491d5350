"""Expert iteration: search, keep what verifies, train further, repeat (arXiv 2502.04404).

::

    round 0:  the warm start --------------------------------------------------> model, evaluation
    round r:  search on train problems with model r - 1 --verified--> SFT of it --> model, evaluation

Each phase leaves a folder that is written whole or a file that goes on where it was cut off, and a phase whose
result is there is not repeated, so a run is resumed by running it again. All sampling goes through the pool.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from configs import Config
from configs.schema.search import Merge, SearchConfig
from envs import Env, Split
from envs.own import draw_problem
from envs.path import follow
from envs.seeding import derive_seed
from envs.trace import Verdict
from rl.build import build_policy
from rl.iterate.mix import NothingKeptError
from rl.memory.exhausted import memory_errors
from rl.memory.fit import Fit
from rl.models.policy import Policy, trainable_weights
from rl.opening import opened_run
from rl.pages.search.expert import write_expert_report
from rl.precision import prepare_learner
from rl.prompt_lengths import fits
from rl.runs.checkpoints import checkpoint_to_resume, checkpoint_update, checkpoints
from rl.runs.folder import RunFolder
from rl.runs.forecast import Kind, Work
from rl.runs.log import metrics_log
from rl.runs.progress import Progress
from rl.runs.record import Stage
from rl.runs.saving import whole_folder
from rl.search.choose import best_verified, spent
from rl.search.expert_record import (
    ExpertRow,
    evaluated_log,
    expert_log,
    model_folder,
    searched_log,
    training_folder,
)
from rl.search.record import ProblemRow, SearchRow, in_order
from rl.search.run import split_limits, workers
from rl.search.solve import Plan, Solver
from rl.search.summary import GREEDY, Arm, answer_of, arms, searched_by
from rl.sft.examples import Example, Phase, TraceKind, describe_mix, make_phases, spans
from rl.sft.trainer import warm_start
from rl.train import CheckedRun
from rl.trainer_callback import UpdateCallback
from rollout.encoder import Encoder
from rollout.pools.base import RolloutPool
from rollout.read_trace import read_trace


def run_expert_iteration(
    config: Config,
    checked: CheckedRun,
    *,
    resume: bool,
    overwrite: bool,
    allow: Sequence[str] = (),
    out: TextIO | None = None,
) -> RunFolder:
    """Run expert iteration whose config is checked; see `rl.iterate.run.iterate`."""
    with opened_run(config, checked, resume=resume, overwrite=overwrite, allow=allow) as (
        policy,
        fit,
        pool,
        folder,
        lines,
    ):
        run = _Rounds(config, checked, folder, fit, policy.encoder, pool, out or sys.stderr)
        for line in lines:
            run.say(line)
        pool.sleep()
        del policy
        run.run()
        write_expert_report(folder.path)
    return folder


class _Rounds:
    """The rounds of one run, which share a config, a folder, a pool and a progress line."""

    def __init__(
        self,
        config: Config,
        checked: CheckedRun,
        folder: RunFolder,
        fit: Fit,
        encoder: Encoder,
        pool: RolloutPool,
        out: TextIO,
    ) -> None:
        assert config.expert_iteration is not None and config.warm_start is not None
        self._config, self._settings = config, config.expert_iteration
        self._parts, self._env = checked.parts, checked.parts.env
        self._run, self._fit, self._pool = folder.path, fit, pool
        self._encoder = encoder
        self._done = {row.round for row in expert_log(folder.path).read()}
        self._progress = Progress(out, list(planned(config, folder.path, self._done)))
        self.say = self._progress.say

    def run(self) -> None:
        """Run the rounds that are not finished."""
        log = expert_log(self._run)
        for number in range(self._settings.rounds + 1):
            if number not in self._done:
                row = self._round(number)
                log.replace(sorted([*log.read(), row], key=lambda one: one.round))

    def _round(self, number: int) -> ExpertRow:
        found: list[ProblemRow] = []
        if number:
            found = self._solve(number, train=True)
            examples = kept_examples(self._env, self._encoder, found, self._config)
            if not examples:
                raise NothingKeptError(
                    f"round {number} has nothing to learn from: the search verified none of {len(found):,} "
                    "train problems; train the warm start longer (warm_start.updates), or search wider "
                    "(search.breadth)"
                )
            self.say(f"round {number}: kept {len(examples):,} answers to {len(found):,} problems")
            phases = [Phase(examples=examples, updates=self._settings.updates)]
        else:
            assert self._config.warm_start is not None
            settings = self._config.warm_start
            phases = make_phases(self._env, self._parts.curriculum, settings, seed=self._config.seed)
        self._train(number, phases)
        search = self._config.search
        evaluated = arms(self._solve(number, train=False), search.merge, depth=search.depth)
        return ExpertRow(
            round=number,
            asked=len(found),
            right=sum(searched_by(row, row.searches[0], search.merge).correct for row in found),
            kept=len(phases[0].examples) if number else 0,
            tokens=sum(spent(search.draws) for row in found for search in row.searches),
            updates=sum(phase.updates for phase in phases),
            greedy={arm.split: arm.accuracy for arm in evaluated if arm.method == GREEDY},
            searched=searched_accuracy(evaluated, search) if self._settings.evaluate_search else {},
        )

    def _solve(self, number: int, *, train: bool) -> list[ProblemRow]:
        """Search on train problems with the model before a round's, or evaluate the round's own."""
        config = self._config
        log = searched_log(self._run, number) if train else evaluated_log(self._run, number)
        log.path.parent.mkdir(parents=True, exist_ok=True)
        solver = Solver(
            self._pool,
            self._env,
            self._encoder,
            train_plan(config, self._env, number) if train else evaluation_plan(config),
            max_ungraded=config.rollout.max_ungraded,
            fits=fits(config, self._encoder),
        )
        rows = solver.whole(log.read())
        log.replace(rows)
        work = searching(config, number, solver.num_problems) if train else evaluating(config, number)
        with self._progress.showing(work, done=len(rows)) as task:
            if len(rows) < solver.num_problems:
                self._publish(number - 1 if train else number)

            def take(new: Sequence[ProblemRow]) -> None:
                log.append(*new)
                rows.extend(new)
                task.advance(len(rows), [])

            solver.run({row.key for row in rows}, take)
        rows = in_order(solver.whole(rows))
        log.replace(rows)
        self._pool.sleep()
        return rows

    def _train(self, number: int, phases: Sequence[Phase]) -> None:
        """Train a round's model, unless it is there."""
        model, place = model_folder(self._run, number), training_folder(self._run, number)
        settings = self._config.warm_start
        assert settings is not None
        if number:
            rate = self._settings.learning_rate or settings.learning_rate
            updates = self._settings.updates
            settings = settings.model_copy(update={"updates": updates, "learning_rate": rate, "curriculum": []})
        if not model.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            os.environ["TENSORBOARD_LOGGING_DIR"] = str(place / "tensorboard")
            checkpoint = checkpoint_to_resume(place, Stage.WARM, self.say)
            done = checkpoint_update(checkpoint) if checkpoint else 0
            metrics_log(place).forget_after(Stage.WARM, done)
            before = model_folder(self._run, number - 1) if number else None
            policy = build_policy(self._config, self._parts, before)
            work = training(self._config, number)
            self.say(f"{work.label} on {describe_mix([one for phase in phases for one in phase.examples])}")
            with (
                memory_errors(self._config, self._fit, Stage.WARM),
                self._progress.showing(work, done=done) as task,
            ):
                warm_start(
                    policy,
                    phases,
                    settings,
                    pass_tokens=self._fit.warm_tokens,
                    folder=checkpoints(place, Stage.WARM),
                    seed=(self._config.seed + number) % 2**32,
                    passes=prepare_learner(self._config, policy.model),
                    report_to=self._config.report_to,
                    callbacks=[UpdateCallback(Stage.WARM, metrics_log(place), task)],
                    resume_from=checkpoint,
                    say=self.say,
                )
            with whole_folder(model) as new:
                policy.save(new)
            del policy
            gc.collect()  # the trainer and its model hold each other
        shutil.rmtree(checkpoints(place, Stage.WARM), ignore_errors=True)

    def _publish(self, number: int) -> None:
        policy: Policy = build_policy(self._config, self._parts, model_folder(self._run, number))
        self._pool.publish(trainable_weights(policy.model), 0)


def searched_accuracy(evaluated: Sequence[Arm], search: SearchConfig) -> dict[str, float]:
    """Accuracy by split of the search that rounds learn from, whatever else is evaluated."""
    return {
        arm.split: arm.accuracy
        for arm in evaluated
        if (arm.method, arm.breadth, arm.depth) == search.learnt_from
    }


def kept_examples(env: Env[Any], encoder: Encoder, rows: Sequence[ProblemRow], config: Config) -> list[Example]:
    """What a round learns from: of each problem the answer of the search, or any, where it verifies.

    A completion is taught as it was written, in the form that the task teaches; with
    `warm_start.mask_wrong_steps` its wrong lines get no loss, as those of the warm start.

    Args:
        env: The task.
        encoder: Reads the completions.
        rows: The search on train problems.
        config: Its `search.merge`, `expert_iteration.keep` and `warm_start` are used.
    """
    settings, learnt = config.expert_iteration, config.warm_start
    assert settings is not None and learnt is not None
    examples = []
    for row in rows:
        (search,) = row.searches
        choose = answer_of if settings.keep == "chosen" else best_passed
        place = choose(row, search, config.search.merge)
        if place is None or not row.responses[place].passed:
            continue
        problem = draw_problem(env, Split(row.split), row.index)
        part = env.part_of(problem)
        trace = read_trace(part, encoder, row.responses[place].text, truncated=False)
        assert trace.answer is not None
        lines = tuple([step.text for step in trace.steps])
        text = part.demonstrate(lines, trace.answer)
        ignored: tuple[tuple[int, int], ...] = ()
        if learnt.mask_wrong_steps and part.checks_steps:
            steps = follow(trace.steps, part.start(problem), part.advance, part.solvable).steps
            ignored = spans(
                lines, text, [at for at, step in enumerate(steps) if step.verdict is Verdict.INVALID]
            )
        examples.append(
            Example(problem=problem, text=text, ignored=ignored, drawn=TraceKind.FOUND, written=TraceKind.FOUND)
        )
    return examples


def best_passed(row: ProblemRow, search: SearchRow, merge: Merge) -> int | None:
    """Place of the likeliest response of a search that verifies; else of the likeliest."""
    return best_verified(search.draws, row.responses, merge)


def train_plan(config: Config, env: Env[Any], number: int) -> Plan:
    """What the search for a round solves: train problems that no training has seen, where there are."""
    settings, learnt = config.expert_iteration, config.warm_start
    assert settings is not None and learnt is not None
    size = env.num_problems(Split.TRAIN)
    num = settings.num_problems if size is None else min(settings.num_problems, size)
    first = learnt.num_problems + (number - 1) * num * settings.fresh_problems
    strategy, breadth, _ = config.search.learnt_from
    search = {"strategies": [strategy], "breadth": [breadth]}
    return Plan(
        splits={Split.TRAIN: config.eval.max_new_tokens.get("train", config.rollout.max_new_tokens)},
        num_problems=num,
        first=first if size is None else max(0, min(first, size - num)),
        problems_per_batch=config.eval.problems_per_batch,
        together=workers(config),
        seed=derive_seed(config.seed, "expert", number),
        search=config.search.model_copy(update=search),
        baselines=False,
    )


def evaluation_plan(config: Config) -> Plan:
    """What every round is evaluated on."""
    settings = config.expert_iteration
    assert settings is not None
    return Plan(
        splits={Split(name): limit for name, limit in split_limits(config).items()},
        num_problems=config.eval.num_problems,
        problems_per_batch=config.eval.problems_per_batch,
        together=workers(config),
        seed=config.seed,
        search=config.search if settings.evaluate_search else SearchConfig(breadth=[1], depth=0),
    )


def planned(config: Config, run: Path, done: set[int]) -> Iterator[Work]:
    """The work that is left, as the progress line counts it.

    Args:
        config: The run.
        run: Its folder: trainings whose model is there are not repeated.
        done: Rounds that are finished.
    """
    settings = config.expert_iteration
    assert settings is not None
    for number in range(settings.rounds + 1):
        if number in done:
            continue
        if number:
            yield searching(config, number, settings.num_problems)
        if not model_folder(run, number).is_dir():
            yield training(config, number)
        yield evaluating(config, number)


def searching(config: Config, number: int, num: int) -> Work:
    """The search on train problems for a round."""
    return Work(label=f"{_label(config, number)}, search", kind=Kind.PROBLEM, units=num)


def training(config: Config, number: int) -> Work:
    """The training of a round."""
    assert config.expert_iteration is not None and config.warm_start is not None
    updates = config.expert_iteration.updates if number else config.warm_start.updates
    return Work(label=f"{_label(config, number)}, training", kind=Kind.WARM_UPDATE, units=updates)


def evaluating(config: Config, number: int) -> Work:
    """The evaluation of a round."""
    num = len(config.eval.splits) * config.eval.num_problems
    return Work(label=f"{_label(config, number)}, evaluation", kind=Kind.PROBLEM, units=num)


def _label(config: Config, number: int) -> str:
    assert config.expert_iteration is not None
    return f"round {number}/{config.expert_iteration.rounds}"
