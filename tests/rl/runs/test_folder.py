"""The run folder: who may write to it, and what a resumed run finds in it."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs import Config, check_config
from rl.runs import provenance
from rl.runs.checkpoints import checkpoints
from rl.runs.errors import RunFolderError
from rl.runs.files import write_text
from rl.runs.folder import RunFolder, open_run
from rl.runs.lock import RunBusyError
from rl.runs.record import Stage, Summary, UpdateRow

ROOT = Path(__file__).resolve().parents[3]


def config(folder: Path, **changes: object) -> Config:
    data: dict[str, object] = {
        "env": {"name": "addition"},
        "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
        "output_dir": str(folder),
    }
    return check_config(data | changes)


@contextmanager
def opened(config: Config, *, resume: bool = False, overwrite: bool = False) -> Iterator[RunFolder]:
    folder = open_run(config, resume=resume, overwrite=overwrite)
    try:
        yield folder
    finally:
        folder.close()


def refuse(config: Config, *, resume: bool = False, overwrite: bool = False) -> str:
    with pytest.raises(RunFolderError) as refused:
        open_run(config, resume=resume, overwrite=overwrite)
    return str(refused.value)


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with a run that has ended, and something in it."""
    path = tmp_path / "run"
    with opened(config(path)) as folder:
        folder.metrics.append(UpdateRow(stage=Stage.GRPO, update=1, metrics={"loss": 0.5}))
        (folder.model(Stage.WARM)).mkdir()
        (folder.model(Stage.WARM) / "weights").write_text("w")
        folder.write_summary(Summary(stages={Stage.BASE: {}}))
    return path


# ---- new folders ----


def test_a_new_folder_says_what_the_run_is(tmp_path: Path) -> None:
    asked = config(tmp_path / "a" / "b", seed=3)
    with opened(asked) as folder:
        assert folder.path == tmp_path / "a" / "b"
        assert check_config(yaml.safe_load((folder.path / "config.yaml").read_text())) == asked
        provenance = json.loads((folder.path / "provenance.json").read_text())
        assert provenance["packages"].keys() >= {"torch", "trl", "ray"}
        assert provenance["command"]
        assert folder.summary() == Summary()
        assert folder.model(Stage.WARM).parent.is_dir()
        assert checkpoints(folder.path, Stage.GRPO).parent.is_dir()
        assert folder.evaluation(Stage.BASE, greedy=True).path.parent.is_dir()


def test_an_empty_folder_is_as_good_as_a_new_one(tmp_path: Path) -> None:
    with opened(config(tmp_path)) as folder:
        assert folder.path == tmp_path


def test_without_output_dir_the_name_gives_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with opened(config(tmp_path, output_dir=None, name="x")) as folder:
        assert folder.path == tmp_path / "runs" / "x"


def test_a_run_killed_before_it_wrote_anything_can_be_started_again(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    with opened(config(tmp_path)) as folder:
        assert (folder.path / "config.yaml").is_file()


# ---- folders that are taken ----


def test_an_existing_run_is_untouched_without_a_flag(run: Path) -> None:
    before = contents(run)
    message = refuse(config(run))
    assert message.startswith(f"output_dir {run} already holds a run;")
    assert "--resume" in message
    assert "--overwrite" in message
    assert contents(run) == before


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_a_folder_that_is_no_run_is_never_touched(tmp_path: Path, how: dict[str, bool]) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "figure").write_text("x")
    before = contents(tmp_path)
    message = refuse(config(tmp_path), **how)
    assert str(tmp_path) in message
    assert "no run" in message
    assert contents(tmp_path) == before


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_a_file_is_no_folder(tmp_path: Path, how: dict[str, bool]) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    assert refuse(config(path), **how) == f"output_dir {path} is a file; give a folder"
    assert path.read_text() == "x"


def test_overwrite_starts_from_nothing(run: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    (run / "link").symlink_to(outside)
    with opened(config(run, seed=9), overwrite=True) as folder:
        assert folder.metrics.read() == []
        assert not folder.model(Stage.WARM).exists()
        assert folder.summary() == Summary()
        assert yaml.safe_load((run / "config.yaml").read_text())["seed"] == 9
    # The target of a link in the run does not belong to the run.
    assert not (run / "link").is_symlink()
    assert (outside / "kept").read_text() == "x"


def test_overwriting_nothing_is_starting(tmp_path: Path) -> None:
    with opened(config(tmp_path / "new"), overwrite=True) as folder:
        assert (folder.path / "config.yaml").is_file()


@pytest.mark.parametrize(
    ("path", "reason"),
    [("file/run", "Not a directory"), ("file/a/b", "Not a directory"), ("n" * 300, "File name too long")],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_cannot_be_written(tmp_path: Path, path: str, reason: str, overwrite: bool) -> None:
    (tmp_path / "file").write_text("x")
    message = refuse(config(tmp_path / path), overwrite=overwrite)
    assert message == f"output_dir {tmp_path / path} cannot be written: {reason}; give another"
    assert contents(tmp_path) == {"file": b"x"}


# ---- resuming ----


def test_resume_finds_everything(run: Path) -> None:
    with opened(config(run), resume=True) as folder:
        assert folder.metrics.read() == [UpdateRow(stage=Stage.GRPO, update=1, metrics={"loss": 0.5})]
        assert (folder.model(Stage.WARM) / "weights").read_text() == "w"
        assert folder.summary() == Summary(stages={Stage.BASE: {}})


def test_resume_needs_a_run(tmp_path: Path) -> None:
    message = refuse(config(tmp_path / "none"), resume=True)
    assert message == f"--resume: there is no run in {tmp_path / 'none'}; leave --resume out to start one"
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"env": {"name": "addition", "settings": {"seed": 1}}}, ["env.settings.seed was not set, is 1"]),
        ({"grpo": {"learning_rate": 1e-6}}, ["grpo.learning_rate was 1e-05, is 1e-06"]),
        ({"rollout": {"samples_per_problem": 4}}, ["rollout.samples_per_problem was 8, is 4"]),
        ({"rewards": {"terms": [{"name": "correct", "weight": 2.0}]}}, ["correct.weight was 1.0, is 2.0"]),
        # All of them at once.
        (
            {"prompt": {"few_shot": 2}, "grpo": {"beta": 0.1}},
            ["few_shot was 0, is 2", "grpo.beta was 0.0, is 0.1"],
        ),
    ],
)
def test_a_run_cannot_be_resumed_with_another_config(
    run: Path, changes: dict[str, object], parts: list[str]
) -> None:
    before = contents(run)
    message = refuse(config(run, **changes), resume=True)
    assert message.startswith(f"--resume: the config differs from the run in {run} in what is trained: ")
    for part in parts:
        assert part in message
    assert "another output_dir" in message
    assert contents(run) == before


def test_a_resumed_run_may_change_its_place_and_length(run: Path) -> None:
    moved = run.rename(run.with_name("moved"))
    changes = config(
        moved,
        grpo={"updates": 500, "save_every": 5, "keep_checkpoints": 1, "max_logprob_diff": 0.5},
        rollout={"backend": "ray", "num_actors": 5, "cpus_per_actor": 0.5, "deadline_s": 9, "max_restarts": 1},
        eval={"num_problems": 3, "splits": ["id"], "max_new_tokens": {"id": 9}},
        report_to=[],
    )
    with opened(changes, resume=True) as folder:
        # The folder describes the run as it is now.
        assert check_config(yaml.safe_load((folder.path / "config.yaml").read_text())) == changes


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a: [", b""])
def test_resume_with_a_damaged_config(run: Path, content: bytes) -> None:
    (run / "config.yaml").write_bytes(content)
    message = refuse(config(run), resume=True)
    assert message.startswith("--resume: ")
    assert str(run) in message
    assert (run / "config.yaml").read_bytes() == content


# ---- the lock ----

HOLD = """
import sys, time
from pathlib import Path
from configs import check_config
from rl.runs.folder import open_run
config = check_config({"env": {"name": "addition"}, "output_dir": sys.argv[1],
                       "rewards": {"terms": [{"name": "correct", "weight": 1.0}]}})
folder = open_run(config, resume=False, overwrite=False)
print("held", flush=True)
time.sleep(120)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process that has a run open."""
    path = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process, path
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
def test_a_second_process_is_refused_until_the_first_has_ended(
    holder: tuple[subprocess.Popen[str], Path],
) -> None:
    process, path = holder
    before = contents(path)
    for how in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(RunBusyError) as busy:
            open_run(config(path), **{"resume": False, "overwrite": False, **how})
        assert f"output_dir {path} is in use by process {process.pid} on " in str(busy.value)
    assert contents(path) == before
    # A killed run releases the lock and leaves its folder intact.
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with opened(config(path), resume=True) as folder:
        assert f"process {os.getpid()} on " in (folder.path / ".lock").read_text()
        # It is held again.
        with (path / ".lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_refused_run_leaves_the_lock_free(run: Path) -> None:
    for _ in range(2):
        refuse(config(run))
        refuse(config(run, seed=1), resume=True)
    with opened(config(run), resume=True):
        pass


def test_a_run_cannot_be_opened_twice_in_one_process(run: Path) -> None:
    with opened(config(run), resume=True), pytest.raises(RunBusyError):
        open_run(config(run), resume=True, overwrite=False)
    with opened(config(run), resume=True):
        pass


def test_a_folder_is_released_once_nobody_refers_to_it(run: Path) -> None:
    folder = open_run(config(run), resume=True, overwrite=False)
    del folder
    gc.collect()
    with opened(config(run), resume=True):
        pass


# ---- small files ----


def test_a_kill_while_writing_leaves_the_old_text(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_text(path, "old")
    # A kill between writing and renaming leaves this file.
    path.with_name("summary.json.tmp").write_text("half of the n")
    assert path.read_text() == "old"
    write_text(path, "new")
    assert contents(tmp_path) == {"summary.json": b"new"}


# ---- where a run comes from, and what changed as it was resumed ----


def provenance_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "provenance.json").read_text())
    return found


def reopen(config: Config, *allow: str, **numerics: str) -> tuple[str, ...]:
    folder = open_run(config, resume=True, overwrite=False, allow=allow, numerics=numerics)
    folder.continued(Stage.GRPO, 7)
    folder.close()
    return folder.notes


def test_a_resumption_is_recorded_with_what_changed(run: Path) -> None:
    begun = provenance_of(run)
    assert begun["resumed"] == [] and begun["stride"]
    changed = config(run, grpo={"learning_rate": 2e-5}, rollout={"num_actors": 4})
    assert reopen(changed, "grpo.learning_rate") == (
        "changed: rollout.num_actors was 2, is 4",
        "changed: grpo.learning_rate was 1e-05, is 2e-05; allowed by --allow-change",
    )
    facts = provenance_of(run)
    (entry,) = facts.pop("resumed")
    assert facts == {key: value for key, value in begun.items() if key != "resumed"}  # the start stays
    assert entry["updates"] == {"grpo": 7}
    assert entry["changed"] == [
        {"key": "rollout.num_actors", "was": 2, "is": 4, "kind": "operational"},
        {"key": "grpo.learning_rate", "was": 1e-5, "is": 2e-5, "kind": "identity"},
    ]
    assert reopen(changed) == ()
    assert [one["changed"] for one in provenance_of(run)["resumed"]] == [entry["changed"], []]


def test_the_same_command_goes_on_again(run: Path) -> None:
    """A scheduler starts a job that was killed with the same line; the change has been made then."""
    changed = config(run, grpo={"learning_rate": 2e-5})
    reopen(changed, "grpo.learning_rate")
    assert reopen(changed, "grpo.learning_rate") == reopen(changed, "grpo") == ()
    # Back again is a change, and the earlier one no longer stands for it.
    with pytest.raises(RunFolderError, match=r"learning_rate was 2e-05, is 1e-05"):
        reopen(config(run))
    reopen(config(run), "grpo.learning_rate")
    with pytest.raises(RunFolderError, match=r"--allow-change grpo\.beta: it has not changed"):
        reopen(config(run), "grpo.beta")


def test_what_numbers_depend_on_is_compared_with_the_time_before(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"device": "cpu", "CPU capability": "AVX2"}
    assert reopen(config(run), **here) == ()  # the start has not said it
    assert reopen(config(run), **here) == ()
    assert reopen(config(run), **{**here, "CPU capability": "AVX512"}) == (
        "not bit for bit: CPU capability was AVX2, is AVX512",
    )
    versions = provenance.version
    newer = {"torch": "99.0", "ray": "98.0"}  # Ray's does not change any number
    monkeypatch.setattr(provenance, "version", lambda name: newer.get(name) or versions(name))
    (note,) = reopen(config(run), **{**here, "CPU capability": "AVX512"})
    assert note == f"not bit for bit: torch was {versions('torch')}, is 99.0"
    assert provenance_of(run)["resumed"][-1]["differs"].keys() == {"torch", "ray"}
    assert reopen(config(run), **{**here, "CPU capability": "AVX512"}) == ()
    # A key that has changed says it already.
    (note,) = reopen(config(run, threads=1), **{**here, "CPU capability": "AVX512", "threads": "1"})
    assert note == "changed: threads was 2, is 1; the run goes on, not bit for bit"


def test_a_change_is_recorded_before_the_config_has_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between the two leaves a change that must be allowed again, not one that nobody knows of."""

    def killed(config: Config) -> str:
        raise ValueError("killed")

    monkeypatch.setattr("rl.runs.folder.dump_config", killed)
    with pytest.raises(ValueError, match="killed"):
        reopen(config(run, grpo={"beta": 0.1}), "grpo.beta")
    monkeypatch.undo()
    assert provenance_of(run)["resumed"][0]["changed"][0]["key"] == "grpo.beta"
    with pytest.raises(RunFolderError, match=r"grpo\.beta was 0\.0, is 0\.1"):
        reopen(config(run, grpo={"beta": 0.1}))
