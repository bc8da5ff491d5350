"""A trace judged by its environment, which may neither raise nor take long, whatever the text."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from envs.base import Env
from envs.modules import describe_error
from envs.problem import Problem
from envs.trace import Trace, render_trace

_MAX_CPU_S = 5.0  # for one text


class EnvContractError(ValueError):
    """An environment breaks its contract; the message names the place and the fault."""


def fail(env: Env[Any], problem: Problem, what: str) -> EnvContractError:
    """The error that a problem shows."""
    return EnvContractError(f"{env.name} {problem.split} {problem.index}: {what}")


def judge(env: Env[Any], problem: Problem, lines: Sequence[str], answer: str) -> Trace:
    """A trace with these lines and this answer, judged by its environment.

    Raises:
        EnvContractError: The environment raised, or took too long.
    """
    text = render_trace(lines, answer)
    try:
        with _limited():
            return env.check(problem, env.part_of(problem).parse(text))
    except Exception as error:
        said = describe_error(error)
        raise fail(env, problem, f"check raised {said} on a text that ends {text[-60:]!r}") from error


@contextmanager
def _limited() -> Iterator[None]:
    """Stop a check after `_MAX_CPU_S` of processor time; patterns that backtrack without end too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"it took more than {_MAX_CPU_S:g} s; parse in linear time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, _MAX_CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
