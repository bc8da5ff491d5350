"""What an environment must refuse: near misses of its own answers and traces, and hostile texts."""

from __future__ import annotations

from typing import Any

from envs.base import Env
from envs.check.judge import fail, judge
from envs.check.near_misses import HOSTILE, steps_of_another, wrong_answers, wrong_traces
from envs.check.oracles import ORACLES, Oracle
from envs.check.references import solution, written_solution
from envs.problem import Problem
from envs.trace import StepKind, Verdict


def check_near_misses(env: Env[Any], problem: Problem, other: Problem, oracle: Oracle | None) -> int:
    """Check that almost right answers and traces are refused.

    Of a task that finds its steps in text, no single characters are changed: most changes leave the steps as
    they are.

    Returns:
        How many were refused.

    Raises:
        EnvContractError: One was not, and no oracle excuses it.
    """
    answer, part = problem.answer, env.part_of(problem)
    written = written_solution(env, problem)
    lines = list(solution(env, problem) if written is None else written)
    oracle = oracle or ORACLES.get(part.name)
    num_misses = 0

    def check(what: str, missed: list[str], stated: str, shown: str) -> None:
        nonlocal num_misses
        trace = judge(env, problem, missed, stated)
        accepted = trace.correct if written is None else trace.passed
        if not accepted:
            num_misses += 1
        elif oracle is None or not oracle(problem, trace):
            raise fail(env, problem, f"{what} is accepted: {shown!r}")

    for what, stated in wrong_answers(env, problem, other):
        check(what, lines, stated, stated)
    if not part.checks_steps or written is None:
        return num_misses
    in_text = part.defines("count_steps")
    misses = steps_of_another(env, problem, other) if in_text else wrong_traces(env, problem, other, lines)
    for what, missed in misses:
        check(what, missed, answer, "\n".join(missed))
    for num_kept in range(1 if in_text else len(lines)):
        if judge(env, problem, lines[:num_kept], answer).passed:
            raise fail(env, problem, f"the first {num_kept} of {len(lines)} steps pass as a full solution")
    return num_misses


def check_hostile(env: Env[Any], problem: Problem) -> None:
    """None of the hostile texts may make the check raise, or pass as a step or an answer."""
    lines, part = solution(env, problem), env.part_of(problem)
    for text in HOSTILE:
        if judge(env, problem, lines, text).correct:
            raise fail(env, problem, f"the answer {text[:40]!r} is accepted")
        for i in range(len(lines) + 1):
            trace = judge(env, problem, [*lines[:i], text], problem.answer)
            added = trace.steps[part.count_steps(lines[:i]) :] if trace.steps_checked else ()
            if any(step.kind is StepKind.FORWARD and step.verdict is not Verdict.INVALID for step in added):
                raise fail(env, problem, f"the step {text[:40]!r} is accepted")
