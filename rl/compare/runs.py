"""What a comparison compares: cases, their seeds, and the run folders that hold their stages.

In: the `Plan` of an ablation, whose runs may be unfinished (`folders.py` does the same for a list of folders).
Out: a `Comparison`; page, text and CSV know nothing else of where the runs come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from configs.schema.ablation import Plan
from configs.schema.shipped import Shipped
from rl.compare.config_differences import OF_THE_RUN
from rl.runs.read import PlainConfig


class FailedRun(Protocol):
    """A run that failed, and why."""

    @property
    def trial(self) -> str:
        """Name of its folder."""

    @property
    def reason(self) -> str:
        """Its last message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Runs to compare.

    Attributes:
        kind: "Ablation" or "Comparison", as the page names it.
        name: Shown as the title.
        question: The question it answers, in a sentence.
        folders: By case and seed, the run folders that hold its stages, in order: a shared warm start comes
            before the run that continues it. The first case is the baseline of all differences.
        configs: By case, the config of its whole run, a shared warm start included, as `case_config` gives it.
        failures: The reason for each failed run, by its name.
        command: The command that makes these runs; empty if it is not known.
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
        """All seeds, in order."""
        return sorted({seed for seeds in self.folders.values() for seed in seeds})


def plan_comparison(plan: Plan, failures: Sequence[FailedRun] = ()) -> Comparison:
    """The cases of an ablation.

    Args:
        plan: The ablation.
        failures: Its failed runs.
    """
    trials = {trial.name: trial for trial in plan.trials}
    folders: dict[str, dict[int, tuple[Path, ...]]] = {}
    configs: dict[str, PlainConfig] = {}
    for (case, seed), names in plan.results.items():
        folders.setdefault(case, {})[seed] = tuple(plan.folder / name for name in names)
        chain = [trials[name].config.model_dump(mode="json") for name in names]
        configs.setdefault(case, case_config(whole_config(chain)))
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
    """The config of a chain of runs: that of the last run, with warm start and policy of the first.

    Key steps are those of whichever run has them.
    """
    first, last = chain[0], chain[-1]
    start = {"warm_start": first.get("warm_start"), "policy": first.get("policy")}
    if keys := next((found for run in reversed(chain) if (found := run.get("key_steps"))), None):
        start["key_steps"] = keys
    return {**last, **start} if len(chain) > 1 else dict(last)


def case_config(config: PlainConfig) -> PlainConfig:
    """A run's config without the keys in which the runs of one case differ: seed, name and folder."""
    return {key: value for key, value in config.items() if key not in OF_THE_RUN}
