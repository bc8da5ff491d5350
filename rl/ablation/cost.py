"""What an ablation takes: runs, updates, completions, and the time left, estimated from finished runs.

In: trials that may be finished, cut off or not begun. Out: counts as a `Cost`; an `Estimate` of the time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from configs.schema.ablation import Trial
from rl.ablation.progress import resume_updates, trained_stages
from rl.runs.log import read_summary
from rl.runs.record import Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Counts over runs.

    Attributes:
        runs: How many.
        warm_updates: Optimiser updates of warm starts.
        grpo_updates: Optimiser updates of GRPO.
        grpo_completions: Completions GRPO samples if dynamic sampling replaces no group.
        grpo_completions_most: Completions GRPO samples if it replaces as many groups as the config allows.
        eval_completions: Completions sampled in evaluations.
    """

    runs: int = 0
    warm_updates: int = 0
    grpo_updates: int = 0
    grpo_completions: int = 0
    grpo_completions_most: int = 0
    eval_completions: int = 0

    def __add__(self, other: Cost) -> Cost:
        """The counts of both."""
        return Cost(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Time that is left.

    Attributes:
        seconds: Until all runs with an estimate are done, run in parallel as far as there is room.
        unknown: Runs without an estimate, since no similar run has finished.
    """

    seconds: float
    unknown: int


def cost_of(trials: Sequence[Trial], *, left: bool) -> Cost:
    """What trials take: in all, or (`left`) from where they would go on."""
    return sum((_cost(trial, left=left) for trial in trials), Cost())


def _cost(trial: Trial, *, left: bool) -> Cost:
    config = trial.config
    stages = trained_stages(trial)
    evaluated: Collection[Stage] = ()
    if left:
        evaluated = read_summary(trial.folder).stages
        resumed = resume_updates(trial)
        stages = {stage: max(0, updates - resumed[stage]) for stage, updates in stages.items()}
    problems = len(config.eval.splits) * config.eval.num_problems
    samples = dict.fromkeys((Stage.BASE, *trained_stages(trial)), 1 + config.eval.num_samples)
    if config.policy.model == "tiny":  # random weights are evaluated greedily only
        samples[Stage.BASE] = 1
    completions = most = 0
    if config.grpo is not None:
        batches = stages[Stage.GRPO] // config.grpo.num_iterations
        completions = batches * config.grpo.problems_per_update * config.rollout.samples_per_problem
        most = completions * (1 + config.grpo.max_resamples * config.grpo.dynamic_sampling)
    return Cost(
        runs=1,
        warm_updates=stages.get(Stage.WARM, 0),
        grpo_updates=stages.get(Stage.GRPO, 0),
        grpo_completions=completions,
        grpo_completions_most=most,
        eval_completions=problems * sum(num for stage, num in samples.items() if stage not in evaluated),
    )


class Measured:
    """Seconds an update and an evaluation took, by case over its seeds and by the stages a run trains."""

    def __init__(self) -> None:
        self._per_update: dict[tuple[str, Stage], list[float]] = {}
        self._per_evaluation: dict[tuple[str, Stage], list[float]] = {}

    def add(self, trial: Trial) -> None:
        """Take in the summary of a run."""
        summary = read_summary(trial.folder)
        for key in _keys(trial):
            for stage, seconds in summary.train_s.items():
                each = seconds / summary.updates.get(stage, 1)
                self._per_update.setdefault((key, stage), []).append(each)
            for stage, seconds in summary.eval_s.items():
                self._per_evaluation.setdefault((key, stage), []).append(seconds)

    def left(self, trial: Trial, done: Mapping[Stage, int], evaluated: Collection[Stage]) -> float | None:
        """Seconds a run still takes; None where one of its stages has not been measured.

        Args:
            trial: The run.
            done: Updates it has done, by stage.
            evaluated: Stages it has evaluated.
        """
        seconds = 0.0
        for stage in (Stage.BASE, *trained_stages(trial)):
            if stage not in evaluated:
                seconds += _mean(self._per_evaluation, trial, stage) or 0.0
        for stage, updates in trained_stages(trial).items():
            if updates > done.get(stage, 0):
                each = _mean(self._per_update, trial, stage)
                if each is None:
                    return None
                seconds += each * (updates - done.get(stage, 0))
        return seconds


def _mean(measured: Mapping[tuple[str, Stage], list[float]], trial: Trial, stage: Stage) -> float | None:
    for key in _keys(trial):
        if values := measured.get((key, stage)):
            return fmean(values)
    return None


def _keys(trial: Trial) -> tuple[str, str]:
    """What a measurement is filed under, the closest match first: the case, then the stages it trains."""
    return trial.group, " ".join(trained_stages(trial))


def estimate(trials: Sequence[Trial], seconds: Mapping[str, float | None], at_once: int) -> Estimate:
    """Time until all of some trials are done, `at_once` at a time.

    Args:
        trials: The unfinished ones.
        seconds: What each still takes, by name; None where that is not known.
        at_once: How many run in parallel.
    """
    known = {trial.name: taken for trial in trials if (taken := seconds[trial.name]) is not None}
    chains = [known.get(trial.after or "", 0.0) + known.get(trial.name, 0.0) for trial in trials]
    total = sum(known.values()) / max(1, at_once)
    return Estimate(seconds=max([total, *chains]), unknown=len(trials) - len(known))
