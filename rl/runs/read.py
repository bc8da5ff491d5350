"""A whole run, read from its folder.

In: a run folder, finished or not. Out: a `RunRecord`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rl.runs.errors import RunFolderError
from rl.runs.log import evaluation_log, metrics_log, read_summary, readable
from rl.runs.record import SampleRow, SplitResult, Stage, Summary, UpdateRow, planned_stages

PlainConfig = dict[str, Any]
"""A resolved config as plain data."""

Completions = dict[str, dict[int, SampleRow]]
"""A completion of each problem by split and problem index: the greedy one, or else the first sample."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """A run as its report shows it.

    Attributes:
        name: Name of the run.
        config: The resolved config, as plain data.
        config_text: The text of `config.yaml`.
        provenance: The contents of `provenance.json` as plain data; empty without it.
        summary: Results of the evaluated stages, updates and seconds.
        missing: Stages the config asks for that are not evaluated yet.
        metrics: Logged updates by stage.
        completions: Completions by evaluated stage: greedy ones, or the first samples of a stage that was only
            sampled.
    """

    name: str
    config: PlainConfig
    config_text: str
    provenance: dict[str, Any]
    summary: Summary
    missing: tuple[Stage, ...]
    metrics: dict[Stage, list[UpdateRow]]
    completions: dict[Stage, Completions]

    @property
    def greedy(self) -> bool:
        """Whether all results are of greedy decoding."""
        return all(one.greedy for results in self.summary.stages.values() for one in results.values())

    @property
    def steps_checked(self) -> bool:
        """Whether some results are of checked steps; True before the first result."""
        found = [one.steps_checked for results in self.summary.stages.values() for one in results.values()]
        return any(found) or not found

    @property
    def steps_partly_checked(self) -> bool:
        """Whether some completions have checked steps and others counted ones, as in a mixture of tasks."""
        rows = [
            row for splits in self.completions.values() for found in splits.values() for row in found.values()
        ]
        return self.steps_checked and not all(row.steps_checked for row in rows)

    @property
    def stages(self) -> list[Stage]:
        """Evaluated stages, in order."""
        return list(self.summary.stages)

    @property
    def splits(self) -> list[str]:
        """Evaluated splits, in order."""
        return list(dict.fromkeys(split for results in self.summary.stages.values() for split in results))

    def results(self, split: str) -> dict[Stage, SplitResult]:
        """The results on a split, by the stages that were evaluated on it."""
        return {stage: splits[split] for stage, splits in self.summary.stages.items() if split in splits}

    def before_after(self, split: str) -> tuple[Stage | None, Stage | None]:
        """The last stage evaluated on a split and the one before it; None where there is none."""
        stages = list(self.results(split))
        return (stages[-2] if len(stages) > 1 else None), (stages[-1] if stages else None)


def read_run(folder: Path) -> RunRecord:
    """Read a run folder.

    Raises:
        RunFolderError: It holds no run, or a file of it has another format or is damaged.
    """
    if not is_run(folder):
        raise RunFolderError(
            f"there is no run in {folder} (no config.yaml); give the folder of a run, such as runs/quickstart"
        )
    config, summary = read_config(folder), read_summary(folder)
    planned = [Stage.BASE, *planned_stages(config)]
    updates = metrics_log(folder).read()
    return RunRecord(
        name=str(config.get("name", folder.name)),
        config=config,
        config_text=(folder / "config.yaml").read_text(),
        provenance=read_provenance(folder),
        summary=summary,
        missing=tuple(stage for stage in planned if stage not in summary.stages),
        metrics={stage: rows for stage in Stage if (rows := [row for row in updates if row.stage is stage])},
        completions={
            stage: by_problem(headline_rows(folder, stage, results))
            for stage, results in summary.stages.items()
        },
    )


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run."""
    return (folder / "config.yaml").is_file()


def read_config(folder: Path) -> PlainConfig:
    """The resolved config of a run.

    Raises:
        RunFolderError: It cannot be read or is no config.
    """
    path = folder / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise RunFolderError(f"{path} cannot be read: {error}; restore it") from None
    if not isinstance(config, dict):
        raise RunFolderError(f"{path} holds no config; give the folder of a run")
    return config


def read_provenance(folder: Path) -> dict[str, Any]:
    """Where a run comes from: command, revision, versions, machine; empty where that is not recorded.

    Raises:
        RunFolderError: `provenance.json` cannot be read.
    """
    path = folder / "provenance.json"
    found = readable(path, lambda: json.loads(path.read_text())) if path.exists() else {}
    if not isinstance(found, dict):
        raise RunFolderError(f"{path} cannot be read: it holds no JSON object; restore it or move it away")
    return found


def headline_rows(folder: Path, stage: Stage, results: Mapping[str, SplitResult]) -> list[SampleRow]:
    """The completions that the results of a stage are computed from, as far as they were kept.

    Raises:
        RunFolderError: The file has another format or is damaged.
    """
    greedy = all(result.greedy for result in results.values())
    return evaluation_log(folder, stage, greedy=greedy).read(tokens=False)


def by_problem(rows: Iterable[SampleRow]) -> Completions:
    """The first sample of each problem, by split and index."""
    found: Completions = {}
    for row in rows:
        if row.sample == 0:
            found.setdefault(row.split, {})[row.index] = row
    return found
