"""An ablation from runs to report, with a model too small to learn."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs import ConfigError
from configs.schema.ablation import Plan, load_ablation
from rl.ablation.report import write_comparison
from rl.ablation.run import is_done, run_plan
from rl.runs.errors import RunFolderError
from rl.runs.folder import open_run
from rl.runs.lock import RunBusyError
from rl.runs.log import read_summary
from rl.runs.record import SplitResult, Stage
from rl.train import train
from rollout.pools.cluster import Cluster, connect
from rollout.pools.room import ActorSize, ResourceError
from tests.kit.runs_by_hand import write_summary

BASE: dict[str, Any] = {
    "device": "cpu",
    "threads": 1,
    "report_to": ["none"],
    "env": {"name": "directional", "settings": {"train": [1, 2], "ood_easy": [3], "ood_hard": [4]}},
    "policy": {
        "tiny": {
            "hidden_size": 16,
            "num_layers": 1,
            "num_heads": 2,
            "intermediate_size": 16,
            "max_positions": 64,
        }
    },
    "warm_start": {"updates": 2, "num_problems": 8, "batch_size": 4},
    "rollout": {"samples_per_problem": 2, "max_prompt_tokens": 32, "max_new_tokens": 32},
    "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
    "grpo": {"updates": 1, "problems_per_update": 2, "dynamic_sampling": False, "max_resamples": 0},
    "eval": {"splits": ["id"], "num_problems": 4, "num_samples": 0},
}
STEPS = {
    "rewards.terms": [*BASE["rewards"]["terms"], {"name": "step_count", "weight": -0.1, "gate": "correct"}]
}


def plan(folder: Path, cases: dict[str, dict[str, Any]], seeds: list[int], **changes: Any) -> Plan:
    (folder / "base.yaml").write_text(yaml.safe_dump({**BASE, **changes}))
    study = {"name": "study", "question": "<b>Which?", "base": "base.yaml", "seeds": seeds, "cases": cases}
    (folder / "study.yaml").write_text(yaml.safe_dump({**study, "parallel": 2}, sort_keys=False))
    return load_ablation(folder / "study.yaml", (), folder / "out")


def run(study: Plan) -> tuple[list[tuple[str, str]], str]:
    out = io.StringIO()
    failures = run_plan(study, out=out)
    return [(failure.trial, failure.reason) for failure in failures], out.getvalue()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two cores that the runs of this file share; it takes seconds to start."""
    with closing(connect(num_actors=2, size=ActorSize(cpus=1, gpus=0))) as started:
        yield started


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_runs_share_their_warm_start_and_are_not_repeated(tmp_path: Path) -> None:
    # The prompt is too long for `narrow`, which only shows once its run has begun.
    cases = {"plain": {}, "steps": STEPS, "narrow": {"rollout.max_prompt_tokens": 3}}
    study = plan(tmp_path, cases, [0])
    (warm, _), (too_narrow, _) = study.results["plain", 0], study.results["narrow", 0]
    failures, output = run(study)
    assert [name for name, _ in failures] == [too_narrow, "narrow-seed0"]
    assert failures[0][1].startswith("ConfigError: rollout.max_prompt_tokens is 3, but the prompt of id 0 has")
    assert failures[1][1] == f"it begins from the model of {too_narrow}, which failed"
    assert f"{warm}: started" in output and "steps-seed0: done" in output and "3 of 5 runs done" in output
    assert [trial.name for trial in study.trials if is_done(trial)] == [warm, "plain-seed0", "steps-seed0"]
    plain, steps, shared = [stages(tmp_path / "out" / name) for name in ("plain-seed0", "steps-seed0", warm)]
    assert plain[Stage.BASE] == steps[Stage.BASE] == shared[Stage.WARM]
    assert not (tmp_path / "out/.tune").exists()

    _, output = run(plan(tmp_path, {"plain": {}, "steps": STEPS}, [0]))
    assert output.endswith("all 3 runs were finished before\n")
    assert write_comparison(study).is_file() and (tmp_path / "out/summary.csv").is_file()


def stages(folder: Path) -> Mapping[Stage, Mapping[str, SplitResult]]:
    return read_summary(folder).stages


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_killed_run_is_distinguished_from_a_failed_one_and_an_interrupted_one_continues(
    tmp_path: Path,
) -> None:
    cases = {"long": {"grpo": None, "warm_start.updates": 100_000}, "short": {"grpo": None}}
    study = plan(tmp_path, cases, [0])
    long, short = study.trials
    train(short.config, out=io.StringIO())
    whole = read_summary(short.folder)
    base = {Stage.BASE: whole.stages[Stage.BASE]}
    write_summary(short.folder, replace(whole, stages=base))  # the warm start is not evaluated
    assert not is_done(short)
    found: list[list[tuple[str, str]]] = []
    thread = threading.Thread(target=lambda: found.append(run(study)[0]))
    thread.start()
    while not (long.log.exists() and "warm start 1/100,000 updates" in long.log.read_text()):
        assert thread.is_alive()
        time.sleep(0.1)
    # The lock names the process: a worker, and not this one.
    pid = int((long.folder / ".lock").read_text().split()[1])
    assert pid != os.getpid()
    os.kill(pid, signal.SIGKILL)
    thread.join()
    ((name, reason),) = found[0]
    assert name == long.name
    assert reason.startswith("its process was killed or crashed; last line of its log: warm start ")
    assert is_done(short) and read_summary(short.folder).stages == whole.stages


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_the_actors_of_a_run_use_the_resources_it_reserved(tmp_path: Path) -> None:
    actors = {"backend": "ray", "num_actors": 1, "cpus_per_actor": 1}
    study = plan(tmp_path, {"plain": {"warm_start": None}}, [0], rollout={**BASE["rollout"], **actors})
    # The run reserves both cores of the cluster: an actor outside of it would find none and wait for ever.
    assert run(study)[0] == []
    alone = plan(tmp_path, {"alone": {"warm_start": None, "rollout.backend": "local"}}, [0])
    train(alone.trials[0].config, out=io.StringIO())
    assert stages(study.trials[0].folder) == stages(alone.trials[0].folder)


@pytest.mark.usefixtures("cluster")
def test_runs_that_fit_nowhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ResourceError) as caught:
        run(plan(tmp_path, {"wide": {"threads": 9999}}, [0]))
    assert str(caught.value) == (
        "case 'wide' needs 9999 CPU and 0 GPU for its learner; Ray has 1 node with 2 CPU and 0 GPU. Lower "
        "threads or gpus_per_trial, or add nodes"
    )


def test_an_ablation_cannot_run_twice_at_once(tmp_path: Path) -> None:
    study = plan(tmp_path, {"plain": {}}, [0])
    study.folder.mkdir()
    with (study.folder / ".lock").open("w") as lock:
        lock.write("process 17 on here")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunBusyError) as caught:
            run(study)
    assert (
        str(caught.value)
        == f"--output {study.folder} is in use by process 17 on here; wait for it or give another"
    )


def test_mistakes_of_a_case_are_found_before_any_run(tmp_path: Path) -> None:
    cases = {"plain": {}, "odd": {"rewards.terms": [{"name": "corect", "weight": 1.0}]}}
    with pytest.raises(
        ConfigError, match="case 'odd': rewards: unknown reward 'corect'; did you mean 'correct'"
    ):
        run(plan(tmp_path, cases, [0]))
    assert not (tmp_path / "out").exists()


@pytest.fixture
def begun(tmp_path: Path) -> Plan:
    """A plan of one run, whose folder is there."""
    study = plan(tmp_path, {"plain": {"warm_start": None}}, [0])
    open_run(study.trials[0].config, resume=False, overwrite=False).close()
    return study


def test_a_folder_of_another_config_is_left_alone(begun: Plan, tmp_path: Path) -> None:
    other = plan(tmp_path, {"plain": {"warm_start": None, "grpo.learning_rate": 0.5}}, [0])
    with pytest.raises(RunFolderError, match=r"grpo\.learning_rate was 1e-05, is 0\.5"):
        run(other)


def test_other_evaluation_settings_are_not_compared(begun: Plan, tmp_path: Path) -> None:
    other = plan(tmp_path, {"plain": {"warm_start": None, "eval.num_problems": 5}}, [0])
    with pytest.raises(RunFolderError, match="holds a run with other eval settings"):
        run(other)


def test_a_file_is_no_folder_to_write_to(tmp_path: Path) -> None:
    study = plan(tmp_path, {"plain": {"grpo": None}}, [0])
    (tmp_path / "out").write_text("mine")
    with pytest.raises(RunFolderError, match="cannot be written: File exists; give another"):
        run(study)
    assert (tmp_path / "out").read_text() == "mine"
