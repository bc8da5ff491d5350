"""The progress of a run, read from its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from rl.ablation.progress import last_line, read_progress
from rl.runs.errors import RunFolderError
from rl.runs.log import metrics_log
from rl.runs.record import Stage
from tests.kit.ablation_runs import finish, log_update, make_trials


def test_progress_is_the_last_whole_row(tmp_path: Path) -> None:
    trial = make_trials(tmp_path)[2]
    assert str(read_progress(trial)) == "starting"
    for update in range(1, 400):  # more than is read
        log_update(trial, Stage.GRPO, update % 10, accuracy=0.5, **{f"padding/{n}": 0.125 for n in range(50)})
    with (trial.folder / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "grpo", "upd')
    found = read_progress(trial)
    assert (str(found), found.accuracy, found.steps_per_correct) == ("grpo 9/10", 0.5, None)
    assert metrics_log(trial.folder).path.stat().st_size > 1 << 17
    with (trial.folder / "metrics.jsonl").open("a") as file:
        file.write("ate\n")
    with pytest.raises(RunFolderError, match=r"metrics\.jsonl cannot be read: its last row is damaged"):
        read_progress(trial)
    log_update(trial, Stage.GRPO, 10)
    assert str(read_progress(trial)) == "evaluating grpo"
    finish(trial, Stage.BASE, Stage.GRPO)
    assert str(read_progress(trial)) == "grpo 10/10"


def test_the_last_line_of_a_log(tmp_path: Path) -> None:
    assert last_line(tmp_path / "none.log") == ""
    (tmp_path / "a.log").write_text("first\n" + "x" * 100_000 + "\nbar 1\rbar 2\n  \n")
    assert last_line(tmp_path / "a.log") == "bar 2"
