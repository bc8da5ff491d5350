"""The contract of an environment, checked from outside.

In: an environment. Out: an `EnvReport` with figures, or an `EnvContractError` that names the environment, the
split, the index and what failed. `problems.py`, `references.py` and `refusals.py` check a topic each. A new
environment is ready when `check_env` passes; `stride check` runs it from the shell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import Any

from envs.base import Env
from envs.check.judge import EnvContractError
from envs.check.near_misses import max_merge
from envs.check.oracles import Oracle
from envs.check.problems import check_problems
from envs.check.references import check_mistakes, check_references, check_remaining, skipped_trace
from envs.check.refusals import check_hostile, check_near_misses


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
    problems = check_problems(env, num_problems)
    num_traces = sum(check_references(env, problem) for problem in problems)
    for kind in env.skip_kinds:
        if all(skipped_trace(env, problem, kind) is None for problem in problems):
            raise EnvContractError(
                f"{env.name}: skip kind '{kind}' applies to none of {len(problems)} problems"
            )
    num_near_misses = 0
    for problem, other in zip(problems, [*problems[1:], problems[0]], strict=True):
        num_near_misses += check_near_misses(env, problem, other, oracle)
        check_remaining(env, problem)
        check_mistakes(env, problem)
    for split in env.splits:
        check_hostile(env, env.problem(split, 0))
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
    if env.checks_steps and not env.defines("remaining"):
        found.append("remaining (how far each line leads)")
    if any(hasattr(part, "num_merged") for part in env.parts.values()):
        found.append("num_merged (Stride asks remaining instead)")
    if env.checks_steps and max_merge(env) is None:
        found.append("the setting max_merge (lines that do too much)")
    if env.checks_steps and any(part.defines("count_steps") for part in env.parts.values()):
        found.append("almost right steps (they are no lines, but found in text)")
    return tuple(found)


def _check_optional_traces(env: Env[Any]) -> None:
    """What a class declares and which optional methods it defines must agree."""
    for attribute, declared, method in (
        ("skip_kinds", bool(env.skip_kinds), "skipped_trace"),
        ("error_kinds", bool(env.error_kinds), "detour_trace"),
        ("mistake_kinds", bool(env.mistake_kinds), "mistaken_trace"),
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
    return isinstance(getattr(type(env), attribute), (property, cached_property))


def _measure(env: Env[Any], num_problems: int) -> float:
    """Problems per second, equally many from each split, at indexes not generated before."""
    start = perf_counter()
    for split in env.splits:
        for index in range(num_problems, 2 * num_problems):
            env.problem(split, index)
    return len(env.splits) * num_problems / (perf_counter() - start)
