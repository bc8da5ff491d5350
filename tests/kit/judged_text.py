"""A whole text read and judged by a checker of equations, as a task does it, and how its time grows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from envs import Problem, Step, StepError

Known = TypeVar("Known")
SHORT, LONG = 10_000, 100_000
MOST_GROWTH = 3 * LONG / SHORT
"""Ten times the length takes about ten times as long; quadratic would be 100."""


class Checker(Protocol[Known]):
    """What the checkers of equations have in common."""

    def start(self, problem: Problem) -> Known: ...
    def read_steps(self, text: str) -> tuple[Step, ...]: ...
    def advance(self, known: Known, text: str) -> Known: ...
    def finished(self, known: Known) -> bool: ...


def judge(text: str, checker: Checker[Known], problem: Problem) -> Known:
    """What is known after all steps of a text, wrong ones included."""
    known = checker.start(problem)
    for step in checker.read_steps(text):
        assert text[slice(*step.span)] == step.text
        try:
            known = checker.advance(known, step.text)
        except StepError as error:
            known = error.after  # type: ignore[assignment]
    checker.finished(known)
    return known


def growth(part: str, seconds: Callable[[str], float], *, at_least_s: float) -> tuple[float, float]:
    """How many times as long a text of `LONG` characters takes as one of `SHORT`, and the seconds it takes.

    Args:
        part: The texts repeat it.
        seconds: Reads a text, and says how long it took. Texts that seem to be slow are read again.
        at_least_s: A short text counts as this long, since clocks are coarse.
    """
    sizes = (SHORT, LONG)
    short, long = (seconds((part * (size // len(part)))[:size]) for size in sizes)
    if long > MOST_GROWTH * max(short, at_least_s):
        again = [seconds((part * (size // len(part)))[:size]) for size in sizes]
        short, long = min(short, again[0]), min(long, again[1])
    return long / max(short, at_least_s), long
