r"""Tasks whose steps are ordinary text: counted, not checked.

In: a completion. Out: a trace whose lines are steps and whose answer is what the closing line states or,
without one, what the last ``\boxed{}`` holds. `verified` means no more than `correct` here, and no backtrack is
known to be real or needed; sentences that say they go back are marked (`markers.py`).
"""

from __future__ import annotations

from dataclasses import replace

from envs.base import Env
from envs.markers import mark
from envs.maths.grader import find_answer
from envs.problem import Problem
from envs.trace import CLOSING, Status, Trace, parse_trace


class FreeTextEnv(Env[tuple[int, str]]):
    """A task that judges answers alone; its state is the number of lines and the last of them."""

    checks_steps = False

    def start(self, problem: Problem) -> tuple[int, str]:
        """No step taken."""
        return 0, ""

    def advance(self, state: tuple[int, str], line: str) -> tuple[int, str]:
        """Count any line."""
        return state[0] + 1, line

    def finished(self, state: tuple[int, str]) -> bool:
        """Always: steps are not checked."""
        return True

    def parse(self, text: str, *, truncated: bool = False) -> Trace:
        r"""As `parse_trace`, with markers; without a closing line, the last ``\boxed{}`` states the answer."""
        trace = parse_trace(text, truncated=truncated)
        trace = replace(trace, steps=mark(trace.steps))
        if trace.status is Status.MALFORMED and CLOSING not in text:
            answer = find_answer(text)
            if answer is not None:
                return replace(trace, answer=answer, status=Status.COMPLETE)
        return trace
