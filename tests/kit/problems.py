"""Problems by hand, and an environment's judgement of a text, of lines or of a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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


def ask(text: str) -> Problem:
    """A problem whose question and prompt are a text and nothing else."""
    return replace(make_problem("addition", text, "0"), prompt=text)


def check_text(problem: Problem, text: str, *, truncated: bool = False, env: Env[Any] | None = None) -> Trace:
    """The trace of a completion, checked by `env` or by the problem's environment with default settings."""
    env = env or make_env(problem.env)
    return env.check(problem, parse_trace(text, truncated=truncated))


def judge(
    problem: Problem, lines: Sequence[str], answer: str | None = None, *, env: Env[Any] | None = None
) -> Trace:
    """The checked trace of lines and a closing sentence; `answer` None: the problem's own."""
    return check_text(problem, render_trace(lines, problem.answer if answer is None else answer), env=env)


def refusal(problem: Problem, lines: Sequence[str], *, env: Env[Any] | None = None) -> str:
    """Why the last line is refused, after the lines before it were accepted."""
    env = env or make_env(problem.env)
    state = env.start(problem)
    for line in lines[:-1]:
        state = env.advance(state, line)
    with pytest.raises(StepError) as refused:
        env.advance(state, lines[-1])
    return str(refused.value)
