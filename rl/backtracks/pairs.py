"""Beginnings of traces that differ in one place: a wrong turn, or the right line.

In: the problems of a task that writes detours. Out: pairs of beginnings, and from the groups that continue them
how often a backtrack comes next and the answer passes, by kind of wrong turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from envs import Env, Problem, Split, StepKind
from envs.seeding import derive_random
from envs.trace import BACKTRACK

if TYPE_CHECKING:
    from rollout.types import RolloutGroup

Counts = list[tuple[int, int]]
"""Of each problem the continuations that count, and all of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two beginnings of a trace of one problem, equal up to the wrong turn.

    Attributes:
        kind: The kind of wrong turn, one of the task's `error_kinds`.
        problem: The problem.
        wrong: Lines up to the end of the wrong turn, where a demonstration goes back.
        right: The same with the right line in the place of the wrong turn.

    Example: ("west. right, around", "north") and ("west. right, around", "north. around").
    """

    kind: str
    problem: Problem
    wrong: tuple[str, ...]
    right: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class KindRow:
    """What a model does after one kind of wrong turn, and after the right lines in their places.

    Attributes:
        kind: One of the task's `error_kinds`.
        back_after_wrong: Continuations that begin with a backtrack after the wrong turn.
        back_after_right: The same after the right line.
        passed_after_wrong: Continuations whose answer passes in the end, after the wrong turn.
        passed_after_right: The same after the right line.
    """

    kind: str
    back_after_wrong: Counts
    back_after_right: Counts
    passed_after_wrong: Counts
    passed_after_right: Counts


def wrong_turn_pairs(env: Env[Any], split: Split, num_problems: int, seed: int) -> Iterator[Pair]:
    """The pairs of the first problems of a split: one for each kind of wrong turn a problem has room for.

    Kinds whose first line is right (`again`) have none, nor have tasks that do not check backtracks.

    Args:
        env: The task.
        split: The split.
        num_problems: How many problems.
        seed: Draws the places and the wrong turns.
    """
    for index in range(num_problems):
        problem = env.problem(split, index)
        part = env.part_of(problem)
        for kind in part.error_kinds if part.checks_steps and part.checks_backtracks else ():
            detour = env.detour_trace(problem, [kind], derive_random(seed, "backtracks", kind, index))
            if detour is None or not detour.wrong:
                continue
            lines = detour.lines
            back = next(place for place, line in enumerate(lines) if line.startswith(BACKTRACK))
            right = (*lines[: min(detour.wrong)], lines[back + 1])  # what follows the backtrack
            yield Pair(kind=kind, problem=problem, wrong=lines[:back], right=right)


def count_by_kind(pairs: Sequence[Pair], groups: Sequence[RolloutGroup]) -> list[KindRow]:
    """A row for each kind, in the order in which kinds first occur.

    A pair counts only if both of its beginnings have a continuation that was graded.

    Args:
        pairs: The pairs.
        groups: For each pair the continuations of its wrong beginning, then those of its right one.
    """
    rows = {
        kind: KindRow(
            kind=kind, back_after_wrong=[], back_after_right=[], passed_after_wrong=[], passed_after_right=[]
        )
        for kind in dict.fromkeys(pair.kind for pair in pairs)
    }
    for pair, after_wrong, after_right in zip(pairs, groups[::2], groups[1::2], strict=True):
        if not (after_wrong.samples and after_right.samples):
            continue
        row = rows[pair.kind]
        for group, lines, back, passed in (
            (after_wrong, pair.wrong, row.back_after_wrong, row.passed_after_wrong),
            (after_right, pair.right, row.back_after_right, row.passed_after_right),
        ):
            traces = [sample.trace for sample in group.samples]
            following = [trace.steps[len(lines)] for trace in traces if len(trace.steps) > len(lines)]
            back.append((sum(step.kind is StepKind.BACKTRACK for step in following), len(traces)))
            passed.append((sum(trace.passed for trace in traces), len(traces)))
    return list(rows.values())
