"""A run's checkpoints: where they are, and which one a resumed run continues from.

A checkpoint counts once the file that is written last is there, whole: otherwise a kill has cut it off.
"""

from __future__ import annotations

import json
from pathlib import Path

from rl.runs.record import Stage

GRPO_STATE = "stride_state.json"
"""The state of GRPO's data, beside the Trainer's own files."""

_WRITTEN_LAST = {Stage.WARM: "trainer_state.json", Stage.GRPO: GRPO_STATE}


def checkpoints(run: Path, stage: Stage) -> Path:
    """The folder of a stage's checkpoints."""
    return run / "checkpoints" / stage


def latest_checkpoint(run: Path, stage: Stage) -> Path | None:
    """A stage's newest complete checkpoint; None if there is none."""
    last = _WRITTEN_LAST[stage]
    found = [path for path in checkpoints(run, stage).glob("checkpoint-*") if _is_whole(path / last)]
    return max(found, key=checkpoint_update, default=None)


def _is_whole(path: Path) -> bool:
    """Whether a JSON file is there and was written to its end."""
    try:
        json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return True


def checkpoint_update(path: Path) -> int:
    """The update after which a checkpoint was written."""
    return int(path.name.rpartition("-")[2])
