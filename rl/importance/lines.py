"""What the environment knows of each line of a trace, and whether two lines are the same step.

In: a problem and a judged trace. Out: for each of its lines what it is (`LineKind`), how many elementary steps
it does, and whether the way to the end is lost or found again with it. What the task does not know is None.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from envs import Env, Problem, Step, StepKind, Trace, Verdict
from envs.free_text import FreeTextEnv
from envs.path import StepError, follow


class LineKind(StrEnum):
    """What the environment knows a line to be."""

    VALID = "valid"
    MERGED = "merged"
    DEAD_END = "dead_end"
    LOST = "lost"
    INVALID = "invalid"
    NEEDED = "needed_backtrack"
    NEEDLESS = "needless_backtrack"
    BACKTRACK = "backtrack"
    MARKER = "marker"
    UNCHECKED = "unchecked"

    @property
    def label(self) -> str:
        """Its name on pages."""
        return _LABELS[self]


_LABELS = {
    LineKind.VALID: "valid, one step",
    LineKind.MERGED: "valid, steps merged",
    LineKind.DEAD_END: "valid, into a dead end",
    LineKind.LOST: "valid, after a dead end",
    LineKind.INVALID: "invalid",
    LineKind.NEEDED: "backtrack, needed",
    LineKind.NEEDLESS: "backtrack, needless",
    LineKind.BACKTRACK: "backtrack, other",
    LineKind.MARKER: "says that it goes back",
    LineKind.UNCHECKED: "not checked",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LineFacts:
    """What the environment knows of a line.

    Attributes:
        kind: What it is.
        taken_back: Whether a later backtrack took it back.
        num_elementary: Elementary steps that a valid line does at once; None where the task does not tell.
        decides: Whether the way to the end is lost with this line (it is wrong, or leads into a dead end) or
            found again (a backtrack that was needed); None where steps are not checked.
    """

    kind: LineKind
    taken_back: bool
    num_elementary: int | None
    decides: bool | None


def line_facts(part: Env[Any], problem: Problem, trace: Trace) -> tuple[LineFacts, ...]:
    """What the environment knows of each line of a trace that it has judged.

    Args:
        part: The environment that read the trace (`Env.part_of`).
        problem: Its problem.
        trace: Its judgement, from `Env.check`.
    """
    if not trace.steps_checked:
        kinds = {StepKind.MARKER: LineKind.MARKER, StepKind.BACKTRACK: LineKind.BACKTRACK}
        return tuple(
            LineFacts(
                kind=kinds.get(step.kind, LineKind.UNCHECKED),
                taken_back=False,
                num_elementary=None,
                decides=None,
            )
            for step in trace.steps
        )
    needed = {backtrack.step: backtrack.needed for backtrack in trace.backtracks}
    solvable = cache(part.solvable)
    states = [_state(part, problem, trace.steps[:end]) for end in range(len(trace.steps) + 1)]
    facts = []
    for place, step in enumerate(trace.steps):
        num, kind = None, _CHECKED.get((step.kind, step.verdict))
        if step.kind is StepKind.BACKTRACK:
            was_needed = needed.get(place)
            kind = LineKind.NEEDED if was_needed else LineKind.NEEDLESS
            kind = LineKind.BACKTRACK if was_needed is None else kind
        elif kind is None:  # valid
            num = _num_elementary(part, states[place], step.text)
            kind = LineKind.MERGED if num is not None and num > 1 else LineKind.VALID
            if solvable(states[place]) is False:
                kind = LineKind.LOST
            elif solvable(states[place + 1]) is False:
                kind = LineKind.DEAD_END
        decides = kind in (LineKind.DEAD_END, LineKind.INVALID, LineKind.NEEDED)
        facts.append(LineFacts(kind=kind, taken_back=step.undone, num_elementary=num, decides=decides))
    return tuple(facts)


_CHECKED = {
    (StepKind.FORWARD, Verdict.INVALID): LineKind.INVALID,
    (StepKind.FORWARD, Verdict.UNCHECKED): LineKind.UNCHECKED,
    (StepKind.MARKER, Verdict.UNCHECKED): LineKind.MARKER,
    (StepKind.MARKER, Verdict.VALID): LineKind.MARKER,
    (StepKind.MARKER, Verdict.INVALID): LineKind.INVALID,
}


def step_key(part: Env[Any], problem: Problem, trace: Trace, place: int) -> Hashable:
    """What makes a step the same as another one from the same state; None if the trace has no such step.

    Two valid steps are the same if they lead to the same state, in whatever words. Others, and steps that no
    environment checks, are the same if their texts are, blanks around them apart.

    Args:
        part: The environment that read the trace.
        problem: Its problem.
        trace: Its judgement.
        place: Which of its steps, from 0.
    """
    if place >= len(trace.steps):
        return None
    step = trace.steps[place]
    if trace.steps_checked and step.verdict is Verdict.VALID and step.kind is not StepKind.MARKER:
        return step.kind, _state(part, problem, trace.steps[: place + 1])
    return step.kind, step.verdict, step.text.strip()


def _state(part: Env[Any], problem: Problem, steps: Sequence[Step]) -> Any:
    """The state of the path after these lines."""
    return follow(steps, part.start(problem), part.advance, lambda state: None).state


def _num_elementary(part: Env[Any], state: Any, line: str) -> int | None:
    """Elementary steps that a valid line does: the least `max_merge` with which it is valid."""
    most = getattr(part.settings, "max_merge", None)
    if most is None or isinstance(part, FreeTextEnv):  # there it bounds the operations of an equation
        return None
    for num in range(1, most):
        strict = copy.copy(part)
        strict.settings = part.settings.model_copy(update={"max_merge": num})
        try:
            strict.advance(state, line)
        except StepError:
            continue
        return num
    return int(most)
