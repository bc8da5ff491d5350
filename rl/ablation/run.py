"""Run an ablation: every run of its plan that is not finished, on Ray Tune.

In: a `Plan`. Out: run folders, and a log beside each. Finished runs are not repeated, and a run that was
cut off is resumed. A run that fails stops only the runs that start from its model.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from configs import ConfigError, load_config
from configs.schema.ablation import Plan, Trial
from rl.ablation.live import LiveTable
from rl.ablation.progress import is_done
from rl.ablation.room import Bundle, check_trial_fits, count_at_once, make_bundles, this_machine
from rl.ablation.schedule import Failure, Schedule
from rl.launcher import check_launcher
from rl.parts import build_parts
from rl.runs.errors import RunFolderError
from rl.runs.folder import check_run_folder
from rl.runs.lock import lock_folder, sign_lock
from rl.train import check_rounds


def run_plan(plan: Plan, *, out: TextIO | None = None) -> tuple[Failure, ...]:
    """Run every run that is not finished.

    Args:
        plan: The runs.
        out: Where progress is shown; None: stderr.

    Returns:
        The runs that failed, and those that could not begin because of it.

    Raises:
        ConfigError: A case names an unknown environment or reward, or one that does not take its settings.
        ResourceError: No cluster has room for one of the runs.
        RunFolderError: A folder of the plan cannot be written or holds a run with another config.
        RunBusyError: The ablation or one of its runs is being run by another process.
    """
    out = out or sys.stderr
    _write(out, f"checking {len(plan.config.cases)} cases")
    check_launcher()
    check_cases(plan)
    make_folder(plan)
    with _locked(plan.folder):
        for trial in plan.trials:
            if (trial.folder / "config.yaml").is_file():
                check_run_folder(trial.config, resume=True, overwrite=False)
                _check_same_evaluation(trial)
        schedule = Schedule(plan.trials, done={trial.name for trial in plan.trials if is_done(trial)})
        _run(plan, schedule, out)
    return tuple(schedule.failures.values())


def check_cases(plan: Plan) -> None:
    """Find mistakes of a case before hours are spent on other cases.

    Raises:
        ConfigError: A case names an unknown environment or reward, or one that does not take its settings.
    """
    for trial in plan.trials:
        if trial.seed == plan.config.seeds[0]:
            _check(trial, plan.config.gpus_per_trial)


def plan_bundles(plan: Plan, nodes: Sequence[Mapping[str, float]]) -> dict[str, list[Bundle]]:
    """The resources each trial reserves on nodes like these, by name of the trial.

    Raises:
        ResourceError: One of them would not fit even if nothing else ran.
    """
    gpus_there = any(node.get("GPU", 0) > 0 for node in nodes)
    bundles = {
        trial.name: make_bundles(trial, gpus=plan.config.gpus_per_trial, gpus_there=gpus_there)
        for trial in plan.trials
    }
    for trial in plan.trials:
        check_trial_fits(nodes, trial, bundles[trial.name])
    return bundles


def fit_at_once(plan: Plan, trials: Sequence[Trial], nodes: Sequence[Mapping[str, float]]) -> int:
    """How many trials run at the same time on nodes like these, if all were as large as the largest given."""
    bundles = plan_bundles(plan, nodes)
    return min(count_at_once(nodes, bundles[trial.name], most=plan.config.parallel) for trial in trials)


def make_folder(plan: Plan) -> None:
    """Make the folder of an ablation if it does not exist.

    Raises:
        RunFolderError: It cannot be made.
    """
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(plan.folder, error) from None


def _run(plan: Plan, schedule: Schedule, out: TextIO) -> None:
    if not schedule.unfinished:
        _write(out, f"all {len(plan.trials)} runs were finished before")
        return
    joins = os.environ.get("RAY_ADDRESS")
    _write(out, f"joining the Ray cluster at {joins}" if joins else "starting Ray on this machine")
    # Tune takes seconds to import.
    from rl.ablation.tune import cluster_nodes, cluster_to_join, run_schedule, trial_cluster

    cpus = 1
    if not cluster_to_join():  # what does not fit is refused before Ray starts, which takes seconds more
        machine = plan_bundles(plan, this_machine())
        largest = max(sum(bundle["CPU"] for bundle in machine[trial.name]) for trial in schedule.unfinished)
        cpus = math.ceil(largest * plan.config.parallel)
    tune_folder = plan.folder / ".tune"
    shutil.rmtree(tune_folder, ignore_errors=True)
    try:
        with trial_cluster(cpus=cpus):
            nodes = cluster_nodes()
            bundles = plan_bundles(plan, nodes)
            at_once = fit_at_once(plan, schedule.unfinished, nodes)
            with LiveTable(schedule, at_once=at_once, out=out) as table:
                run_schedule(schedule, bundles, parallel=plan.config.parallel, folder=tune_folder, table=table)
    finally:
        shutil.rmtree(tune_folder, ignore_errors=True)


def _check(trial: Trial, gpus_per_trial: float | None) -> None:
    if trial.config.device == "cuda" and gpus_per_trial == 0:
        raise ConfigError(
            f"case '{trial.case}': device is cuda, but gpus_per_trial is 0, so that no run sees a GPU; set "
            "device to cpu, or gpus_per_trial above 0"
        )
    try:
        parts = build_parts(trial.config, find_model=False)  # a run before it may write the model
        check_rounds(trial.config, parts.env)
        from rl.build import check_backends  # imports torch

        # The GPU a run asks for may be on another node; the cluster says whether there is one.
        check_backends(trial.config.model_copy(update={"device": "cpu"}))
    except ConfigError as error:
        raise ConfigError(f"case '{trial.case}': {error}") from None


def _check_same_evaluation(trial: Trial) -> None:
    """Refuse a run with other evaluation settings: it could go on, but would be compared on other problems."""
    path = trial.folder / "config.yaml"
    before = load_config(path)
    searched = trial.config.eval.search and before.search != trial.config.search
    if before.eval != trial.config.eval or searched:
        section = "search" if searched else "eval"
        raise RunFolderError(
            f"{path.parent} holds a run with other {section} settings, which cannot be compared; give the "
            "same, or another --output"
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from running the same ablation; the lock ends with the block or the process."""
    try:
        lock = lock_folder(folder, key="--output")
    except OSError as error:
        raise _unwritable(folder, error) from None
    with lock:
        sign_lock(lock)
        yield


def _write(out: TextIO, line: str) -> None:
    out.write(f"{line}\n")
    out.flush()


def _unwritable(folder: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"--output {folder} cannot be written: {error.strerror or error}; give another")
