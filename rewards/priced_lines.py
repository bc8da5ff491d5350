"""The lines of a trace that a price is for, so that its credit can go to them alone (`grpo.credit: parts`).

In: a judged trace and what the environment knows of its lines. Out: places of lines. A reward declares which
kind of lines it prices (`@reward(lines="steps")`); one that declares none prices the whole answer, as do those
that cost for too few of them too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from envs import StepKind, Trace, Verdict
from envs.line_facts import LineFacts, LineUse

PricedLines = Literal["steps", "backtracks", "fake_backtracks", "needless_backtracks", "wasted_steps"]
KINDS: tuple[str, ...] = get_args(PricedLines)
_NEEDLESS = (LineUse.SKIPPABLE, LineUse.WASTED, LineUse.WRONG)


def priced_lines(kind: PricedLines, trace: Trace, facts: Sequence[LineFacts] | None) -> tuple[int, ...]:
    """Places of the lines that a price of this kind is for.

    `steps` are the forward lines that are skippable, wasted or wrong; all forward lines where none is known to
    be. `fake_backtracks` are the backtrack lines that are not real, `needless_backtracks` those that were not
    needed. `wasted_steps` are the lines that were taken back, and invalid lines that stand.

    Args:
        kind: One of `KINDS`.
        trace: A judged trace.
        facts: One for each of its lines; None if they are not known.

    Example: of four steps, the third of which is taken back by the fifth line, `steps` and `wasted_steps` are
    (2,), `backtracks` is (4,).
    """
    if kind == "steps":
        forward = [place for place, step in enumerate(trace.steps) if step.kind is StepKind.FORWARD]
        needless = [place for place in forward if facts is not None and facts[place].use in _NEEDLESS]
        return tuple(needless or forward)
    if kind == "wasted_steps":
        return tuple(
            place
            for place, step in enumerate(trace.steps)
            if step.undone or (step.kind is StepKind.FORWARD and step.verdict is Verdict.INVALID)
        )
    back = [place for place, step in enumerate(trace.steps) if step.kind is not StepKind.FORWARD]
    if kind == "backtracks":
        return tuple(back)
    if kind == "fake_backtracks":
        real = {backtrack.step for backtrack in trace.backtracks if backtrack.real}
        return tuple(place for place in back if place not in real)
    return tuple(backtrack.step for backtrack in trace.backtracks if backtrack.needed is False)
