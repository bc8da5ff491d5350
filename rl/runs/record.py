"""A run read back from its folder.

In: the files of a run folder, finished or not. Out: a `RunRecord`, and what became of each problem between two
stages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import yaml

from rl.runs.folder import RunFolderError
from rl.runs.log import JsonLines

Row = dict[str, Any]


T = TypeVar("T")


LABELS = {"base": "base", "warm": "warm start", "grpo": "GRPO"}
"""Stages in order, as a reader calls them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """Everything the report shows.

    Attributes:
        name: Name of the run.
        config: The resolved config, as plain data.
        config_text: The same as it is in `config.yaml`.
        provenance: What `provenance.json` holds; empty without it.
        stages: Results by stage (in order) and split, each with the fields of `SplitResult`.
        missing: Stages the config asks for that are not evaluated yet.
        seconds: Wall time by what was done.
        metrics: Logged updates by stage.
        completions: Greedy completions by stage, split and problem index.
    """

    name: str
    config: Row
    config_text: str
    provenance: Row
    stages: dict[str, dict[str, Row]]
    missing: tuple[str, ...]
    seconds: dict[str, float]
    metrics: dict[str, list[Row]]
    completions: dict[str, dict[str, dict[int, Row]]]

    @property
    def splits(self) -> list[str]:
        """Evaluated splits, in order."""
        return list(dict.fromkeys(split for results in self.stages.values() for split in results))

    def results(self, split: str) -> dict[str, Row]:
        """The results of a split, by the stages that were evaluated on it."""
        return {stage: splits[split] for stage, splits in self.stages.items() if split in splits}

    def before_after(self, split: str) -> tuple[str | None, str | None]:
        """The last stage evaluated on a split and the one before it; None where there is none."""
        stages = list(self.results(split))
        return (stages[-2] if len(stages) > 1 else None), (stages[-1] if stages else None)


class Change(StrEnum):
    """What became of a problem between two stages, the worst news first."""

    LOST = "no longer solved"
    MORE = "solved in more steps"
    NEITHER = "not solved by either"
    SAME = "solved in as many steps"
    FEWER = "solved in fewer steps"
    GAINED = "newly solved"


def read_run(folder: Path) -> RunRecord:
    """Read a run folder.

    Raises:
        RunFolderError: It holds no run, or one of its files is damaged.
    """
    if not (folder / "config.yaml").is_file():
        raise RunFolderError(
            f"there is no run in {folder} (no config.yaml); give the folder of a run, as runs/quickstart"
        )
    text = readable(folder / "config.yaml", lambda path: path.read_text())
    config = readable(folder / "config.yaml", lambda path: yaml.safe_load(path.read_text()))
    if not isinstance(config, dict):
        raise RunFolderError(f"{folder / 'config.yaml'} holds no config; give the folder of a run")
    provenance = readable(folder / "provenance.json", _json)
    summary = readable(folder / "summary.json", _json)
    metrics: dict[str, list[Row]] = {}
    for row in readable(folder / "metrics.jsonl", _rows):
        metrics.setdefault(row["stage"], []).append(row)
    stages = {stage: dict(summary.get("stages", {})[stage]) for stage in _ordered(summary.get("stages", {}))}
    completions: dict[str, dict[str, dict[int, Row]]] = {}
    for stage in stages:
        by_split = completions.setdefault(stage, {})
        for row in readable(folder / "eval" / f"{stage}.jsonl", _rows):
            if row["sample"] == 0:
                by_split.setdefault(row["split"], {})[row["index"]] = row
    planned = ["base", *(stage for stage, key in (("warm", "warm_start"), ("grpo", "grpo")) if config.get(key))]
    return RunRecord(
        name=str(config.get("name", folder.name)),
        config=config,
        config_text=text,
        provenance=provenance,
        stages=stages,
        missing=tuple(stage for stage in planned if stage not in stages),
        seconds=dict(summary.get("seconds", {})),
        metrics={stage: metrics[stage] for stage in _ordered(metrics)},
        completions=completions,
    )


def label(stage: str) -> str:
    """A stage as a reader calls it."""
    return LABELS.get(stage, stage)


def is_correct(row: Row) -> bool:
    """Whether a completion's answer is right."""
    return row["outcome"] in ("verified", "correct")


def num_steps(row: Row) -> int:
    """Steps a completion spent, undone ones and markers of free text included, backtrack lines not."""
    return sum(step["kind"] != "backtrack" for step in row["steps"])


def changes(before: Mapping[int, Row], after: Mapping[int, Row]) -> dict[Change, list[int]]:
    """Problems by what became of them, each list with the largest change of steps first, then by index."""
    found: dict[Change, list[int]] = {change: [] for change in Change}
    for index in sorted(before.keys() & after.keys()):
        found[_change(before[index], after[index])].append(index)
    for kind in (Change.MORE, Change.FEWER):
        found[kind].sort(key=lambda index: -abs(num_steps(before[index]) - num_steps(after[index])))
    return found


def _change(before: Row, after: Row) -> Change:
    was, now = is_correct(before), is_correct(after)
    if not (was and now):
        return Change.LOST if was else Change.GAINED if now else Change.NEITHER
    saved = num_steps(before) - num_steps(after)
    return Change.FEWER if saved > 0 else Change.MORE if saved < 0 else Change.SAME


def readable(path: Path, read: Callable[[Path], T]) -> T:
    """What a file of a run folder holds.

    Raises:
        RunFolderError: It is damaged.
    """
    try:
        return read(path)
    except (ValueError, OSError, yaml.YAMLError) as error:
        raise RunFolderError(f"{path} cannot be read: {error}") from None


def _ordered(stages: Iterable[str]) -> list[str]:
    order = list(LABELS)
    return sorted(stages, key=lambda stage: order.index(stage) if stage in order else len(order))


def _json(path: Path) -> Row:
    return json.loads(path.read_text()) if path.exists() else {}


def _rows(path: Path) -> list[Row]:
    return JsonLines(path).read()
