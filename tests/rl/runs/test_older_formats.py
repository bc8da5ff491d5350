"""Runs that an earlier version wrote are read; a newer one's are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from rewards import Outcome
from rl.runs.log import evaluation_log, metrics_log, read_summary
from rl.runs.read import read_run
from rl.runs.record import SampleRow, Stage, UpdateRow
from rl.runs.tables import FORMAT_KEY
from rl.runs.trajectories import trajectory_log
from tests.kit.runs_by_hand import sample, traces, write_run


def as_format(data: dict[str, Any], number: int) -> dict[str, Any]:
    """An object as an earlier version would have written it."""
    return {key: value for key, value in data.items() if key != "steps_checked"} | {"format": number}


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(
    ("env", "checked"),
    [
        ("countdown", True),
        ("math", False),
        ("reasoning_gym", False),
        ("mixture/math", False),
        ("mixture/b", True),
    ],
)
def test_completions_say_whether_steps_were_checked(number: int, env: str, checked: bool) -> None:
    row = SampleRow.from_json(as_format(sample(env=env).to_json(), number))
    outcome = Outcome.VERIFIED if checked else Outcome.CORRECT
    assert (row.steps_checked, row.outcome) == (checked, outcome)
    wrong = SampleRow.from_json(as_format(sample(env=env, outcome=Outcome.WRONG).to_json(), number))
    assert wrong.outcome is Outcome.WRONG


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(("env", "checked"), [("countdown", True), ("math", False)])
def test_a_whole_run_is_read(tmp_path: Path, number: int, env: str, checked: bool) -> None:
    folder = write_run(
        tmp_path / "run",
        {Stage.BASE: traces(3), Stage.WARM: traces(6)},
        updates=[{"loss": 0.5}],
        env={"name": env},
    )
    for path in (folder / "summary.json", folder / "metrics.jsonl", *folder.rglob("eval/*.jsonl")):
        lines = [as_format(json.loads(line), number) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = read_run(folder)
    assert run.metrics[Stage.GRPO] == [UpdateRow(stage=Stage.GRPO, update=1, metrics={"loss": 0.5})]
    result = run.summary.stages[Stage.WARM]["id"]
    assert (result.accuracy, result.verified, result.wasted_steps) == (
        0.6,
        0.6 if checked else None,
        0.0 if checked else None,
    )
    assert run.steps_checked == checked
    assert len(evaluation_log(folder, Stage.WARM).read()) == 10
    # Rows of today follow those of before in the same file.
    metrics_log(folder).append(UpdateRow(stage=Stage.GRPO, update=2, metrics={"loss": 0.4}))
    assert [row.update for row in metrics_log(folder).read()] == [1, 2]


def test_trajectories_without_the_column(tmp_path: Path) -> None:
    log = trajectory_log(tmp_path)
    log.write(1, [sample(env="math", update=1)])
    (file,) = log.files()
    table = pq.read_table(file.path).drop_columns(["steps_checked"]).replace_schema_metadata({FORMAT_KEY: b"2"})
    pq.write_table(table, file.path)
    (row,) = log.read()
    assert (row.steps_checked, row.outcome, row.text) == (False, Outcome.CORRECT, sample().text)


def test_a_summary_without_its_config_keeps_its_figures(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {Stage.BASE: traces(3)}, env={"name": "math"})
    path = folder / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    assert read_summary(folder).stages[Stage.BASE]["id"].verified is None
    (folder / "config.yaml").unlink()
    assert read_summary(folder).stages[Stage.BASE]["id"].verified == 0.3
