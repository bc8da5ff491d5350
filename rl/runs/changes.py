"""How the result on each problem changed between two stages.

In: greedy completions of the same problems by index. Out: indices by `Change`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from rl.runs.record import SampleRow


class Change(StrEnum):
    """How the result on a problem changed between two stages, the worst change first."""

    LOST = "no longer solved"
    MORE = "solved in more steps"
    NEITHER = "not solved by either"
    SAME = "solved in as many steps"
    FEWER = "solved in fewer steps"
    GAINED = "newly solved"


def changes(before: Mapping[int, SampleRow], after: Mapping[int, SampleRow]) -> dict[Change, list[int]]:
    """Problems by change. In each list the largest change in steps comes first, then the lowest index."""
    found: dict[Change, list[int]] = {change: [] for change in Change}
    for index in sorted(before.keys() & after.keys()):
        found[_change(before[index], after[index])].append(index)
    for kind in (Change.MORE, Change.FEWER):
        found[kind].sort(key=lambda index: -abs(before[index].num_steps - after[index].num_steps))
    return found


def _change(before: SampleRow, after: SampleRow) -> Change:
    if not (before.correct and after.correct):
        return Change.LOST if before.correct else Change.GAINED if after.correct else Change.NEITHER
    saved = before.num_steps - after.num_steps
    return Change.FEWER if saved > 0 else Change.MORE if saved < 0 else Change.SAME
