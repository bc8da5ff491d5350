"""Rewards by name, with what `compose.py` must know of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from envs import Problem, Trace
from rewards import backtracks, correctness, format, length, steps
from rewards.history import History
from rewards.user import UserReward

SampleReward = Callable[..., float]
GroupReward = Callable[..., list[float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reward:
    """A registered reward: its values for one group.

    Attributes:
        function: `(problem, trace, **args) -> float`, or with `group` `(problem, traces, **args) -> list`.
            Values are in [0, 1].
        group: True where the function reads the whole group.
        history: True where it takes the run's `History` too.
        when_wrong: Smallest and largest value it can take where the answer is wrong.
        when_right: The same where the answer is right.
    """

    function: SampleReward | GroupReward
    group: bool = False
    history: bool = False
    when_wrong: tuple[float, float] = (0.0, 1.0)
    when_right: tuple[float, float] = (0.0, 1.0)

    def __call__(
        self, problem: Problem, traces: Sequence[Trace], history: History | None = None, **args: object
    ) -> list[float]:
        """Values for the traces of one group."""
        if self.history:
            args = {**args, "history": history or History()}
        if self.group:
            return list(self.function(problem, traces, **args))  # type: ignore[arg-type]
        return [self.function(problem, trace, **args) for trace in traces]  # type: ignore[misc]


_NEVER = (0.0, 0.0)
_ALWAYS = (1.0, 1.0)

REWARDS: dict[str, Reward] = {
    "correct": Reward(function=correctness.correct, when_wrong=_NEVER, when_right=_ALWAYS),
    "verified": Reward(function=correctness.verified, when_wrong=_NEVER),
    "format": Reward(function=format.format, when_right=_ALWAYS),
    "repetition": Reward(function=format.repetition),
    "step_count": Reward(function=steps.step_count, when_wrong=_ALWAYS),
    "steps_saved": Reward(function=steps.steps_saved, when_wrong=_NEVER),
    "steps_over_budget": Reward(function=steps.steps_over_budget),
    "steps_off_budget": Reward(function=steps.steps_off_budget),
    "budget_margin": Reward(function=steps.budget_margin, when_wrong=(0.0, 0.5)),
    "steps_off_target": Reward(function=steps.steps_off_target, when_wrong=_ALWAYS),
    "steps_over_shortest": Reward(function=steps.steps_over_shortest, group=True),
    "skip_score": Reward(function=steps.skip_score, when_wrong=(0.0, 0.8), when_right=(0.8, 1.0)),
    "process_match": Reward(function=steps.process_match),
    "backtrack_count": Reward(function=backtracks.backtrack_count),
    "fake_backtracks": Reward(function=backtracks.fake_backtracks),
    "needless_backtracks": Reward(function=backtracks.needless_backtracks),
    "backtracks_over_budget": Reward(function=backtracks.backtracks_over_budget),
    "backtracks_off_density": Reward(function=backtracks.backtracks_off_density),
    "wasted_steps": Reward(function=backtracks.wasted_steps),
    "token_count": Reward(function=length.token_count),
    "length_in_range": Reward(function=length.length_in_range, group=True, when_wrong=(0.0, 0.5)),
    "length_sigmoid": Reward(function=length.length_sigmoid, group=True, when_wrong=_NEVER),
    "length_exponential": Reward(function=length.length_exponential, group=True, when_wrong=_NEVER),
    "length_off_shortest": Reward(function=length.length_off_shortest, group=True),
    "length_by_solve_rate": Reward(function=length.length_by_solve_rate, group=True),
    "length_over_tolerance": Reward(function=length.length_over_tolerance, group=True, when_wrong=_NEVER),
    "within_length": Reward(function=length.within_length),
    "within_target_length": Reward(function=length.within_target_length, group=True, history=True),
    "length_over_history": Reward(
        function=length.length_over_history, history=True, when_wrong=(0.5, 1.0), when_right=(0.0, 0.85)
    ),
    "length_overlong": Reward(function=length.length_overlong),
    "length_cosine": Reward(function=length.length_cosine),
    "wrong_length_cosine": Reward(function=length.wrong_length_cosine, when_right=_NEVER),
    "reflection_and_length": Reward(function=length.reflection_and_length, group=True, when_wrong=_NEVER),
}


def find_reward(name: str, *, timeout_s: float = 10.0) -> Reward | UserReward:
    """Look a reward up: a registered one by its name, a user's own as `package.module:function`.

    Args:
        name: The name.
        timeout_s: How long a user's own may take for one call.

    Raises:
        ValueError: The name is unknown (the message gives the nearest one), or what it names cannot be loaded.
    """
    if ":" in name:
        return UserReward(name, timeout_s=timeout_s)
    if name not in REWARDS:
        close = get_close_matches(name, REWARDS, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else "."
        raise ValueError(
            f"unknown reward '{name}'{hint} known: {', '.join(sorted(REWARDS))}, or your own as "
            "package.module:function"
        )
    return REWARDS[name]
