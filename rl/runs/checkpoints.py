"""A run's checkpoints: where they are, and which one a resumed run continues from.

A checkpoint counts once the file that is written last is there: without it a kill has cut the checkpoint off.
"""

from __future__ import annotations

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
    found = [path for path in checkpoints(run, stage).glob("checkpoint-*") if (path / last).is_file()]
    return max(found, key=checkpoint_update, default=None)


def checkpoint_update(path: Path) -> int:
    """The update after which a checkpoint was written."""
    return int(path.name.rpartition("-")[2])
