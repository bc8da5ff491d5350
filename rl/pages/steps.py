"""How pages speak of steps: where a task checks none, they are counted, and nothing is verified or saved."""

from __future__ import annotations

from collections.abc import Iterable

from rl.runs.record import SplitResult

COUNTED = "Steps are counted, not checked"
"""The start of a sentence where no step is checked."""


def are_checked(results: Iterable[SplitResult]) -> bool:
    """Whether any of the results are of checked steps."""
    return any(result.steps_checked for result in results)


def worded(name: str, *, checked: bool) -> str:
    """The name of a figure; where no step is checked, it says that steps are counted.

    Example: "Steps per correct answer" -> "Steps counted per correct answer".
    """
    return name if checked else name.replace("teps per correct", "teps counted per correct")
