"""The runs of an ablation on Ray Tune: each run is a trial in its own worker process.

In: a `Schedule`, and the resources each of its trials reserves. Out: the schedule with every trial finished or
failed, and the folder and log of each. Tune only places trials: the schedule decides which one begins, and a
trial's own checkpoints decide where it continues, so nothing that Tune writes is kept.

A signal to the ablation reaches its trials, wherever they run, through an actor that each waits for::

    signal -> driver, between two events of Tune -> StopActor -> SIGTERM in each trial -> saved -> driver ends

This file does not import torch: a worker reads its thread limit when torch is loaded, so `TrialRun` loads it
last.
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
from typing import TYPE_CHECKING, Any, TextIO

import ray
from ray import tune
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from configs.schema.ablation import Trial
from envs.one_line import one_line
from rl.ablation.progress import planned_rounds
from rl.ablation.schedule import Schedule, TrialStatus
from rl.ablation.stop import StopActor
from rollout.interruption import Interrupted, ended_by_signals, protected, received
from rollout.pools.cluster import Cluster, connect
from rollout.pools.room import ActorSize

if TYPE_CHECKING:
    from rl.ablation.live import LiveTable

_RAISED = "raised"  # key under which a trial reports why it failed; empty if it did not
# Keeps Tune and Ray from writing files and lines that nobody reads, and from handling signals that the program
# handles.
_QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
_TELL_S = 5.0


class TrialRun(tune.Trainable):
    """One trial: the whole run is a single Tune step, in the main thread of a worker."""

    def setup(
        self, config: dict[str, Any], trials: Mapping[str, Trial] | None = None, stop: Any = None
    ) -> None:
        """Remember the trial and set its thread limit."""
        assert trials is not None
        self._trial = trials[config["run"]]
        threading.Thread(target=self._end_when_told, args=[stop], name="stop", daemon=True).start()
        os.environ["OMP_NUM_THREADS"] = str(self._trial.config.threads)

    def step(self) -> dict[str, Any]:
        """Run the trial to its end."""
        return {"done": True, _RAISED: run_trial(self._trial)}

    def _end_when_told(self, stop: Any) -> None:
        ray.get(stop.wait.remote())
        os.kill(os.getpid(), signal.SIGTERM)  # Ray blocks SIGINT in its workers


def run_trial(trial: Trial) -> str:
    """Run a trial in this process with its output in its log; at SIGTERM it saves, as `stride train` does.

    Returns:
        Why it failed; "" if it did not, or was stopped.
    """
    if not trial.log.parent.is_dir():
        host = socket.gethostname()
        return f"{trial.log.parent} does not exist on {host}; give an --output that all nodes see"
    try:
        with trial.log.open("a") as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
            try:
                _run(trial, log)
            except Exception as error:
                traceback.print_exc(file=log)
                log.write(f"{_one_line(error)}\n")
                raise
    except Exception as error:
        return _one_line(error)
    return ""


def _run(trial: Trial, log: TextIO) -> None:
    with contextlib.suppress(SystemExit), ended_by_signals("stopped before the run began") as signals:
        from rl.iterate.run import iterate
        from rl.runs.state import describe_next
        from rl.train import train

        signals.last_words = lambda: f"stopped; {describe_next(trial.folder, how='the same command')}"
        run = iterate if planned_rounds(trial) else train
        run(trial.config, resume=(trial.folder / "config.yaml").is_file(), out=log)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error, most=None)}"


class TrialSearch(Searcher):
    """Hands a schedule's trials to Tune, each when the trial it needs is done."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self._schedule = schedule
        self._names: dict[str, str] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next trial; None while the rest wait for a running one, FINISHED when none is left."""
        if self._schedule.all_taken or received() is not None:
            return Searcher.FINISHED
        trial = self._schedule.take()
        if trial is None:
            return None
        self._names[trial_id] = trial.name
        return {"run": trial.name}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Record how a trial ended, before Tune asks for the next one."""
        from rl.ablation.progress import is_done, last_line

        name = self._names[trial_id]
        trial = self._schedule.trials[name]
        if result is not None and result.get(_RAISED):
            self._schedule.fail(name, result[_RAISED])
        elif received() is not None and not is_done(trial):
            self._schedule.stop(name)
        elif error or not is_done(trial):
            self._schedule.fail(
                name, f"its process was killed or crashed; last line of its log: {last_line(trial.log)}"
            )
        else:
            self._schedule.finish(name)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the folders show which trials are finished."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Watch(tune.Callback):
    """Reports the events of Tune to the schedule and the table, and a signal to the trials."""

    def __init__(self, schedule: Schedule, table: LiveTable, stop: Any) -> None:
        self._schedule = schedule
        self._table = table
        self._stop = stop
        self._told = False

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._schedule.start(trial.config["run"])
        self._table.started(trial.config["run"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._table.ended(trial.config["run"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        name = trial.config["run"]
        if received() is None and (reason := _ray_reason(trial.error_file)):
            self._schedule.fail(name, reason)
        self._table.ended(name)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._table.tick()
        if (number := received()) is None:
            return
        if not self._told:
            self._told = True
            self._table.stopping()
            try:
                ray.get(self._stop.tell.remote(), timeout=_TELL_S)
            except ray.exceptions.RayError:
                raise Interrupted(number) from None
        if not self._schedule.count(TrialStatus.RUNNING):
            raise Interrupted(number)

    def __getstate__(self) -> dict[str, Any]:
        return {}


def _ray_reason(error_file: str | None) -> str:
    """Why Ray ended a trial, if the log cannot show it; "" if its process just died."""
    text = Path(error_file).read_text(errors="replace") if error_file else ""
    if "running low on memory" in text:
        return (
            "Ray ended its process because the node ran low on memory; run fewer at a time, or a smaller model"
        )
    if "worker process has died" in text:
        return ""
    return next((line.strip() for line in reversed(text.split("\n")) if line.strip()), "")


def cluster_to_join() -> bool:
    """Whether trials go to an existing cluster, so that they need not fit on this machine."""
    return bool(os.environ.get("RAY_ADDRESS")) or ray.is_initialized()


@contextlib.contextmanager
def trial_cluster(*, cpus: int) -> Iterator[Cluster]:
    """Join the cluster at `RAY_ADDRESS`, or else start a private one; its trials end with the block.

    Args:
        cpus: Cores of a private cluster, at most those of the machine.

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
    """Resources of the nodes of the connected cluster."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def run_schedule(
    schedule: Schedule,
    bundles: Mapping[str, Sequence[Mapping[str, float]]],
    *,
    parallel: int,
    folder: Path,
    table: LiveTable,
) -> None:
    """Run all trials of a schedule, inside `trial_cluster`.

    Args:
        schedule: The trials. Afterwards each has finished or failed.
        bundles: Resources that each trial reserves, by name: the learner's first, then those of its actors.
        parallel: Most trials that run at the same time.
        folder: For Tune's own files; all nodes must see it.
        table: Is notified of starts and ends, and shows the trials.

    Raises:
        Interrupted: A signal has come; the trials that ran have saved what they had done.
    """
    waiting = schedule.unfinished
    trials = {trial.name: trial for trial in waiting}
    requests = {name: tune.PlacementGroupFactory([dict(b) for b in bundles[name]]) for name in trials}
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    stop = ray.remote(StopActor).options(num_cpus=0, scheduling_strategy=here).remote()
    trainable = tune.with_resources(
        tune.with_parameters(TrialRun, trials=trials, stop=stop), lambda config: requests[config["run"]]
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
            callbacks=[_Watch(schedule, table, stop)],
            verbose=0,
        ),
    )
    with protected():  # Tune is left between two of its events
        tuner.fit()
    for trial in schedule.unfinished:
        schedule.fail(trial.name, "Ray Tune ended before it was done; run the ablation again to continue")
        table.ended(trial.name)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray's and Tune's output out of the table, and Tune from handling the program's signals."""
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
