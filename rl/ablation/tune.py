"""The runs of an ablation on Ray Tune: each one a trial, in a worker process of its own.

In: a `Schedule`, and what each of its trials sets aside. Out: the same schedule worked off, every trial's
folder and its log. Tune places the trials; when one may begin is the schedule's to say, and where one goes on
its own checkpoints', so nothing Tune writes is kept.

Torch stays out of this file: a worker reads its thread limit when torch is loaded, which `TrialRun` does last.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.search import Searcher

from configs.schema.ablation import Trial
from rl.ablation.schedule import Schedule
from rollout.pools.cluster import ActorSize, Cluster, connect

if TYPE_CHECKING:
    from rl.ablation.table import LiveTable

_RAISED = "raised"  # what a trial reports: why it failed, or nothing
# What Tune and Ray write or print by themselves and nobody reads, and signals that are the program's own.
_QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


class TrialRun(tune.Trainable):
    """One trial: the whole run is a single step, in the main thread of a worker."""

    def setup(self, config: dict[str, Any], trials: Mapping[str, Trial] | None = None) -> None:
        """Take the trial, and its thread limit."""
        assert trials is not None
        self._trial = trials[config["run"]]
        os.environ["OMP_NUM_THREADS"] = str(self._trial.config.threads)

    def step(self) -> dict[str, Any]:
        """Run it to its end."""
        return {"done": True, _RAISED: run_trial(self._trial)}


def run_trial(trial: Trial) -> str:
    """One run in this process, all it writes going to its log; gives why it failed, nothing if it did not."""
    if not trial.log.parent.is_dir():
        return f"{trial.log.parent} is not there on {socket.gethostname()}; give an --output that all nodes see"
    try:
        with trial.log.open("a") as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
            try:
                from rl.train import train

                train(trial.config, resume=(trial.folder / "config.yaml").is_file(), out=log)
            except Exception as error:
                traceback.print_exc(file=log)
                log.write(f"{_one_line(error)}\n")
                raise
    except Exception as error:
        return _one_line(error)
    return ""


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


class TrialSearch(Searcher):
    """Hands a schedule's trials to Tune, each once the one it needs is done."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self._schedule = schedule
        self._names: dict[str, str] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next trial; None while all that are left wait for one at work, FINISHED when none is left."""
        if self._schedule.all_taken:
            return Searcher.FINISHED
        trial = self._schedule.take()
        if trial is None:
            return None
        self._names[trial_id] = trial.name
        return {"run": trial.name}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Write down how a trial ended: before Tune next asks for one."""
        from rl.ablation.progress import is_done, last_line

        name = self._names[trial_id]
        trial = self._schedule.trials[name]
        if result is not None and result.get(_RAISED):
            self._schedule.fail(name, result[_RAISED])
        elif error or not is_done(trial):
            self._schedule.fail(
                name, f"its process was killed or crashed; it last said: {last_line(trial.log)}"
            )
        else:
            self._schedule.finish(name)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: finished trials are known by their folders."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Watch(tune.Callback):
    """Tells the schedule and the table what Tune does."""

    def __init__(self, schedule: Schedule, table: LiveTable) -> None:
        self._schedule = schedule
        self._table = table

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._schedule.start(trial.config["run"])
        self._table.started(trial.config["run"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._table.ended(trial.config["run"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        name = trial.config["run"]
        if reason := _ray_reason(trial.error_file):
            self._schedule.fail(name, reason)
        self._table.ended(name)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._table.tick()

    def __getstate__(self) -> dict[str, Any]:
        return {}


def _ray_reason(error_file: str | None) -> str:
    """What Ray knows of a trial's end and its log does not; nothing where its process just died."""
    text = Path(error_file).read_text(errors="replace") if error_file else ""
    if "running low on memory" in text:
        return (
            "Ray ended its process because the node ran low on memory; run fewer at a time, or make it smaller"
        )
    if "worker process has died" in text:
        return ""
    return next((line.strip() for line in reversed(text.split("\n")) if line.strip()), "")


def cluster_to_join() -> bool:
    """Whether there is a cluster, so that this machine is not what trials have to fit on."""
    return bool(os.environ.get("RAY_ADDRESS")) or ray.is_initialized()


@contextlib.contextmanager
def trial_cluster(*, cpus: int) -> Iterator[Cluster]:
    """Join the cluster at `RAY_ADDRESS`, else start a private one; its trials end with the block.

    Args:
        cpus: Cores that a private cluster has, if the machine does.

    Raises:
        ResourceError: The cluster cannot be joined.
    """
    with _quiet():
        if cluster_to_join():
            cluster = connect(num_actors=0, size=ActorSize(cpus=0, gpus=0))
        else:
            cores = min(cpus, len(os.sched_getaffinity(0)))
            cluster = connect(num_actors=cores, size=ActorSize(cpus=1, gpus=0))
        with contextlib.closing(cluster):
            yield cluster


def cluster_nodes() -> list[Mapping[str, float]]:
    """Resources of the nodes of the cluster this process is connected to."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def run_schedule(
    schedule: Schedule,
    bundles: Mapping[str, Sequence[Mapping[str, float]]],
    *,
    parallel: int,
    folder: Path,
    table: LiveTable,
) -> None:
    """Work a schedule off, inside `trial_cluster`.

    Args:
        schedule: What to run. In the end nothing in it is unfinished.
        bundles: By name, what each trial sets aside: the learner first, then its actors.
        parallel: Trials at a time at most.
        folder: For Tune's own files; all nodes must see it.
        table: What is told of the trials.
    """
    waiting = schedule.unfinished
    trials = {trial.name: trial for trial in waiting}
    requests = {name: tune.PlacementGroupFactory([dict(b) for b in bundles[name]]) for name in trials}
    trainable = tune.with_resources(
        tune.with_parameters(TrialRun, trials=trials), lambda config: requests[config["run"]]
    )
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=TrialSearch(schedule),
            num_samples=len(waiting),
            max_concurrent_trials=parallel,
            trial_name_creator=lambda trial: trial.config["run"],
            trial_dirname_creator=lambda trial: trial.config["run"],
        ),
        run_config=tune.RunConfig(
            name="trials",
            storage_path=str(folder),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[_Watch(schedule, table)],
            verbose=0,
        ),
    )
    tuner.fit()
    for trial in schedule.unfinished:
        schedule.fail(trial.name, "Ray Tune ended before it was done; run again to go on")
        table.ended(trial.name)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Ray and Tune say off the table, and Tune off the program's signals."""
    loggers = [logging.getLogger(name) for name in ("ray", "ray.tune", "ray.air", "ray.train")]
    levels = [logger.level for logger in loggers]
    environment = {name: os.environ.get(name) for name in _QUIET}
    handler = signal.getsignal(signal.SIGUSR1)
    os.environ.update(_QUIET)
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        # Ray prints on its own threads, a line for every worker that dies.
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for name, value in environment.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR1, handler)
