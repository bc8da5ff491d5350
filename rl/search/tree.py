"""One search on one problem: which states to expand next, from the completions of those before.

::

    state --N completions--> candidates (they state an answer)
                         --> rolled back: the state to go on from, once each, a few a round

Source: Self-Backtracking (arXiv 2502.04404 and its released decoder). Ours: N independent samples
(theirs are beam samples), any `<backtrack> j` that names its place, and the strategy `verified_states`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import inf, isqrt
from typing import Any

from envs import Env, Problem, Status, StepKind
from envs.path import StepError, UncheckedStep
from rl.search.choose import spent, within
from rl.search.record import VERIFIED_STATES, Draw, Response, SearchRow
from rollout.encoder import Encoder
from rollout.step_boundaries import step_boundaries
from rollout.types import Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """The start of a completion that is continued.

    Attributes:
        ids: Its tokens, exactly as sampled.
        logprobs: Their log-probabilities.
        text: Its text.
        value: States with equal values are one.
        left: Fewest elementary lines that are left from it; infinite where that is not known.
    """

    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    text: str = ""
    value: Hashable = ""
    left: float = inf


ROOT = State()


class Texts:
    """The texts sampled for one problem, each once."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, Status], int] = {}  # a text that was cut off is another one
        self.responses: list[Response] = []

    def place(self, sample: Sample) -> int:
        """The place of a completion's text, which is added if it is new."""
        trace = sample.trace
        key = sample.text, trace.status
        if key not in self._places:
            self._places[key] = len(self.responses)
            self.responses.append(
                Response(
                    text=sample.text,
                    complete=trace.answer is not None and trace.status is Status.COMPLETE,
                    answer=trace.answer,
                    correct=bool(trace.correct),
                    verified=trace.verified if trace.steps_checked else None,
                    backtracks=trace.num_backtracks,
                )
            )
        return self._places[key]

    def draw(self, sample: Sample, state: State = ROOT, *, number: int = 0, place: int = 0) -> Draw:
        """A completion with its figures.

        Args:
            sample: The completion.
            state: What it continues.
            number: Its round.
            place: Place of the state in its search.
        """
        logprobs = (*state.logprobs, *sample.completion.logprobs)
        return Draw(
            round=number,
            state=place,
            tokens=len(sample.completion.logprobs),
            score=sum(logprobs) / len(logprobs),
            response=self.place(sample),
        )


class Tree:
    """The states and completions of one search."""

    def __init__(
        self,
        env: Env[Any],
        encoder: Encoder,
        problem: Problem,
        *,
        strategy: str,
        breadth: int,
        depth: int,
        states: int | None,
        max_tokens: int | None,
    ) -> None:
        """Set up; `env` is the part of the environment with the problem, the rest as in `SearchConfig`."""
        self._env, self._encoder, self._problem = env, encoder, problem
        self._strategy, self.breadth = strategy, breadth
        self._depth, self._max_tokens = depth, max_tokens
        self._most = states or isqrt(breadth)
        self.expanded: list[State] = []
        self.draws: list[Draw] = []
        self._round = -1
        self._next = [ROOT]
        self._visited: set[Hashable] = {ROOT.value}
        if strategy == VERIFIED_STATES:
            self._visited = {env.start(problem)}

    def next_states(self) -> list[State]:
        """The states to expand in the round that begins; none when the search is over."""
        if self._round >= self._depth:
            return []
        self._round += 1
        self.expanded += self._next
        return self._next

    def take(self, found: Sequence[Sequence[Sample]], texts: Texts) -> None:
        """Take the completions of a round.

        Args:
            found: For each state of `next_states` its completions; more than N of one are not looked at.
            texts: The texts of the problem.
        """
        first = len(self.expanded) - len(self._next)
        counted = [
            (state, sample, texts.draw(sample, state, number=self._round, place=first + at))
            for at, (state, samples) in enumerate(zip(self._next, found, strict=True))
            for sample in samples[: self.breadth]
        ]
        self.draws += [draw for *_, draw in counted]
        kept = len(within(self.draws, self._max_tokens))
        counted = counted[: kept - len(self.draws)] if kept < len(self.draws) else counted
        used_up = kept < len(self.draws) or spent(self.draws) == self._max_tokens
        del self.draws[kept:]
        self._next = []
        verifies = self._strategy == VERIFIED_STATES
        if used_up or (verifies and any(sample.trace.passed for _, sample, _ in counted)):
            return
        rolled = [
            back for state, sample, _ in counted if (back := self._rolled_back(state, sample)) is not None
        ]
        rolled.sort(key=lambda state: state.left)  # known for verified states alone; the others stay in order
        for state in rolled:
            if len(self._next) < self._most and state.value not in self._visited:
                self._visited.add(state.value)
                self._next.append(state)

    def row(self) -> SearchRow:
        """What came of it."""
        return SearchRow(
            strategy=self._strategy,
            breadth=self.breadth,
            states=tuple([state.text for state in self.expanded]),
            draws=tuple(self.draws),
        )

    def _rolled_back(self, state: State, sample: Sample) -> State | None:
        """The state that a completion is rolled back to; None if it is not."""
        steps = sample.trace.steps
        end = next((at for at, step in enumerate(steps) if step.kind is StepKind.BACKTRACK), None)
        if self._strategy == VERIFIED_STATES:
            return self._last_alive(state, sample, len(steps) if end is None else end)
        if end is None:
            return None
        target = steps[end].target
        keep = end - 1 if target is None else target
        return self._state(state, sample, keep) if 0 <= keep < end else None

    def _last_alive(self, state: State, sample: Sample, end: int) -> State | None:
        """The state after the first lines that are valid and lead into no dead end; None if there are none."""
        alive = [self._env.start(self._problem)]
        for step in sample.trace.steps[:end]:
            try:
                after = self._env.advance(alive[-1], step.text)
            except UncheckedStep as error:
                after = alive[-1] if error.after is None else error.after
            except StepError:
                break
            if self._env.solvable(after) is False:
                break
            alive.append(after)
        boundaries = step_boundaries(self._encoder, sample.completion.ids, sample.trace)
        keep = min(len(alive), len(boundaries)) - 1  # after a last line that was cut off there is no boundary
        if keep < 1:  # the start was visited
            return None
        left = self._env.remaining(alive[keep])
        return self._state(state, sample, keep, value=alive[keep], left=inf if left is None else left)

    def _state(self, state: State, sample: Sample, keep: int, **more: Any) -> State:
        """The first lines of a completion that continues a state, as a state; its value is its text."""
        completion = sample.completion
        tokens = step_boundaries(self._encoder, completion.ids, sample.trace)[keep].tokens
        logprobs = (*state.logprobs, *completion.logprobs)
        text = "\n".join([step.text for step in sample.trace.steps[:keep]])
        return State(
            ids=completion.ids[:tokens], logprobs=logprobs[:tokens], text=text, **{"value": text, **more}
        )
