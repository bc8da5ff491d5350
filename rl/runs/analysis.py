"""The folder of what one command finds out about a model: step importance, search, needless steps.

::

    <kind>.json        model, task, what is sampled and how: others are refused when it goes on
    provenance.json    command, model, git revision, versions, machine
    used-config.yaml   the resolved config

Beside these the command writes its rows, tables and page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from configs import Config, dump_config
from rl.runs import provenance
from rl.runs.errors import RunFolderError
from rl.runs.files import write_text
from rl.runs.lock import lock_folder, sign_lock


def read_settings(folder: Path, kind: str) -> dict[str, Any]:
    """What it was started with: the model, the task, what was sampled and how.

    Args:
        folder: The folder.
        kind: What it is: `importance`, `search`, `needless`.

    Raises:
        RunFolderError: The folder holds none of that kind.
    """
    path = _settings(folder, kind)
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RunFolderError(f"there is no {_NAMES[kind]} in {folder} ({error})") from None
    if not isinstance(found, dict) or not {"name", "model", "env"} <= found.keys():
        raise RunFolderError(f"{path} is damaged; restore it, or give a new folder")
    return found


def write_settings(folder: Path, kind: str, settings: Mapping[str, Any]) -> None:
    """Write what it is started with, which marks the folder as one of that kind."""
    write_text(_settings(folder, kind), json.dumps(settings, indent=2) + "\n")


def check_folder(folder: Path, kind: str, settings: Mapping[str, Any], *, resume: bool) -> None:
    """Refuse a folder that holds anything else than what goes on in it.

    Raises:
        RunFolderError: It exists, or what it holds was started with other settings.
    """
    if not resume:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            hint = ", or go on with --resume" if _settings(folder, kind).is_file() else ""
            raise RunFolderError(f"--output {folder} already exists; give a new folder{hint}")
        return
    if given := difference(read_settings(folder, kind), settings):
        raise RunFolderError(
            f"--resume: the {_NAMES[kind]} in {folder} has {given}; give the same, or a new folder"
        )


def difference(old: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """How what something was started with differs from what is given; empty where it does not."""
    for key, now in settings.items():
        if (was := old.get(key)) != now:
            return "other settings of " + key if isinstance(now, dict) else f"{key} {was}, and {now} is given"
    return ""


def open_folder(
    folder: Path, kind: str, settings: Mapping[str, Any], config: Config, commit: str | None, *, resume: bool
) -> IO[str]:
    """Create the folder of something new; returns its lock, held.

    Raises:
        RunFolderError: It cannot be written, or another process writes it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(folder, key="--output")
        sign_lock(lock)
        if not resume:
            write_text(folder / "used-config.yaml", dump_config(config))
            write_settings(folder, kind, settings)
            write_text(folder / provenance.NAME, provenance.to_text(provenance.begin(config, commit, {})))
    except OSError as error:
        raise RunFolderError(
            f"--output {folder} cannot be written: {error.strerror or error}; give another"
        ) from None
    return lock


_NAMES = {"importance": "analysis", "search": "search", "needless": "measurement"}


def _settings(folder: Path, kind: str) -> Path:
    return folder / f"{kind}.json"
