"""A disk that fills at twenty places inside a save, or between saves: a run ends with one line, and goes on.

The runs train on a small file system of their own (a tmpfs in a mount namespace). Another process's files take
the room right before a save, after Stride has seen that there is enough. Where no file system may be mounted, a
limit on the size of a file stands for it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rl.trainer_checkpoints
from rl.runs.checkpoints import checkpoint_to_resume, checkpoints
from rl.runs.manifest import folder_bytes
from rl.runs.record import Stage
from tests.kit.damaged_runs import train_in, weights, write_config
from tests.kit.finding import Finding, share

_ROOT = Path(__file__).resolve().parents[2]
_MOUNT = 'mount -t tmpfs -o size=48m tmpfs "$1" && shift && exec "$@"'
_SIZE = 20
_SHORT = "warm_start=null"


def run(scale: float) -> Iterator[Finding]:
    """A line for full disks inside a save, and one for those between two saves."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        command = [sys.executable, "-m", "tests.kit.chaos_disk", folder, str(share(_SIZE, scale))]
        mounted = ["unshare", "--map-root-user", "--mount", "sh", "-c", _MOUNT, "sh", folder]
        if subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode:
            mounted = []
        out = subprocess.run(
            [*mounted, *command], cwd=_ROOT, capture_output=True, text=True, check=False, timeout=600
        )
        if out.returncode:
            raise RuntimeError(out.stderr[-2000:])
        for line in json.loads(out.stdout.splitlines()[-1]):
            yield Finding(**{**line, "failures": tuple(line["failures"])})


def fill_disks(folder: Path, size: int) -> Iterator[Finding]:
    """The lines, in the process that has the file system."""
    own = os.path.ismount(folder)
    place = "a file system of 48 MiB" if own else "a limit on the size of a file"
    whole = folder / "whole"
    train_in(whole, _SHORT)
    saved = checkpoints(whole, Stage.GRPO) / "checkpoint-4"
    room = folder_bytes(saved) if own else max(file.stat().st_size for file in saved.iterdir())
    failures: list[str] = []
    same = 0
    for number in range(size):
        left = room * number // size
        fault, resumed = _fill_inside_a_save(folder / "run", left, own)
        same += resumed == weights(whole)
        if fault or resumed != weights(whole):
            failures.append(f"{left:,} bytes left: {fault or 'other weights'}")
    yield Finding(
        test="disk full inside a save",
        size=size,
        figures=f"{size - len(failures)} of {size} ended with exit code 1 and one line that names the disk, "
        "with the checkpoint before whole and nothing of the new one left; "
        f"resumed, {same} of {size} end like one left alone ({place})",
        failures=tuple(failures),
    )
    if own:
        fault = _fill_between_saves(folder / "run", weights(whole))
        yield Finding(
            test="disk full between two saves",
            size=1,
            figures="exit code 1 and one line; the run ends like one left alone",
            failures=(fault,) if fault else (),
        )


def _fill_inside_a_save(folder: Path, left: int, own: bool) -> tuple[str, str]:
    """Let the save after update 4 of GRPO have so many bytes; what was wrong, and the weights at the end."""
    with (
        ExitStack() as room,
        _at_save(4, before=lambda: room.enter_context(_filled(folder.parent, left) if own else _limited(left))),
    ):
        code, error = _train(folder)
    return _wrong(folder, code, error), _finish(folder)


def _fill_between_saves(folder: Path, expected: str) -> str:
    """Take all room after the save of update 2; what was wrong."""
    with ExitStack() as room, _at_save(2, after=lambda: room.enter_context(_filled(folder.parent, 0))):
        code, error = _train(folder)
    fault = _wrong(folder, code, error)
    return fault or ("" if _finish(folder) == expected else "other weights")


def _wrong(folder: Path, code: int, error: str) -> str:
    """What is wrong with a run that met the full disk after the checkpoint of update 2."""
    if code != 1 or error.count("\n") != 1 or not error.startswith("error: "):
        return f"exit code {code}: {error[-300:]}"
    if not any(word in error for word in ("No space left on device", "File too large")) or " free" not in error:
        return f"the line does not name the disk: {error}"
    if names := [
        path.name for path in checkpoints(folder, Stage.GRPO).iterdir() if path.name != "checkpoint-2"
    ]:
        return f"left: {names}"
    said: list[str] = []
    used = checkpoint_to_resume(folder, Stage.GRPO, said.append)
    return "" if used is not None and used.name == "checkpoint-2" and not said else f"{used}: {said}"


def _train(folder: Path) -> tuple[int, str]:
    """Train as `stride train` does; its exit code, and its last words from the error on."""
    from scripts.train import main

    shutil.rmtree(folder, ignore_errors=True)
    shown = io.StringIO()
    try:
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            code = main([str(write_config(folder.parent)), f"output_dir={folder}", _SHORT])
    except SystemExit as ended:
        code = int(ended.code or 0)
    except Exception:
        return 1, traceback.format_exc()
    return code, shown.getvalue()[max(0, shown.getvalue().find("error: ")) :]


def _finish(folder: Path) -> str:
    """The weights of a run that goes on with room; its folder is removed."""
    train_in(folder, _SHORT, resume=True)
    found = weights(folder)
    shutil.rmtree(folder)
    return found


@contextmanager
def _at_save(
    update: int, *, before: Callable[[], Any] = lambda: None, after: Callable[[], Any] = lambda: None
) -> Iterator[None]:
    """Do something before a checkpoint of GRPO is written, or once it is whole."""
    original = rl.trainer_checkpoints.save_checkpoint

    def save(folder: Path, saved: int, write: Callable[[Path], None], *arguments: Any, **named: Any) -> Path:
        if folder.name != Stage.GRPO or saved != update:
            return original(folder, saved, write, *arguments, **named)

        def write_later(new: Path) -> None:
            before()
            write(new)

        path = original(folder, saved, write_later, *arguments, **named)
        after()
        return path

    rl.trainer_checkpoints.save_checkpoint = save
    try:
        yield
    finally:
        rl.trainer_checkpoints.save_checkpoint = original


@contextmanager
def _filled(folder: Path, left: int) -> Iterator[None]:
    """Take the room of a file system but for some bytes."""
    filler = folder / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(folder).free - left))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def _limited(largest: int) -> Iterator[None]:
    """Let no file grow over some bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


if __name__ == "__main__":
    print(json.dumps([asdict(found) for found in fill_disks(Path(sys.argv[1]), int(sys.argv[2]))]))
