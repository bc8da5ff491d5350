"""The folder of a run: its files, its lock, and how a run is started or resumed in it.

::

    config.yaml         resolved config, defaults included
    problems.json       hashes of the problems
    provenance.json     command, model, git revision, versions, machine
    metrics.jsonl       one row for each update
    trajectories/       every completion that GRPO sampled, a Parquet file for each update
    summary.json        results of each stage and split
    eval/<stage>.jsonl  greedy completions of the evaluation
    eval/<stage>-sampled.jsonl  its samples
    eval/during/        completions of the evaluations during GRPO, a Parquet file for each
    models/<stage>/     Hugging Face folder (or PEFT adapter)
    models/best/        the best one of the evaluations during GRPO
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

from configs import Config, dump_config
from rl.runs.errors import RunFolderError
from rl.runs.lock import NAME as LOCK
from rl.runs.lock import lock_folder, sign_lock
from rl.runs.log import RowLog, evaluation_log, metrics_log, read_summary
from rl.runs.models import BEST
from rl.runs.record import SampleRow, Stage, Summary
from rl.runs.resumable import check_resumable
from rl.runs.trajectories import during_log, trajectory_log

_LEFTOVERS = (LOCK, "config.yaml.tmp")  # all that a run leaves if it is killed right at its start


class RunFolder:
    """Paths and small files of one run. It holds the lock until it is closed or dropped or the process ends."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path = path
        self._lock = lock
        weakref.finalize(self, lock.close)
        self.metrics = metrics_log(path)
        self.trajectories = trajectory_log(path)
        self.during = during_log(path)

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()

    def model(self, stage: Stage) -> Path:
        """The folder of a stage's trained model."""
        return self.path / "models" / stage

    @property
    def best_model(self) -> Path:
        """The folder of the best model of the evaluations during GRPO."""
        return self.path / "models" / BEST

    def evaluation(self, stage: Stage, *, greedy: bool) -> RowLog[SampleRow]:
        """The completions of a stage's evaluation, greedy or sampled."""
        return evaluation_log(self.path, stage, greedy=greedy)

    def summary(self) -> Summary:
        """The results so far.

        Raises:
            RunFolderError: `summary.json` has another format or is damaged.
        """
        return read_summary(self.path)

    def write_summary(self, summary: Summary) -> None:
        """Replace `summary.json` atomically."""
        write_text(self.path / "summary.json", json.dumps(summary.to_json(), indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file atomically: a kill leaves the old file or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def check_run_folder(config: Config, *, resume: bool, overwrite: bool) -> None:
    """Refuse early what `open_run` would refuse, without changing anything.

    Raises:
        RunFolderError, RunBusyError: As `open_run`.
    """
    path = run_path(config)
    try:
        if (path / LOCK).is_file():
            lock_folder(path, key="output_dir").close()
        _check_usable(path, resume=resume, overwrite=overwrite)
        if resume:
            check_resumable(path, config)
    except OSError as error:
        raise _unwritable(path, error) from None


def run_path(config: Config) -> Path:
    """The folder of a run."""
    return Path(config.output_dir or f"runs/{config.name}").absolute()


def _unwritable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"output_dir {path} cannot be written: {error.strerror or error}; give another")


def open_run(config: Config, *, resume: bool, overwrite: bool, model_commit: str | None = None) -> RunFolder:
    """Create or reopen the folder of a run and lock it.

    Args:
        config: The run.
        resume: Continue the run in the folder.
        overwrite: Replace the run in the folder.
        model_commit: The commit of `policy.model` on the hub, for `provenance.json`.

    Raises:
        RunFolderError: The folder cannot be written, or it is not empty and either holds no run, or holds one
            while neither `resume` nor `overwrite` is set, or the run to resume has another config, or lacks
            the checkpoint to go on from.
        RunBusyError: Another process is writing to it.
    """
    path = run_path(config)
    lock: IO[str] | None = None
    try:
        # If there is a lock, take it first: a folder in use is reported as such, whatever else is wrong.
        if (path / LOCK).is_file():
            lock = lock_folder(path, key="output_dir")
        existing = _check_usable(path, resume=resume, overwrite=overwrite)
        if resume:
            check_resumable(path, config)
        if lock is None:
            path.mkdir(parents=True, exist_ok=True)
            lock = lock_folder(path, key="output_dir")
        sign_lock(lock)
        if existing and overwrite:
            _clear(path)
        write_text(path / "config.yaml", dump_config(config))  # written first: it marks the folder as a run's
        for name in ("eval", "models", "checkpoints"):
            (path / name).mkdir(exist_ok=True)
        write_text(path / "provenance.json", json.dumps(_provenance(config, model_commit), indent=2) + "\n")
    except Exception as error:
        if lock is not None:
            lock.close()
        if isinstance(error, OSError):
            raise _unwritable(path, error) from None
        raise
    return RunFolder(path, lock)


def _check_usable(path: Path, *, resume: bool, overwrite: bool) -> bool:
    """Refuse a folder that does not fit `resume` and `overwrite`; returns whether it holds anything."""
    existing = path.exists() and (not path.is_dir() or any(p.name not in _LEFTOVERS for p in path.iterdir()))
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


def _provenance(config: Config, model_commit: str | None) -> dict[str, Any]:
    packages = ("torch", "transformers", "trl", "ray", "peft", "numpy")
    return {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "started": _now(),
        "model": {
            "name": config.policy.model,
            "revision": config.policy.revision,
            "commit": model_commit,
        },
        "git_revision": git_revision(),
        "git_changed_files": len((_git("status", "--porcelain", "-uno") or "").splitlines()),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
    }


def git_revision() -> str | None:
    """The commit of this checkout; None outside one."""
    return _git("rev-parse", "HEAD")


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
