"""Output folders that cannot be used, and runs that cannot be resumed: one line, and nothing is written."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.bad_input import CONFIG, ROOT, Cases, check, check_before_torch, working_folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with runs that cannot go on."""
    path = working_folder(tmp_path, monkeypatch)
    (path / "same.yaml").write_text((path / "done" / "config.yaml").read_text())  # the config of that run
    (path / "nowhere").symlink_to(path / "away" / "gone")
    for name in ("empty", "newer", "trained"):
        (path / name).mkdir()
        (path / name / "config.yaml").write_text("" if name == "empty" else CONFIG)
    (path / "newer" / "metrics.jsonl").write_text('{"format": 9, "stage": "grpo", "update": 1}\n')
    summary = {"format": 3, "stages": {}, "updates": {"grpo": 4}, "seconds": {}}
    (path / "trained" / "summary.json").write_text(json.dumps(summary))
    return path


CASES: Cases = {
    "resume nothing": (
        ["good.yaml", "--resume", "output_dir=new"],
        ("--resume: there is no run in", "leave --resume out to start one"),
    ),
    "a run is there": (["good.yaml", "output_dir=done"], ("already holds a run", "--resume", "--overwrite")),
    "something else is there": (["good.yaml", "output_dir=mine"], ("mine is not empty", "give another folder")),
    "overwrite something else": (
        ["good.yaml", "output_dir=mine", "--overwrite"],
        ("--overwrite leaves it alone", "give another folder"),
    ),
    "another config": (
        ["good.yaml", "output_dir=done", "--resume"],
        ("seed was 3, is 0", "Give the same values"),
    ),
    "a file for a folder": (["good.yaml", "output_dir=good.yaml"], ("is a file; give a folder",)),
    "below a file": (
        ["good.yaml", "warm_start=null", "output_dir=good.yaml/run"],
        ("cannot be written: Not a directory; give another",),
    ),
    "too long a name": (
        ["good.yaml", f"output_dir={'n' * 300}"],
        ("cannot be written: File name too long; give another",),
    ),
    "a place that takes no files": (
        ["good.yaml", "output_dir=/proc/run"],
        ("output_dir /proc/run cannot be written: ", "give another"),
    ),
    "a link to nowhere": (["good.yaml", "output_dir=nowhere"], ("nowhere cannot be written: ", "give another")),
    "two ways at once": (
        ["good.yaml", "output_dir=done", "--resume", "--overwrite"],
        ("--overwrite: not allowed with argument --resume",),
    ),
    "allowing without resuming": (
        ["good.yaml", "output_dir=new", "--allow-change", "grpo.beta"],
        ("--allow-change goes with --resume",),
    ),
    "a change of what is trained": (
        ["same.yaml", "output_dir=done", "grpo.learning_rate=1e-3", "--resume"],
        (
            "differs from the run in ",
            "in what is trained: grpo.learning_rate was 1e-05, is 0.001. ",
            "allow the change by name (--allow-change grpo.learning_rate)",
        ),
    ),
    "another change is allowed": (
        [
            "same.yaml",
            "output_dir=done",
            "grpo={beta: 1, epsilon: 0.1}",
            "--resume",
            "--allow-change=grpo.beta",
        ],
        ("in what is trained: grpo.epsilon was 0.2, is 0.1. ",),
    ),
    "an unknown key is allowed": (
        ["same.yaml", "output_dir=done", "--resume", "--allow-change", "grpo.bta"],
        ("--allow-change: unknown key 'grpo.bta'; did you mean 'grpo.beta'?",),
    ),
    "a key that is the same is allowed": (
        ["same.yaml", "output_dir=done", "--resume", "--allow-change", "grpo.beta"],
        ("--allow-change grpo.beta: it has not changed in this run; leave it out",),
    ),
    "what can never change is allowed": (
        ["same.yaml", "output_dir=done", "policy.tiny.hidden_size=32", "--resume", "--allow-change", "policy"],
        (
            "a run cannot change in these keys: policy.tiny.hidden_size was 16, is 32 (the checkpoints hold "
            "weights",
        ),
    ),
    "a config that is gone": (
        ["same.yaml", "output_dir=empty", "--resume"],
        ("config.yaml cannot be read (it holds NoneType), so the run's config is unknown; restore it",),
    ),
    "a newer format": (
        ["good.yaml", "output_dir=newer", "--resume"],
        (
            "metrics.jsonl has format 9, and this version of Stride reads formats 1 to 3; read it with the "
            "version",
        ),
    ),
    "other problems": (
        ["same.yaml", "output_dir=done", "env.settings.seed=1", "--resume", "--allow-change", "env.name"],
        ("--allow-change env.name: it has not changed",),
    ),
    "a lost checkpoint": (
        ["same.yaml", "output_dir=trained", "seed=0", "grpo.updates=9", "--resume"],
        ("GRPO has been trained for 4 updates and cannot go on to 9: no complete checkpoint is in ",),
    ),
}


@pytest.mark.parametrize(("arguments", "parts"), CASES.values(), ids=CASES)
def test_a_mistake_is_one_line_and_nothing_is_written(
    arguments: list[str], parts: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    check(arguments, parts, capsys)


@pytest.mark.parametrize("how", [[], ["--resume"], ["--overwrite"]])
def test_a_folder_in_use_is_tried_again_later(
    how: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (folder / "done" / ".lock").open("w") as lock:
        lock.write("process 1 on elsewhere since yesterday")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        parts = ("is in use by process 1 on elsewhere since yesterday", "wait for it or give another")
        check(["good.yaml", "output_dir=done", *how], parts, capsys, code=75)


def test_a_folder_that_cannot_be_used_is_found_before_torch_is_imported(folder: Path) -> None:
    check_before_torch(folder, [arguments for arguments, _ in list(CASES.values())[::3]])


TAKE = """
import sys
from configs import load_config
from rl.runs.folder import open_run
from scripts.exits import user_errors
config = load_config("good.yaml", ["output_dir=shared"])
print("ready", flush=True)
sys.stdin.readline()
with user_errors():
    folder = open_run(config, resume=False, overwrite=False)
    print("holds it", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.slow
def test_of_ten_starts_at_once_one_runs(folder: Path) -> None:
    """The others end with 75 and name the one; nothing of its is touched."""
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(10)
    ]
    try:
        for start in starts:
            assert start.stdout is not None and start.stdout.readline() == "ready\n"
        for start in starts:  # all are waiting for this line, at the same place
            assert start.stdin is not None
            start.stdin.write("\n")
            start.stdin.flush()
        ended = [start for start in starts if start.stdout is not None and start.stdout.readline() == ""]
        (holder,) = [start for start in starts if start not in ended]
        for start in ended:
            assert start.wait(60) == 75
            assert start.stderr is not None
            said = start.stderr.read()
            assert (
                said.startswith(f"error: output_dir {folder / 'shared'} is in use by ")
                and said.count("\n") == 1
            )
            assert f"process {holder.pid} on " in said
    finally:
        for start in starts:
            start.kill()
            start.communicate()
