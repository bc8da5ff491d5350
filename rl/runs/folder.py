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
    eval/<stage>-search/        its problems solved by search, as `stride search` writes them (`eval.search`)
    eval/during/        completions of the evaluations during GRPO, a Parquet file for each
    models/<stage>/     Hugging Face folder (or PEFT adapter)
    models/best/        the best one of the evaluations during GRPO
    checkpoints/<stage>/checkpoint-<update>/
    tensorboard/        event files
    report.html         all of it on one page
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from configs import Config, dump_config
from rl.runs import provenance
from rl.runs.errors import RunFolderError
from rl.runs.files import write_text
from rl.runs.lock import NAME as LOCK
from rl.runs.lock import lock_folder, sign_lock
from rl.runs.log import RowLog, evaluation_log, metrics_log, read_summary
from rl.runs.models import BEST
from rl.runs.problems import NAME as PROBLEMS
from rl.runs.problems import Problems
from rl.runs.problems import to_json as problems_text
from rl.runs.record import SampleRow, Stage, Summary
from rl.runs.recover import mend, read_or_empty
from rl.runs.resumable import check_resumable
from rl.runs.trajectories import during_log, trajectory_log

_LEFTOVERS = (LOCK, "config.yaml.tmp")  # all that a run leaves if it is killed right at its start


class RunFolder:
    """Paths and small files of one run. It holds the lock until it is closed or dropped or the process ends.

    Attributes:
        path: The folder.
        notes: What is not as it was when the run was resumed, and what was mended, a line each.
    """

    def __init__(self, path: Path, lock: IO[str], notes: Sequence[str] = ()) -> None:
        """Set up.

        Args:
            path: The folder.
            lock: Its lock, held.
            notes: What was found and done as a run was resumed, a line each.
        """
        self.path = path
        self.notes = tuple(notes)
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

    def continued(self, stage: Stage, update: int) -> None:
        """Record that a stage of a resumed run goes on from an update."""
        path = self.path / provenance.NAME
        if (facts := read_or_empty(path)).get("resumed"):
            write_text(path, provenance.to_text(provenance.continued(facts, stage.value, update)))

    def write_summary(self, summary: Summary) -> None:
        """Replace `summary.json` atomically."""
        write_text(self.path / "summary.json", json.dumps(summary.to_json(), indent=2) + "\n")


def check_run_folder(
    config: Config,
    *,
    resume: bool,
    overwrite: bool,
    problems: Problems | None = None,
    allow: Sequence[str] = (),
) -> None:
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
            check_resumable(path, config, problems=problems, allow=allow)
        _check_writable(path)
    except OSError as error:
        raise _unwritable(path, error) from None


def run_path(config: Config) -> Path:
    """The folder of a run."""
    return Path(config.output_dir or f"runs/{config.name}").absolute()


def _check_writable(path: Path) -> None:
    """Try to write where the folder is or will be; nothing is left of it.

    Raises:
        OSError: Nothing can be written there.
    """
    with contextlib.suppress(FileNotFoundError):
        path.lstat()  # raises for a place below a file, or a name that is too long
    there = next(folder for folder in (path, *path.parents) if os.path.lexists(folder))
    with tempfile.TemporaryFile(dir=there):
        return


def _unwritable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"output_dir {path} cannot be written: {error.strerror or error}; give another")


def open_run(
    config: Config,
    *,
    resume: bool,
    overwrite: bool,
    problems: Problems | None = None,
    allow: Sequence[str] = (),
    numerics: Mapping[str, str] | None = None,
    model_commit: str | None = None,
) -> RunFolder:
    """Create or reopen the folder of a run and lock it.

    Args:
        config: The run.
        resume: Continue the run in the folder.
        overwrite: Replace the run in the folder.
        problems: Its problems, which are recorded, and of a resumed run compared; None: neither.
        allow: Keys that may change in a resumed run though they decide what is trained.
        numerics: What the last bits of numbers depend on here, by name, for `provenance.json`.
        model_commit: The commit of `policy.model` on the hub, for `provenance.json`.

    Raises:
        RunFolderError: The folder cannot be written, or it is not empty and either holds no run, or holds one
            while neither `resume` nor `overwrite` is set, or the run to resume has another config or other
            problems, or lacks the checkpoint to go on from.
        RunBusyError: Another process is writing to it.
    """
    path = run_path(config)
    lock: IO[str] | None = None
    notes: list[str] = []
    try:
        # If there is a lock, take it first: a folder in use is reported as such, whatever else is wrong.
        if (path / LOCK).is_file():
            lock = lock_folder(path, key="output_dir")
        existing = _check_usable(path, resume=resume, overwrite=overwrite)
        resumption = check_resumable(path, config, problems=problems, allow=allow) if resume else None
        if lock is None:
            path.mkdir(parents=True, exist_ok=True)
            lock = lock_folder(path, key="output_dir")
            existing = _check_usable(
                path, resume=resume, overwrite=overwrite
            )  # another run may have come and gone
        sign_lock(lock)
        if existing and overwrite:
            _clear(path)
        numbers = numerics or {}
        if resumption is not None:
            notes = [*resumption.lines(), *mend(path)]
            facts = provenance.resume(
                read_or_empty(path / provenance.NAME), resumption.changes(config), resumption.notes(), numbers
            )
            if other := provenance.not_bit_for_bit(facts, resumption.config.changes):
                notes.append(f"not bit for bit: {'; '.join(other)}")
            # Before the config, so that no change of it goes unrecorded.
            write_text(path / provenance.NAME, provenance.to_text(facts))
        write_text(path / "config.yaml", dump_config(config))  # it marks a new folder as a run's
        for name in ("eval", "models", "checkpoints"):
            (path / name).mkdir(exist_ok=True)
        if resumption is None:
            facts = provenance.begin(config, model_commit, numbers)
            write_text(path / provenance.NAME, provenance.to_text(facts))
        if problems is not None:
            write_text(path / PROBLEMS, problems_text(problems))
    except Exception as error:
        if lock is not None:
            lock.close()
        if isinstance(error, OSError):
            raise _unwritable(path, error) from None
        raise
    return RunFolder(path, lock, notes)


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
