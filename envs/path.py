"""Following a trace: where each line leads, and what each backtrack is.

In: the steps of a trace and, as functions, one task's rules. Out: the steps with their verdicts, the
backtracks, and the state at the end. The *path* is the forward lines that no backtrack has taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from envs.trace import Backtrack, Step, StepKind, Verdict

State = TypeVar("State")


class StepError(Exception):
    """A step that cannot be taken; the message is the reason shown beside it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed(Generic[State]):
    """What was found on the way.

    Attributes:
        steps: The steps, with verdicts, reasons and `undone` marks.
        backtracks: Of each valid backtrack what it is, in order.
        state: Where the path has led to.
    """

    steps: tuple[Step, ...]
    backtracks: tuple[Backtrack, ...]
    state: State


def follow(
    steps: Sequence[Step],
    start: State,
    advance: Callable[[State, str], State],
    solvable: Callable[[State], bool | None],
    verdict: Verdict,
) -> Followed[State]:
    """Take every step, one after another.

    A step is judged from the state its path has led to; an invalid one joins the path, but leaves the state as
    it was. A backtrack is valid where it names an earlier point of the path.

    Args:
        steps: As parsed.
        start: Where the path begins: an immutable, hashable value, as all states.
        advance: Takes one step, or raises `StepError`.
        solvable: Whether the end can still be reached from a state; None where that is not known.
        verdict: Of forward steps that are not refused.
    """
    path = _Path(start, solvable)
    reasons: dict[int, str] = {}
    for i, step in enumerate(steps):
        if step.kind is StepKind.BACKTRACK:
            keep = len(path.lines) - 1 if step.target is None else step.target
            if 0 <= keep < len(path.lines):
                path.go_back(i, keep)
            else:
                reasons[i] = "no such earlier step"
            continue
        try:
            path.go_on(i, advance(path.states[-1], step.text))
        except StepError as error:
            reasons[i] = str(error)
            path.stand_still(i)
    # A trace may have thousands of steps: by position, named tuples are made in half the time.
    undone, judged = path.undone, []
    for i, (text, kind, span, target, *_) in enumerate(steps):
        found = Verdict.INVALID if i in reasons else Verdict.VALID if kind is StepKind.BACKTRACK else verdict
        judged.append(Step(text, kind, span, target, found, reasons.get(i, ""), i in undone))
    return Followed(steps=tuple(judged), backtracks=tuple(path.backtracks), state=path.states[-1])


class _Path(Generic[State]):
    """The path so far, and what is known of the branches left behind."""

    def __init__(self, start: State, solvable: Callable[[State], bool | None]) -> None:
        self.states = [start]  # states[j] is where the first j lines lead
        self.lines: list[int] = []  # positions of its lines among the steps
        self.undone: set[int] = set()
        self.backtracks: list[Backtrack] = []
        self._solvable = solvable
        self._invalid: set[int] = set()
        self._dead_ends: dict[State, set[State]] = {}  # by where the branches began
        self._pending = False  # whether the branch after the last backtrack is still to come
        self._abandoned: State | None = None  # what the branch that backtrack left had led to first

    def go_on(self, step: int, state: State) -> None:
        self.lines.append(step)
        self.states.append(state)
        before = self.states[-2]
        if self._pending and state != before:  # a line that leads nowhere is no branch
            again = state == self._abandoned or state in self._dead_ends.get(before, ())
            self.backtracks[-1] = self.backtracks[-1]._replace(real=not again)
            self._pending = False

    def stand_still(self, step: int) -> None:
        self._invalid.add(step)
        self.lines.append(step)
        self.states.append(self.states[-1])

    def go_back(self, step: int, keep: int) -> None:
        places = range(keep, len(self.lines))
        moves = [j for j in places if self.states[j] != self.states[j + 1]]
        dead: bool | None = False
        for j in moves:  # beyond a dead end there are only dead ends
            dead = dead or self._is_dead_end(self.states[j + 1])
            if dead:
                self._dead_ends.setdefault(self.states[j], set()).add(self.states[j + 1])
        # The branch it leaves begins with the first line that went somewhere, or wrong.
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
