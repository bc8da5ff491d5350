"""Search as a mode of evaluation (`eval.search`): what a run and an evaluation leave, and how a run goes on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from configs import ConfigError, load_config
from rl.pages.render import is_page
from rl.parts import build_parts
from rl.runs.analysis import write_settings
from rl.search.record import problem_log, stage_folder
from rl.search.run import unlike
from rl.standalone import NO_TRAINING
from rl.train import check_rounds
from scripts.evaluate import main as evaluate
from scripts.report import main as report
from scripts.train import main as train
from tests.kit.tiny_config import write_tiny

WARM = "warm_start: {updates: 2, num_problems: 8, batch_size: 4}"
SEARCH = """
grpo: null
eval: {search: true, num_problems: 3, problems_per_batch: 2}
search: {strategies: [self_backtracking, verified_states], breadth: [2, 3]}
"""


@pytest.mark.slow
def test_a_run_searches_after_its_stages_and_goes_on_within_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path / "small.yaml", WARM + SEARCH)
    assert train(["small.yaml", "output_dir=run"]) == 0
    run = Path("run")
    said = capsys.readouterr().out
    assert "warm start, search" in said and "verified states, N = 3, b = 1" in said
    assert not stage_folder(run, "base").exists()  # random weights are not searched with
    folder = stage_folder(run, "warm")
    rows = problem_log(folder).read()
    assert [row.index for row in rows] == [0, 1, 2]
    assert [(one.strategy, one.breadth) for one in rows[0].searches] == [
        (strategy, breadth) for strategy in ("self_backtracking", "verified_states") for breadth in (2, 3)
    ]
    page = (run / "report.html").read_text()
    assert is_page(page) and "eval/warm-search/search.html" in page and (folder / "search.html").is_file()
    results = page[page.index("Results</h2>") : page.index("More figures")]
    found = re.findall(r"[a-z -]+, N = \d, b = 1", results)  # full depth alone
    assert found == [
        f"{name}, N = {n}, b = 1" for name in ("self-backtracking", "verified states") for n in (2, 3)
    ]

    # Killed in the second batch of the search, before the stage counts as evaluated.
    log = folder / "search.jsonl"
    whole = log.read_bytes()
    lines = whole.splitlines(keepends=True)
    log.write_bytes(lines[0] + lines[1] + lines[2][:30])
    summary = json.loads((run / "summary.json").read_text())
    del summary["stages"]["warm"]
    (run / "summary.json").write_text(json.dumps(summary))
    assert train(["small.yaml", "output_dir=run", "--resume"]) == 0
    assert log.read_bytes() == whole
    assert "search of warm start 3/3 problems" in capsys.readouterr().err

    # A damaged row of a finished run that was moved: the row is searched again, the others stay.
    log.write_bytes(lines[0] + b"{]\n" + lines[2])
    with pytest.raises(SystemExit):
        report(["run"])
    assert f"{log} cannot be read: row 2 is damaged" in capsys.readouterr().err
    run.rename("moved")
    assert train(["small.yaml", "output_dir=moved", "--resume"]) == 0
    Path("moved").rename(run)
    assert log.read_bytes() == whole and not folder.with_name("warm-search.replaced").exists()
    assert "search.jsonl: row 2 damaged, and left out" in capsys.readouterr().err

    # The same model on its own has the same rows.
    assert evaluate(["run/models/warm", "small.yaml", "--output", "alone"]) == 0
    assert (stage_folder(Path("alone"), "base") / "search.jsonl").read_bytes() == whole
    assert "verified states, N = 3, b = 1" in capsys.readouterr().out

    # Compared, each case has its searches.
    assert report(["run", "alone", "--output", "both.html"]) == 0
    both = Path("both.html").read_text()
    assert is_page(both) and "At the tokens of greedy decoding of run" in both
    assert both.count("verified states, N = 3, b = 0") == 2
    assert "any completion right, tokens of run" in capsys.readouterr().out

    # Evaluated again without search, the stage keeps none of earlier weights.
    del summary["stages"]["base"]
    (run / "summary.json").write_text(json.dumps(summary))
    assert train(["small.yaml", "output_dir=run", "eval.search=false", "--resume"]) == 0
    assert not folder.exists() and "warm-search" not in (run / "report.html").read_text()

    # Stages that are evaluated already are searched when it is asked for.
    assert train(["small.yaml", "output_dir=run", "--resume"]) == 0
    assert log.read_bytes() == whole and "warm-search" in (run / "report.html").read_text()


def test_weights_are_known_wherever_they_are(tmp_path: Path) -> None:
    old = {"name": "a", "model": "/a", "model_sha256": "1", "policy": {"model": "/a", "lora": None}, "env": {}}
    moved = {**old, "name": "b", "model": "/b", "policy": {"model": "/b", "lora": None}}
    write_settings(tmp_path, "search", old)
    assert unlike(tmp_path, moved) == ""
    assert unlike(tmp_path, {**moved, "model_sha256": "2"}) == "model_sha256 1, and 2 is given"
    assert unlike(tmp_path, {**moved, "model_sha256": None}) != ""
    write_settings(tmp_path, "search", {**old, "search": {"depth": 1}})  # from before `search.top_p`
    assert unlike(tmp_path, {**moved, "search": {"depth": 1, "top_p": 1.0, "top_k": None}}) == ""
    assert unlike(tmp_path, {**moved, "search": {"depth": 1, "top_p": 0.9, "top_k": None}}) != ""
    (tmp_path / "search.json").write_text("{")
    assert unlike(tmp_path, old) == "no search.json that can be read"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("eval: {search: true, splits: []}", "eval.splits is empty, so there is nothing to solve"),
    ],
)
def test_a_search_that_cannot_be_is_refused(tmp_path: Path, changes: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        build_parts(load_config(write_tiny(tmp_path / "small.yaml", changes)))


@pytest.mark.parametrize(
    "changes",
    ["iterate: {}\nwarm_start: {skipped_frac: 0.5}", "expert_iteration: {}\ngrpo: null\nwarm_start: {}"],
)
def test_rounds_are_not_searched_twice_but_their_config_evaluates(tmp_path: Path, changes: str) -> None:
    config = load_config(write_tiny(tmp_path / "small.yaml", f"eval: {{search: true}}\n{changes}"))
    with pytest.raises(ConfigError, match=r"eval\.search is for `stride train` and `stride evaluate`"):
        check_rounds(config, build_parts(config).env)
    check_rounds(config.model_copy(update=NO_TRAINING), build_parts(config).env)  # as `stride evaluate` has it
