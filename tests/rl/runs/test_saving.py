"""Folders that are written whole, and a disk that cannot be written to."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from rl.runs.disk import DiskError, disk_errors, error_number, size
from rl.runs.manifest import find_damage
from rl.runs.saving import remove_leftovers, whole_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(folder: Path, text: str) -> None:
    (folder / "part").mkdir()
    (folder / "part" / "weights").write_text(text)


def test_a_folder_is_replaced_when_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "best"
    for text in ("one", "two"):
        with whole_folder(path) as new:
            fill(new, text)
            assert new.name == "best"
            assert not path.exists() if text == "one" else (path / "part" / "weights").read_text() == "one"
        assert (path / "part" / "weights").read_text() == text and not find_damage(path)
    assert names(tmp_path) == ["best"]
    (path / "README.md").write_text("a model card may be edited")
    (path / "notes.txt").write_text("and what was not there is no damage")
    assert not find_damage(path)
    (path / "part" / "weights").write_text("twa")
    assert find_damage(path).startswith("part/weights has SHA-256 ")


@pytest.mark.parametrize("error", [ValueError("a fault"), KeyboardInterrupt()])
def test_whatever_interrupts_leaves_the_folder_that_was_there(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "best"
    with whole_folder(path) as new:
        fill(new, "one")
    with pytest.raises(type(error)), whole_folder(path) as new:
        fill(new, "two")
        raise error
    assert names(tmp_path) == ["best"] and (path / "part" / "weights").read_text() == "one"


def test_what_a_kill_leaves_is_cleared(tmp_path: Path) -> None:
    # Between the two renames; while the old one was removed; while one was written.
    for name in ("a.old", "a.tmp", "b", "b.old", "c.tmp", "d"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["a", "b", "d"]
    assert [names(tmp_path / name) for name in ("a", "b", "d")] == [["a.old"], ["b"], ["d"]]
    remove_leftovers(tmp_path / "none")


class SafetensorError(Exception):
    """As safetensors names and words it."""


def raised(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/disk/model.safetensors")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (raised(errno.ENOSPC), "No space left on device (10 bytes needed, "),
        (raised(errno.EDQUOT), "Disk quota exceeded (10 bytes needed, "),
        (raised(errno.EROFS), "Read-only file system ("),
        (raised(errno.EIO), "Input/output error ("),
        (raised(errno.EACCES), "Permission denied ("),
        (
            SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
            "No space left on device (",
        ),
        (
            RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
            "[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0 (",
        ),
    ],
)
def test_a_writers_error_is_one_line(error: Exception, says: str, tmp_path: Path) -> None:
    path = tmp_path / "best"
    with whole_folder(path) as new:
        fill(new, "one")
    with pytest.raises(DiskError) as caught, whole_folder(path, needed=10) as new:
        fill(new, "two")
        raise error
    line = str(caught.value)
    assert line.startswith(f"{path} could not be written: {says}") and "\n" not in line
    assert line.endswith("then go on with --resume: what was saved before is intact")
    assert caught.value.exit_code == 1
    assert names(tmp_path) == ["best"] and (path / "part" / "weights").read_text() == "one"


def test_a_folder_that_does_not_fit_is_not_begun(tmp_path: Path) -> None:
    path = tmp_path / "best"
    with (
        pytest.raises(
            DiskError, match=r"No space left on device \(1000000.0 TB needed, .* free\); make room on"
        ),
        whole_folder(path, needed=10**18),
    ):
        raise AssertionError("begun")
    assert names(tmp_path) == []


def write_torch(folder: Path) -> None:
    import torch

    torch.save({"weight": torch.zeros(1 << 18)}, folder / "optimizer.pt")  # 1 MiB


def write_small_torch(folder: Path) -> None:
    """PyTorch notices only as it closes the file, and then says `basic_ios::clear: iostream error`."""
    import torch

    torch.save({"last_epoch": 3}, folder / "scheduler.pt")


def write_safetensors(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(1 << 18)}, folder / "model.safetensors")


def write_text(folder: Path) -> None:
    (folder / "trainer_state.json").write_text("x" * (1 << 20))


@pytest.mark.parametrize(
    ("write", "limit"),
    [(write_torch, 300_000), (write_small_torch, 300), (write_safetensors, 300_000), (write_text, 300_000)],
)
def test_the_libraries_that_write_models_meet_a_limit(
    write: Callable[[Path], None], limit: int, tmp_path: Path
) -> None:
    """The limit on the size of a file stands for a full disk, which would need a file system of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(DiskError) as caught, whole_folder(tmp_path / "best") as new:
            write(new)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "could not be written: File too large (" in str(caught.value)
    assert "raise the limit on the size of files (ulimit -f)" in str(caught.value)
    assert names(tmp_path) == []


def test_a_disk_that_fails_elsewhere_in_a_run_is_one_line_too(tmp_path: Path) -> None:
    with (
        pytest.raises(
            DiskError, match=r"^/disk/model.safetensors could not be written: No space left on device"
        ),
        disk_errors(tmp_path),
    ):
        raise raised(errno.ENOSPC)
    for other in (raised(errno.ENOENT), raised(errno.EACCES), ValueError("a fault"), RuntimeError("a fault")):
        with pytest.raises(type(other)) as caught, disk_errors(tmp_path):
            raise other
        assert caught.value is other
    known = DiskError("said already")
    with pytest.raises(DiskError) as said, disk_errors(tmp_path):
        raise known from raised(errno.ENOSPC)
    assert said.value is known
    assert error_number(ValueError("a fault"), tmp_path) is None


def test_sizes() -> None:
    assert [size(n) for n in (0, 999, 1000, 3_100_000, 2_000_000_000, 5 * 10**15)] == [
        *("0 bytes", "999 bytes", "1.0 kB", "3.1 MB", "2.0 GB", "5000.0 TB")
    ]
