"""Says where a run has a price on steps or backtracks that its task only counts.

In: the reward and the task. Out: one line that says what is counted, and which setting checks it. A run prints
it at its start and keeps it for its report.
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
