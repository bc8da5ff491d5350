"""The traces that an environment writes, checked: full, skipped, with detours, padded, of a search, mistaken.

Each but the last must be read back as it was written, have as many steps as it should, and pass. A task that
counts steps itself (`Env.count_steps`) finds them in lines of text: there the lines need not come back, but
their number of steps must.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from envs.base import Env, NoSolutionError, checked_step
from envs.check.judge import fail, judge
from envs.faults import first_fault
from envs.grading import Grade
from envs.problem import Problem
from envs.seeding import derive_random
from envs.trace import Status, Step, StepKind, Trace, Verdict

_MAX_WRITTEN = 10  # problems of a split whose other demonstrations are checked; some take a search


def check_references(env: Env[Any], problem: Problem) -> int:
    """Check the traces of a problem.

    Returns:
        Number of full and skipped traces; 0 for a problem without a worked solution, if others have one or
        steps are checked.

    Raises:
        EnvContractError: One of them does not hold.
    """
    part, written = env.part_of(problem), written_solution(env, problem)
    if written is None and (part.checks_steps or part.has_solutions):
        return 0
    full = solution(env, problem) if written is None else written
    num_steps = part.count_steps(full) if written is None else problem.num_full_steps
    _check_reference(env, problem, "full trace", full, [num_steps])
    _check_states(env, problem, full)
    num_traces = 1
    for kind in part.skip_kinds:
        skipped = skipped_trace(env, problem, kind)
        if skipped != skipped_trace(type(env)(env.settings), problem, kind):
            raise fail(env, problem, f"the {kind} trace differs between two copies of the environment")
        if skipped is not None:
            _check_reference(env, problem, f"{kind} trace", skipped, range(1, problem.num_full_steps))
            num_traces += 1
    if problem.index < _MAX_WRITTEN:
        _check_demonstrations(env, problem, len(full))
        _check_solutions(env, problem, full)
    return num_traces


def _check_demonstrations(env: Env[Any], problem: Problem, num_lines: int) -> None:
    """Traces with detours, padded ones and that of a search must pass.

    Where backtracks are checked, a trace with one detour has one backtrack, and a padded one none. Elsewhere
    nothing takes a wrong line back, so a detour is judged without its wrong lines.
    """
    part = env.part_of(problem)
    rng = derive_random("check demonstrations", env.name, problem.split.value, problem.index)
    found = {f"{kind} detour": env.detour_trace(problem, [kind], rng) for kind in part.error_kinds}
    found["padded trace"] = env.padded_trace(problem, num_lines + 2, rng)
    found["search trace"] = env.search_trace(problem, rng)
    written = {what: one for what, one in found.items() if one is not None}
    for what, one in written.items():
        lines = one.lines
        if not part.checks_backtracks:
            lines = tuple(line for place, line in enumerate(lines) if place not in one.wrong)
        trace = judge(env, problem, lines, one.answer or problem.answer)
        if not trace.passed:
            standing = [step for step in trace.steps if not step.undone and step.verdict is Verdict.INVALID]
            why = _why_refused(trace, next(iter(standing), None))
            raise fail(env, problem, f"the {what} is refused: {why}")
        if not {*one.wrong} <= {*range(len(one.lines))}:
            wrong = sorted(one.wrong)
            raise fail(env, problem, f"the {what} marks lines {wrong} of {len(one.lines)} as wrong")
        if trace.steps_checked and part.checks_backtracks and what != "search trace":
            expected = 0 if what == "padded trace" else 1
            if trace.num_backtracks != expected:
                count = trace.num_backtracks
                raise fail(env, problem, f"the {what} has {count} backtracks, should have {expected}")


def check_mistakes(env: Env[Any], problem: Problem) -> None:
    """A mistaken trace has a wrong answer, and its first fault is the line that it marks as wrong.

    Raises:
        EnvContractError: One has not.
    """
    part, full = env.part_of(problem), written_solution(env, problem)
    kinds = part.mistake_kinds if full is not None and problem.index < _MAX_WRITTEN else ()
    for kind in kinds:
        assert full is not None
        rng = derive_random("check mistake", env.name, kind, problem.split.value, problem.index)
        one = env.mistaken_trace(problem, kind, rng)
        if one is None:
            continue
        what = f"the trace with the mistake '{kind}'"
        if one.answer is None or len(one.wrong) != 1:
            raise fail(env, problem, f"{what} must have an answer of its own and mark one line as wrong")
        (at,) = one.wrong
        if one.lines[:at] != tuple(full[:at]):
            raise fail(env, problem, f"{what} differs from the full trace before line {at}, which it marks")
        trace = judge(env, problem, one.lines, one.answer)
        if trace.status is not Status.COMPLETE or trace.grade is not Grade.WRONG:
            raise fail(env, problem, f"{what} has the answer {one.answer!r}, which is not wrong: {trace.grade}")
        if (found := first_fault(env, problem, trace)) != at:
            raise fail(env, problem, f"{what} marks line {at} as wrong, but the first fault is line {found}")


def _check_solutions(env: Env[Any], problem: Problem, full: Sequence[str]) -> None:
    """The full trace, left after some of its lines and finished by `solution_from`, must pass."""
    part = env.part_of(problem)
    if not part.checks_steps or part.defines("count_steps"):
        return
    for num_lines in sorted({0, len(full) // 2, len(full)}):
        rest = env.solution_from(problem, full[:num_lines])
        if rest is None:
            continue
        trace = judge(env, problem, [*full[:num_lines], *rest.lines], rest.answer or problem.answer)
        if not trace.passed:
            wrong = next((step for step in trace.steps if step.verdict is Verdict.INVALID), None)
            why = _why_refused(trace, wrong)
            raise fail(env, problem, f"the solution from line {num_lines} of the full trace is refused: {why}")


def skipped_trace(env: Env[Any], problem: Problem, kind: str) -> tuple[str, ...] | None:
    """The skipped trace that is checked, the same on every call."""
    rng = derive_random("check skip", env.name, kind, problem.split.value, problem.index)
    return env.skipped_trace(problem, kind, rng)


def _check_reference(
    env: Env[Any], problem: Problem, what: str, lines: Sequence[str], allowed: Sequence[int]
) -> None:
    part = env.part_of(problem)
    parsed = part.parse(part.demonstrate(lines, problem.answer))
    if part.defines("count_steps"):
        if parsed.status is not Status.COMPLETE:
            raise fail(env, problem, f"the {what} does not parse back into its steps and an answer")
        if (count := part.count_steps(lines)) != parsed.num_steps:
            raise fail(env, problem, f"the {what} has {parsed.num_steps} steps, but count_steps says {count}")
    elif (
        tuple(step.text for step in parsed.steps) != tuple(lines)
        or any(step.kind is not StepKind.FORWARD for step in parsed.steps)
        or parsed.answer != problem.answer
        or parsed.status is not Status.COMPLETE
    ):
        raise fail(env, problem, f"the {what} does not parse back into its lines and answer")
    if parsed.num_steps not in allowed:
        should = f"{allowed[0]}" if len(allowed) == 1 else f"fewer than {problem.num_full_steps}"
        raise fail(env, problem, f"the {what} has {parsed.num_steps} steps, should have {should}")
    trace = judge(env, problem, lines, problem.answer)
    if not trace.passed:
        wrong = next((step for step in trace.steps if step.verdict is Verdict.INVALID), None)
        raise fail(env, problem, f"the {what} is refused: {_why_refused(trace, wrong)}")


def _why_refused(trace: Trace, wrong: Step | None) -> str:
    if wrong is not None:
        return checked_step(wrong)
    return "it does not finish" if trace.finished is False else "its answer"


def _check_states(env: Env[Any], problem: Problem, lines: Sequence[str]) -> None:
    """Taking a step must not change the state it starts from."""
    state = env.start(problem)
    for line in lines:
        before = deepcopy(state)
        after = env.advance(state, line)
        if state != before:
            raise fail(env, problem, f"the step {line!r} changed the state it starts from")
        state = after


def check_remaining(env: Env[Any], problem: Problem) -> None:
    """Along a full trace `remaining` may be the fewest lines to the end.

    Raises:
        EnvContractError: It cannot be.
    """
    lines = written_solution(env, problem)
    if lines is None or not env.part_of(problem).checks_steps:
        return
    state, before = env.start(problem), None
    for place, line in enumerate(("", *lines)):
        state = env.advance(state, line) if place else state
        left = env.remaining(state)
        if left is not None:
            where = f"after line {place} of the full trace" if place else "at the start"
            if (left == 0) is not env.finished(state):
                ended = "finished" if env.finished(state) else "not finished"
                raise fail(env, problem, f"remaining is {left:g} {where}, where the trace is {ended}")
            if not 0 <= left <= len(lines) - place:
                raise fail(
                    env,
                    problem,
                    f"remaining is {left:g} {where}, from which {len(lines) - place} lines lead to the end",
                )
            if env.solvable(state) is not True:
                raise fail(
                    env, problem, f"remaining is {left:g} {where}, but solvable is {env.solvable(state)}"
                )
            if before is not None and left < before - 1:
                raise fail(
                    env,
                    problem,
                    f"remaining falls from {before:g} to {left:g} with line {place} of the full trace",
                )
        before = left


def solution(env: Env[Any], problem: Problem) -> tuple[str, ...]:
    """The full trace, or placeholder lines for a problem without a worked solution."""
    written = written_solution(env, problem)
    return ("A step.",) * problem.num_full_steps if written is None else written


def written_solution(env: Env[Any], problem: Problem) -> tuple[str, ...] | None:
    """The full trace, or None where the task has none or, as data may, none for this problem."""
    if not env.part_of(problem).has_solutions:
        return None
    try:
        return env.full_trace(problem)
    except NoSolutionError:
        return None
