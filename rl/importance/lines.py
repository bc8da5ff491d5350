"""What each line of a trace is, and whether two lines are the same step.

In: a judged trace and the facts of its lines (`envs/line_facts.py`). Out: what each line is (`LineKind`), how
many elementary steps it does, and whether the way to the end is lost or found again with it. What the task does
not know is None.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from envs import Step, StepKind, Trace, Verdict
from envs.line_facts import LineFacts, LineUse


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
class Line:
    """What a line is.

    Attributes:
        kind: What it is.
        taken_back: Whether a later backtrack took it back.
        num_elementary: Elementary steps that a valid line does at once, 0 where it leads no nearer the end;
            None where the task does not tell, and around dead ends.
        decides: Whether the way to the end is lost with this line (it is wrong, or leads into a dead end) or
            found again (a backtrack that was needed); None where steps are not checked.
    """

    kind: LineKind
    taken_back: bool
    num_elementary: int | None
    decides: bool | None


def read_lines(trace: Trace, facts: Sequence[LineFacts]) -> tuple[Line, ...]:
    """What each line of a judged trace is.

    Args:
        trace: The trace.
        facts: What the environment knows of its lines.
    """
    lines = []
    for step, fact in zip(trace.steps, facts, strict=True):
        kind = _kind(step, fact) if trace.steps_checked else _UNCHECKED.get(step.kind, LineKind.UNCHECKED)
        valid = kind in (LineKind.VALID, LineKind.MERGED)
        known = fact.progress if valid else None
        lines.append(
            Line(
                kind=kind,
                taken_back=step.undone,
                num_elementary=None if known is None or math.isinf(known) else max(0, int(known)),
                decides=kind in _DECIDING if trace.steps_checked else None,
            )
        )
    return tuple(lines)


_UNCHECKED = {StepKind.MARKER: LineKind.MARKER, StepKind.BACKTRACK: LineKind.BACKTRACK}
_BACKTRACKS = {LineUse.NEEDED: LineKind.NEEDED, LineUse.WASTED: LineKind.NEEDLESS}
_DECIDING = (LineKind.DEAD_END, LineKind.INVALID, LineKind.NEEDED)


def _kind(step: Step, fact: LineFacts) -> LineKind:
    """What a line of a trace whose steps are checked is."""
    if step.kind is StepKind.BACKTRACK:
        return _BACKTRACKS.get(fact.use, LineKind.BACKTRACK)
    if step.verdict is Verdict.INVALID:
        return LineKind.INVALID
    if step.verdict is Verdict.UNCHECKED or step.kind is StepKind.MARKER:
        return LineKind.MARKER if step.kind is StepKind.MARKER else LineKind.UNCHECKED
    if fact.before == math.inf:
        return LineKind.LOST
    if fact.after == math.inf:
        return LineKind.DEAD_END
    return LineKind.MERGED if fact.is_merged else LineKind.VALID


def step_key(trace: Trace, facts: Sequence[LineFacts], place: int) -> Hashable:
    """What makes a step the same as another one from the same state; None if the trace has no such step.

    Two valid steps are the same if they lead to the same state, in whatever words. Others, and steps that no
    environment checks, are the same if their texts are, blanks around them apart.

    Args:
        trace: A judged trace.
        facts: What the environment knows of its lines.
        place: Which of its steps, from 0.
    """
    if place >= len(trace.steps):
        return None
    step = trace.steps[place]
    if trace.steps_checked and step.verdict is Verdict.VALID and step.kind is not StepKind.MARKER:
        return step.kind, facts[place].state
    return step.kind, step.verdict, step.text.strip()
