"""The contract of an environment, checked from outside.

In: an environment. Out: an `EnvReport` with figures, or an `EnvContractError` that names the environment, the
split, the index and what failed. `near_misses.py` derives almost right answers and traces from the
environment's own. A new environment is ready when `check_env` passes; `stride check` runs it from the shell.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from inspect import signature
from time import perf_counter
from typing import Any

from envs.base import Env, checked_step
from envs.check.judge import EnvContractError, fail, judge
from envs.check.near_misses import HOSTILE, max_merge, wrong_answers, wrong_traces
from envs.check.oracles import ORACLES, Oracle
from envs.generated import GeneratedEnv
from envs.problem import Problem, Split
from envs.seeding import derive_random
from envs.trace import Status, Step, StepKind, Trace, Verdict

_MAX_WRITTEN = 10  # problems of a split whose other demonstrations are checked; some take a search


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvReport:
    """What was checked, and the throughput of problem generation.

    Example::

        EnvReport(name="addition", num_problems=800, num_traces=3185, num_near_misses=51944,
                  mean_full_steps=4.38, problems_per_s=66802.0)

    Attributes:
        name: The environment.
        num_problems: Problems generated, over all splits.
        num_traces: Reference traces that were accepted, full and skipped.
        num_near_misses: Wrong answers and traces that were refused.
        mean_full_steps: Mean number of steps in the full traces.
        problems_per_s: Problems generated per second by one process, with equally many from each split.
        not_checked: What the environment does not define, and so could not be checked.
    """

    name: str
    num_problems: int
    num_traces: int
    num_near_misses: int
    mean_full_steps: float
    problems_per_s: float
    not_checked: tuple[str, ...] = ()


def check_env(
    env: Env[Any],
    *,
    num_problems: int = 200,
    min_problems_per_s: float | None = None,
    oracle: Oracle | None = None,
) -> EnvReport:
    """Check the contract on the first problems of every split.

    Args:
        env: The environment.
        num_problems: Problems per split; a split with fewer is checked completely.
        min_problems_per_s: Fail below this throughput. None, the default, only reports it: timings are noisy.
        oracle: Judge of accepted near misses, for tasks where an edited answer or step can be right by chance
            (another shortest path, ``3 * 1`` for ``3 / 1``). It must not use the environment's grader. The
            default is the environment's entry in `ORACLES`; without one, no accepted near miss is excused.

    Raises:
        EnvContractError: The first check that fails.
    """
    for part in env.parts.values():
        _check_optional_traces(part)
    problems = _check_problems(env, num_problems)
    num_traces = sum(_check_references(env, problem) for problem in problems)
    for kind in env.skip_kinds:
        if all(_skipped(env, problem, kind) is None for problem in problems):
            raise EnvContractError(
                f"{env.name}: skip kind '{kind}' applies to none of {len(problems)} problems"
            )
    num_near_misses = 0
    for problem, other in zip(problems, [*problems[1:], problems[0]], strict=True):
        num_near_misses += _check_near_misses(env, problem, other, oracle)
    for split in env.splits:
        _check_hostile(env, env.problem(split, 0))
    problems_per_s = _measure(env, num_problems)
    if min_problems_per_s is not None and problems_per_s < min_problems_per_s:
        raise EnvContractError(
            f"{env.name}: {problems_per_s:.0f} problems/s, should be at least {min_problems_per_s:.0f}"
        )
    return EnvReport(
        name=env.name,
        num_problems=len(problems),
        num_traces=num_traces,
        num_near_misses=num_near_misses,
        mean_full_steps=sum(problem.num_full_steps for problem in problems) / len(problems),
        problems_per_s=problems_per_s,
        not_checked=_not_checked(env),
    )


def _not_checked(env: Env[Any]) -> tuple[str, ...]:
    """The optional parts of the contract that this environment leaves out."""
    found = [] if env.has_solutions else ["full_trace (no warm start)"]
    found += [] if env.checks_steps else ["steps (checks_steps is False)"]
    found += [] if env.skip_kinds else ["skipped_trace"]
    found += [name for name in ("detour_trace", "padded_trace", "search_trace") if not env.defines(name)]
    if env.checks_steps and max_merge(env) is None:
        found.append("the setting max_merge (lines that do too much)")
    return tuple(found)


def _check_optional_traces(env: Env[Any]) -> None:
    """What a class declares and which optional methods it defines must agree."""
    for attribute, declared, method in (
        ("skip_kinds", bool(env.skip_kinds), "skipped_trace"),
        ("error_kinds", bool(env.error_kinds), "detour_trace"),
        ("has_solutions", env.has_solutions, "full_trace"),
    ):
        defined = env.defines(method)
        value = getattr(env, attribute)
        if declared and not defined:
            raise EnvContractError(f"{env.name}: {attribute} is {value!r}, but {method} is not defined")
        if defined and not declared and not _is_by_data(env, attribute):
            raise EnvContractError(f"{env.name}: {method} is defined, but {attribute} is {value!r}")


def _is_by_data(env: Env[Any], attribute: str) -> bool:
    """Whether the class leaves an attribute to its instances, whose data decides."""
    return isinstance(getattr(type(env), attribute), property)


# ---- problems ----


def _check_problems(env: Env[Any], num_problems: int) -> list[Problem]:
    """Generate the problems twice, in both orders, and check each on its own and against the others."""
    addresses = [
        (split, index)
        for split in env.splits
        for index in range(min(num_problems, env.num_problems(split) or num_problems))
    ]
    one, two = (type(env)(env.settings) for _ in range(2))
    problems = [one.problem(split, index) for split, index in addresses]
    again = [two.problem(split, index) for split, index in reversed(addresses)][::-1]
    seen: dict[str, Split] = {}
    for problem, same, (split, index) in zip(problems, again, addresses, strict=True):
        if (problem.env, problem.split, problem.index) != (env.name, split, index):
            raise EnvContractError(
                f"{env.name} {split} {index}: "
                f"the problem's address is {problem.env} {problem.split} {problem.index}"
            )
        if problem != same:
            raise fail(env, problem, "two copies of the environment disagree, or the order of access matters")
        if seen.setdefault(problem.question, split) is not split:
            raise fail(env, problem, f"the question is also in {seen[problem.question]}: {problem.question!r}")
        if isinstance(env, GeneratedEnv) and env.bucket(problem) not in env.settings.buckets(split):
            raise fail(env, problem, f"bucket '{env.bucket(problem)}' is not in this split")
        _check_prompts(env, problem)
        if judge(env, problem, (), problem.answer).correct is not True:
            raise fail(env, problem, f"the gold answer {problem.answer!r} is refused")
    return problems


def _check_prompts(env: Env[Any], problem: Problem) -> None:
    """The step request must be one piece inserted into the plain prompt, and must contain the number."""
    if problem.budget is not None:
        raise fail(env, problem, f"budget is {problem.budget}, but none was requested")
    if not problem.prompt.endswith("Answer:\n"):
        raise fail(env, problem, "the prompt does not end with 'Answer:\\n'")
    asked = env.with_budget(problem, 37)
    takes_budget = "budget" in signature(env.problem).parameters
    same = asked if not takes_budget else env.problem(problem.split, problem.index, budget=37)
    if asked != same or env.with_budget(asked, None) != problem:
        raise fail(env, problem, "the problem is not the same with and without a budget")
    plain, prompt = problem.prompt, asked.prompt
    before = next((i for i, (a, b) in enumerate(zip(plain, prompt, strict=False)) if a != b), len(plain))
    request = prompt[before : before + len(prompt) - len(plain)]
    if "37" not in request or plain != prompt[:before] + prompt[before + len(request) :]:
        raise fail(env, problem, "the prompts with and without a budget differ by more than the request")


# ---- reference traces ----


def _check_references(env: Env[Any], problem: Problem) -> int:
    part = env.part_of(problem)
    if part.checks_steps and not part.has_solutions:
        return 0
    full = solution(env, problem)
    _check_reference(env, problem, "full trace", full, [problem.num_full_steps])
    _check_states(env, problem, full)
    num_traces = 1
    for kind in part.skip_kinds:
        skipped = _skipped(env, problem, kind)
        if skipped != _skipped(type(env)(env.settings), problem, kind):
            raise fail(env, problem, f"the {kind} trace differs between two copies of the environment")
        if skipped is not None:
            _check_reference(env, problem, f"{kind} trace", skipped, range(1, problem.num_full_steps))
            num_traces += 1
    if problem.index < _MAX_WRITTEN:
        _check_demonstrations(env, problem, len(full))
    return num_traces


def _check_demonstrations(env: Env[Any], problem: Problem, num_lines: int) -> None:
    """Traces with detours, padded ones and that of a search must pass.

    Where steps are checked, a trace with one detour has one backtrack, and a padded one none and its length.
    """
    part = env.part_of(problem)
    rng = derive_random("check demonstrations", env.name, problem.split.value, problem.index)
    found = {f"{kind} detour": env.detour_trace(problem, [kind], rng) for kind in part.error_kinds}
    found["padded trace"] = env.padded_trace(problem, num_lines + 2, rng)
    found["search trace"] = env.search_trace(problem, rng)
    written = {what: one for what, one in found.items() if one is not None}
    for what, one in written.items():
        trace = judge(env, problem, one.lines, one.answer or problem.answer)
        if not trace.passed:
            standing = [step for step in trace.steps if not step.undone and step.verdict is Verdict.INVALID]
            why = _why_refused(trace, next(iter(standing), None))
            raise fail(env, problem, f"the {what} is refused: {why}")
        if not {*one.wrong} <= {*range(len(one.lines))}:
            wrong = sorted(one.wrong)
            raise fail(env, problem, f"the {what} marks lines {wrong} of {len(one.lines)} as wrong")
        if trace.steps_checked and what != "search trace":
            expected = 0 if what == "padded trace" else 1
            if trace.num_backtracks != expected:
                count = trace.num_backtracks
                raise fail(env, problem, f"the {what} has {count} backtracks, should have {expected}")


def _skipped(env: Env[Any], problem: Problem, kind: str) -> tuple[str, ...] | None:
    rng = derive_random("check skip", env.name, kind, problem.split.value, problem.index)
    return env.skipped_trace(problem, kind, rng)


def _check_reference(
    env: Env[Any], problem: Problem, what: str, lines: Sequence[str], allowed: Sequence[int]
) -> None:
    part = env.part_of(problem)
    parsed = part.parse(part.demonstrate(lines, problem.answer))
    if (
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


def solution(env: Env[Any], problem: Problem) -> tuple[str, ...]:
    """The full trace, or placeholder lines for a task without worked solutions."""
    return (
        env.full_trace(problem) if env.part_of(problem).has_solutions else ("A step.",) * problem.num_full_steps
    )


# ---- near misses ----


def _check_near_misses(env: Env[Any], problem: Problem, other: Problem, oracle: Oracle | None) -> int:
    lines, answer, part = list(solution(env, problem)), problem.answer, env.part_of(problem)
    oracle = oracle or ORACLES.get(part.name)
    num_misses = 0

    def check(what: str, missed: list[str], stated: str, shown: str) -> None:
        nonlocal num_misses
        trace = judge(env, problem, missed, stated)
        accepted = trace.passed if part.has_solutions else trace.correct
        if not accepted:
            num_misses += 1
        elif oracle is None or not oracle(problem, trace):
            raise fail(env, problem, f"{what} is accepted: {shown!r}")

    for what, stated in wrong_answers(env, problem, other):
        check(what, lines, stated, stated)
    if not part.checks_steps or not part.has_solutions:
        return num_misses
    for what, missed in wrong_traces(env, problem, other, lines):
        check(what, missed, answer, "\n".join(missed))
    for num_kept in range(len(lines)):
        if judge(env, problem, lines[:num_kept], answer).passed:
            raise fail(env, problem, f"the first {num_kept} of {len(lines)} steps pass as a full solution")
    return num_misses


def _check_hostile(env: Env[Any], problem: Problem) -> None:
    """None of the hostile texts may make the check raise, or pass as a step or an answer."""
    lines = solution(env, problem)
    for text in HOSTILE:
        if judge(env, problem, lines, text).correct:
            raise fail(env, problem, f"the answer {text[:40]!r} is accepted")
        for i in range(len(lines) + 1):
            trace = judge(env, problem, [*lines[:i], text], problem.answer)
            step = trace.steps[-1] if trace.steps and trace.steps_checked else None
            if step is not None and step.kind is StepKind.FORWARD and step.verdict is not Verdict.INVALID:
                raise fail(env, problem, f"the step {text[:40]!r} is accepted")


# ---- throughput ----


def _measure(env: Env[Any], num_problems: int) -> float:
    """Problems per second, equally many from each split, at indexes not generated before."""
    start = perf_counter()
    for split in env.splits:
        for index in range(num_problems, 2 * num_problems):
            env.problem(split, index)
    return len(env.splits) * num_problems / (perf_counter() - start)
