"""A whole text read and judged by a checker of equations, as a task does it."""

from __future__ import annotations

from typing import Protocol, TypeVar

from envs import Problem, Step, StepError

Known = TypeVar("Known")


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
