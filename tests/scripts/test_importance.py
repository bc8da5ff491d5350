"""`stride importance` on a model from scratch: what it writes, how it goes on, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from rl.importance.record import ProblemLog
from rl.pages.render import is_page
from scripts.importance import main

CONFIG = """
name: small
device: cpu
threads: 1
report_to: []
env: {name: addition, settings: {train: ["1_1"], ood_easy: ["2_1"], ood_hard: ["2_2"]}}
policy: {tiny: {hidden_size: 32, num_layers: 2, num_heads: 2, intermediate_size: 64, max_positions: 128}}
rollout: {max_prompt_tokens: 40, max_new_tokens: 60}
rewards: {terms: [{name: correct, weight: 1.0}]}
eval: {num_problems: 4, problems_per_batch: 2}
"""
ARGUMENTS = ["config", "small.yaml", "--problems", "3", "--samples", "2", "--continuations", "4"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(CONFIG)


@pytest.mark.slow
def test_an_analysis_is_written_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGUMENTS, "--accuracy", "0", "1"]) == 0
    folder = Path("runs/importance-config-small")
    assert "all lines" in capsys.readouterr().out
    rows = ProblemLog(folder).read()
    assert sum(bool(row.lines) for row in rows) == 3
    table = pd.read_csv(folder / "lines.csv")
    assert len(table) == len(pd.read_parquet(folder / "lines.parquet")) == sum(len(row.lines) for row in rows)
    page = (folder / "importance.html").read_text()
    assert is_page(page) and "How it was measured" in page
    # Cut off in the last row, it goes on to the same rows; with other settings it is refused.
    log = folder / "importance.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[: len(whole) - 40])
    again = [*ARGUMENTS, "--accuracy", "0", "1", "--output", str(folder), "--resume"]
    assert main([*again, "rollout.threads=1"]) == 0
    assert ProblemLog(folder).read() == rows
    for more, message in (
        (["--samples", "3"], "has num_samples 2, and 3 is given; give the same, or a new folder"),
        (['env.settings.ood_hard=["3_3"]'], "has other settings of env; give the same, or a new folder"),
    ):
        with pytest.raises(SystemExit):
            main([*again, *more])
        assert message in capsys.readouterr().err
    assert json.loads((folder / "importance.json").read_text())["num_continuations"] == 4


@pytest.mark.slow
def test_a_config_that_trains_in_other_ways_can_be_analysed() -> None:
    few = ["--problems", "1", "--samples", "2", "--continuations", "2", "--accuracy", "0", "1"]
    for number, key in enumerate(("iterate.rounds=1", "key_steps.updates=1")):
        assert main(["config", "small.yaml", *few, key, "--output", f"out-{number}"]) == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["--accuracy", "0.8", "0.2"],
            "--accuracy is 0.8 0.2; give two shares from 0 to 1, the lower one first",
        ),
        (["--continuations", "1"], "--continuations is 1; give 2 or more"),
        (["--resume"], "--resume needs the folder to go on with: --output FOLDER"),
        (["--resume", "--output", "none"], "there is no analysis in none"),
        (["--output", "."], "--output . already exists; give a new folder"),
    ],
)
def test_a_mistake_is_one_line(more: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*ARGUMENTS, *more])
    captured = capsys.readouterr()
    assert ended.value.code == 2 and message in captured.err and captured.err.count("\n") == 1
