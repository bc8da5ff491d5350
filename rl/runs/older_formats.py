"""Records of older formats as records of today's.

In: JSON objects as an earlier version wrote them. Out: the objects that this version would have written.

Format 1 had completions of training in JSON lines, which are not read. Formats 1 and 2 did not say whether
steps were checked: steps of free text were counted, and called verified all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewards import Outcome

_COUNTED = ("math", "reasoning_gym")
"""Tasks that only counted steps in formats 1 and 2."""

_OF_CHECKED = (
    *("verified", "steps_saved", "invalid_steps", "wasted_steps"),
    *("real_backtracks", "fake_backtracks", "needed_backtracks", "needless_backtracks"),
)
"""Figures of a result that judge steps."""


def is_counted(env: str) -> bool:
    """Whether a task, as a completion names it (`mixture/math`), only counted steps in formats 1 and 2."""
    return any(part in _COUNTED for part in env.split("/"))


def sample_of_today(data: Mapping[str, Any]) -> dict[str, Any]:
    """The object of a completion."""
    if "steps_checked" in data:
        return dict(data)
    counted = is_counted(str(data.get("env", "")))
    outcome = data.get("outcome")
    if counted and outcome == Outcome.VERIFIED:
        outcome = Outcome.CORRECT.value
    return {**data, "steps_checked": not counted, "outcome": outcome}


def summary_of_today(data: Mapping[str, Any], env: str) -> dict[str, Any]:
    """The object of a summary.

    Args:
        data: The object.
        env: `env.name` of the run, empty if unknown.
    """
    found = dict(data)
    if env not in _COUNTED or not isinstance(found.get("stages"), dict):
        return found
    found["stages"] = {
        stage: {split: _counted(result) for split, result in results.items()}
        for stage, results in found["stages"].items()
        if isinstance(results, dict)
    }
    if isinstance(found.get("best"), dict):
        found["best"] = {**found["best"], "verified": None}
    return found


def _counted(result: Any) -> Any:
    return {**result, **dict.fromkeys(_OF_CHECKED)} if isinstance(result, dict) else result
