"""Run an ablation: every run of its plan in a process of its own, some at a time.

In: a `Plan`. Out: run folders, a log beside each, `summary.csv` and `report.html`. Runs that are finished are
not repeated, one that was cut off goes on, and one that fails stops those that begin from its model and no
others.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TextIO

from configs import ConfigError, load_config
from configs.ablation import Plan, Trial
from rl.build import build_parts
from rl.run_folder import RunFolderError, check_run_folder, read_summary, stage_done
from rl.train import train

_RAISED = 1  # exit code of a run that raised an error, which is then the last line of its log
_POLL_S = 0.5
_SAY_EVERY_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A run that did not end well, and why."""

    trial: str
    reason: str


def run_plan(plan: Plan, *, out: TextIO | None = None) -> tuple[Failure, ...]:
    """Run what is not finished yet.

    Args:
        plan: The runs.
        out: Where progress is shown; None: stderr.

    Returns:
        The runs that failed, and those that could not begin for it.

    Raises:
        ConfigError: A case names an environment or reward there is not, or asks too much of one.
        RunFolderError: A folder of the plan cannot be written or holds a run with another config.
        RunBusyError: One of its runs is being run by another process.
    """
    for trial in plan.trials:
        if trial.seed == plan.config.seeds[0]:
            _check(trial)
        if (_folder(trial) / "config.yaml").is_file():
            check_run_folder(trial.config, resume=True, overwrite=False)
            _check_evaluated_alike(trial)
    make_folder(plan)
    return _Schedule(plan, out or sys.stderr).run()


def _check(trial: Trial) -> None:
    """Find what can be found before hours are spent on other cases."""
    try:
        build_parts(trial.config)
    except ConfigError as error:
        raise ConfigError(f"case '{trial.case}': {error}") from None


def _check_evaluated_alike(trial: Trial) -> None:
    """A run may be resumed with other evaluation settings; in a comparison it would be on other problems."""
    path = _folder(trial) / "config.yaml"
    if load_config(path).eval != trial.config.eval:
        raise RunFolderError(
            f"{path.parent} holds a run with other eval settings, which cannot be compared; give the same, or "
            "another --output"
        )


def make_folder(plan: Plan) -> None:
    """Make the folder of an ablation where there is none.

    Raises:
        RunFolderError: It cannot be made.
    """
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"--output {plan.folder} cannot be written: {error.strerror or error}; give another"
        ) from None


def is_done(trial: Trial) -> bool:
    """Whether every stage of a run is trained and evaluated."""
    summary = read_summary(_folder(trial))
    wanted = {"base": 0}
    if trial.config.warm_start is not None:
        wanted["warm"] = trial.config.warm_start.updates
    if trial.config.grpo is not None:
        wanted["grpo"] = trial.config.grpo.updates
    return all(stage_done(summary, stage, updates) for stage, updates in wanted.items())


class _Schedule:
    """Which runs wait, run, are done and have failed."""

    def __init__(self, plan: Plan, out: TextIO) -> None:
        self._parallel = plan.config.parallel
        self._num = len(plan.trials)
        self._done = {trial.name for trial in plan.trials if is_done(trial)}
        self._waiting = [trial for trial in plan.trials if trial.name not in self._done]
        self._running: dict[str, tuple[Trial, BaseProcess]] = {}
        self._failures: dict[str, Failure] = {}
        self._out = out
        self._started = time.monotonic()
        self._said = self._started

    def run(self) -> tuple[Failure, ...]:
        self._say(f"{self._num} runs, {len(self._done)} of them finished before")
        with self._all_ended():
            while self._waiting or self._running:
                self._start()
                time.sleep(_POLL_S)
                self._collect()
                if time.monotonic() - self._said > _SAY_EVERY_S:
                    self._say(self._status())
        return tuple(self._failures.values())

    def _start(self) -> None:
        for trial in list(self._waiting):
            if trial.after in self._failures:
                self._waiting.remove(trial)
                self._fail(trial, f"{trial.after} failed, from whose model it begins")
            elif len(self._running) < self._parallel and (trial.after is None or trial.after in self._done):
                self._waiting.remove(trial)
                process = _process(trial)
                process.start()
                self._running[trial.name] = trial, process
                self._say(f"{trial.name}: started")

    def _collect(self) -> None:
        for name, (trial, process) in list(self._running.items()):
            if process.is_alive():
                continue
            process.join()
            del self._running[name]
            if process.exitcode == 0 and is_done(trial):
                self._done.add(name)
                self._say(f"{name}: done; {self._status()}")
            else:
                said = _last_line(_log(trial))
                ended = f"ended with exit code {process.exitcode}; it last said: {said}"
                self._fail(trial, said if process.exitcode == _RAISED else ended)

    def _fail(self, trial: Trial, reason: str) -> None:
        self._failures[trial.name] = Failure(trial=trial.name, reason=reason)
        self._say(f"{trial.name}: FAILED: {reason} (log: {_log(trial)})")

    def _status(self) -> str:
        minutes = (time.monotonic() - self._started) / 60
        now = "; ".join(f"{name}: {_last_line(_log(trial))}" for name, (trial, _) in self._running.items())
        return f"{len(self._done)} of {self._num} runs done after {minutes:.0f} min" + (
            f"; {now}" if now else ""
        )

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        self._out.write(line + "\n")
        self._out.flush()

    @contextmanager
    def _all_ended(self) -> Iterator[None]:
        """On the way out, end what still runs; it goes on from its newest checkpoint the next time."""
        try:
            yield
        finally:
            for _, process in self._running.values():
                process.terminate()
            for _, process in self._running.values():
                process.join()


def _folder(trial: Trial) -> Path:
    assert trial.config.output_dir is not None
    return Path(trial.config.output_dir)


def _log(trial: Trial) -> Path:
    return _folder(trial).with_name(f"{trial.name}.log")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _process(trial: Trial) -> BaseProcess:
    # A new interpreter reads its thread limit from here before it loads torch.
    os.environ["OMP_NUM_THREADS"] = str(trial.config.threads)
    return multiprocessing.get_context("spawn").Process(target=_train, args=(trial,), name=trial.name)


def _train(trial: Trial) -> None:
    """One run, in its own process, all it writes going to its log."""
    with _log(trial).open("a") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
        try:
            train(trial.config, resume=(_folder(trial) / "config.yaml").is_file(), out=log)
        except Exception as error:
            traceback.print_exc(file=log)
            log.write(f"{type(error).__name__}: {error}\n".replace("\n", " ") + "\n")
            sys.exit(_RAISED)
