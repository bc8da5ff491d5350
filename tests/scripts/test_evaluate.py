"""`stride evaluate`: what it prints and keeps, and that the viewer and comparisons read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs import load_config
from rl.compare.folders import find_runs, folder_comparison
from rl.compare.study import make_study
from rl.runs.log import evaluation_log, read_summary
from rl.runs.record import SampleRow, Stage
from rl.viewer.read import read_trajectories
from rl.viewer.sources import find_sources
from scripts.evaluate import main

CONFIG = """
name: small
device: cpu
threads: 1
report_to: []
env: {name: addition, settings: {train: ["1_1"], ood_easy: ["2_1"], ood_hard: ["2_2"]}}
policy: {tiny: {hidden_size: 32, num_layers: 2, num_heads: 2, intermediate_size: 64, max_positions: 128}}
rollout: {max_prompt_tokens: 40, max_new_tokens: 16}
rewards: {terms: [{name: correct, weight: 1.0}]}
eval: {splits: [id, ood_easy], num_problems: 3, num_samples: 2, top_k: 5, temperature: 0.7}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(CONFIG)
    return "small.yaml"


def places(rows: list[SampleRow]) -> list[tuple[str, int, int]]:
    return [(row.split, row.index, row.sample) for row in rows]


@pytest.mark.slow
def test_completions_are_kept_and_can_be_browsed(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", config, "--json", "out.json"]) == 0
    folder = Path("runs/eval-config-small")
    assert f"completions and report: {folder.absolute()}" in capsys.readouterr().out
    results = read_summary(folder).stages[Stage.BASE]
    assert {split: result.to_json() for split, result in results.items()} == json.loads(
        Path("out.json").read_text()
    )
    greedy, sampled = (evaluation_log(folder, Stage.BASE, greedy=greedy).read() for greedy in (True, False))
    assert places(greedy) == [(split, index, 0) for split in ("id", "ood_easy") for index in range(3)]
    assert places(sampled) == [(s, i, k) for s in ("id", "ood_easy") for i in range(3) for k in range(2)]
    # Of samples the text is kept, of greedy completions each token too.
    assert all(row.pieces is not None for row in greedy) and all(row.pieces is None for row in sampled)
    assert [(one.evaluated, one.label) for one in find_sources([folder])] == [
        (True, "base, evaluated"),
        (False, "base, evaluated with samples"),
    ]
    assert read_trajectories([folder]).num == 6 + 12
    assert (folder / "report.html").is_file()
    # A second one gets a folder of its own; without samples to keep there are none.
    assert main(["config", config, "eval.keep_samples=false"]) == 0
    assert len(find_sources([Path("runs/eval-config-small-2")])) == 1
    with pytest.raises(SystemExit):
        main(["config", config, "--output", str(folder)])
    assert f"error: --output {folder} already exists; give a new folder" in capsys.readouterr().err


@pytest.mark.slow
def test_an_evaluation_with_the_config_of_a_loop_is_no_loop(config: str) -> None:
    assert main(["config", config, "iterate.rounds=1", "eval.num_samples=0", "--output", "one"]) == 0
    assert load_config("one/config.yaml").iterate is None


@pytest.mark.slow
def test_a_sampled_evaluation_says_so_everywhere(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", config, "eval.greedy=false", "--output", "sampled"]) == 0
    printed = capsys.readouterr().out
    assert "0.000 sampled" in printed and "Means over all samples of each problem." in printed
    assert not evaluation_log(Path("sampled"), Stage.BASE).path.exists()
    ((source),) = find_sources([Path("sampled")])
    assert source.evaluated and not source.greedy
    page = Path("sampled/report.html").read_text().replace("&nbsp;", " ")
    assert "Means over all samples of each problem. Steps" in page and "Greedy" not in page
    assert "base, sampled: 0.0 % correct on id" in page and "mean over all samples" in page
    assert "<small>sampled</small>" in page and "the first sample" in page
    # It is not compared with a greedy one, but with another sampled one, on all samples.
    assert main(["config", config, "--output", "greedy"]) == 0
    assert main(["config", config, "eval.greedy=false", "seed=1", "--output", "other"]) == 0
    mixed = make_study(folder_comparison(find_runs([Path("greedy"), Path("sampled")])))
    assert mixed.left_out["id"] == "decoded greedily in greedy, sampled in sampled (eval.greedy)"
    study = make_study(folder_comparison(find_runs([Path("sampled"), Path("other")])))
    assert study.splits == ["id", "ood_easy"]
    assert [len(case.last()[seed].traces["id"][0]) for case in study.cases for seed in case.seeds] == [2, 2]
