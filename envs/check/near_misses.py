"""Near misses: almost right answers and traces, derived from an environment's own.

In: an environment, a problem and its full trace. Out: answers and traces that must not be verified, for
`contract.py`: an answer with one character changed or in another spelling; a step with one character changed, a
step written twice, more steps in one line than allowed, the steps of another problem. `HOSTILE` holds texts
that are neither an answer nor a step of any task. This module knows no particular task.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from envs.base import Env
from envs.check.references import written_solution
from envs.grading import Grade
from envs.problem import Problem
from envs.seeding import derive_random

MAX_ALPHABET = 40  # characters tried in each place of an answer or step
MAX_EDITS = 30  # edits checked for each answer or trace

_FOREIGN = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")

HOSTILE = (
    "\x00",
    "\ud800",
    "-",
    "+1_0",
    "1" * 1999,
    "1" * 5000,
    "٣٤٥",
    "²",
    "nan",
    "1e999",
    "( " * 5000,
    "(" * 1999,
    "-" * 1999,
    "**" * 900,
    ", " * 900,
    "1. " * 600,
    "__import__('os')",
    "<backtrack> 9999",
    "<backtrack> 99999999999999999999",
    "<backtrack>",
    "Thus, the answer is",
    "Answer:",
)


def wrong_answers(env: Env[Any], problem: Problem, other: Problem) -> Iterator[tuple[str, str]]:
    """Generate wrong answers for one problem; they are the same on every call.

    Args:
        env: The environment.
        problem: The problem for which the answers are almost right.
        other: Another problem; the characters of its answer are used in the edits.

    Yields:
        A description of the fault, and the answer.
    """
    answer = problem.answer
    rng = derive_random("check answers", env.name, problem.split.value, problem.index)
    edits = list(_edits(answer, answer + other.answer))
    for edited in rng.sample(edits, min(len(edits), MAX_EDITS)):
        yield "an edited answer", edited
    if answer.isdigit():  # spellings that int() would read as the same number
        for spelling in (f"+{answer}", f" {answer}", f"0{answer}", f"0_{answer}", answer.translate(_FOREIGN)):
            yield "a number in another spelling", spelling


def wrong_traces(
    env: Env[Any], problem: Problem, other: Problem, lines: list[str]
) -> Iterator[tuple[str, list[str]]]:
    """Generate wrong traces that end in the right answer of one problem; they are the same on every call.

    Args:
        env: An environment that checks steps.
        problem: The problem for which the traces are almost right.
        other: Another problem; its steps make one of the wrong traces.
        lines: The problem's full trace.

    Yields:
        A description of the fault, and the lines of the trace.
    """
    rng = derive_random("check traces", env.name, problem.split.value, problem.index)
    alphabet = "".join(lines)
    changes = [(i, edited) for i, line in enumerate(lines) for edited in _edits(line, alphabet)]
    for i, edited in rng.sample(changes, min(len(changes), MAX_EDITS)):
        yield "a trace with one character of a step changed", [*lines[:i], edited, *lines[i + 1 :]]

    for i, line in enumerate(lines):
        yield "a trace with a step written twice", [*lines[:i], line, *lines[i:]]
    gap = max_merge(env.part_of(problem))
    if gap is not None:
        for i in range(len(lines) - gap):
            dropped = [*lines[:i], *lines[i + gap :]]
            yield f"a trace with {gap + 1} steps in one line (at most {gap} may be)", dropped
    yield from steps_of_another(env, problem, other)


def steps_of_another(env: Env[Any], problem: Problem, other: Problem) -> Iterator[tuple[str, list[str]]]:
    """The steps of another problem, which lead to its answer: if that is wrong here, so is one of them."""
    written = written_solution(env, other)
    if written is not None and env.grade_answer(problem, other.answer) is not Grade.CORRECT:
        yield "a trace with the steps of another problem", list(written)


def max_merge(env: Env[Any]) -> int | None:
    """The largest number of elementary steps that one line may do; None where the settings do not say."""
    given = getattr(env.settings, "max_merge", None)
    return given if isinstance(given, int) else None


def _edits(text: str, alphabet: str) -> Iterator[str]:
    """Every text with one character left out, doubled or replaced; a change of case alone does not count."""
    characters = sorted(set(alphabet))[:MAX_ALPHABET]
    seen = {text}
    for i, old in enumerate(text):
        for new in ("", old * 2, *characters):
            edited = text[:i] + new + text[i + 1 :]
            if edited not in seen and edited.strip() and edited.casefold() != text.casefold():
                seen.add(edited)
                yield edited
