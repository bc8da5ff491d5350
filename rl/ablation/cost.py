"""What an ablation takes: runs, updates and completions, and by what has been measured the time that is left.

In: trials that may be finished, cut off or not begun. Out: counts as a `Cost`; an `Estimate` of the time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from configs.schema.ablation import Trial
from rl.ablation.progress import resume_updates, trained_stages
from rl.runs.folder import read_summary


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Counts over runs.

    Attributes:
        runs: How many.
        warm_updates: Optimiser updates of warm starts.
        grpo_updates: Optimiser updates of GRPO.
        grpo_completions: Completions GRPO samples if no group has to be replaced.
        grpo_completions_most: If as many are replaced as may be.
        eval_completions: Completions evaluations sample.
    """

    runs: int = 0
    warm_updates: int = 0
    grpo_updates: int = 0
    grpo_completions: int = 0
    grpo_completions_most: int = 0
    eval_completions: int = 0

    def __add__(self, other: Cost) -> Cost:
        """Of both."""
        return Cost(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Time that is left.

    Attributes:
        seconds: Of the runs that could be estimated, as many at a time as there may be.
        unknown: Runs for which nothing like them has been measured.
    """

    seconds: float
    unknown: int


def cost_of(trials: Sequence[Trial], *, left: bool) -> Cost:
    """What trials take, in all or from where they would go on."""
    return sum((_cost(trial, left=left) for trial in trials), Cost())


def _cost(trial: Trial, *, left: bool) -> Cost:
    config = trial.config
    stages = trained_stages(trial)
    evaluated: Collection[str] = ()
    if left:
        evaluated = read_summary(trial.folder)["stages"]
        resumed = resume_updates(trial)
        stages = {stage: max(0, updates - resumed[stage]) for stage, updates in stages.items()}
    problems = len(config.eval.splits) * config.eval.num_problems
    samples = dict.fromkeys(("base", *trained_stages(trial)), 1 + config.eval.num_samples)
    if config.policy.model == "tiny":  # random weights are evaluated greedily only
        samples["base"] = 1
    completions = most = 0
    if config.grpo is not None:
        batches = stages["grpo"] // config.grpo.num_iterations
        completions = batches * config.grpo.problems_per_update * config.rollout.samples_per_problem
        most = completions * (1 + config.grpo.max_resamples * config.grpo.dynamic_sampling)
    return Cost(
        runs=1,
        warm_updates=stages.get("warm", 0),
        grpo_updates=stages.get("grpo", 0),
        grpo_completions=completions,
        grpo_completions_most=most,
        eval_completions=problems * sum(num for stage, num in samples.items() if stage not in evaluated),
    )


class Measured:
    """Seconds that updates and evaluations took: of one case with other seeds, and of all runs of its kind."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], list[float]] = {}

    def add(self, trial: Trial) -> None:
        """Take in what the summary of a run has."""
        summary = read_summary(trial.folder)
        for part, seconds in summary["seconds"].items():
            # Of a stage the seconds are those of all its updates.
            each = seconds / summary["updates"].get(part, 1)
            for alike in _alike(trial):
                self._seconds.setdefault((alike, part), []).append(each)

    def left(self, trial: Trial, done: Mapping[str, int], evaluated: Collection[str]) -> float | None:
        """Seconds a run still takes; None where one of its stages has not been measured.

        Args:
            trial: The run.
            done: Updates it has behind it, by stage.
            evaluated: Stages whose evaluation it has behind it.
        """
        seconds = 0.0
        for stage in ("base", *trained_stages(trial)):
            if stage not in evaluated:
                seconds += self._mean(trial, f"eval_{stage}") or 0.0
        for stage, updates in trained_stages(trial).items():
            if updates > done.get(stage, 0):
                pace = self._mean(trial, stage)
                if pace is None:
                    return None
                seconds += pace * (updates - done.get(stage, 0))
        return seconds

    def _mean(self, trial: Trial, part: str) -> float | None:
        for alike in _alike(trial):
            if values := self._seconds.get((alike, part)):
                return fmean(values)
        return None


def _alike(trial: Trial) -> tuple[str, str]:
    """What runs are compared by: the same with another seed, then the same stages."""
    return trial.group, " ".join(trained_stages(trial))


def estimate(trials: Sequence[Trial], seconds: Mapping[str, float | None], at_once: int) -> Estimate:
    """Time until all of some trials are done, `at_once` at a time.

    Args:
        trials: The unfinished ones.
        seconds: What each still takes, by name; None where that is not known.
        at_once: How many there is room for.
    """
    known = {trial.name: taken for trial in trials if (taken := seconds[trial.name]) is not None}
    chains = [known.get(trial.after or "", 0.0) + known.get(trial.name, 0.0) for trial in trials]
    total = sum(known.values()) / max(1, at_once)
    return Estimate(seconds=max([total, *chains]), unknown=len(trials) - len(known))
