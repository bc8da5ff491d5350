r"""Tasks whose steps are ordinary text: steps are counted, but not checked.

In: a completion. Out: a trace in which every line is a step. The answer is the one of the closing line or, if
there is none, of the last ``\boxed{}``. Here `verified` means the same as `correct`, and whether a backtrack is
real or needed is unknown. Sentences that announce a backtrack are marked (`markers.py`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from envs.base import Env
from envs.markers import mark
from envs.maths.grader import find_answer
from envs.problem import Problem
from envs.trace import CLOSING, Status, Step, Trace, parse_steps, parse_trace


class FreeTextEnv(Env[tuple[int, str]]):
    """A task that judges only the answer. Its state is the number of lines and the last line."""

    checks_steps = False
    format_request: ClassVar[str] = "Please reason step by step, and put your final answer within \\boxed{}."

    def start(self, problem: Problem) -> tuple[int, str]:
        """The state with no line yet."""
        return 0, ""

    def advance(self, state: tuple[int, str], line: str) -> tuple[int, str]:
        """Accept any line and count it."""
        return state[0] + 1, line

    def finished(self, state: tuple[int, str]) -> bool:
        """Always True, since steps are not checked."""
        return True

    def read_steps(self, text: str) -> tuple[Step, ...]:
        """Lines, with markers."""
        return mark(parse_steps(text))

    def parse(self, text: str, *, truncated: bool = False) -> Trace:
        r"""`parse_trace` with markers; if there is no closing line, the last ``\boxed{}`` is the answer."""
        trace = parse_trace(text, truncated=truncated)
        trace = replace(trace, steps=mark(trace.steps))
        if trace.status is Status.MALFORMED and CLOSING not in text:
            answer = find_answer(text)
            if answer is not None:
                return replace(trace, answer=answer, status=Status.COMPLETE)
        return trace
