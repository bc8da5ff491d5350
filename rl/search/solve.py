"""Solves problems with every method, on the pool: batches of problems in, a `ProblemRow` for each out.

::

    batch of problems --greedy, N samples--> trees --states--> rounds --> samples up to equal tokens --> rows

All searches of a batch advance together: a round of it is one engine call. What a call asks for follows from
the calls of its batch before it alone, so a batch that was done is not repeated and the others come out as they
would have, in this process or on actors. As many batches are under way as there are workers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from configs.schema.search import SearchConfig
from envs import Env, Problem, Split, StepKind
from envs.own import draw_problem
from envs.seeding import derive_random
from envs.trace import parse_steps
from rl.search.choose import spent
from rl.search.record import ProblemRow
from rl.search.tree import ROOT, State, Texts, Tree
from rollout.encoder import Encoder
from rollout.pools.base import RolloutPool
from rollout.types import Batch, GroupRequest, RolloutGroup, Sample, Sampling
from rollout.ungraded_limit import UngradedLimit

_SEARCH = 1 << 20
"""Group ids from one search of a problem to the next: its states have their own."""
_MORE = 1 << 30
"""First group id of further samples from the prompt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to solve.

    Attributes:
        splits: Splits of the problems, each with its limit of tokens for a completion.
        num_problems: Problems of each.
        first: Index of the first one.
        problems_per_batch: Problems whose completions are one engine call.
        together: Batches under way at the same time.
        seed: Seed of all draws.
        search: The section.
        baselines: Whether to sample greedily and from the prompt alone, beside the searches.
    """

    splits: dict[Split, int]
    num_problems: int
    first: int = 0
    problems_per_batch: int
    together: int
    seed: int
    search: SearchConfig
    baselines: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """What a batch waits for: one engine call."""

    requests: tuple[GroupRequest, ...]
    sampling: Sampling


Steps = Generator[Ask, Batch, list[ProblemRow]]


class Solver:
    """Solves the problems of one plan."""

    def __init__(
        self,
        pool: RolloutPool,
        env: Env[Any],
        encoder: Encoder,
        plan: Plan,
        *,
        max_ungraded: int,
        fits: Callable[[Problem], bool] = lambda problem: True,
    ) -> None:
        """Set up.

        Args:
            pool: Samples, with the weights of the model.
            env: Makes and judges the problems.
            encoder: The model's.
            plan: What to solve.
            max_ungraded: Completions that may be left out because a grader failed.
            fits: Whether the prompt of a problem is within the limit; the others are left out.
        """
        self._pool, self._env, self._encoder, self._plan = pool, env, encoder, plan
        self._ungraded = UngradedLimit(max_ungraded)
        self.batches = [batch for split in plan.splits for batch in self._batches(split, fits)]

    @property
    def num_problems(self) -> int:
        """Problems of all splits."""
        return sum(map(len, self.batches))

    def whole(self, rows: Collection[ProblemRow]) -> list[ProblemRow]:
        """Those rows whose batch is done."""
        found = {row.key: row for row in rows}
        keys = [[(problem.split.value, problem.index) for problem in batch] for batch in self.batches]
        return [found[key] for batch in keys if all(key in found for key in batch) for key in batch]

    def run(self, done: Collection[tuple[str, int]], on_rows: Callable[[Sequence[ProblemRow]], None]) -> None:
        """Solve the problems that are not done.

        Args:
            done: Split and index of those whose batch is done.
            on_rows: Called with the rows of each batch when it is done, in any order.

        Raises:
            GraderError: Graders failed on more completions than allowed.
        """
        left = (
            self._solve(batch) for batch in self.batches if (batch[0].split.value, batch[0].index) not in done
        )
        under_way: list[tuple[Steps, Ask]] = []
        while True:
            under_way += [(steps, next(steps)) for steps in islice(left, self._plan.together - len(under_way))]
            if not under_way:
                return
            under_way = self._advance(under_way, on_rows)

    def _advance(
        self, under_way: Sequence[tuple[Steps, Ask]], on_rows: Callable[[Sequence[ProblemRow]], None]
    ) -> list[tuple[Steps, Ask]]:
        """One engine call for each batch under way; returns those that need another."""
        going = []
        for sampling in dict.fromkeys(ask.sampling for _, ask in under_way):
            asked = [(steps, ask) for steps, ask in under_way if ask.sampling == sampling]
            answers = self._pool.rollout([ask.requests for _, ask in asked], sampling)
            for (steps, _), answer in zip(asked, answers, strict=True):
                for group in answer.groups:
                    self._ungraded.add(group)
                try:
                    going.append((steps, steps.send(answer)))
                except StopIteration as end:
                    on_rows(end.value)
        return going

    def _batches(self, split: Split, fits: Callable[[Problem], bool]) -> Iterator[list[Problem]]:
        first, num = self._plan.first, self._plan.num_problems
        draws = (draw_problem(self._env, split, index) for index in range(first, first + num))
        used = [problem for problem in draws if fits(problem)]
        size = self._plan.problems_per_batch
        yield from (used[start : start + size] for start in range(0, len(used), size))

    def _solve(self, problems: Sequence[Problem]) -> Steps:
        plan, search = self._plan, self._plan.search
        limit = plan.splits[problems[0].split]
        warm = Sampling(
            temperature=search.temperature, top_p=search.top_p, top_k=search.top_k, max_new_tokens=limit
        )
        greedy: list[RolloutGroup | None] = [None] * len(problems)
        if plan.baselines:
            best = Sampling(temperature=0.0, max_new_tokens=limit)
            batch = yield Ask(requests=tuple([self._request(one, 1) for one in problems]), sampling=best)
            greedy[:] = batch.groups
        num = max(search.breadth)
        batch = yield Ask(requests=tuple([self._request(one, num) for one in problems]), sampling=warm)
        work = [
            _Work(self._env, self._encoder, problem, search, group.samples)
            for problem, group in zip(problems, batch.groups, strict=True)
        ]
        while asked := [one for each in work for one in each.asked()]:
            requests = tuple([self._request(*one) for one in asked])
            groups = iter((yield Ask(requests=requests, sampling=warm)).groups)
            for each in work:
                each.take(groups)
        turn = 0
        while plan.baselines and (short := [each for each in work if each.lacks_samples()]):
            requests = tuple([self._request(each.problem, num, group=_MORE + turn) for each in short])
            batch = yield Ask(requests=requests, sampling=warm)
            for each, group in zip(short, batch.groups, strict=True):
                each.more(group.samples)
            turn += 1
        return [self._row(each, group) for each, group in zip(work, greedy, strict=True)]

    def _request(self, problem: Problem, num: int, state: State = ROOT, group: int = 0) -> GroupRequest:
        return GroupRequest(
            group_id=group,
            split=problem.split,
            index=problem.index,
            budget=None,
            num_samples=num,
            seed=self._plan.seed,
            evaluation=True,
            prefix_ids=None if state is ROOT else state.ids,
        )

    def _row(self, work: _Work, greedy: RolloutGroup | None) -> ProblemRow:
        problem, texts = work.problem, work.texts
        best = greedy.samples[0] if greedy is not None and greedy.samples else None
        tokens, steps = self._symbolic(problem) if self._plan.baselines else (None, None)
        return ProblemRow(
            split=problem.split.value,
            index=problem.index,
            bucket=self._env.bucket(problem),
            question=problem.question,
            answer=problem.answer,
            greedy=None if best is None else texts.draw(best),
            samples=tuple([texts.draw(sample) for sample in work.samples]) if self._plan.baselines else (),
            searches=tuple([tree.row() for tree in work.trees]),
            responses=tuple(texts.responses),
            symbolic_tokens=tokens,
            symbolic_steps=steps,
        )

    def _symbolic(self, problem: Problem) -> tuple[int | None, int | None]:
        """Tokens and steps of the task's own systematic search up to the solution; None where there is none."""
        part = self._env.part_of(problem)
        if not part.defines("search_trace"):
            return None, None
        rng = derive_random(self._plan.seed, "search", "symbolic", problem.split.value, problem.index)
        found = part.search_trace(problem, rng)
        if found is None:
            return None, None
        text = part.demonstrate(found.lines, found.answer or problem.answer)
        steps = parse_steps("\n".join(found.lines))
        return len(self._encoder.encode_completion(text)), sum(step.kind is StepKind.FORWARD for step in steps)


class _Work:
    """The searches on one problem, and its samples from the prompt alone."""

    def __init__(
        self,
        env: Env[Any],
        encoder: Encoder,
        problem: Problem,
        search: SearchConfig,
        samples: Sequence[Sample],
    ) -> None:
        self.problem, self.samples, self.texts = problem, [*samples], Texts()
        self.trees = [
            Tree(
                env.part_of(problem),
                encoder,
                problem,
                strategy=strategy,
                breadth=breadth,
                depth=search.depth,
                states=search.states,
                max_tokens=search.max_tokens,
            )
            for strategy in search.strategies
            for breadth in search.breadth
        ]
        for tree in self.trees:
            tree.next_states()
            tree.take([samples], self.texts)
        self._waiting: list[tuple[Tree, int]] = []

    def asked(self) -> list[tuple[Problem, int, State, int]]:
        """What the next round of all searches asks for: problem, completions, state and group id."""
        found = []
        self._waiting = []
        for place, tree in enumerate(self.trees):
            first, states = len(tree.expanded), tree.next_states()
            if states:
                self._waiting.append((tree, len(states)))
            for at, state in enumerate(states, start=first):
                found.append((self.problem, tree.breadth, state, (1 + place) * _SEARCH + at))
        return found

    def take(self, groups: Iterator[RolloutGroup]) -> None:
        """Take the groups of what was asked for, the next ones of the call."""
        for tree, num in self._waiting:
            tree.take([group.samples for group in islice(groups, num)], self.texts)

    def lacks_samples(self) -> bool:
        """Whether a search took more tokens than all samples from the prompt alone."""
        most = max(spent(tree.draws) for tree in self.trees)
        return sum(len(sample.completion.logprobs) for sample in self.samples) < most

    def more(self, samples: Sequence[Sample]) -> None:
        """Add samples from the prompt alone."""
        self.samples += samples
