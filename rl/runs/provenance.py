"""Where a run comes from, and what has changed each time it was resumed (`provenance.json`).

::

    {"stride": "0.1.0", "command": ["train.py", "quickstart"], "started": "2026-11-29T10:00:00+00:00",
     "model": {...}, "git_revision": "...", "python": "3.11.9", "packages": {...}, "machine": {...},
     "numerics": {"device": "cpu", "CPU capability": "AVX512", "threads": "2", ...},
     "resumed": [{"time": "...", "command": [...], "git_revision": "...", "updates": {"grpo": 40},
                  "changed": [{"key": "grpo.learning_rate", "was": 1e-05, "is": 2e-05}],
                  "differs": {"torch": ["2.12.0", "2.13.0"]}, "notes": ["..."]}]}

The first facts are those of the start. A resumption holds the updates that it continued from, once a stage
has, and what differs from the time before.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from configs import Config
from rl.runs.config_changes import ABSENT, Change, is_below

NAME = "provenance.json"
_PACKAGES = ("torch", "transformers", "trl", "ray", "peft", "numpy", "tokenizers")
_NO_NUMBERS = ("ray",)  # of packages: another version gives the same numbers


def begin(config: Config, model_commit: str | None, numerics: Mapping[str, str]) -> dict[str, Any]:
    """The facts of a run that starts now.

    Args:
        config: The run.
        model_commit: The commit of `policy.model` on the hub.
        numerics: What numbers depend on here, by name.
    """
    return {
        "stride": _version("stride-rl"),
        "command": _command(),
        "started": _now(),
        "model": {
            "name": config.policy.model,
            "revision": config.policy.revision,
            "commit": model_commit,
        },
        "git_revision": git_revision(),
        "git_changed_files": len((_git("status", "--porcelain", "-uno") or "").splitlines()),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "numerics": dict(numerics),
        "resumed": [],
    }


def resume(
    before: Mapping[str, Any], changes: Sequence[Change], notes: Iterable[str], numerics: Mapping[str, str]
) -> dict[str, Any]:
    """The facts of a run with one more resumption, now.

    Args:
        before: The facts so far; empty where they are lost.
        changes: What has changed in the config.
        notes: Further lines about what is not as it was.
        numerics: What numbers depend on here, by name.
    """
    was = _last_platform(before)
    now = {**{name: _version(name) for name in _PACKAGES}, **numerics}
    changed = [
        {"key": change.key, "was": _plain(change.was), "is": _plain(change.now), "kind": change.kind.value}
        for change in changes
    ]
    entry = {
        "time": _now(),
        "command": _command(),
        "stride": _version("stride-rl"),
        "git_revision": git_revision(),
        "updates": {},
        "changed": changed,
        "differs": {name: [was.get(name), now[name]] for name in now if was.get(name) != now[name]},
        "notes": list(notes),
    }
    return {**before, "resumed": [*_resumed(before), entry]}


def continued(facts: Mapping[str, Any], stage: str, update: int) -> dict[str, Any]:
    """The facts once the last resumption has continued a stage from an update."""
    *earlier, last = _resumed(facts)
    return {**facts, "resumed": [*earlier, {**last, "updates": {**last["updates"], stage: update}}]}


def not_bit_for_bit(facts: Mapping[str, Any], changes: Sequence[Change]) -> list[str]:
    """Clauses about what differs from the time before the last resumption and changes the last bits of numbers.

    What a changed key of the config has led to is left out: that key is named itself.
    """
    entries = _resumed(facts)
    found = entries[-1].get("differs", {}) if entries else {}
    keys = {change.key.rpartition(".")[2] for change in changes}
    return [
        f"{name} was {was}, is {now}"
        for name, (was, now) in found.items()
        if was is not None and name not in _NO_NUMBERS and name not in keys
    ]


def was_allowed(facts: Mapping[str, Any], key: str, now: Mapping[str, Any]) -> bool:
    """Whether a change of a key, or of one below it, was allowed at an earlier resumption and still holds.

    Args:
        facts: The facts so far.
        key: Config key.
        now: Values of the config by key.
    """
    return any(
        is_below(change["key"], (key,)) and now.get(change["key"]) == change["is"]
        for entry in _resumed(facts)
        for change in entry.get("changed", [])
    )


def git_revision() -> str | None:
    """The commit of this checkout; None outside one."""
    return _git("rev-parse", "HEAD")


def _resumed(facts: Mapping[str, Any]) -> list[Any]:
    entries = facts.get("resumed", [])
    return entries if isinstance(entries, list) else []


def _last_platform(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Versions and numerics as they were last, by name."""
    found = {**facts.get("packages", {}), **facts.get("numerics", {})}
    for entry in _resumed(facts):
        found.update({name: now for name, (_, now) in entry.get("differs", {}).items()})
    return found


def _plain(value: Any) -> Any:
    return None if value is ABSENT else value


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _command() -> list[str]:
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def to_text(facts: Mapping[str, Any]) -> str:
    """The text of `provenance.json`."""
    return json.dumps(facts, indent=2) + "\n"
