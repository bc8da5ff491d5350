"""Following a trace: the state after each line, and the judgement of each backtrack.

In: the steps of a trace, and the rules of one task as functions. Out: the steps with their verdicts, the
backtracks, and the final state. The *path* consists of the forward lines that no backtrack has taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from envs.trace import Backtrack, Step, StepKind, Verdict

State = TypeVar("State")


class StepError(Exception):
    """A step is invalid; the message is the reason shown beside it.

    Attributes:
        after: The state after it, where its claim stands all the same; None where it changes nothing.
    """

    def __init__(self, reason: str, *, after: object = None) -> None:
        super().__init__(reason)
        self.after = after


class UncheckedStep(StepError):
    """A step that claims nothing that can be checked; `after` is the state after it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed(Generic[State]):
    """The result of following a trace.

    Attributes:
        steps: The steps, with verdicts, reasons and `undone` marks.
        backtracks: The judgement of each valid backtrack, in order.
        states: The state before the first step, then the one after each: one more than there are steps.
    """

    steps: tuple[Step, ...]
    backtracks: tuple[Backtrack, ...]
    states: tuple[State, ...]

    @property
    def state(self) -> State:
        """The state at the end of the path."""
        return self.states[-1]


def follow(
    steps: Sequence[Step],
    start: State,
    advance: Callable[[State, str], State],
    solvable: Callable[[State], bool | None],
) -> Followed[State]:
    """Take every step in order.

    Each step is judged from the current state of the path. An invalid step joins the path but does not change
    the state, unless the task says what stands after it. A backtrack is valid if it names an earlier point of
    the path.

    Args:
        steps: The steps as parsed.
        start: The first state; like all states, an immutable, hashable value.
        advance: Takes one step, or raises `StepError`, or `UncheckedStep`.
        solvable: Whether the end can still be reached from a state; None if that is unknown.
    """
    path = _Path(start, solvable)
    reasons: dict[int, str] = {}
    unchecked: set[int] = set()
    states = [start]
    for i, step in enumerate(steps):
        if step.kind is StepKind.BACKTRACK:
            keep = len(path.lines) - 1 if step.target is None else step.target
            if 0 <= keep < len(path.lines):
                path.backtrack(i, keep)
            else:
                reasons[i] = "no such earlier step"
            states.append(path.states[-1])
            continue
        try:
            path.extend(i, advance(path.states[-1], step.text))
        except UncheckedStep as error:
            path.extend(i, path.states[-1] if error.after is None else cast(State, error.after))
            unchecked.add(i)
        except StepError as error:
            reasons[i] = str(error)
            path.extend_invalid(i, error.after)
        states.append(path.states[-1])
    # Positional arguments build a named tuple in half the time; a trace can have thousands of steps.
    undone, judged = path.undone, []
    for i, (text, kind, span, target, *_) in enumerate(steps):
        claims = Verdict.UNCHECKED if kind is StepKind.MARKER or i in unchecked else Verdict.VALID
        found = Verdict.INVALID if i in reasons else claims
        judged.append(Step(text, kind, span, target, found, reasons.get(i, ""), i in undone))
    return Followed(steps=tuple(judged), backtracks=tuple(path.backtracks), states=tuple(states))


class _Path(Generic[State]):
    """The current path, and the branches that backtracks have left."""

    def __init__(self, start: State, solvable: Callable[[State], bool | None]) -> None:
        self.states = [start]  # states[j]: the state after the first j lines
        self.lines: list[int] = []  # positions of the path's lines in the trace
        self.undone: set[int] = set()
        self.backtracks: list[Backtrack] = []
        self._solvable = solvable
        self._invalid: set[int] = set()
        self._dead_ends: dict[State, set[State]] = {}  # by the state where the branch started
        self._pending = False  # no step has changed the state since the last backtrack
        self._abandoned: State | None = None  # first state of the branch left by that backtrack

    def extend(self, step: int, state: State) -> None:
        self.lines.append(step)
        self.states.append(state)
        before = self.states[-2]
        if self._pending and state != before:  # a line that changes nothing starts no branch
            again = state == self._abandoned or state in self._dead_ends.get(before, ())
            self.backtracks[-1] = self.backtracks[-1]._replace(real=not again)
            self._pending = False

    def extend_invalid(self, step: int, after: Any) -> None:
        self._invalid.add(step)
        self.lines.append(step)
        self.states.append(self.states[-1] if after is None else after)

    def backtrack(self, step: int, keep: int) -> None:
        places = range(keep, len(self.lines))
        moves = [j for j in places if self.states[j] != self.states[j + 1]]
        dead: bool | None = False
        for j in moves:  # every state after a dead end is one too
            dead = dead or self._is_dead_end(self.states[j + 1])
            if dead:
                self._dead_ends.setdefault(self.states[j], set()).add(self.states[j + 1])
        # The branch it leaves starts at the first line that changed the state or was invalid.
        first = next((j for j in places if self.lines[j] in self._invalid or j in moves[:1]), None)
        self._pending = first is not None
        self._abandoned = self.states[moves[0] + 1] if moves else None
        needed: bool | None
        if first is None:
            needed = self._is_dead_end(self.states[keep])
        else:
            needed = self.lines[first] in self._invalid or self._is_dead_end(self.states[first + 1])
        num_undone = len(self.lines) - keep
        self.backtracks.append(Backtrack(step=step, num_undone=num_undone, real=False, needed=needed))
        self.undone.update(self.lines[keep:])
        del self.lines[keep:], self.states[keep + 1 :]

    def _is_dead_end(self, state: State) -> bool | None:
        solvable = self._solvable(state)
        return None if solvable is None else not solvable
