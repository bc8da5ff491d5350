"""The folder of an analysis.

::

    importance.json    model, task, what is sampled and how: others are refused when the analysis goes on
    provenance.json    command, model, git revision, versions, machine
    used-config.yaml   the resolved config
    importance.jsonl   a row for each problem, written as soon as it is done
    lines.parquet      a row for each line of the traces; lines.csv has the same
    importance.html    the page
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

SETTINGS = "importance.json"


def read_settings(folder: Path) -> dict[str, Any]:
    """What an analysis was started with: the model, the task, what was sampled and how.

    Raises:
        RunFolderError: The folder holds none.
    """
    try:
        found = json.loads((folder / SETTINGS).read_text())
    except (OSError, ValueError) as error:
        raise RunFolderError(f"there is no analysis in {folder} ({error})") from None
    if not isinstance(found, dict) or not {"name", "model", "env", "num_problems"} <= found.keys():
        raise RunFolderError(f"{folder / SETTINGS} is damaged; restore it, or give a new folder")
    return found


def check_folder(folder: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
    """Refuse a folder that holds anything else than the analysis to go on with."""
    if not resume:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            hint = ", or go on with --resume" if (folder / SETTINGS).is_file() else ""
            raise RunFolderError(f"--output {folder} already exists; give a new folder{hint}")
        return
    old = read_settings(folder)
    for key, now in settings.items():
        if (was := old.get(key)) != now:
            given = "other settings of " + key if isinstance(now, dict) else f"{key} {was}, and {now} is given"
            raise RunFolderError(
                f"--resume: the analysis in {folder} has {given}; give the same, or a new folder"
            )


def open_folder(
    folder: Path, settings: Mapping[str, Any], config: Config, commit: str | None, *, resume: bool
) -> IO[str]:
    """Create the folder of a new analysis; returns its lock, held."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(folder, key="--output")
        sign_lock(lock)
        if not resume:
            write_text(folder / "used-config.yaml", dump_config(config))
            write_text(folder / SETTINGS, json.dumps(settings, indent=2) + "\n")
            write_text(folder / provenance.NAME, provenance.to_text(provenance.begin(config, commit, {})))
    except OSError as error:
        raise RunFolderError(
            f"--output {folder} cannot be written: {error.strerror or error}; give another"
        ) from None
    return lock
