"""Rewards by name, with what `compose.py` must know of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from envs import Problem, Trace
from rewards import backtracks, correctness, format, steps

SampleReward = Callable[..., float]
GroupReward = Callable[..., list[float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reward:
    """A registered reward: its values for one group.

    Attributes:
        function: `(problem, trace, **args) -> float`, or with `group` `(problem, traces, **args) -> list`.
            Values are in [0, 1].
        group: True where the function reads the whole group.
        when_wrong: Smallest and largest value it can take where the answer is wrong.
        when_right: The same where the answer is right.
    """

    function: SampleReward | GroupReward
    group: bool = False
    when_wrong: tuple[float, float] = (0.0, 1.0)
    when_right: tuple[float, float] = (0.0, 1.0)

    def __call__(self, problem: Problem, traces: Sequence[Trace], **args: object) -> list[float]:
        """Values for the traces of one group."""
        if self.group:
            return list(self.function(problem, traces, **args))  # type: ignore[arg-type]
        return [self.function(problem, trace, **args) for trace in traces]  # type: ignore[misc]


_NEVER = (0.0, 0.0)
_ALWAYS = (1.0, 1.0)

REWARDS: dict[str, Reward] = {
    "correct": Reward(function=correctness.correct, when_wrong=_NEVER, when_right=_ALWAYS),
    "verified": Reward(function=correctness.verified, when_wrong=_NEVER),
    "format": Reward(function=format.format, when_right=_ALWAYS),
    "step_count": Reward(function=steps.step_count, when_wrong=_ALWAYS),
    "steps_saved": Reward(function=steps.steps_saved, when_wrong=_NEVER),
    "steps_over_budget": Reward(function=steps.steps_over_budget),
    "steps_off_budget": Reward(function=steps.steps_off_budget),
    "steps_over_shortest": Reward(function=steps.steps_over_shortest, group=True),
    "backtrack_count": Reward(function=backtracks.backtrack_count),
    "fake_backtracks": Reward(function=backtracks.fake_backtracks),
    "needless_backtracks": Reward(function=backtracks.needless_backtracks),
    "backtracks_over_budget": Reward(function=backtracks.backtracks_over_budget),
    "backtracks_off_density": Reward(function=backtracks.backtracks_off_density),
    "wasted_steps": Reward(function=backtracks.wasted_steps),
}


def find_reward(name: str) -> Reward:
    """Look a reward up.

    Raises:
        ValueError: The name is unknown; the message gives the nearest one.
    """
    if name not in REWARDS:
        close = get_close_matches(name, REWARDS, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else "."
        raise ValueError(f"unknown reward '{name}'{hint} known: {', '.join(sorted(REWARDS))}")
    return REWARDS[name]
