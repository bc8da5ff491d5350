"""Rewards by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from envs import Problem, Trace
from rewards import backtracks, correctness, format, length, steps
from rewards.declare import Declaration, declaration_of
from rewards.history import History
from rewards.user import MEMORY_GIB, TIMEOUT_S, UserReward


@dataclass(frozen=True, kw_only=True, slots=True)
class Reward:
    """A built-in reward: a function and what it declares.

    Attributes:
        function: `(problem, trace, **args) -> float`, or `(problem, traces, **args) -> list[float]` where it
            declares `group`. Values are in its declared ranges.
        declared: Its declaration.
    """

    function: Callable[..., Any]
    declared: Declaration

    def __call__(
        self, problem: Problem, traces: Sequence[Trace], history: History | None = None, **args: object
    ) -> list[float]:
        """Values for the traces of one group."""
        if self.declared.history:
            args = {**args, "history": history or History()}
        if self.declared.group:
            return list(self.function(problem, traces, **args))
        return [self.function(problem, trace, **args) for trace in traces]


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "correct": correctness.correct,
    "verified": correctness.verified,
    "format": format.format,
    "strict_form": format.strict_form,
    "repetition": format.repetition,
    "step_count": steps.step_count,
    "steps_saved": steps.steps_saved,
    "steps_over_budget": steps.steps_over_budget,
    "steps_off_budget": steps.steps_off_budget,
    "budget_margin": steps.budget_margin,
    "steps_off_target": steps.steps_off_target,
    "steps_over_shortest": steps.steps_over_shortest,
    "skip_score": steps.skip_score,
    "process_match": steps.process_match,
    "backtrack_count": backtracks.backtrack_count,
    "fake_backtracks": backtracks.fake_backtracks,
    "needless_backtracks": backtracks.needless_backtracks,
    "backtracks_over_budget": backtracks.backtracks_over_budget,
    "backtracks_off_density": backtracks.backtracks_off_density,
    "wasted_steps": backtracks.wasted_steps,
    "token_count": length.token_count,
    "length_in_range": length.length_in_range,
    "length_sigmoid": length.length_sigmoid,
    "length_exponential": length.length_exponential,
    "length_off_shortest": length.length_off_shortest,
    "length_by_solve_rate": length.length_by_solve_rate,
    "length_over_tolerance": length.length_over_tolerance,
    "within_length": length.within_length,
    "within_target_length": length.within_target_length,
    "length_over_history": length.length_over_history,
    "length_overlong": length.length_overlong,
    "length_cosine": length.length_cosine,
    "wrong_length_cosine": length.wrong_length_cosine,
    "reflection_and_length": length.reflection_and_length,
}

REWARDS: dict[str, Reward] = {
    name: Reward(function=function, declared=declaration_of(function, name))
    for name, function in _FUNCTIONS.items()
}


def find_reward(
    name: str, *, timeout_s: float = TIMEOUT_S, memory_gib: float = MEMORY_GIB
) -> Reward | UserReward:
    """Find a reward: a built-in one by its name, a user's own as `package.module:function`.

    Args:
        name: The name.
        timeout_s: Seconds that one call of a user's own reward may take.
        memory_gib: Memory that the process of a user's own reward may hold, in GiB.

    Raises:
        ValueError: The name is unknown (the message gives the nearest one), or the user's function cannot be
            loaded.
    """
    if ":" in name:
        return UserReward(name, timeout_s=timeout_s, memory_gib=memory_gib)
    if name not in REWARDS:
        close = get_close_matches(name, REWARDS, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else "."
        raise ValueError(
            f"unknown reward '{name}'{hint} known: {', '.join(sorted(REWARDS))}, or your own as "
            "package.module:function"
        )
    return REWARDS[name]
