"""The runs of an ablation before they start: the matrix of cases and seeds, and what they cost.

In: a `Plan`, whose runs may be finished, cut off or not started. Out: text. Nothing is run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from configs.schema.ablation import Plan, Trial
from configs.schema.grid import Cases
from rl.ablation.cost import Cost, cost_of
from rl.ablation.progress import finished_rounds, is_done, planned_rounds, resume_updates
from rl.ablation.room import describe_bundles, this_machine
from rl.ablation.run import fit_at_once, plan_bundles
from rl.ablation.table import describe_estimate
from rl.ablation.time_left import Measured, estimate
from rl.pages.text import text_table
from rl.runs.log import read_summary

_COSTS = (
    ("runs", "runs"),
    ("updates of warm starts", "warm_updates"),
    ("updates of key steps", "key_steps_updates"),
    ("completions for key steps", "key_steps_completions"),
    ("updates of GRPO", "grpo_updates"),
    ("answers asked for on train, in loops", "asked_completions"),
    ("GRPO completions, if dynamic sampling replaces no group", "grpo_completions"),
    ("GRPO completions, if it replaces as many as allowed", "grpo_completions_most"),
    ("evaluation completions", "eval_completions"),
    ("problems solved by search", "searched_problems"),
)

_CASES_NAMED = 3


def preview(plan: Plan) -> str:
    """A plan as text: what each case sets, the state of every run, costs and the time left.

    Raises:
        ResourceError: A run does not fit on this machine, and no cluster is named.
    """
    left = [trial for trial in plan.trials if not is_done(trial)]
    head = f"{plan.headline}\n{plan.config.question.strip()}"
    parts = [head, _changes(plan.config.cases), _matrix(plan), _cost_table(plan, left)]
    return "\n\n".join([*parts, "\n".join([*_room(plan, left), _time_left(plan, left)])])


def _changes(cases: Cases) -> str:
    """The keys that all cases set to the same value, then those of each case."""
    first, *others = cases.values()
    shared = {
        key: value
        for key, value in first.items()
        if others and all(key in keys and keys[key] == value for keys in others)
    }
    lines = _keys("all cases", shared) if shared else []
    for case, keys in cases.items():
        own = {key: value for key, value in keys.items() if key not in shared}
        lines += _keys(case, own) if own else [f"{case}: nothing else" if shared else f"{case}: as the base"]
    return "\n".join(lines)


def _keys(head: str, keys: Mapping[str, Any]) -> list[str]:
    return [f"{head}:", *(f"    {key}: {json.dumps(value, default=str)}" for key, value in keys.items())]


def _matrix(plan: Plan) -> str:
    """A row for each run, with the cases whose warm start it is, and a column for each seed."""
    rows: dict[str, list[str]] = {}
    for trial in plan.trials:
        cases = [case for (case, seed), names in plan.results.items() if trial.name in names]
        shown = "-" if trial.group in cases else _named(cases)
        before = trial.after.removesuffix(f"-seed{trial.seed}") if trial.after else "-"
        rows.setdefault(trial.group, [trial.group, shown, before]).append(_state(trial))
    head = ["run", "warm start of", "begins with", *(f"seed {seed}" for seed in plan.config.seeds)]
    warm_first = sorted(rows.values(), key=lambda row: row[2] != "-")
    return text_table(head, warm_first, num_left=len(head))


def _named(cases: Sequence[str]) -> str:
    if len(cases) <= _CASES_NAMED:
        return ", ".join(cases)
    return f"{cases[0]} and {len(cases) - 1} others"


def _state(trial: Trial) -> str:
    if is_done(trial):
        return "done"
    if rounds := planned_rounds(trial):
        finished = len(finished_rounds(trial))
        return f"from round {finished} of {rounds}" if finished else "to run"
    resumed = {stage: update for stage, update in resume_updates(trial).items() if update}
    return f"from {' '.join(map(str, list(resumed.items())[-1]))}" if resumed else "to run"


def _cost_table(plan: Plan, left: list[Trial]) -> str:
    whole, rest = cost_of(plan.trials, left=False), cost_of(left, left=True)
    shown = [
        one
        for one in _COSTS
        if _count(whole, one[1]) or not one[1].startswith(("key_steps", "asked", "searched"))
    ]
    rows = [[label, *(f"{_count(cost, name):,}" for cost in (whole, rest))] for label, name in shown]
    return text_table(["cost", "all", "left"], rows, num_left=1)


def _count(cost: Cost, name: str) -> int:
    count: int = getattr(cost, name)
    return count


def _room(plan: Plan, left: list[Trial]) -> list[str]:
    """The resources a run reserves, and how many runs fit."""
    parallel = f"parallel is {plan.config.parallel}"
    nodes = this_machine()
    if os.environ.get("RAY_ADDRESS"):
        return [f"on the cluster at RAY_ADDRESS as many at a time as fit ({parallel})"]
    sizes = dict.fromkeys(describe_bundles(bundles) for bundles in plan_bundles(plan, nodes).values())
    at_once = fit_at_once(plan, left or plan.trials, nodes)
    return [f"a run takes {' or '.join(sizes)}; on this machine {at_once} at a time ({parallel})"]


def _time_left(plan: Plan, left: list[Trial]) -> str:
    if not left:
        return "all runs are done"
    measured = Measured()
    for trial in plan.trials:
        measured.add(trial)
    seconds = {
        trial.name: measured.left(trial, resume_updates(trial), read_summary(trial.folder).stages)
        for trial in left
    }
    on_cluster = os.environ.get("RAY_ADDRESS")
    at_once = plan.config.parallel if on_cluster else fit_at_once(plan, left, this_machine())
    return describe_estimate(estimate(left, seconds, at_once))
