"""Temporary folders of dead processes go at the next start, those of living ones and of others stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollout.temporary import OWNER, OwnedFolder, remove_leftovers, temporary_folder

ROOT = Path(__file__).resolve().parents[2]
OWNS = """
import subprocess, sys, time
from rollout.temporary import OwnedFolder
folder = OwnedFolder()
(folder.path / "log").touch()
child = subprocess.Popen(["sleep", "600"], stdout=(folder.path / "log").open("w"), stderr=subprocess.STDOUT)
print(folder.path, child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("rollout.temporary._SHORT", tmp_path)
    yield


def owner(temporary: Path) -> tuple[subprocess.Popen[str], Path, int]:
    """A process with a folder and a child that writes into it."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNS],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    path, pid = process.stdout.readline().split()
    return process, Path(path), int(pid)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_a_killed_process_left_is_removed_once_it_is_dead(tmp_path: Path) -> None:
    process, path, child = owner(tmp_path)
    try:
        assert remove_leftovers() == [] and path.is_dir() and is_alive(child)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert is_alive(child)
        assert remove_leftovers() == [path]
        assert not path.exists() and not is_alive(child)
    finally:
        process.kill()
        process.communicate()


def test_folders_of_this_process_and_folders_without_an_owner_stay(tmp_path: Path) -> None:
    own = OwnedFolder("vllm-")
    foreign = tmp_path / "stride-old"
    foreign.mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / OWNER).touch()
    (tmp_path / "stride-link").symlink_to(tmp_path / "other")
    assert remove_leftovers() == []
    own.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "stride-link", "stride-old"]


def test_folders_of_other_users_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / "stride-x"
    left.mkdir()
    (left / OWNER).touch()
    monkeypatch.setattr(os, "getuid", lambda: left.stat().st_uid + 1)
    assert remove_leftovers() == [] and left.is_dir()
    monkeypatch.undo()


def test_a_folder_goes_at_the_end_of_its_block_and_gets_a_short_path(tmp_path: Path) -> None:
    with temporary_folder("vllm-") as folder:
        assert folder.parent == tmp_path and folder.name.startswith("stride-vllm-")
    assert not folder.exists()
    own = OwnedFolder(longest=5)
    assert own.path.parent == tmp_path  # which stands for /tmp here
    own.close()
