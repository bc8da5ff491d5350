"""Says where a price on steps or backtracks buys something else than its name says.

In: the reward and the task. Out: one line where the task only counts steps or backtracks, with the setting that
checks them, and one where the warm start teaches answers without a step. A run prints them at its start and
keeps them for its report.
"""

from __future__ import annotations

from typing import Any

from envs import Env
from rewards import RewardSum

STEPS = frozenset(
    {
        *("step_count", "steps_saved", "steps_over_budget", "steps_off_budget", "steps_over_shortest"),
        *("budget_margin", "steps_off_target"),
    }
)
BACKTRACKS = frozenset({"backtrack_count", "backtracks_over_budget", "backtracks_off_density"})
_COUNTED = {
    "content": "claims: relations such as '=', and sentences that state something",
    "paragraphs": "paragraphs, so blank lines",
    "lines": "lines",
    "sentences": "sentences and line ends",
}


def describe_proxies(rewards: RewardSum, env: Env[Any]) -> str:
    """The terms on steps and backtracks that a task counts and does not check; "" without any."""
    priced = [term.name for term in rewards.terms if term.weight]
    parts = env.parts.values()
    counting = [part for part in parts if not part.checks_steps]
    announcing = [part for part in parts if not (part.checks_steps and part.checks_backtracks)]
    of_steps = [name for name in priced if name in STEPS and counting]
    of_backtracks = [name for name in priced if name in BACKTRACKS and announcing]
    if not of_steps and not of_backtracks:
        return ""
    task = (counting if of_steps else announcing)[0]
    counted = []
    remedy = ""
    if of_steps:
        rule = getattr(task.settings, "steps", None)
        counted.append(f"steps are {_COUNTED[rule]}" if rule in _COUNTED else "steps are counted")
        if "check_steps" in type(task.settings).model_fields:
            remedy = "; check_steps: arithmetic in its settings checks steps"
    if of_backtracks:
        counted.append("backtracks are sentences that announce going back ('Wait, ...')")
    named = [*of_steps, *of_backtracks]
    return (
        f"{', '.join(named)} price{'s' * (len(named) == 1)} what {task.name} counts and does not check, so "
        f"wording can earn what reasoning should: {'; '.join(counted)}{remedy}"
    )


def describe_dropout(rewards: RewardSum, env: Env[Any], thought_dropout: float) -> str:
    """What terms on steps make of an answer without a step, as the warm start teaches; "" if they are silent.

    Where steps are checked, such an answer is right and not verified, so a price on steps never pays for it.
    Elsewhere it has the fewest steps there are.
    """
    on_steps = [term.name for term in rewards.terms if term.weight and term.name in (*STEPS, "verified")]
    if not thought_dropout or not on_steps:
        return ""
    names, s = ", ".join(on_steps), "s" * (len(on_steps) == 1)
    taught = "answers without a step, as warm_start.thought_dropout teaches them,"
    if any(part.checks_steps for part in env.parts.values()):
        return (
            f"{taught} may be right and are never verified: {names} treat{s} them as the worst of right "
            "answers, so GRPO is drawn to think everywhere; correct alone, or a price on tokens, leaves it open"
        )
    return (
        f"{taught} have 0 steps: {names} pay{s} for them more than for any thought, so GRPO is drawn to drop "
        "thoughts wherever answers stay right"
    )
