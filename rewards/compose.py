"""The reward of a run: weighted, gated terms that add up to a total.

In: a problem, the checked traces of its group and the run so far (`History`). Out: a `Score` for each trace.
The terms come from the config alone. `RewardSum` is built once a run and refuses weights with which a wrong
answer could earn as much as a right one.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import pairwise
from types import NoneType
from typing import Any, Literal, SupportsFloat, get_args, get_origin, get_type_hints

from envs import Problem, Trace
from rewards.correctness import group_accuracy
from rewards.declare import Range
from rewards.history import History
from rewards.priced_lines import PricedLines
from rewards.registry import Reward, find_reward
from rewards.types import Outcome, Score
from rewards.user import MEMORY_GIB, TIMEOUT_S, UserReward

_GATES = ("none", "correct", "verified")


@dataclass(frozen=True, kw_only=True, slots=True)
class When:
    """The groups in which a term counts.

    Example: `When(group_accuracy=(0.5, 1.0), off_best=0.05)`: the term counts where at least half of the group
    is right, while the running accuracy is at most 0.05 below its best.

    Attributes:
        group_accuracy: Smallest and largest share of right samples in the group.
        running_accuracy: Smallest and largest `History.accuracy`.
        off_best: Largest distance of `History.accuracy` below `History.best_accuracy`.

    Before the first update there is no running accuracy, and a term with a condition on it does not count.
    Outside of training it does.
    """

    group_accuracy: tuple[float, float] = (0.0, 1.0)
    running_accuracy: tuple[float, float] = (0.0, 1.0)
    off_best: float | None = None

    @property
    def reads_history(self) -> bool:
        """Whether it depends on the run so far."""
        return self.running_accuracy != (0.0, 1.0) or self.off_best is not None

    def open(self, traces: Sequence[Trace], history: History) -> bool:
        """Whether the term counts in this group."""
        low, high = self.group_accuracy
        if not low <= group_accuracy(traces) <= high:
            return False
        if not self.reads_history or history.update is None:
            return True
        if history.accuracy is None or history.best_accuracy is None:
            return False
        low, high = self.running_accuracy
        near = self.off_best is None or history.accuracy >= history.best_accuracy - self.off_best
        return low <= history.accuracy <= high and near


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One term of the reward.

    Attributes:
        name: Built-in reward, or a user's own as `package.module:function`.
        weight: Factor of the reward's value.
        gate: "none", "correct" or "verified": the samples for which the term counts.
        when: The groups in which the term counts.
        schedule: (update, factor) pairs, ascending: the weight is multiplied by the factor, which is linear
            between the pairs and constant outside. Empty: 1.
        args: Arguments of the reward function.
    """

    name: str
    weight: float
    gate: str = "none"
    when: When = When()
    schedule: tuple[tuple[int, float], ...] = ()
    args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def always_on(self) -> bool:
        """Whether it counts in every group at its full weight."""
        return self.when == When() and not self.schedule

    def factor(self, history: History) -> float:
        """Factor of the weight at this update."""
        if not self.schedule:
            return 1.0
        if history.update is None or history.update >= self.schedule[-1][0]:
            return self.schedule[-1][1]
        before = self.schedule[0]
        if history.update <= before[0]:
            return before[1]
        for after in self.schedule[1:]:
            if history.update <= after[0]:
                share = (history.update - before[0]) / (after[0] - before[0])
                return before[1] + share * (after[1] - before[1])
            before = after
        raise AssertionError("the last pair is past the update")

    def ends(self, values: tuple[float, float]) -> tuple[float, float]:
        """Smallest and largest part for values in this range, over schedule and groups, without the gate."""
        factors = [factor for _, factor in self.schedule] or [1.0]
        parts = [self.weight * factor * value for factor in factors for value in values]
        if self.when != When():
            parts.append(0.0)
        return min(parts), max(parts)


class RewardSum:
    """Scores groups with a fixed list of terms; the `Scorer` of every run."""

    def __init__(
        self,
        terms: Sequence[Term],
        *,
        allow_wrong_above_right: bool = False,
        timeout_s: float = TIMEOUT_S,
        memory_gib: float = MEMORY_GIB,
        length_limit: int | None = None,
    ) -> None:
        """Check the terms.

        Args:
            terms: The terms.
            allow_wrong_above_right: Accept weights with which a wrong answer can earn as much as a right one.
            timeout_s: Seconds that a user's own reward may take for a sample (or a group).
            memory_gib: Memory that the process of each user's own reward may hold, in GiB.
            length_limit: Most new tokens of a completion, for the rewards that declare `limit`; None: each term
                of such a reward gives its own.

        Raises:
            ValueError: A reward, an argument or a gate is unknown, an argument does not fit, a name comes
                twice, a weight is not finite, or a wrong answer could earn as much as a right one (unless
                allowed).
        """
        self._rewards = [find_reward(term.name, timeout_s=timeout_s, memory_gib=memory_gib) for term in terms]
        self.terms = tuple(
            replace(term, args={"limit": length_limit, **term.args})
            if reward.declared.limit and length_limit is not None
            else term
            for term, reward in zip(terms, self._rewards, strict=True)
        )
        names = [term.name for term in self.terms]
        self._ranges: list[tuple[Range, Range]] = []  # where wrong, where right
        for term, reward in zip(self.terms, self._rewards, strict=True):
            if names.count(term.name) > 1:
                raise ValueError(f"reward '{term.name}' is listed twice; give it one weight")
            if term.gate not in _GATES:
                raise ValueError(f"gate of reward '{term.name}' is '{term.gate}'; known: {', '.join(_GATES)}")
            if not math.isfinite(term.weight):
                raise ValueError(f"weight of reward '{term.name}' is {term.weight}; it must be finite")
            _check_schedule(term)
            self._ranges.append(reward.declared.ranges(_checked_args(term, reward)))
            least = term.ends(self._ranges[-1][1])[0]
            if term.gate == "verified" and least < 0 and not allow_wrong_above_right:
                raise ValueError(
                    f"reward '{term.name}' can cost {-least:g} but is gated on 'verified', so writing an "
                    "invalid step would save that much; gate it on 'correct', or set "
                    "rewards.allow_wrong_above_right to true"
                )
        low, high = self.least_when_right, self.most_when_wrong
        if low <= high and not allow_wrong_above_right:
            raise ValueError(
                f"with these weights a right answer can earn as little as {low:g} and a wrong one as much as "
                f"{high:g}; lower the other weights or raise that of 'correct', or set "
                "rewards.allow_wrong_above_right to true"
            )

    @property
    def most_when_wrong(self) -> float:
        """Upper bound of the total where the answer is wrong."""
        pairs = zip(self.terms, self._ranges, strict=True)
        return sum(term.ends(when_wrong)[1] for term, (when_wrong, _) in pairs if term.gate == "none")

    @property
    def least_when_right(self) -> float:
        """Lower bound of the total where the answer is right."""
        total = 0.0
        for term, (_, when_right) in zip(self.terms, self._ranges, strict=True):
            least = term.ends(when_right)[0]
            total += min(least, 0.0) if term.gate == "verified" else least  # the gate may be shut
        return total

    @property
    def reads_history(self) -> bool:
        """Whether scores depend on the run so far, so that the run must keep its history."""
        return self.reads_problems or any(term.schedule or term.when.reads_history for term in self.terms)

    @property
    def reads_problems(self) -> bool:
        """Whether a reward reads the history, so that the shortest answers to each problem must be kept."""
        return any(reward.declared.history for reward in self._rewards)

    @property
    def on_budget(self) -> tuple[str, ...]:
        """Names of the terms that compare with the step budget in the prompt."""
        pairs = zip(self.terms, self._rewards, strict=True)
        return tuple(term.name for term, reward in pairs if reward.declared.budget)

    @property
    def on_checked_steps(self) -> tuple[str, ...]:
        """The terms and gates that judge steps, so that the task must check them; as words for a message."""
        pairs = list(zip(self.terms, self._rewards, strict=True))
        terms = [f"'{term.name}'" for term, reward in pairs if reward.declared.checked_steps]
        gates = [f"the gate 'verified' of '{term.name}'" for term, _ in pairs if term.gate == "verified"]
        return (*terms, *gates)

    @property
    def on_checked_backtracks(self) -> tuple[str, ...]:
        """Names of the terms that judge backtracks, so that the task must check what they restore."""
        pairs = zip(self.terms, self._rewards, strict=True)
        return tuple(term.name for term, reward in pairs if reward.declared.checked_backtracks)

    @property
    def on_group(self) -> tuple[str, ...]:
        """Names of the terms that compare the samples of a group, or count in some groups only."""
        pairs = zip(self.terms, self._rewards, strict=True)
        whole = When().group_accuracy
        return tuple(
            term.name for term, reward in pairs if reward.declared.group or term.when.group_accuracy != whole
        )

    @property
    def priced_lines(self) -> dict[str, PricedLines]:
        """The kind of lines that a term prices, by its name; terms of the whole answer are left out."""
        pairs = zip(self.terms, self._rewards, strict=True)
        return {term.name: reward.declared.lines for term, reward in pairs if reward.declared.lines is not None}

    def close(self) -> None:
        """End the processes of users' own rewards."""
        for reward in self._rewards:
            if isinstance(reward, UserReward):
                reward.close()

    def __call__(
        self,
        problem: Problem,
        traces: Sequence[Trace],
        history: History | None = None,
        *,
        user_rewards: bool = True,
    ) -> list[Score]:
        """Score the traces of one group; see `Scorer`.

        Raises:
            UnscoredError: A user's own reward failed on some of them.
            ValueError: A built-in reward returned the wrong number of values, or one that is not finite or
                outside its declared range. That is a bug in the reward, never a score of 0.
        """
        history = history or History()
        parts: list[dict[str, float]] = [{} for _ in traces]
        for term, reward, ranges in zip(self.terms, self._rewards, self._ranges, strict=True):
            if isinstance(reward, UserReward) and not user_rewards:
                continue
            values = reward(problem, traces, history, **term.args) if traces else []
            factor = term.factor(history) if term.when.open(traces, history) else 0.0
            if len(values) != len(traces):
                raise ValueError(f"reward '{term.name}' gave {len(values)} values for {len(traces)} traces")
            for part, trace, value in zip(parts, traces, values, strict=True):
                low, high = ranges[bool(trace.correct)]
                # Written so that NaN fails too.
                if not isinstance(value, SupportsFloat) or not low <= value <= high:
                    where = f"{problem.env}/{problem.split}/{problem.index}"
                    raise ValueError(
                        f"reward '{term.name}' gave {value!r} on {where}, outside its declared range "
                        f"[{low:g}, {high:g}]"
                    )
                part[term.name] = term.weight * factor * value if _counts(term.gate, trace) else 0.0
        return [
            Score(total=math.fsum(part.values()), parts=part, outcome=Outcome.of(trace))
            for part, trace in zip(parts, traces, strict=True)
        ]


def _counts(gate: str, trace: Trace) -> bool:
    return gate == "none" or bool(trace.correct if gate == "correct" else trace.verified)


def _check_schedule(term: Term) -> None:
    updates = [update for update, _ in term.schedule]
    if updates != sorted(set(updates)) or any(update < 0 for update in updates):
        raise ValueError(
            f"schedule of reward '{term.name}' has the updates {updates}; give each once, ascending"
        )
    for _, factor in term.schedule:
        if not math.isfinite(factor):
            raise ValueError(f"schedule of reward '{term.name}' has the factor {factor}; it must be finite")


def _checked_args(term: Term, reward: Reward | UserReward) -> dict[str, Any]:
    """The arguments of a term, defaults included."""
    keywords = {
        name: parameter
        for name, parameter in inspect.signature(reward.function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "history"
    }
    takes = set(keywords)
    for name, parameter in keywords.items():
        if parameter.default is inspect.Parameter.empty and name not in term.args:
            raise ValueError(f"reward '{term.name}' needs the argument '{name}'; give it in args")
    hints = get_type_hints(reward.function) if isinstance(reward, Reward) else {}
    for name, value in term.args.items():
        if name not in takes:
            close = get_close_matches(name, takes, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else "."
            allowed = ", ".join(sorted(takes)) or "none"
            raise ValueError(f"reward '{term.name}' takes no argument '{name}'{hint} known: {allowed}")
        if advice := _why_not(name, hints.get(name), value):
            raise ValueError(f"argument '{name}' of reward '{term.name}' is {value!r}; {advice}")
    values = {**{name: parameter.default for name, parameter in keywords.items()}, **term.args}
    for low, high in pairwise(reward.declared.ascending):
        if values[low] > values[high]:
            raise ValueError(
                f"reward '{term.name}' has the {low} {values[low]:g} above its {high} {values[high]:g}; give "
                f"args with {low} <= {high}"
            )
    if reward.declared.per_tokens:
        for name in ("limit", "per_tokens"):
            if type(values[name]) not in (int, float) or not 0 < values[name] < math.inf:
                raise ValueError(
                    f"argument '{name}' of reward '{term.name}' is {values[name]!r}; give a number above 0"
                )
    return values


def _why_not(name: str, hint: Any, value: object) -> str:
    """What to give instead of a value that does not fit; "" where it fits."""
    if get_origin(hint) is Literal:
        return "" if value in get_args(hint) else f"give one of {', '.join(get_args(hint))}"
    kinds = {kind for kind in get_args(hint) or (hint,) if kind is not NoneType}
    if kinds == {float} and not (type(value) in (int, float) and 0 <= value <= 1):  # type: ignore[operator]
        return "give a number from 0 to 1"
    least = 0 if name == "tolerance" else 1  # the others are divisors or targets
    if kinds == {int} and (type(value) is not int or value < least):
        return f"give a whole number of at least {least}"
    return ""
