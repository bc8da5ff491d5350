"""`stride search` on a model from scratch: what it writes, how it goes on, on actors too, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from rl.pages.render import is_page
from rl.search.record import problem_log
from scripts.search import main

CONFIG = """
name: small
device: cpu
threads: 1
report_to: []
env: {name: addition, settings: {train: ["1_1"], ood_easy: ["2_1"], ood_hard: ["2_2"]}}
policy: {tiny: {hidden_size: 32, num_layers: 2, num_heads: 2, intermediate_size: 64, max_positions: 128}}
rollout: {max_prompt_tokens: 40, max_new_tokens: 60, num_actors: 2}
rewards: {terms: [{name: correct, weight: 1.0}]}
eval: {splits: [id, ood_easy], num_problems: 3, problems_per_batch: 2}
search: {strategies: [self_backtracking, verified_states], breadth: [2, 4]}
"""
ARGUMENTS = ["config", "small.yaml"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(CONFIG)


@pytest.mark.slow
def test_a_search_is_written_goes_on_and_is_the_same_on_actors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ARGUMENTS) == 0
    folder = Path("runs/search-config-small")
    assert "self-backtracking" in capsys.readouterr().out
    rows = problem_log(folder).read()
    assert [row.key for row in rows] == [(split, index) for split in ("id", "ood_easy") for index in range(3)]
    # A model from scratch goes into no valid line, so verified states has nowhere to go back to.
    assert all(len(row.searches) == 4 and len(row.searches[1].draws) >= 4 for row in rows)
    summary = pd.read_csv(folder / "summary.csv")
    assert set(summary["method"]) == {
        "greedy",
        "self_backtracking",
        "verified_states",
        "best_of_n",
        "majority_vote",
    }
    assert (summary["problems"] == 3).all() and len(pd.read_csv(folder / "merges.csv")) == 2 * 4 * 4
    assert {"budget", "accuracy", "low", "high"} <= set(pd.read_csv(folder / "curves.csv").columns)
    page = (folder / "search.html").read_text()
    assert is_page(page) and "Methods at equal tokens" in page and "How it was searched" in page
    # Cut off in a row, it goes on to the same rows; with other settings it is refused.
    log = folder / "search.jsonl"
    whole = log.read_bytes()
    lines = whole.splitlines(keepends=True)
    log.write_bytes(b"".join([lines[0], b"{}\n", *lines[2:4]]) + lines[4][:40])
    again = [*ARGUMENTS, "--output", str(folder), "--resume"]
    assert main([*again, "rollout.threads=1"]) == 0
    assert log.read_bytes() == whole and "row 2 damaged, and left out" in capsys.readouterr().err
    for change, named in (("search.depth=2", "search"), ("policy.tiny.hidden_size=64", "policy")):
        with pytest.raises(SystemExit):
            main([*again, change])
        assert f"has other settings of {named}; give the same, or a new folder" in capsys.readouterr().err
    assert json.loads((folder / "search.json").read_text())["search"]["breadth"] == [2, 4]
    assert main([*ARGUMENTS, "rollout.backend=ray", "--output", "actors"]) == 0
    assert Path("actors/search.jsonl").read_bytes() == whole


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--resume"], "--resume needs the folder to go on with: --output FOLDER"),
        (["--resume", "--output", "none"], "there is no search in none"),
        (["--output", "."], "--output . already exists; give a new folder"),
        (["search.breadth=[8,8]"], "which names one twice; leave it out"),
        (["search.merge=best"], "search.merge"),
        (["eval.splits=[]"], "eval.splits is empty, so there is nothing to solve; name a split"),
        (
            [
                "env.name=reasoning_gym",
                "env.settings={preset: countdown}",
                "eval.num_problems=1",
                "eval.splits=[id]",
            ],
            "search.strategies has verified_states, but the task 'reasoning_gym' does not check steps",
        ),
    ],
)
def test_a_mistake_is_one_line(more: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*ARGUMENTS, *more])
    captured = capsys.readouterr()
    assert ended.value.code == 2 and message in captured.err and captured.err.count("\n") == 1
