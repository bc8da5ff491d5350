"""Which checkpoint a resumed run continues from."""

from __future__ import annotations

from pathlib import Path

import pytest

from rl.runs.checkpoints import checkpoints, latest_checkpoint
from rl.runs.record import Stage

LAST = {Stage.WARM: "trainer_state.json", Stage.GRPO: "stride_state.json"}


def make(run: Path, stage: Stage, update: int, text: str | None) -> Path:
    path = checkpoints(run, stage) / f"checkpoint-{update}"
    path.mkdir(parents=True)
    if text is not None:
        (path / LAST[stage]).write_text(text)
    return path


@pytest.mark.parametrize("stage", LAST)
@pytest.mark.parametrize("cut_off", [None, "", '{"cursor": 1'])
def test_a_checkpoint_that_a_kill_has_cut_off_is_ignored(
    stage: Stage, cut_off: str | None, tmp_path: Path
) -> None:
    assert latest_checkpoint(tmp_path, stage) is None
    make(tmp_path, stage, 8, "{}")
    whole = make(tmp_path, stage, 10, '{"cursor": 12}\n')
    make(tmp_path, stage, 12, cut_off)
    assert latest_checkpoint(tmp_path, stage) == whole
