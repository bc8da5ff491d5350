"""A process that saves checkpoints and kills itself at a chosen change of the file system.

    python -m tests.kit.killed_save FOLDER

Each change of a file (opened for writing, renamed, removed) is one of Python's audit events. A child for
each of them is ended by SIGKILL right before it; one more saves to its end. Prints, as JSON, what each left:
folders, and the checkpoint that a resumed run would go on from.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from rl.runs.checkpoints import checkpoint_to_resume, checkpoints
from rl.runs.record import Stage
from tests.kit.checkpoints import write_checkpoint
from tests.kit.file_changes import changed_paths


def kill_at(change: int, folder: Path) -> None:
    """SIGKILL this process right before a change of the file system below a folder."""
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if any(path.startswith(str(folder)) for path in changed_paths(event, arguments)):
            seen += 1
            if seen == change:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def try_all(folder: Path, *, keep: int) -> list[dict[str, Any]]:
    """Save a third checkpoint after two, killed at every change in turn."""
    found: list[dict[str, Any]] = []
    before = folder / f"keep-{keep}"
    for update in (4, 8):
        write_checkpoint(before, Stage.GRPO, update, keep=keep)
    killed = True
    while killed:
        run = folder / f"keep-{keep}-{len(found)}"
        shutil.copytree(before, run)
        child = os.fork()
        if child == 0:
            kill_at(len(found) + 1, run)
            write_checkpoint(run, Stage.GRPO, 12, keep=keep)
            os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        left = sorted(path.name for path in checkpoints(run, Stage.GRPO).iterdir())
        said: list[str] = []
        resumed = checkpoint_to_resume(run, Stage.GRPO, said.append)
        found.append(
            {
                "left": left,
                "resumed": resumed.name if resumed else None,
                "said": said,
                "cleaned": sorted(path.name for path in checkpoints(run, Stage.GRPO).iterdir()),
            }
        )
        shutil.rmtree(run)
    return found


if __name__ == "__main__":
    print(json.dumps({keep: try_all(Path(sys.argv[1]), keep=keep) for keep in (1, 2)}))
