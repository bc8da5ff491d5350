"""What the environment knows of each line of a trace: how much nearer the end it leads, and of what use it is.

In: a judged trace. Out: `LineFacts` for each of its steps. They follow from `Env.remaining`, from the verdicts,
and from trying the trace without one of its lines.

Example: from north turn left, right and around, which are 3 elementary lines::

    west. right, around     before 3, after 2, skippable: the next line could do two turns
    west. around            before 2, after 2, wrong: the heading should be north
    <backtrack>             before 2, after 2, needed
    north. around           before 2, after 1, skippable: the last line could do two turns
    south                   before 1, after 0, needed
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Set
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple

from envs.base import Env
from envs.path import StepError, follow
from envs.problem import Problem
from envs.trace import StepKind, Trace, Verdict

_MAX_REPLAYED = 10_000  # lines taken again to see which can be left out, in a whole trace


class LineUse(StrEnum):
    """Of what use a line is."""

    NEEDED = "needed"
    """A valid line that stands, leads nearer the end and cannot be left out; or a needed backtrack, which may
    end in a dead end all the same: then its progress is 0."""
    SKIPPABLE = "skippable"
    """A valid line that stands and leads nearer the end, but the lines after it get there without it as well.
    Each line is tried alone: two lines that are skippable may not both be left out."""
    WASTED = "wasted"
    """A valid line that a backtrack took back, that leads no nearer the end, or that leads into a dead end or
    stays in one; or a needless backtrack."""
    WRONG = "wrong"
    """An invalid line, taken back or not."""
    UNKNOWN = "unknown"
    """A line of a task that checks no steps, that claims nothing, or whose `remaining` is unknown."""


class LineFacts(NamedTuple):
    """What the environment knows of one line.

    Attributes:
        before: Fewest elementary lines to the end before it (`Env.remaining`); inf at a dead end (that, or
            `Env.solvable`, tells), None if unknown.
        after: The same after it.
        use: Of what use it is.
        state: A 64-bit number for the state after it. Equal states of a problem have equal numbers, in every
            process. Where no steps are checked, equal beginnings of traces have.
    """

    before: float | None
    after: float | None
    use: LineUse
    state: int

    @property
    def progress(self) -> float | None:
        """How many elementary lines nearer the end it leads; None if unknown.

        2 for two steps in one line, below 0 for a line that leads away, -inf for one into a dead end, 0 inside
        of it, inf for one out of it.
        """
        if self.before is None or self.after is None:
            return None
        return 0.0 if self.before == self.after else self.before - self.after

    @property
    def is_merged(self) -> bool:
        """Whether it leads more than one elementary line nearer the end, though not out of a dead end."""
        return self.progress is not None and 1 < self.progress < math.inf


def line_facts(env: Env[Any], problem: Problem, trace: Trace) -> tuple[LineFacts, ...]:
    """What the environment knows of each line of a trace.

    The trace is followed once. To see which lines can be left out, at most `_MAX_REPLAYED` lines are taken
    again; whether later ones can is unknown.

    Args:
        env: The environment that judged the trace, or the part of it that did.
        problem: Its problem.
        trace: Its judgement, from `Env.check`.

    Returns:
        As many facts as the trace has steps, in order.
    """
    if not trace.steps_checked:
        return _unchecked(trace)
    states = follow(trace.steps, env.start(problem), env.advance, lambda state: None).states
    numbers = [state_number(state) for state in states]
    left: dict[int, float | None] = {}
    for number, state in zip(numbers, states, strict=True):
        if number not in left:
            left[number] = _remaining(env, state)
    needed = {backtrack.step: backtrack.needed for backtrack in trace.backtracks}
    can_leave_out = _Replay(env, trace, states)
    facts = []
    for place, step in enumerate(trace.steps):
        before, after = numbers[place : place + 2]
        found = LineFacts(left[before], left[after], LineUse.UNKNOWN, after)
        use = LineUse.UNKNOWN
        if step.verdict is Verdict.INVALID:
            use = LineUse.WRONG
        elif step.kind is StepKind.BACKTRACK:
            use = _BACKTRACKS[needed.get(place)]
        elif step.verdict is Verdict.VALID:
            use = LineUse.WASTED if step.undone else _use(found, partial(can_leave_out, place))
        facts.append(found._replace(use=use))
    return tuple(facts)


_BACKTRACKS = {True: LineUse.NEEDED, False: LineUse.WASTED, None: LineUse.UNKNOWN}


def _remaining(env: Env[Any], state: Any) -> float | None:
    """`Env.remaining`; where that does not tell, inf at the dead ends that `Env.solvable` knows."""
    left = env.remaining(state)
    return math.inf if left is None and env.solvable(state) is False else left


def _use(facts: LineFacts, can_be_left_out: Callable[[], bool | None]) -> LineUse:
    """The use of a valid line that stands."""
    progress = facts.progress
    if facts.after == math.inf or (progress is not None and progress <= 0):
        return LineUse.WASTED
    if progress is None:
        return LineUse.UNKNOWN
    left_out = can_be_left_out()
    if left_out is None:
        return LineUse.UNKNOWN
    return LineUse.SKIPPABLE if left_out else LineUse.NEEDED


def _unchecked(trace: Trace) -> tuple[LineFacts, ...]:
    so_far, facts = blake2b(digest_size=8), []
    for step in trace.steps:
        so_far.update(step.text.encode(errors="surrogatepass") + b"\n")
        number = int.from_bytes(so_far.digest(), "little")
        facts.append(LineFacts(None, None, LineUse.UNKNOWN, number))
    return tuple(facts)


class _Replay:
    """Whether a trace gets to the same end without one of its lines."""

    def __init__(self, env: Env[Any], trace: Trace, states: tuple[Any, ...]) -> None:
        self._env = env
        self._steps = trace.steps
        self._states = states
        self._standing = [
            place
            for place, step in enumerate(trace.steps)
            if step.kind is not StepKind.BACKTRACK and not step.undone
        ]
        self._left = _MAX_REPLAYED

    def __call__(self, place: int) -> bool | None:
        """Take the standing lines after this one from the state before it; None past the bound."""
        state = self._states[place]
        for later in self._standing[bisect_right(self._standing, place) :]:
            if not self._left:
                return None
            self._left -= 1
            try:
                state = self._env.advance(state, self._steps[later].text)
            except StepError as error:
                if self._steps[later].verdict is Verdict.VALID:
                    return False
                state = state if error.after is None else error.after
            if state == self._states[later + 1]:
                return True
        return self._env.finished(state) and self._env.finished(self._states[-1])


def state_number(state: object) -> int:
    """A 64-bit number for a state, the same in every process.

    It is a hash of the state's `repr`, which has to say all of it. Where that has sets or mappings, their
    elements are sorted first, since their order depends on the process.
    """
    text = repr(state)
    text = _text(state) if "{" in text else text
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "little")


def _text(value: object) -> str:
    if isinstance(value, (str, int, float)) or value is None:
        return repr(value)
    if isinstance(value, (tuple, list)):
        return f"({','.join([_text(one) for one in value])})"
    if isinstance(value, Set):
        return f"{{{','.join(sorted([_text(one) for one in value]))}}}"
    if isinstance(value, Mapping):
        return f"{{{','.join(sorted([f'{_text(key)}:{_text(one)}' for key, one in value.items()]))}}}"
    if is_dataclass(value):
        return f"{type(value).__name__}({','.join([_text(getattr(value, one.name)) for one in fields(value)])})"
    return repr(value)
