"""Problems, traces and refusals by hand: a question is asked, lines are judged, a line is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from envs import Env, Problem, Split, StepError, Trace, make_env, parse_trace, render_trace


def make_problem(
    env: str, question: str, answer: str, *, num_full_steps: int = 1, difficulty: int = 1
) -> Problem:
    """Train problem 0 of an environment, with a question chosen by the test.

    The prompt is the question and the cue, without instructions.
    """
    return Problem(
        env=env,
        split=Split.TRAIN,
        index=0,
        question=question,
        prompt=f"{question}\nAnswer:\n",
        answer=answer,
        num_full_steps=num_full_steps,
        difficulty=difficulty,
    )


def check_text(
    problem: Problem, text: str, *, truncated: bool = False, settings: Mapping[str, Any] | None = None
) -> Trace:
    """The trace of a completion, checked by the problem's environment."""
    env: Env[Any] = make_env(problem.env, settings)
    return env.check(problem, parse_trace(text, truncated=truncated))


def judge(
    problem: Problem,
    lines: Sequence[str],
    answer: str | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
) -> Trace:
    """The checked trace of lines and a closing sentence; `answer` None: the problem's own."""
    text = render_trace(lines, problem.answer if answer is None else answer)
    return check_text(problem, text, settings=settings)


def refusal(problem: Problem, lines: Sequence[str], *, settings: Mapping[str, Any] | None = None) -> str:
    """Why the last line is refused, after the lines before it were accepted."""
    env: Env[Any] = make_env(problem.env, settings)
    state = env.start(problem)
    for line in lines[:-1]:
        state = env.advance(state, line)
    with pytest.raises(StepError) as refused:
        env.advance(state, lines[-1])
    return str(refused.value)
