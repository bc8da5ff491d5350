"""The folder of a run: what is in it, who may write to it, and how a run is found again.

::

    config.yaml         resolved config, defaults included
    provenance.json     command, git revision, versions, machine
    metrics.jsonl       one row an update
    trajectories.jsonl  every completion GRPO trained on
    summary.json        results of each stage and split
    eval/<stage>.jsonl  greedy completions of the evaluation
    models/<stage>/     Hugging Face folder (or PEFT adapter)
    checkpoints/<stage>/checkpoint-<update>/
    tensorboard/        event files
    report.html         all of it on one page
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import weakref
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import yaml

from configs import Config, dump_config
from rl.runs.errors import RunFolderError
from rl.runs.lock import NAME as LOCK
from rl.runs.lock import lock_folder, sign_lock
from rl.runs.log import RowLog, evaluation_log, metrics_log, read_summary, trajectory_log
from rl.runs.record import SampleRow, Stage, Summary

# What may differ when a run is resumed: where and how it runs, how far, and what is watched. Everything else
# is part of what the run is.
_FREE = (
    "output_dir",
    "report_to",
    "eval.",
    "grpo.updates",
    "grpo.save_every",
    "grpo.keep_checkpoints",
    "grpo.max_logprob_diff",
    "rollout.backend",
    "rollout.num_actors",
    "rollout.cpus_per_actor",
    "rollout.deadline_s",
    "rollout.max_restarts",
    "rollout.max_ungraded",
)


_NOTHING = (LOCK, "config.yaml.tmp")  # all that a run killed at once has left


class RunFolder:
    """Paths and small files of one run; holds the lock until closed, dropped or the process ends."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path = path
        self._lock = lock
        weakref.finalize(self, lock.close)
        self.metrics = metrics_log(path)
        self.trajectories = trajectory_log(path)

    def close(self) -> None:
        """Give the lock back."""
        self._lock.close()

    def model(self, stage: Stage) -> Path:
        """Where a stage's trained model is."""
        return self.path / "models" / stage

    def checkpoints(self, stage: Stage) -> Path:
        """Where a stage's checkpoints are."""
        return self.path / "checkpoints" / stage

    def latest_checkpoint(self, stage: Stage, written_last: str) -> Path | None:
        """A stage's newest checkpoint that holds the file written last: one without it was cut off."""
        found = [
            path for path in self.checkpoints(stage).glob("checkpoint-*") if (path / written_last).is_file()
        ]
        return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)

    def evaluation(self, stage: Stage) -> RowLog[SampleRow]:
        """The greedy completions of a stage's evaluation."""
        return evaluation_log(self.path, stage)

    def summary(self) -> Summary:
        """The results so far.

        Raises:
            RunFolderError: `summary.json` has another format or is damaged.
        """
        return read_summary(self.path)

    def write_summary(self, summary: Summary) -> None:
        """Replace `summary.json` in one move."""
        write_text(self.path / "summary.json", json.dumps(summary.to_json(), indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file so that a kill leaves the old one or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def check_run_folder(config: Config, *, resume: bool, overwrite: bool) -> None:
    """Say early, and without touching anything, what `open_run` would refuse.

    Raises:
        RunFolderError, RunBusyError: As `open_run`.
    """
    path = _folder(config)
    try:
        if (path / LOCK).is_file():
            lock_folder(path, key="output_dir").close()
        _check_usable(path, resume=resume, overwrite=overwrite)
        if resume:
            _check_same(path, config)
            _check_format(path)
    except OSError as error:
        raise _unwritable(path, error) from None


def _folder(config: Config) -> Path:
    return Path(config.output_dir or f"runs/{config.name}").absolute()


def _unwritable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"output_dir {path} cannot be written: {error.strerror or error}; give another")


def open_run(config: Config, *, resume: bool, overwrite: bool) -> RunFolder:
    """Make or reopen the folder of a run and lock it.

    Raises:
        RunFolderError: It cannot be written, holds something and neither `resume` nor `overwrite` is set,
            holds something that is no run, or belongs to a run with another config.
        RunBusyError: Another process holds it.
    """
    path = _folder(config)
    lock: IO[str] | None = None
    try:
        # A folder that has a lock is asked whether it is in use before anything else is said of it.
        if (path / LOCK).is_file():
            lock = lock_folder(path, key="output_dir")
        existing = _check_usable(path, resume=resume, overwrite=overwrite)
        if resume:
            _check_same(path, config)
            _check_format(path)
        if lock is None:
            path.mkdir(parents=True, exist_ok=True)
            lock = lock_folder(path, key="output_dir")
        sign_lock(lock)
        if existing and overwrite:
            _clear(path)
        write_text(path / "config.yaml", dump_config(config))  # first: what makes the folder a run's
        for name in ("eval", "models", "checkpoints"):
            (path / name).mkdir(exist_ok=True)
        write_text(path / "provenance.json", json.dumps(_provenance(), indent=2) + "\n")
    except Exception as error:
        if lock is not None:
            lock.close()
        if isinstance(error, OSError):
            raise _unwritable(path, error) from None
        raise
    return RunFolder(path, lock)


def _check_usable(path: Path, *, resume: bool, overwrite: bool) -> bool:
    """Whether the folder holds something, and that this is what was asked for; changes nothing."""
    existing = path.exists() and (not path.is_dir() or any(p.name not in _NOTHING for p in path.iterdir()))
    if existing and not path.is_dir():
        raise RunFolderError(f"output_dir {path} is a file; give a folder")
    is_run = (path / "config.yaml").is_file()
    if existing and not resume and not overwrite:
        if not is_run:
            raise RunFolderError(f"output_dir {path} is not empty and holds no run; give another folder")
        raise RunFolderError(
            f"output_dir {path} already holds a run; continue it with --resume, replace it with --overwrite, "
            "or give another output_dir"
        )
    if existing and overwrite and not is_run:
        raise RunFolderError(
            f"output_dir {path} is not empty and holds no run, so --overwrite leaves it alone; "
            "give another folder"
        )
    if resume and not is_run:
        raise RunFolderError(f"--resume: there is no run in {path}; leave --resume out to start one")
    return existing


def _clear(path: Path) -> None:
    for child in path.iterdir():
        if child.name == LOCK:
            continue
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


def _check_same(path: Path, config: Config) -> None:
    try:
        saved = _flatten(yaml.safe_load((path / "config.yaml").read_text()))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RunFolderError(
            f"--resume: {path / 'config.yaml'} cannot be read ({type(error).__name__}), so nothing says what "
            "the run is; start a new run in another output_dir"
        ) from None
    asked = _flatten(config.model_dump(mode="json"))
    changed = [
        f"{key} was {saved.get(key)!r}, is {asked.get(key)!r}"
        for key in sorted(saved.keys() | asked.keys())
        if saved.get(key) != asked.get(key) and not key.startswith(_FREE)
    ]
    if changed:
        raise RunFolderError(
            f"--resume: the config differs from the run in {path}: {'; '.join(changed)}. Give the same values, "
            "or start a new run in another output_dir"
        )


def _check_format(path: Path) -> None:
    """Refuse a run whose files this version cannot go on writing."""
    read_summary(path)
    metrics_log(path).check_format()
    trajectory_log(path).check_format()
    for stage in Stage:
        evaluation_log(path, stage).check_format()


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat.update(_flatten(inner, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def _provenance() -> dict[str, Any]:
    packages = ("torch", "transformers", "trl", "ray", "peft", "numpy")
    return {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "started": _now(),
        "git_revision": _git("rev-parse", "HEAD"),
        "git_changed_files": len((_git("status", "--porcelain", "-uno") or "").splitlines()),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
    }


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
