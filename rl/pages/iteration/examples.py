"""Answers to requests for fewer steps, beside the full traces of the same problems.

In: a `LoopRecord`. Out: examples as data for the template: answers that were kept with every line verified,
answers that were kept though a line does not hold or is missing, and answers that were not kept. The
records hold neither prompts nor verdicts on single lines, so the task of the config makes the problems again
and checks the lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from configs import ConfigError, check_config
from envs import Env, GraderError, Problem, Split, Step
from envs.base import NoSolutionError
from envs.own import draw_problem
from rl.iterate.read import LoopRecord
from rl.iterate.record import AnswerRow
from rl.pages.iteration.followed import request_name
from rl.pages.run.examples import MAX_LINES, Line, step_line
from rl.parts import build_env
from rl.runs.record import StepRow


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One solution of a problem.

    Attributes:
        title: What it is.
        verdict: How it was judged, in a word or two; empty for the full trace.
        is_right: Whether its answer is right.
        about: Its steps.
        lines: The first lines.
        more: The remaining ones, which the page folds.
        stated: The answer that it states; None without one.
    """

    title: str
    verdict: str
    is_right: bool
    about: str
    lines: tuple[Line, ...]
    more: tuple[Line, ...]
    stated: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A problem, its full trace, and an answer to a request for fewer steps."""

    kind: str
    index: int
    prompt: str
    answer: str
    full_steps: int
    columns: tuple[Column, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """The examples that are shown: from the requests of one round, so many of each kind."""

    round: int
    counts: tuple[tuple[str, int], ...]
    shown: tuple[Example, ...]


def examples(loop: LoopRecord, each: int = 2) -> Examples | None:
    """Some answers to what was asked for the last round; None where nothing was, or the task is not there.

    Of every kind the requests for fewest steps come first, then the lowest problem numbers.

    Args:
        loop: The loop.
        each: How many of each kind, at most.
    """
    if not loop.asked:
        return None
    round_ = max(loop.asked)
    kinds = _kinds([row for row in loop.asked[round_] if row.real_skip])
    try:
        env = build_env(check_config(loop.run.config))
        shown = [
            _example(env, kind, row)
            for kind, rows in kinds.items()
            for row in sorted(rows, key=lambda row: (-(row.fewer or 0), row.index))[:each]
        ]
    except (ConfigError, NoSolutionError, GraderError):  # an environment of the user's that is elsewhere now
        return None
    counts = tuple((kind, len(rows)) for kind, rows in kinds.items())
    return Examples(round=round_, counts=counts, shown=tuple(shown))


def _kinds(rows: Sequence[AnswerRow]) -> dict[str, list[AnswerRow]]:
    follows = [row for row in rows if row.correct and row.consistent]
    return {
        "kept, every line holds": [row for row in rows if row.kept and row.verified is not False],
        "kept, not verified: a line is invalid or missing": [
            row for row in rows if row.kept and row.verified is False
        ],
        "not kept: right, but a line is invalid or missing": [row for row in follows if not row.kept],
        "not kept: right, but not with the steps asked for": [
            row for row in rows if row.correct and not row.consistent
        ],
        "not kept: wrong": [row for row in rows if not row.correct],
    }


def _example(env: Env[Any], kind: str, row: AnswerRow) -> Example:
    problem = draw_problem(env, Split.TRAIN, row.index)
    part = env.part_of(problem)
    full = part.check_demonstration(problem, part.full_trace(problem))
    fewer = request_name(row.fewer or 0)
    columns = (
        _column("full trace", "", True, f"{problem.num_full_steps} steps", full.steps, full.answer),
        _column(
            f"asked for {row.asked} steps ({fewer})",
            str(row.outcome),
            row.correct,
            f"{row.steps} of {row.full_steps} steps",
            _checked(part, problem, row),
            row.stated,
        ),
    )
    return Example(
        kind=kind,
        index=row.index,
        prompt=part.with_budget(problem, row.asked).prompt,
        answer=problem.answer,
        full_steps=problem.num_full_steps,
        columns=columns,
    )


def _checked(env: Env[Any], problem: Problem, row: AnswerRow) -> tuple[Step, ...]:
    """The lines of an answer with their verdicts; without where reading it again gives another result."""
    trace = env.parse(row.text)
    found = env.check(problem, trace)
    same = found.num_steps == row.steps and bool(found.correct) == row.correct
    return found.steps if same else trace.steps


def _column(
    title: str, verdict: str, is_right: bool, about: str, steps: Sequence[Step], stated: str | None
) -> Column:
    lines = [step_line(StepRow.of(one, None)) for one in steps]
    return Column(
        title=title,
        verdict=verdict,
        is_right=is_right,
        about=about,
        lines=tuple(lines[:MAX_LINES]),
        more=tuple(lines[MAX_LINES:]),
        stated=stated,
    )
