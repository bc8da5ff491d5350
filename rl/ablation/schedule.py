"""Which run of an ablation can begin next, and the state of each.

In: trials, some of them finished before, and how the others end. Out: the next trial that can begin, and
failures. Nothing here knows of Ray.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from configs.schema.ablation import Trial


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A run that failed or could not begin, and why."""

    trial: str
    reason: str


class TrialStatus(StrEnum):
    """The state of a trial."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    BEFORE = "done before"

    @property
    def finished(self) -> bool:
        """Whether other trials can begin from its model."""
        return self in (TrialStatus.DONE, TrialStatus.BEFORE)


class Schedule:
    """The state of every trial, and the order in which they may begin.

    Attributes:
        trials: By name, in the order of the plan: each after the one it needs.
        states: By name.
        failures: By name, including trials that could not begin because another one failed.
    """

    def __init__(self, trials: Sequence[Trial], *, done: Collection[str]) -> None:
        """Start with the trials named in `done` finished and the others waiting."""
        self.trials = {trial.name: trial for trial in trials}
        self.states = {
            name: TrialStatus.BEFORE if name in done else TrialStatus.WAITING for name in self.trials
        }
        self.failures: dict[str, Failure] = {}
        self._untaken = [trial for trial in trials if trial.name not in done]

    def take(self) -> Trial | None:
        """The first waiting trial whose predecessor is finished; None if there is none at the moment."""
        for trial in self._untaken:
            if trial.after is None or self.states[trial.after].finished:
                self._untaken.remove(trial)
                return trial
        return None

    @property
    def all_taken(self) -> bool:
        """Whether `take` will never return another trial."""
        return not self._untaken

    def start(self, name: str) -> None:
        """A trial taken before has started to run."""
        self.states[name] = TrialStatus.RUNNING

    def finish(self, name: str) -> None:
        """A trial has finished."""
        self.states[name] = TrialStatus.DONE

    def fail(self, name: str, reason: str) -> None:
        """A trial has failed, and all that begin from its model with it; a later reason replaces an earlier."""
        self.states[name] = TrialStatus.FAILED
        self.failures[name] = Failure(trial=name, reason=reason)
        for trial in [trial for trial in self._untaken if trial.after == name]:
            self._untaken.remove(trial)
            self.fail(trial.name, f"it begins from the model of {name}, which failed")

    def stop(self, name: str) -> None:
        """A trial has saved what it had done, and ended before its end."""
        self.states[name] = TrialStatus.STOPPED

    def count(self, state: TrialStatus) -> int:
        """How many trials are in a state."""
        return sum(found is state for found in self.states.values())

    @property
    def unfinished(self) -> tuple[Trial, ...]:
        """Trials that have neither finished nor failed."""
        open_states = (TrialStatus.WAITING, TrialStatus.RUNNING)
        return tuple(trial for name, trial in self.trials.items() if self.states[name] in open_states)
