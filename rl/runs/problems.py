"""What the problems of a run were when it began (`problems.json`), so that it does not go on with others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from envs import Env
from envs.own import is_own, own_file
from rl.runs.errors import RunFolderError

_FILE = "problems.json"


def record_problems(run: Path, env: Env[Any]) -> None:
    """Write the number of problems and a hash of them, by split, notes of their loading, and users' files."""
    found = {**_fingerprints(env), "notes": env.notes, "files": _own_files(env)}
    (run / _FILE).write_text(json.dumps(found, indent=2) + "\n")


def check_problems(run: Path, env: Env[Any]) -> None:
    """Refuse to continue a run whose problems have changed.

    Raises:
        RunFolderError: They have; names the split and its file.
    """
    path = run / _FILE
    if not path.is_file():  # a run that was killed as it began
        return
    try:
        saved: Mapping[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} cannot be read: {error}; start a new run in another output_dir") from None
    for split, found in _fingerprints(env).items():
        if found != (before := saved.get(split, found)):
            source = getattr(env.settings, split, None)
            where = f"the {split} problems of {source}" if isinstance(source, str) else f"the {split} problems"
            numbers = f"{before.get('problems')} then, {found['problems']} now"
            how = f" ({numbers})" if before.get("problems") != found["problems"] else ""
            raise RunFolderError(
                f"--resume: {where} are not those the run in {run} began with{how}; restore them, or start a "
                "new run in another output_dir"
            )


def changed_files(run: Path, env: Env[Any]) -> list[str]:
    """A warning for each file of a user's environment that has changed since the run began.

    The problems are the same, or the run would not go on, but the checks may have been mended.
    """
    path = run / _FILE
    before: Mapping[str, str] = json.loads(path.read_text()).get("files", {}) if path.is_file() else {}
    return [
        f"warning: {file} has changed since the run began; what was judged before is as it was"
        for file, found in _own_files(env).items()
        if before.get(file, found) != found
    ]


def _own_files(env: Env[Any]) -> dict[str, str]:
    """SHA-256 of the files of users' environments, by name."""
    files = [own_file(part) for part in env.parts.values() if is_own(part)]
    return {file.name: sha256(file.read_bytes()).hexdigest() for file in files}


def _fingerprints(env: Env[Any]) -> dict[str, dict[str, Any]]:
    return {
        split.value: {"problems": env.num_problems(split), "sha256": env.fingerprint(split)}
        for split in env.splits
    }
