"""Skipped versions of worked solutions, as a start for a person who edits them.

In: a task that checks steps, a problem and the lines of its full trace. Out: shorter versions, each of which
the task verifies. Two moves make them:

- a line whose result the next line uses is merged into it: ``48 / 2 = 24`` and ``48 + 24 = 72`` become
  ``48 + 48 / 2 = 72``;
- a line is dropped that states again what an earlier one has stated.

What the words of a merged line said is lost, which is why a person should read the result.

Source: manual skipping in "Can Language Models Learn to Skip Steps?" (arXiv 2411.01855), which merges
adjacent steps and drops steps by hand.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from envs.base import Env, checked_step
from envs.problem import Problem
from envs.trace import Step, StepKind, Trace, Verdict

_NUMBER = re.compile(r"(?<![0-9.,])[0-9]{1,20}(?:,[0-9]{3})*+(?:\.[0-9]{1,20})?+(?![0-9])")
_UNIT = re.compile(r" ?[A-Za-z]++(?: [A-Za-z]{2,}+)*+(?= )")
_SUM = re.compile(r"[-+−–]")
_TIMES = re.compile(r"[*/×·÷x^%]|\\times|\\cdot|\\div")
_MAX_LINES = 40
_MAX_SHOWN = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """The skipped versions of one solution.

    Attributes:
        versions: Each with its lines; the one that skips least comes first.
        num_steps: Steps of the full trace, then of each version.
        note: What was done in the last version, or why there is none.
    """

    versions: tuple[tuple[str, ...], ...]
    num_steps: tuple[int, ...]
    note: str


def propose(env: Env[Any], problem: Problem, lines: Sequence[str]) -> Proposal:
    """Propose skipped versions of a full trace.

    Args:
        env: A task that checks steps and takes text around them.
        problem: The problem.
        lines: The full trace.

    Returns:
        At most two versions: one with a single move, and one with as many as the task verifies.
    """
    full = tuple(lines)
    trace = env.check_demonstration(problem, full)
    if not _holds(trace):
        return Proposal(versions=(), num_steps=(trace.num_steps,), note=f"not verified: {_why_not(trace)}")
    if len(full) > _MAX_LINES:
        return Proposal(versions=(), num_steps=(trace.num_steps,), note=f"over {_MAX_LINES} lines")
    notes: list[str] = []
    shorter: list[tuple[tuple[str, ...], int]] = []
    lines, at = full, 0
    while at < len(lines):
        move = _move(env, problem, lines, at)
        if move is None:
            at += 1
            continue
        lines = move.lines
        at = at + 1 if move.is_merge else max(0, at - 1)  # a merged line is not merged again
        notes.append(move.note)
        if move.num_steps < trace.num_steps:
            shorter.append((lines, move.num_steps))
    if not shorter:
        return Proposal(versions=(), num_steps=(trace.num_steps,), note="no step can be left out")
    chosen = [shorter[0], shorter[-1]] if shorter[-1][1] < shorter[0][1] else [shorter[-1]]
    return Proposal(
        versions=tuple(version for version, _ in chosen),
        num_steps=(trace.num_steps, *(count for _, count in chosen)),
        note="; ".join(notes),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Move:
    lines: tuple[str, ...]
    is_merge: bool
    note: str
    num_steps: int


def _move(env: Env[Any], problem: Problem, lines: tuple[str, ...], at: int) -> _Move | None:
    """The first move at a line that the task verifies."""
    if _restates(env, lines, at):
        note = f"dropped {_shown(lines[at])}, which is stated before"
        if move := _verified(env, problem, (*lines[:at], *lines[at + 1 :]), note=note, is_merge=False):
            return move
    merged = _merge(env, lines[at], lines[at + 1]) if at + 1 < len(lines) else None
    if merged is None:
        return None
    line, note = merged
    return _verified(env, problem, (*lines[:at], line, *lines[at + 2 :]), note=note, is_merge=True)


def _verified(
    env: Env[Any], problem: Problem, lines: tuple[str, ...], *, note: str, is_merge: bool
) -> _Move | None:
    trace = env.check_demonstration(problem, lines)
    if not _holds(trace):
        return None
    return _Move(lines=lines, is_merge=is_merge, note=note, num_steps=trace.num_steps)


def _restates(env: Env[Any], lines: Sequence[str], at: int) -> bool:
    """Whether a line says nothing but what earlier lines have computed."""
    before = [step.text for line in lines[:at] for step in _steps(env, line)]
    if not before:
        return False
    steps = [step.text for step in _steps(env, lines[at])]
    if steps:
        seen = {_squeezed(text) for text in before}
        return all(_squeezed(text) in seen for text in steps)
    results = {value for text in before if (value := _value(_result(text))) is not None}
    numbers = {_value(match[0]) for match in _NUMBER.finditer(lines[at])}
    return bool(numbers) and numbers <= results


def _merge(env: Env[Any], first: str, second: str) -> tuple[str, str] | None:
    """The second line with the computation of the first in place of its result, and a note."""
    steps, later = _steps(env, first), _steps(env, second)
    if len(steps) != 1 or not later:
        return None
    computed, equals, _ = steps[0].text.partition("=")
    computed = computed.strip()
    result = _result(steps[0].text)
    if not equals or not computed or (value := _value(result)) is None:
        return None
    start, end = later[0].span
    side = second[start:end].partition("=")[0]
    places = [match for match in _NUMBER.finditer(side) if _value(match[0]) == value]
    if len(places) != 1:
        return None
    before, after = side[: places[0].start()], _without_unit(side[places[0].end() :], computed)
    if before.endswith("$") and ("$" in computed or "%" in computed):
        before = before[:-1]
    text = f"({computed})" if _needs_brackets(computed, before, after) else computed
    merged = f"{second[:start]}{before}{text}{after}{second[start + len(side) :]}"
    return merged, f"merged {_shown(steps[0].text)} into {_shown(later[0].text)}"


def _without_unit(after: str, computed: str) -> str:
    """What follows a result, without a unit that its computation has: ``5 cm * 2`` before ``cm + 1``."""
    unit = _UNIT.match(after)
    return after[unit.end() :] if unit and unit[0].strip() in computed else after


def _needs_brackets(computed: str, before: str, after: str) -> bool:
    """Whether a computation must be bracketed between what stands before and after its result."""
    left, right = before.rstrip(" $("), after.lstrip(" )%")
    is_sum = bool(_SUM.search(computed))
    if left and _TIMES.search(left[-1]):
        return is_sum or left[-1] in "/÷"
    if right and _TIMES.match(right):
        return is_sum
    return bool(left) and left[-1] in "-−–" and is_sum


def _steps(env: Env[Any], line: str) -> list[Step]:
    return [step for step in env.read_steps(line) if step.kind is StepKind.FORWARD]


def _holds(trace: Trace) -> bool:
    return trace.verified and trace.num_steps > 0


def _why_not(trace: Trace) -> str:
    wrong = next((step for step in trace.steps if step.verdict is Verdict.INVALID), None)
    if wrong is not None:
        return checked_step(wrong)
    return "the steps do not reach the answer" if trace.correct else f"the answer is {trace.grade}"


def _result(equation: str) -> str:
    """The number that an equation states."""
    numbers = _NUMBER.findall(equation.rpartition("=")[2])
    return numbers[0] if len(numbers) == 1 else ""


def _value(number: str) -> Fraction | None:
    return Fraction(number.replace(",", "")) if number else None


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _shown(text: str) -> str:
    short = " ".join(text.split())
    return f"'{short[:_MAX_SHOWN]}…'" if len(short) > _MAX_SHOWN else f"'{short}'"
