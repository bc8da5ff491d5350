"""Warns where a run has a price on steps or backtracks that its task only counts.

In: the reward and the task. Out: one line that says what is counted, and which setting checks it.
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


def warn_of_proxies(rewards: RewardSum, env: Env[Any]) -> str:
    """A warning about terms on steps or backtracks of a task that checks none; "" without any."""
    priced = [term.name for term in rewards.terms if term.weight and term.name in STEPS | BACKTRACKS]
    counting = [part for part in env.parts.values() if not part.checks_steps]
    if not counting or not priced:
        return ""
    task = counting[0]
    counted = []
    if STEPS & set(priced):
        rule = getattr(task.settings, "steps", None)
        counted.append(f"steps are {_COUNTED[rule]}" if rule in _COUNTED else "steps are counted")
    if BACKTRACKS & set(priced):
        counted.append("backtracks are sentences that announce going back ('Wait, ...')")
    can_check = "check_steps" in type(task.settings).model_fields
    remedy = "; check_steps: arithmetic in its settings checks steps" if can_check else ""
    return (
        f"warning: {', '.join(dict.fromkeys(priced))} price what {task.name} counts and does not check, so "
        f"wording can earn what reasoning should: {'; '.join(counted)}{remedy}"
    )
