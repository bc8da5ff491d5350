"""The time an ablation still takes, by what updates and evaluations have taken so far.

In: seconds measured of finished and of running trials. Out: for one trial the seconds that its training and
evaluations still take; for all trials an `Estimate`, which takes into account in which order they can run.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from configs.schema.ablation import Trial
from rl.ablation.cost import evaluation_completions
from rl.ablation.progress import Progress, trained_stages
from rl.runs.log import read_summary
from rl.runs.record import Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Time left.

    Attributes:
        seconds: Until all runs with an estimate are done.
        unknown: Runs without an estimate: nothing like them has been measured.
    """

    seconds: float
    unknown: int


class Measured:
    """Seconds per update and per completion of an evaluation.

    A trial is estimated from its own measurements, else from its case with other seeds, else from all trials
    that train the same stages.
    """

    def __init__(self) -> None:
        # By what trials are matched on, then by trial: a newer figure of a trial replaces its older one.
        self._update_s: dict[tuple[str, Stage], dict[str, float]] = {}
        self._completion_s: dict[str, dict[str, float]] = {}
        self._round_s: dict[str, dict[str, float]] = {}

    def add(self, trial: Trial) -> None:
        """Take in the stages that a run has finished.

        Raises:
            RunFolderError: Its summary has another format or is damaged.
        """
        summary = read_summary(trial.folder)
        for stage, seconds in summary.train_s.items():
            self.add_pace(trial, stage, seconds / max(1, summary.updates.get(stage, 1)))
        sampled = evaluation_completions(trial)
        completions = sum(sampled.get(stage, 0) for stage in summary.eval_s)
        if completions:
            for key in _keys(trial):
                self._completion_s.setdefault(key, {})[trial.name] = sum(summary.eval_s.values()) / completions

    def add_pace(self, trial: Trial, stage: Stage, update_s: float) -> None:
        """Take in how long an update of a run takes."""
        for key in _keys(trial):
            self._update_s.setdefault((key, stage), {})[trial.name] = update_s

    def add_rounds(self, trial: Trial, round_s: float) -> None:
        """Take in how long a round of a loop takes."""
        for key in _keys(trial):
            self._round_s.setdefault(key, {})[trial.name] = round_s

    def rounds_left(self, trial: Trial, progress: Progress) -> float | None:
        """Seconds a loop still takes; None if no round like its own has been measured."""
        round_s = _mean([self._round_s.get(key) for key in _keys(trial)])
        return None if round_s is None else round_s * (progress.updates - progress.update)

    def left(self, trial: Trial, done: Mapping[Stage, int], evaluated: Collection[Stage]) -> float | None:
        """Seconds a run still takes; None if a stage it has to train has not been measured.

        Evaluations count as 0 before any has been measured.

        Args:
            trial: The run.
            done: Its updates so far, by stage.
            evaluated: Stages it has evaluated.
        """
        keys = _keys(trial)
        completions = sum(num for stage, num in evaluation_completions(trial).items() if stage not in evaluated)
        seconds = completions * (_mean([self._completion_s.get(key) for key in keys]) or 0.0)
        for stage, updates in trained_stages(trial).items():
            if updates > done.get(stage, 0):
                update_s = _mean([self._update_s.get((key, stage)) for key in keys])
                if update_s is None:
                    return None
                seconds += update_s * (updates - done.get(stage, 0))
        return seconds


def _keys(trial: Trial) -> tuple[str, str, str]:
    """The keys of a measurement, the closest match first."""
    return trial.name, trial.group, " ".join(trained_stages(trial))


def _mean(matches: Sequence[Mapping[str, float] | None]) -> float | None:
    """The mean of the closest match that has any figure."""
    return next((fmean(found.values()) for found in matches if found), None)


class Pace:
    """How long an update of a running trial takes."""

    def __init__(self, progress: Progress) -> None:
        """Start with a run that has just been started.

        Args:
            progress: How far it was before, if it was cut off.
        """
        self._seen = progress
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] = (0, 0.0)

    def update_s(self, progress: Progress, now: float) -> float | None:
        """Seconds per update of the current stage; None before two new updates of it have been seen.

        The time before the first new update does not count: models are loaded in it.

        Args:
            progress: How far the run is now.
            now: Seconds on any clock.
        """
        other_stage = progress.stage is not self._seen.stage
        if other_stage or progress.update < self._seen.update:  # or logs are cut back to the checkpoint
            self._first = (progress.update, now) if other_stage and progress.update else None
            self._last = self._first or self._last
        elif progress.update > self._seen.update:
            self._last = (progress.update, now)
            self._first = self._first or self._last
        self._seen = progress
        if self._first is None or self._last[0] == self._first[0]:
            return None
        return (self._last[1] - self._first[1]) / (self._last[0] - self._first[0])


def updates_done(trial: Trial, progress: Progress) -> dict[Stage, int]:
    """Updates of a trial so far, by stage: all those of the stages before the current one."""
    done: dict[Stage, int] = {}
    for stage, updates in trained_stages(trial).items():
        if progress.stage is None:
            break
        if stage is progress.stage:
            done[stage] = progress.update
            break
        done[stage] = updates
    return done


def estimate(trials: Sequence[Trial], seconds: Mapping[str, float | None], at_once: int) -> Estimate:
    """Time until some trials are done, each begun as soon as there is room and the trial it needs is done.

    Args:
        trials: The unfinished ones, in the order in which they are begun: running ones first.
        seconds: What each still takes, by name; None where that is not known.
        at_once: How many can run at the same time.
    """
    known = {trial.name: taken for trial in trials if (taken := seconds[trial.name]) is not None}
    waiting = [trial for trial in trials if trial.name in known]
    pending = set(known)
    running: list[tuple[float, str]] = []
    now = 0.0
    while waiting:
        free = max(1, at_once) - len(running)
        begun = [trial for trial in waiting if trial.after not in pending][: max(0, free)]
        for trial in begun:
            waiting.remove(trial)
            heapq.heappush(running, (now + known[trial.name], trial.name))
        now, name = heapq.heappop(running)
        pending.remove(name)
    return Estimate(seconds=max([now, *(end for end, _ in running)]), unknown=len(trials) - len(known))
