"""The figures of a round from its answers, as the paper's evaluation defines them.

In: `AnswerRow`s. Out: `Following`, `Solved` and `Asked`. Source: "Can Language Models Learn to Skip Steps?"
(arXiv 2411.01855), the released `general_evaluate.py`: a step is a line before the answer line; *step
consistency* is the share of answers with exactly the steps asked for; *real skips* are requests below the full
count. What a line is worth is ours, since the released evaluation reads none. Answers on which a grader failed
are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from rl.iterate.record import AnswerRow, Asked, Following, Solved


def following(rows: Iterable[AnswerRow]) -> Following:
    """How one request is followed: the answers of the conditioned model to it."""
    every = _graded(rows)
    consistent = [row for row in every if row.consistent]
    real = [row for row in every if row.real_skip]
    consistent_real = [row for row in real if row.consistent]
    return Following(
        num=len(every),
        consistency=_share(row.consistent for row in every),
        accuracy=_share(row.correct for row in every),
        accuracy_consistent=_share(row.correct for row in consistent),
        joint=_share(row.consistent and row.correct for row in every),
        num_real=len(real),
        consistency_real=_share(row.consistent for row in real),
        accuracy_real=_share(row.correct for row in real),
        accuracy_consistent_real=_share(row.correct for row in consistent_real),
        joint_real=_share(row.consistent and row.correct for row in real),
        verified_real=_share(row.consistent and row.verified for row in real if row.verified is not None),
        steps=_mean(row.steps for row in every),
        asked=_mean(row.asked for row in every if row.asked is not None),
    )


def solved(rows: Iterable[AnswerRow]) -> Solved:
    """How the standard model does on one cell: its answers there."""
    every = _graded(rows)
    correct = [row for row in every if row.correct]
    fewer = [row for row in every if row.steps < row.full_steps]
    equal = [row for row in every if row.steps == row.full_steps]
    more = [row for row in every if row.steps > row.full_steps]
    return Solved(
        num=len(every),
        accuracy=_share(row.correct for row in every),
        steps=_mean(row.steps for row in every),
        steps_correct=_mean(row.steps for row in correct),
        full_steps=_mean(row.full_steps for row in every),
        full_steps_correct=_mean(row.full_steps for row in correct),
        fewer=_share(row.steps < row.full_steps for row in every),
        equal=_share(row.steps == row.full_steps for row in every),
        more=_share(row.steps > row.full_steps for row in every),
        fewer_accuracy=_share(row.correct for row in fewer),
        equal_accuracy=_share(row.correct for row in equal),
        more_accuracy=_share(row.correct for row in more),
        unverified_correct=_share(not row.verified for row in correct if row.verified is not None),
        unverified_fewer=_share(not row.verified for row in fewer if row.correct and row.verified is not None),
        invalid_correct=_mean(row.invalid for row in correct if row.invalid is not None),
        tokens=_mean(row.tokens for row in every),
    )


def asked(rows: Sequence[AnswerRow]) -> Asked:
    """What the requests on train have brought."""
    real = [row for row in _graded(rows) if row.real_skip]
    kept = [row for row in rows if row.kept]
    checked = [row.verified for row in kept if row.verified is not None]
    counted = bool(kept) and not checked
    return Asked(
        num=len(rows),
        num_real=sum(row.real_skip for row in rows),
        consistent=sum(row.consistent for row in real),
        correct=sum(row.correct for row in real),
        kept=len(kept),
        kept_verified=None if counted else sum(checked),
        problems=len({row.index for row in kept}),
    )


def _graded(rows: Iterable[AnswerRow]) -> list[AnswerRow]:
    return [row for row in rows if row.outcome is not None]


def _share(found: Iterable[bool | None]) -> float | None:
    return _mean(bool(one) for one in found)


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return fmean(numbers) if numbers else None
