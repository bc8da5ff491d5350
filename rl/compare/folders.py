"""Makes a comparison of run folders, whatever started the runs.

In: run folders, or folders that contain run folders (as an ablation's does). Out: a `Comparison`. Runs whose
configs differ only in seed, name and output folder are the seeds of one case. A run that others start from (a
shared warm start) is no case of its own: it becomes the first part of each of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rl.compare.runs import Comparison, case_config, whole_config
from rl.runs.errors import RunFolderError
from rl.runs.read import PlainConfig, is_run, read_config
from rl.runs.record import planned_stages

_SEED_AT_END = re.compile(r"[-_.]?seed[-_]?[0-9]+$")
_SEED = re.compile(r"seed[-_]?[0-9]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """A run; `chain` has the runs it starts from, the earliest first, and then the run itself."""

    folder: Path
    seed: int
    chain: tuple[Path, ...]
    config: PlainConfig


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """The run folders among these folders, and those directly inside the others.

    Raises:
        RunFolderError: A folder neither is a run nor contains one.
    """
    found: list[Path] = []
    for path in paths:
        inside = [child for child in _children(path) if is_run(child)]
        if not is_run(path) and not inside:
            raise RunFolderError(
                f"there is no run in {path} (no config.yaml in it or in a folder of it); give run folders, "
                "such as runs/quickstart, or a folder that contains some"
            )
        found += [path] if is_run(path) else inside
    return list(dict.fromkeys(path.absolute() for path in found))


def folder_comparison(folders: Sequence[Path]) -> Comparison:
    """A comparison of run folders, in the order given.

    Args:
        folders: As `find_runs` gives them.

    Raises:
        RunFolderError: A folder has no config, or is one of expert iteration, which has no results to compare.
    """
    configs = {folder: read_config(folder) for folder in folders}
    if rounds := [folder for folder in folders if configs[folder].get("expert_iteration")]:
        raise RunFolderError(
            f"the run in {rounds[0]} is expert iteration, which is not compared; leave it out, and see its "
            f"rounds with `stride report {rounds[0]}`"
        )
    before = {folder: _starts_from(configs[folder], folder) for folder in folders}
    shared = {found for found in before.values() if found is not None}
    runs = [_run(folder, configs, before) for folder in folders if folder not in shared]
    groups: list[list[_Run]] = []
    for run in runs:
        # A second run with the same config and seed becomes a case of its own.
        fits = [
            group
            for group in groups
            if _without_seed(group[0].config) == _without_seed(run.config)
            and run.seed not in [other.seed for other in group]
        ]
        if fits:
            fits[0].append(run)
        else:
            groups.append([run])
    names = _names(groups)
    return Comparison(
        kind="Comparison",
        name=", ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} more",
        question=f"How do {len(runs)} runs compare?",
        folders={
            name: {run.seed: run.chain for run in sorted(group, key=lambda run: run.seed)}
            for name, group in zip(names, groups, strict=True)
        },
        configs={name: _without_seed(group[0].config) for name, group in zip(names, groups, strict=True)},
        failures={},
    )


def _children(path: Path) -> list[Path]:
    try:
        return sorted(path.iterdir(), key=_case_then_seed) if path.is_dir() else []
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read: {error.strerror or error}") from None


def _case_then_seed(folder: Path) -> tuple[str, int, str]:
    """Orders k0-seed2, k0-seed10, k0-priced-seed0."""
    return _SEED_AT_END.sub("", folder.name), len(folder.name), folder.name


def _starts_from(config: PlainConfig, folder: Path) -> Path | None:
    """The run whose model this run starts from: at the path in its config or, if both were moved, beside it."""
    if not planned_stages(config):
        return None  # it only evaluates the model, and its results are its own
    parts = Path(str((config.get("policy") or {}).get("model", ""))).parts
    if len(parts) < 3 or parts[-2] != "models":
        return None
    there = Path(*parts[:-2])
    return next((path for path in (there, folder.with_name(there.name)) if is_run(path)), None)


def _run(folder: Path, configs: Mapping[Path, PlainConfig], before: Mapping[Path, Path | None]) -> _Run:
    chain, first = [folder], before[folder]
    while first is not None and first not in chain:
        chain.insert(0, first)
        first = before[first] if first in before else _starts_from(read_config(first), first)
    whole = whole_config([configs.get(path) or read_config(path) for path in chain])
    return _Run(folder=folder, seed=int(whole.get("seed", 0)), chain=tuple(chain), config=whole)


def _without_seed(config: PlainConfig) -> PlainConfig:
    """A config without the values in which the seeds of one case differ."""
    kept = case_config(config)
    policy = kept.get("policy") or {}
    return {**kept, "policy": {**policy, "model": _SEED.sub("seed", str(policy.get("model", "tiny")))}}


def _names(groups: Sequence[Sequence[_Run]]) -> list[str]:
    """A name for each case: that of its folder, with the parent folder's in front where two would be equal."""
    short = [_name([run.folder.name for run in group]) for group in groups]
    names = [
        name if short.count(name) == 1 else f"{group[0].folder.parent.name}/{group[0].folder.name}"
        for name, group in zip(short, groups, strict=True)
    ]
    return [
        name if names.count(name) == 1 else str(group[0].folder)
        for name, group in zip(names, groups, strict=True)
    ]


def _name(folders: Sequence[str]) -> str:
    if len(folders) == 1:
        return folders[0]
    stems = {_SEED_AT_END.sub("", folder) for folder in folders}
    return stems.pop() if len(stems) == 1 and "" not in stems else ", ".join(folders)
