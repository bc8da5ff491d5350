"""Groups for the learner: the order of problems, and the handling of zero-variance groups.

Group n is train problem n; a problem whose prompt is too long is passed over. So the data order is one
integer, the cursor, and a run resumes from it and from the history that its rewards read, if any. A group of
equal rewards has zero variance, so all its advantages are 0.
Dynamic sampling (DAPO, arXiv 2503.14476, section 3.2) replaces such groups by further ones; without it they are
left out. In both cases they are counted by cause.

A further call takes as long as its longest completion, however few groups it has. So each call asks for as many
groups as are needed if the share of useful ones stays what it was (DAPO over-samples by a fixed factor). Useful
groups beyond those needed are not trained on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from envs import Env, GraderError, Problem, Split
from envs.own import draw_problem
from envs.seeding import derive_random
from rewards import Outcome, RunHistory
from rollout.pools.base import RolloutPool
from rollout.types import Continuations, GroupRequest, PromptTooLongError, RolloutGroup
from rollout.ungraded_limit import UngradedLimit

_MOST_SKIPPED = 10_000  # in a row, where the split is endless


@dataclass(frozen=True, kw_only=True, slots=True)
class RolloutBatch:
    """The groups sampled for one update.

    Attributes:
        useful: Groups to train on, at most P; the rewards in each differ, or the credit of its lines does.
        sampled: All groups sampled, useful ones included, in order.
        zero_signal: Number of groups without a gradient, by cause: `all_` and the outcome where all rewards are
            equal (`all_verified`, `all_wrong`, ...), `all_equal` for a mix of outcomes, `ungraded` where
            graders failed on all completions or all but one.
        num_skipped: Problems passed over because their prompts are too long.
        sample_s: Seconds of sampling, summed over engine calls.
        score_s: Seconds of parsing and scoring, summed over engine calls.
    """

    useful: tuple[RolloutGroup, ...]
    sampled: tuple[RolloutGroup, ...]
    zero_signal: Counter[str]
    sample_s: float
    score_s: float
    num_skipped: int = 0


class GroupSource:
    """Samples the groups of one update after the other.

    Attributes:
        cursor: Number of the next group.
    """

    def __init__(
        self,
        pool: RolloutPool,
        env: Env[Any],
        *,
        seed: int,
        num_samples: int,
        problems_per_batch: int,
        dynamic_sampling: bool,
        max_resamples: int,
        max_ungraded: int,
        budget_frac: float = 0.0,
        fewer: Sequence[int] = (),
        first: int = 0,
        zero_signal: Callable[[RolloutGroup], str | None] | None = None,
        fits: Callable[[Problem], bool] | None = None,
        history: RunHistory | None = None,
        facts: bool = False,
        continuations: Continuations | None = None,
    ) -> None:
        """Start at the first group.

        Args:
            pool: Rolls the groups out.
            env: Makes the problems; asked for full step counts, and for questions if there is a history.
            seed: Run seed.
            num_samples: G.
            problems_per_batch: Groups in one engine call.
            dynamic_sampling: Replace zero-variance groups by further ones.
            max_resamples: With dynamic sampling, at most this many times P further groups per update.
            max_ungraded: Completions that may be left out over the whole run because a grader failed.
            budget_frac: Share of prompts that state a step budget, drawn uniformly from half of the full steps
                to all.
            fewer: In place of `budget_frac`: every prompt states the full steps less one of these, drawn
                uniformly; all of them where that would leave none.
            first: Number of the first group.
            zero_signal: Why a group has no gradient, or None if it has one; None: `zero_signal_cause`.
            fits: Whether a problem is used, with its budget; None: all are.
            history: The run so far, for the rewards; None if no reward reads it.
            facts: Ask for what the environment knows of each line (`Sample.facts`).
            continuations: Ask for the values of samples after their steps (`Sample.values`).
        """
        self.cursor = first
        self._history = history
        self._pool = pool
        self._env = env
        self._seed = seed
        self._num_samples = num_samples
        self._problems_per_batch = problems_per_batch
        self._ungraded = UngradedLimit(max_ungraded)
        self._max_resamples = max_resamples if dynamic_sampling else 0
        self._useful_share = 1.0  # expected of the groups sampled next
        self._budget_frac = budget_frac
        self._fewer = tuple(fewer)
        self._fits = fits
        self._num_skipped = 0
        self._zero_signal = zero_signal or zero_signal_cause
        self._facts = facts
        self._continuations = continuations

    def state(self) -> dict[str, Any]:
        """The state that a checkpoint must hold, as JSON values."""
        history = {} if self._history is None else {"history": self._history.state()}
        return {
            "cursor": self.cursor,
            "ungraded": self._ungraded.count,
            "useful_share": self._useful_share,
            **history,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.cursor, self._ungraded.count = state["cursor"], state["ungraded"]
        self._useful_share = state.get("useful_share", 1.0)  # older checkpoints lack it
        if self._history is not None:
            if "history" in state:
                self._history.restore(state["history"])
            else:  # a reward that reads it has come in on resume
                self._history.begin_at(state["update"])

    def next_update(self, num_groups: int) -> RolloutBatch:
        """Sample until there are `num_groups` useful groups, or as many groups as dynamic sampling allows.

        Raises:
            GraderError: Graders failed on more completions of this run than allowed, or on all of an update.
            PromptTooLongError: The prompts of very many problems in a row are too long.
        """
        useful: list[RolloutGroup] = []
        sampled: list[RolloutGroup] = []
        zero_signal: Counter[str] = Counter()
        sample_s = score_s = 0.0
        left = num_groups * (1 + self._max_resamples)
        self._num_skipped = 0
        while left > 0 and len(useful) < num_groups:
            count = min(left, self._groups_for(num_groups - len(useful)))
            for batch in self._pool.rollout(self._take(count)):
                sample_s += batch.sample_s
                score_s += batch.score_s
                for group in batch.groups:
                    self._ungraded.add(group)
                    sampled.append(group)
                    cause = self._zero_signal(group)
                    if cause is None:
                        useful.append(group)
                    else:
                        zero_signal[cause] += 1
            left -= count
        self._useful_share = (self._useful_share + len(useful) / len(sampled)) / 2
        if not any(group.samples for group in sampled):
            raise GraderError(f"no completion of an update could be graded: {sampled[-1].failure}")
        if self._history is not None:
            self._history.add((group.problem, [s.trace for s in group.samples]) for group in sampled)
        return RolloutBatch(
            useful=tuple(useful[:num_groups]),
            sampled=tuple(sampled),
            zero_signal=zero_signal,
            sample_s=sample_s,
            score_s=score_s,
            num_skipped=self._num_skipped,
        )

    def _groups_for(self, num_useful: int) -> int:
        """Groups to sample for so many useful ones; without dynamic sampling just as many."""
        least_share = 1 / (1 + self._max_resamples)
        return math.ceil(num_useful / max(self._useful_share, least_share))

    def _take(self, count: int) -> list[list[GroupRequest]]:
        requests = [self._next_request() for _ in range(count)]
        size = self._problems_per_batch
        return [requests[start : start + size] for start in range(0, count, size)]

    def _next_request(self) -> GroupRequest:
        # Two passes over a split with an end meet each of its problems, however they are shuffled.
        most = 2 * (self._env.num_problems(Split.TRAIN) or _MOST_SKIPPED // 2)
        for _ in range(most):
            problem = self._problem(self.cursor)
            self.cursor += 1
            if self._fits is None or self._fits(problem):
                return self._request(problem)
            self._num_skipped += 1
        raise PromptTooLongError(
            f"the prompts of {most:,} train problems in a row, up to train {self.cursor - 1}, are "
            "over rollout.max_prompt_tokens; raise that or make env.settings easier"
        )

    def _problem(self, group_id: int) -> Problem:
        """The problem of a group, with the budget that is drawn for it."""
        problem = draw_problem(self._env, Split.TRAIN, group_id)
        if not self._fewer and self._budget_frac == 0:
            return problem
        rng, full = derive_random(self._seed, "budget", group_id), problem.num_full_steps
        if self._fewer:
            return self._env.with_budget(problem, steps_asked(full, rng.choice(self._fewer)))
        if rng.random() < self._budget_frac:
            return self._env.with_budget(problem, rng.randint((full + 1) // 2, full))
        return problem

    def _request(self, problem: Problem) -> GroupRequest:
        return GroupRequest(
            group_id=problem.index,
            split=Split.TRAIN,
            index=problem.index,
            budget=problem.budget,
            num_samples=self._num_samples,
            seed=self._seed,
            history=None if self._history is None else self._history.of(problem),
            facts=self._facts,
            continuations=self._continuations,
        )


def steps_asked(full: int, fewer: int) -> int:
    """The steps to ask for: so many fewer than full, or the full number where that would leave none.

    Source: the released code of "Can Language Models Learn to Skip Steps?" (arXiv 2411.01855).
    """
    return full - fewer if full > fewer else full


def rewards_differ(rewards: Sequence[float]) -> bool:
    """Whether the rewards of a group differ by more than rounding: 1e-9, times their size where that is over 1.

    Args:
        rewards: At least one.
    """
    low, high = min(rewards), max(rewards)
    return high - low > 1e-9 * max(1.0, abs(low), abs(high))


def zero_signal_cause(group: RolloutGroup, *, decoupled: bool = False) -> str | None:
    """Why a group has no gradient, or None where its rewards differ; decoupled: its right and wrong answers."""
    if len(group.rewards) < 2:
        return "ungraded"
    if rewards_differ(group.right if decoupled else group.rewards):
        return None
    outcomes: set[Outcome] = {sample.score.outcome for sample in group.samples}
    return f"all_{outcomes.pop()}" if len(outcomes) == 1 else "all_equal"
