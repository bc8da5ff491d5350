"""What the problems of a run were when it began (`problems.json`), so that it does not go on with others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs import Env
from rl.runs.errors import RunFolderError

_FILE = "problems.json"


def record_problems(run: Path, env: Env[Any]) -> None:
    """Write the number of problems and a hash of them, by split, and the notes of their loading; see `Env`."""
    found = {**_fingerprints(env), "notes": env.notes}
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


def _fingerprints(env: Env[Any]) -> dict[str, dict[str, Any]]:
    return {
        split.value: {"problems": env.num_problems(split), "sha256": env.fingerprint(split)}
        for split in env.splits
    }
