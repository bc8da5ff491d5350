"""The reward of a run: named, weighted, gated parts that add up to a total.

In: a problem and the checked traces of its group. Out: a `Score` each. The terms come from the config and
nowhere else. Built once a run, it refuses weights with which a wrong answer could out-earn a right one.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, SupportsFloat

from envs import Problem, Trace
from rewards.registry import Reward, find_reward
from rewards.types import Outcome, Score

_GATES = ("none", "correct", "verified")


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One part of the reward.

    Attributes:
        name: Registered reward.
        weight: Factor of its value.
        gate: "none", "correct" or "verified": where it counts.
        args: Arguments of the reward function.
    """

    name: str
    weight: float
    gate: str = "none"
    args: Mapping[str, Any] = field(default_factory=dict)


class RewardSum:
    """Scores groups with a fixed list of terms."""

    def __init__(self, terms: Sequence[Term], *, allow_wrong_above_right: bool = False) -> None:
        """Check and keep the terms.

        Raises:
            ValueError: A reward, an argument or a gate is unknown, an argument has no use, a name comes
                twice, a weight is not finite, or a wrong answer could earn as much as a right one (unless
                allowed).
        """
        self.terms = tuple(terms)
        self._rewards = [find_reward(term.name) for term in self.terms]
        names = [term.name for term in self.terms]
        for term, reward in zip(self.terms, self._rewards, strict=True):
            if names.count(term.name) > 1:
                raise ValueError(f"reward '{term.name}' is listed twice; give it one weight")
            if term.gate not in _GATES:
                raise ValueError(f"gate of reward '{term.name}' is '{term.gate}'; known: {', '.join(_GATES)}")
            if not math.isfinite(term.weight):
                raise ValueError(f"weight of reward '{term.name}' is {term.weight}; it must be finite")
            _check_args(term, reward)
            least = min(term.weight * value for value in reward.when_right)
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
        pairs = zip(self.terms, self._rewards, strict=True)
        return sum(max(t.weight * v for v in r.when_wrong) for t, r in pairs if t.gate == "none")

    @property
    def least_when_right(self) -> float:
        """Lower bound of the total where the answer is right."""
        total = 0.0
        for term, reward in zip(self.terms, self._rewards, strict=True):
            least = min(term.weight * value for value in reward.when_right)
            total += min(least, 0.0) if term.gate == "verified" else least  # the gate may be shut
        return total

    def __call__(self, problem: Problem, traces: Sequence[Trace]) -> list[Score]:
        """Score the traces of one group.

        Raises:
            ValueError: A reward gave the wrong number of values, or one that is not finite or outside its
                declared range; that is a fault of the reward, never a score of 0.
        """
        parts: list[dict[str, float]] = [{} for _ in traces]
        for term, reward in zip(self.terms, self._rewards, strict=True):
            values = reward(problem, traces, **term.args)
            if len(values) != len(traces):
                raise ValueError(f"reward '{term.name}' gave {len(values)} values for {len(traces)} traces")
            for part, trace, value in zip(parts, traces, values, strict=True):
                low, high = reward.when_right if trace.correct else reward.when_wrong
                # Written so that NaN fails too.
                if not isinstance(value, SupportsFloat) or not low <= value <= high:
                    where = f"{problem.env}/{problem.split}/{problem.index}"
                    raise ValueError(
                        f"reward '{term.name}' gave {value!r} on {where}, outside its declared range "
                        f"[{low:g}, {high:g}]"
                    )
                part[term.name] = term.weight * value if _counts(term.gate, trace) else 0.0
        return [
            Score(total=math.fsum(part.values()), parts=part, outcome=Outcome.of(trace))
            for part, trace in zip(parts, traces, strict=True)
        ]


def _counts(gate: str, trace: Trace) -> bool:
    return gate == "none" or bool(trace.correct if gate == "correct" else trace.verified)


def _check_args(term: Term, reward: Reward) -> None:
    keywords = {
        name: parameter.default
        for name, parameter in inspect.signature(reward.function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    for name, value in term.args.items():
        if name not in keywords:
            close = get_close_matches(name, keywords, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else "."
            allowed = ", ".join(keywords) or "none"
            raise ValueError(f"reward '{term.name}' takes no argument '{name}'{hint} known: {allowed}")
        if type(keywords[name]) is float and not (
            isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
        ):
            raise ValueError(
                f"argument '{name}' of reward '{term.name}' is {value!r}; give a number from 0 to 1"
            )
        # Counts are what rewards are divided by.
        if type(keywords[name]) is int and (type(value) is not int or value < 1):
            raise ValueError(
                f"argument '{name}' of reward '{term.name}' is {value!r}; give a whole number of at least 1"
            )
