"""The cost of an ablation in runs, updates and completions.

In: trials that may be finished, cut off or not started. Out: their counts as a `Cost`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from configs import Config
from configs.schema.ablation import Trial
from rl.ablation.progress import finished_rounds, planned_rounds, resume_updates, trained_stages
from rl.runs.log import read_summary
from rl.runs.record import Stage
from rl.search.record import searched_stages


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Counts over runs.

    Attributes:
        runs: Number of runs.
        warm_updates: Optimiser updates of warm starts.
        key_steps_updates: Optimiser updates of key steps.
        key_steps_completions: Completions that dual traces are made of.
        grpo_updates: Optimiser updates of GRPO.
        asked_completions: Answers that loops ask for on train problems.
        grpo_completions: Completions GRPO samples if dynamic sampling replaces no group.
        grpo_completions_most: Completions GRPO samples if it replaces as many groups as the config allows.
        eval_completions: Completions sampled in evaluations, those of searches left out.
        searched_problems: Problems that evaluations, and rounds of expert iteration, solve by search.
    """

    runs: int = 0
    warm_updates: int = 0
    key_steps_updates: int = 0
    key_steps_completions: int = 0
    grpo_updates: int = 0
    asked_completions: int = 0
    grpo_completions: int = 0
    grpo_completions_most: int = 0
    eval_completions: int = 0
    searched_problems: int = 0

    def __add__(self, other: Cost) -> Cost:
        """The counts of both."""
        return Cost(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})


def cost_of(trials: Sequence[Trial], *, left: bool) -> Cost:
    """The cost of trials: all of it, or with `left` only from where they would continue."""
    return sum((_cost(trial, left=left) for trial in trials), Cost())


def evaluation_completions(trial: Trial) -> dict[Stage, int]:
    """Completions that the evaluation of each stage of a run samples."""
    config = trial.config
    problems = len(config.eval.splits) * config.eval.num_problems
    completions = dict.fromkeys((Stage.BASE, *trained_stages(trial)), problems * (1 + config.eval.num_samples))
    if config.policy.model == "tiny":  # random weights are evaluated greedily only
        completions[Stage.BASE] = problems
    return completions


def _cost(trial: Trial, *, left: bool) -> Cost:
    config = trial.config
    if planned_rounds(trial):
        done = finished_rounds(trial) if left else set()
        rounds = [number for number in range(planned_rounds(trial)) if number not in done]
        return _loop_cost(config, rounds) if config.iterate is not None else _expert_cost(config, rounds)
    stages = trained_stages(trial)
    evaluated: Collection[Stage] = ()
    if left:
        evaluated = read_summary(trial.folder).stages
        resumed = resume_updates(trial)
        stages = {stage: max(0, updates - resumed[stage]) for stage, updates in stages.items()}
    completions = most = 0
    if config.grpo is not None:
        batches = stages[Stage.GRPO] // config.grpo.num_iterations
        completions = batches * config.grpo.problems_per_update * config.rollout.samples_per_problem
        most = completions * (1 + config.grpo.max_resamples * config.grpo.dynamic_sampling)
    return Cost(
        runs=1,
        warm_updates=stages.get(Stage.WARM, 0),
        key_steps_updates=stages.get(Stage.KEY_STEPS, 0),
        key_steps_completions=config.key_steps.expected_samples
        if config.key_steps is not None and stages[Stage.KEY_STEPS]
        else 0,
        grpo_updates=stages.get(Stage.GRPO, 0),
        grpo_completions=completions,
        grpo_completions_most=most,
        eval_completions=sum(
            num for stage, num in evaluation_completions(trial).items() if stage not in evaluated
        ),
        searched_problems=sum(
            len(config.eval.splits) * config.eval.num_problems
            for stage in searched_stages(config)
            if stage not in evaluated
        ),
    )


def _expert_cost(config: Config, rounds: Sequence[int]) -> Cost:
    """The cost of rounds of expert iteration; one that is begun counts as a whole one."""
    expert, training = config.expert_iteration, config.warm_start
    assert expert is not None and training is not None
    evaluated = len(config.eval.splits) * config.eval.num_problems
    later = sum(number > 0 for number in rounds)
    return Cost(
        runs=1,
        warm_updates=(len(rounds) - later) * training.updates + later * expert.updates,
        eval_completions=len(rounds) * evaluated,
        searched_problems=later * expert.num_problems + len(rounds) * evaluated * expert.evaluate_search,
    )


def _loop_cost(config: Config, rounds: Sequence[int]) -> Cost:
    """The cost of a loop's rounds; one that is begun counts as a whole one."""
    loop, training, grpo = config.iterate, config.warm_start, config.grpo
    assert loop is not None and training is not None
    later = sum(number > 0 for number in rounds)
    by_grpo = later if grpo is not None else 0  # the model that is asked, if `iterate.train` is grpo
    grpo_updates = by_grpo * grpo.updates if grpo is not None else 0
    completions = 0
    if grpo is not None:
        batches = grpo_updates // grpo.num_iterations
        completions = batches * grpo.problems_per_update * config.rollout.samples_per_problem
    cells = len(config.eval.splits) + (loop.validation is not None)
    answers = 1 + len(loop.fewer) + (cells if loop.standard else 0)  # of each evaluated problem
    return Cost(
        runs=1,
        warm_updates=training.updates * (len(rounds) * (1 + loop.standard) - by_grpo),
        grpo_updates=grpo_updates,
        asked_completions=later * len(loop.fewer) * training.num_problems,
        grpo_completions=completions,
        grpo_completions_most=completions * (1 + grpo.max_resamples * grpo.dynamic_sampling) if grpo else 0,
        eval_completions=len(rounds) * answers * config.eval.num_problems,
    )
