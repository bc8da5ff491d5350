"""Step importance of one policy, problem by problem.

::

    problem --samples--> accuracy --in the band--> one trace --boundaries--> continuations --> a row

In: a pool that holds the policy. Out: a `ProblemRow` for each problem as soon as it is done; problems that are
done already are left out, and the others come out as they would have. All continuations of a trace are one
engine call, with one group for each boundary. Continuation n from every boundary has the same random numbers at
the same places of the text, so a line that the policy writes anyway changes no answer by chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from envs import Env, GraderError, Problem, Split, Trace
from envs.own import draw_problem
from envs.seeding import derive_seed
from rl.importance.lines import read_lines, step_key
from rl.importance.measure import Answer, chance_divergence, divergence
from rl.importance.record import BoundaryRow, Counterfactual, LineRow, ProblemRow
from rollout.encoder import Encoder
from rollout.pools.base import RolloutPool
from rollout.step_boundaries import StepBoundary, step_boundaries
from rollout.types import Batch, GroupRequest, RolloutGroup, Sample, Sampling
from rollout.ungraded_limit import UngradedLimit

_LEAST_OTHERS = 4
"""Continuations with another step that a counterfactual needs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to analyse.

    Attributes:
        split: Split of the problems.
        num_problems: Traces to analyse, one of a problem.
        num_candidates: Problems to look for them in, the first ones of the split.
        num_samples: Samples of each, for its accuracy.
        accuracy: The band that the accuracy must be in, ends included.
        num_continuations: Continuations from each boundary.
        problems_per_batch: Problems whose samples are one engine call.
        seed: Seed of all draws.
    """

    split: Split
    num_problems: int
    num_candidates: int
    num_samples: int
    accuracy: tuple[float, float]
    num_continuations: int
    problems_per_batch: int
    seed: int


class Analysis:
    """One analysis; what it asks of the pool follows from its plan alone."""

    def __init__(
        self,
        pool: RolloutPool,
        env: Env[Any],
        encoder: Encoder,
        plan: Plan,
        sampling: Sampling,
        *,
        max_ungraded: int,
        fits: Callable[[Problem], bool] = lambda problem: True,
    ) -> None:
        """Set up.

        Args:
            pool: Samples, with the weights of the policy.
            env: Makes and judges the problems.
            encoder: The policy's.
            plan: What to analyse.
            sampling: How samples and continuations are drawn.
            max_ungraded: Completions that may be left out because a grader failed.
            fits: Whether the prompt of a problem is within the limit.
        """
        self._pool = pool
        self._env = env
        self._encoder = encoder
        self._plan = plan
        self._sampling = sampling
        self._ungraded = UngradedLimit(max_ungraded)
        self._fits = fits

    def run(self, done: Collection[ProblemRow], on_row: Callable[[ProblemRow], None]) -> None:
        """Analyse until there are enough traces or no more problems.

        Args:
            done: Rows of earlier calls with this plan; their problems are not analysed again.
            on_row: Called with each new row, in any order.

        Raises:
            GraderError: Graders failed on more completions than allowed.
        """
        plan = self._plan
        old = {row.index: row for row in done}
        left = plan.num_problems
        for indices in self._calls():
            known = [index in old for index in indices]
            if all(known) and left:
                left -= sum(not old[index].why_not for index in indices)
                continue
            if left <= 0:
                return
            groups = self._samples(indices)
            chosen: list[tuple[RolloutGroup, Sample]] = []
            for group in groups:
                trace = self._chosen(group)
                if isinstance(trace, str):
                    if group.problem.index not in old:
                        on_row(self._row(group, why_not=trace))
                elif len(chosen) < left:
                    chosen.append((group, trace))
                elif group.problem.index not in old:
                    on_row(self._row(group, why_not="enough others"))
            left -= len(chosen)
            self._continue([pair for pair in chosen if pair[0].problem.index not in old], on_row)

    def _calls(self) -> Iterator[list[int]]:
        """The candidates of each engine call, which do not depend on what was done before."""
        plan = self._plan
        draws = (draw_problem(self._env, plan.split, index) for index in range(plan.num_candidates))
        usable = [problem.index for problem in draws if self._fits(problem)]
        for start in range(0, len(usable), plan.problems_per_batch):
            yield usable[start : start + plan.problems_per_batch]

    def _request(self, index: int, num: int, prefix: tuple[int, ...] | None = None) -> GroupRequest:
        return GroupRequest(
            group_id=index,
            split=self._plan.split,
            index=index,
            budget=None,
            num_samples=num,
            seed=self._plan.seed,
            evaluation=True,
            prefix_ids=prefix,
            facts=True,
        )

    def _samples(self, indices: Sequence[int]) -> Sequence[RolloutGroup]:
        requests = [self._request(index, self._plan.num_samples) for index in indices]
        (batch,) = self._pool.rollout([requests], self._sampling)
        for group in batch.groups:
            self._ungraded.add(group)
        return batch.groups

    def _chosen(self, group: RolloutGroup) -> Sample | str:
        """The sample to analyse, the first one that has a step; or why there is none."""
        low, high = self._plan.accuracy
        if not group.samples:
            return "no sample could be graded"
        accuracy = sum(group.right) / len(group.samples)
        if not low <= accuracy <= high:
            return "accuracy outside of the band"
        return next((sample for sample in group.samples if sample.trace.steps), "no sample has a step")

    def _row(self, group: RolloutGroup, **more: Any) -> ProblemRow:
        return ProblemRow(
            split=self._plan.split.value,
            index=group.problem.index,
            question=group.problem.question,
            answer=group.problem.answer,
            num_samples=len(group.samples),
            num_right=sum(group.right),
            **more,
        )

    def _continue(
        self, chosen: Sequence[tuple[RolloutGroup, Sample]], on_row: Callable[[ProblemRow], None]
    ) -> None:
        """Sample the continuations of each trace, one engine call a trace."""
        waiting = {}
        batches = []
        for group, sample in chosen:
            index, ids = group.problem.index, sample.completion.ids
            boundaries = step_boundaries(self._encoder, ids, sample.trace)
            waiting[index] = group, sample, boundaries
            batches.append(
                [
                    self._request(index, self._plan.num_continuations, ids[: boundary.tokens])
                    for boundary in boundaries
                ]
            )

        def finish(batch: Batch) -> None:
            group, sample, boundaries = waiting[batch.groups[0].problem.index]
            on_row(self._analysed(group, sample, boundaries, batch.groups))

        if batches:
            self._pool.rollout(batches, self._sampling, on_batch=finish)

    def _analysed(
        self,
        group: RolloutGroup,
        sample: Sample,
        boundaries: Sequence[StepBoundary],
        continued: Sequence[RolloutGroup],
    ) -> ProblemRow:
        """The row of a trace from the continuations of each of its boundaries."""
        for one in continued:
            self._ungraded.add(one)
            if not one.samples:
                raise GraderError(f"no continuation could be graded: {one.failure}")
        answers = [[_answer(group.problem, each.trace) for each in one.samples] for one in continued]
        seed = derive_seed(self._plan.seed, "importance", self._plan.split.value, group.problem.index)
        rng = np.random.default_rng(seed)
        lines = []
        assert sample.facts is not None, "the requests ask for the facts"
        read = read_lines(sample.trace, sample.facts)
        for place, (step, line) in enumerate(zip(sample.trace.steps, read, strict=True)):
            before = answers[place]
            after = answers[place + 1] if place + 1 < len(answers) else None
            own = _step_key(sample, place)
            others = [
                answer
                for answer, each in zip(before, continued[place].samples, strict=True)
                if _step_key(each, place) != own
            ]
            whole = not continued[place].ungraded and after is not None and not continued[place + 1].ungraded
            lines.append(
                LineRow(
                    text=step.text,
                    kind=line.kind,
                    verdict=step.verdict,
                    taken_back=line.taken_back,
                    num_elementary=line.num_elementary,
                    decides=line.decides,
                    accuracy_before=_accuracy(before),
                    accuracy_after=None if after is None else _accuracy(after),
                    divergence=None if after is None else divergence(before, after),
                    chance=None if after is None else chance_divergence(before, after, paired=whole, rng=rng),
                    num_other=len(others),
                    counterfactual=None
                    if after is None or len(others) < _LEAST_OTHERS
                    else Counterfactual(
                        num=len(others),
                        accuracy=_accuracy(others),
                        divergence=divergence(others, after),
                        chance=chance_divergence(others, after, paired=False, rng=rng),
                    ),
                )
            )
        return self._row(
            group,
            text=sample.text,
            right=bool(sample.trace.correct),
            lines=tuple(lines),
            boundaries=tuple(
                BoundaryRow(
                    tokens=boundary.tokens, whole=boundary.whole, answers=tuple(Counter(found).most_common())
                )
                for boundary, found in zip(boundaries, answers, strict=True)
            ),
        )


def _answer(problem: Problem, trace: Trace) -> Answer:
    """How a continuation ends; right answers are one, however they are written."""
    if trace.correct:
        return Answer(problem.answer, True)
    return Answer(trace.answer, False)


def _step_key(sample: Sample, place: int) -> Hashable:
    assert sample.facts is not None, "the requests ask for the facts"
    return step_key(sample.trace, sample.facts, place)


def _accuracy(answers: Sequence[Answer]) -> float:
    return sum(answer.right for answer in answers) / len(answers)
