"""Which run of an ablation may begin, and what has become of each.

In: trials, some of them finished before, and what happens to the others as they run. Out: the next trial that
can begin, and failures. Nothing here knows who runs them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from configs.schema.ablation import Trial


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A run that did not end well, and why."""

    trial: str
    reason: str


class State(StrEnum):
    """What has become of a trial."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    BEFORE = "done before"

    @property
    def finished(self) -> bool:
        """Whether its model can be begun from."""
        return self in (State.DONE, State.BEFORE)


class Schedule:
    """The state of every trial, and the order in which they may begin.

    Attributes:
        trials: By name, in the order of the plan: each after the one it needs.
        states: By name.
        failures: By name, those that could not begin for another included.
    """

    def __init__(self, trials: Sequence[Trial], *, done: Collection[str]) -> None:
        """Begin with `done` finished before and the others waiting."""
        self.trials = {trial.name: trial for trial in trials}
        self.states = {name: State.BEFORE if name in done else State.WAITING for name in self.trials}
        self.failures: dict[str, Failure] = {}
        self._untaken = [trial for trial in trials if trial.name not in done]

    def take(self) -> Trial | None:
        """The first trial that nobody has taken and whose predecessor is finished; None while there is none."""
        for trial in self._untaken:
            if trial.after is None or self.states[trial.after].finished:
                self._untaken.remove(trial)
                return trial
        return None

    @property
    def all_taken(self) -> bool:
        """Whether `take` has nothing more to give, now or later."""
        return not self._untaken

    def start(self, name: str) -> None:
        """A taken trial is at work."""
        self.states[name] = State.RUNNING

    def finish(self, name: str) -> None:
        """A trial has ended well."""
        self.states[name] = State.DONE

    def fail(self, name: str, reason: str) -> None:
        """A trial has failed, and with it those that begin from its model; the last reason given stands."""
        self.states[name] = State.FAILED
        self.failures[name] = Failure(trial=name, reason=reason)
        for trial in [trial for trial in self._untaken if trial.after == name]:
            self._untaken.remove(trial)
            self.fail(trial.name, f"{name} failed, from whose model it begins")

    def count(self, state: State) -> int:
        """How many trials are in a state."""
        return sum(found is state for found in self.states.values())

    @property
    def unfinished(self) -> tuple[Trial, ...]:
        """Trials that have neither finished nor failed."""
        open_states = (State.WAITING, State.RUNNING)
        return tuple(trial for name, trial in self.trials.items() if self.states[name] in open_states)
