"""What is compared: cases, the seeds of each, and the run folders that hold their stages.

In: the `Plan` of an ablation, its runs finished or not (a list of folders: `folders.py`). Out: a
`Comparison`, which is all that the page, the text and the CSV know of where their runs come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from configs.schema.ablation import Plan
from configs.schema.shipped import Shipped
from rl.runs.read import PlainConfig


class FailedRun(Protocol):
    """A run that did not end well, and why."""

    @property
    def trial(self) -> str:
        """Name of its folder."""

    @property
    def reason(self) -> str:
        """What it said last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Runs to compare.

    Attributes:
        kind: What it is, as the page says it: "Ablation", "Comparison".
        name: Shown as the title.
        question: What it asks, in a sentence.
        folders: Of each case and seed the run folders that hold its stages, in order: a shared warm start, then
            what became of it. The first case is the one the others are compared with.
        configs: Of each case the config of its whole run, the warm start's part included.
        failures: Reasons by the name of a run that did not end well.
        command: The command that makes these runs; empty where it is not known.
    """

    kind: str
    name: str
    question: str
    folders: dict[str, dict[int, tuple[Path, ...]]]
    configs: dict[str, PlainConfig]
    failures: dict[str, str]
    command: str = ""

    @property
    def seeds(self) -> list[int]:
        """The seeds of any case."""
        return sorted({seed for seeds in self.folders.values() for seed in seeds})


def plan_comparison(plan: Plan, failures: Sequence[FailedRun] = ()) -> Comparison:
    """The cases of an ablation.

    Args:
        plan: Its runs.
        failures: Those that failed.
    """
    trials = {trial.name: trial for trial in plan.trials}
    folders: dict[str, dict[int, tuple[Path, ...]]] = {}
    configs: dict[str, PlainConfig] = {}
    for (case, seed), names in plan.results.items():
        folders.setdefault(case, {})[seed] = tuple(plan.folder / name for name in names)
        chain = [trials[name].config.model_dump(mode="json") for name in names]
        configs.setdefault(case, whole_config(chain))
    return Comparison(
        kind="Ablation",
        name=plan.config.name,
        question=plan.config.question,
        folders=folders,
        configs=configs,
        failures={failure.trial: failure.reason for failure in failures},
        command=f"stride ablate {plan.config.name}" if plan.config.name in Shipped.ABLATION.names else "",
    )


def whole_config(chain: Sequence[Mapping[str, Any]]) -> PlainConfig:
    """One config for runs that begin with each other's models: the last one, with the start of the first."""
    first, last = chain[0], chain[-1]
    start = {"warm_start": first.get("warm_start"), "policy": first.get("policy")}
    return {**last, **start} if len(chain) > 1 else dict(last)
