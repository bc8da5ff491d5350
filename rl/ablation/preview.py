"""What an ablation would run, before it does: the matrix of cases and seeds, and what they cost.

In: a `Plan`, whose runs may be finished, cut off or not begun. Out: text. Nothing is started.
"""

from __future__ import annotations

import json
import os
from typing import Any

from configs.schema.ablation import Plan, Trial
from rl.ablation.cost import Cost, Measured, cost_of, estimate
from rl.ablation.progress import is_done, resume_updates
from rl.ablation.room import describe_bundles, this_machine
from rl.ablation.run import fit_at_once, plan_bundles
from rl.ablation.table import describe_estimate
from rl.pages.text import aligned
from rl.runs.log import read_summary

_COSTS = (
    ("runs", "runs"),
    ("updates of warm starts", "warm_updates"),
    ("updates of GRPO", "grpo_updates"),
    ("completions of GRPO", "grpo_completions"),
    ("the same, if every group is replaced as often as may be", "grpo_completions_most"),
    ("completions of evaluations", "eval_completions"),
)


def preview(plan: Plan) -> str:
    """Everything there is to say about a plan.

    Raises:
        ResourceError: A run does not fit on this machine, and no cluster is named.
    """
    left = [trial for trial in plan.trials if not is_done(trial)]
    cases, seeds = len(plan.config.cases), len(plan.config.seeds)
    counts = [f"{num} {noun}{'s' * (num != 1)}" for num, noun in ((cases, "case"), (seeds, "seed"))]
    head = f"{plan.config.name}: {', '.join(counts)}, {len(plan.trials)} runs in {plan.folder}"
    parts = [f"{head}\n{plan.config.question.strip()}", _changes(plan), _matrix(plan), _cost_table(plan, left)]
    return "\n\n".join([*parts, "\n".join([*_room(plan, left), _time_left(plan, left)])])


def _changes(plan: Plan) -> str:
    """The keys each case sets."""
    lines = []
    for case, keys in plan.config.cases.items():
        lines.append(f"{case}: {'as the base' if not keys else ''}".rstrip())
        lines += [f"    {key}: {_value(value)}" for key, value in keys.items()]
    return "\n".join(lines)


def _matrix(plan: Plan) -> str:
    """One row a case and a shared warm start, one column a seed."""
    rows: dict[str, list[str]] = {}
    for trial in plan.trials:
        before = trial.after.removesuffix(f"-seed{trial.seed}") if trial.after else "-"
        rows.setdefault(trial.group, [trial.group, before]).append(_state(trial))
    head = ["run", "begins with", *(f"seed {seed}" for seed in plan.config.seeds)]
    warm_first = sorted(rows.values(), key=lambda row: row[1] != "-")
    return aligned([head, *warm_first], num_left=len(head))


def _state(trial: Trial) -> str:
    if is_done(trial):
        return "done"
    resumed = {stage: update for stage, update in resume_updates(trial).items() if update}
    return f"from {' '.join(map(str, list(resumed.items())[-1]))}" if resumed else "to run"


def _cost_table(plan: Plan, left: list[Trial]) -> str:
    whole, rest = cost_of(plan.trials, left=False), cost_of(left, left=True)
    rows = [["cost", "all", "left"]]
    rows += [[label, *(f"{_count(cost, name):,}" for cost in (whole, rest))] for label, name in _COSTS]
    return aligned(rows, num_left=1)


def _count(cost: Cost, name: str) -> int:
    count: int = getattr(cost, name)
    return count


def _room(plan: Plan, left: list[Trial]) -> list[str]:
    """What runs set aside, and how many there is room for."""
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


def _value(value: Any) -> str:
    return json.dumps(value, default=str)
