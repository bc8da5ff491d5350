"""Stored results: the page without the run folders, and files that cannot be read."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from configs.schema.ablation import load_ablation
from rl.ablation.report import write_comparison
from rl.ablation.schedule import Failure
from rl.compare import stored
from rl.compare.stored import read_stored
from rl.pages.comparison.write import compare_folders
from rl.runs.analysis import write_settings
from rl.runs.errors import RunFolderError
from rl.runs.record import Stage
from rl.search.record import Draw, ProblemRow, Response, SearchRow, problem_log, stage_folder
from scripts.report import main
from tests.kit.runs_by_hand import on, study, traces

RESULTS = Path(__file__).parents[3] / "docs" / "results"


def make(folder: Path) -> Path:
    rows = {"a": traces(6) + on("ood_easy", traces(3)), "b": traces(9, steps=2, backtracks=1), "<c>": traces(6)}
    study(folder, rows, (0, 1))
    return folder


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in RESULTS.glob("*/comparison.json")), ids=lambda path: path.name
)
def test_the_results_in_the_docs_are_of_the_present_format(folder: Path) -> None:
    _, cases = read_stored(folder)
    assert all(case.last() for case in cases)


@pytest.mark.slow
def test_the_page_of_stored_results_is_that_of_the_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, kept = make(tmp_path / "runs"), tmp_path / "kept"
    first, second = tmp_path / "first.html", tmp_path / "second.html"
    assert main([str(runs), "--output", str(first), "--store", str(kept)]) == 0
    text = capsys.readouterr().out
    shutil.rmtree(runs)
    assert main([str(kept), "--output", str(second)]) == 0
    assert capsys.readouterr().out == text.replace("first.html", "second.html")
    assert second.read_bytes() == first.read_bytes()
    assert sorted(path.name for path in kept.iterdir()) == [
        "comparison.json",
        "results.csv",
        "traces.csv",
        "updates.csv",
    ]


def test_searches_are_stored_without_their_texts(tmp_path: Path) -> None:
    runs, kept = tmp_path / "runs", tmp_path / "kept"
    study(runs, {"a": traces(6), "b": traces(9)}, (0,))
    text = Response(text="the text", complete=True, answer="7", correct=True, verified=True, backtracks=0)
    draw = Draw(round=0, state=0, tokens=9, score=-1.0, response=0)
    search = SearchRow(strategy="self_backtracking", breadth=1, states=("", "the text"), draws=(draw,))
    row = ProblemRow(
        split="id",
        index=0,
        bucket=None,
        question="",
        answer="7",
        responses=(text,),
        greedy=draw,
        samples=(draw,),
        searches=(search,),
    )
    for case in ("a", "b"):
        folder = stage_folder(runs / f"{case}-seed0", Stage.GRPO)
        folder.mkdir(parents=True)
        about = {"name": "m", "model": "m", "env": {}, "search": {"merge": "mean", "depth": 0}}
        write_settings(folder, "search", about)
        problem_log(folder).append(row)
    first, second, again = [tmp_path / f"{name}.html" for name in ("first", "second", "again")]
    said = compare_folders([runs], first, store_in=kept)
    shutil.rmtree(runs)
    assert compare_folders([kept], second, store_in=kept) == said and "tokens of a-seed0: 1.00 samples" in said
    assert compare_folders([kept], again) == said
    assert first.read_bytes() == second.read_bytes() == again.read_bytes()
    (stored_log,) = (kept / "a-seed0").rglob("*.jsonl")
    assert "the text" not in stored_log.read_text()


@pytest.mark.slow
def test_large_files_are_compressed_to_the_same_bytes_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, kept, page = make(tmp_path / "runs"), tmp_path / "kept", tmp_path / "page.html"
    compare_folders([runs], page, store_in=kept)
    plain, before = (kept / "traces.csv").read_bytes(), page.read_bytes()
    monkeypatch.setattr(stored, "_LARGE", 1000)
    for _ in range(2):
        compare_folders([runs], page, store_in=kept)
        packed = (kept / "traces.csv.gz").read_bytes()
        assert gzip.decompress(packed) == plain
        assert not (kept / "traces.csv").exists()
    compare_folders([kept], page)
    assert page.read_bytes() == before


def test_stored_results_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    runs, kept, page = make(tmp_path / "runs"), tmp_path / "kept", tmp_path / "page.html"
    compare_folders([runs], page, store_in=kept)
    index = kept / "comparison.json"
    whole = json.loads(index.read_text())
    for damaged, says in (
        ({**whole, "format": 1}, "it has format 1, and this version of Stride reads format 2"),
        ({key: value for key, value in whole.items() if key != "keys"}, "it has no 'keys'"),
        ([], "has no attribute 'get'"),
    ):
        index.write_text(json.dumps(damaged))
        with pytest.raises(RunFolderError, match=r"the results stored in .* cannot be read") as caught:
            compare_folders([kept], page)
        assert says in str(caught.value) and "\n" not in str(caught.value)
    index.write_text(json.dumps(whole))
    (kept / "traces.csv").unlink()
    with pytest.raises(RunFolderError, match=r"traces\.csv"):
        compare_folders([kept], page)


def test_an_ablation_stores_its_question_and_its_failures(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "env: {name: countdown}\nwarm_start: {updates: 3}\ngrpo: {updates: 2}\n"
        "rewards: {terms: [{name: correct, weight: 1.0}]}\n"
    )
    text = "name: try\nquestion: Which?\nbase: base.yaml\nseeds: [0, 1]\ncases: {a: {}, b: {grpo.beta: 0.1}}\n"
    (tmp_path / "try.yaml").write_text(text)
    plan = load_ablation(tmp_path / "try.yaml", folder=tmp_path / "out")
    study(tmp_path / "made", {"a": traces(6), "b": traces(8)}, (0, 1))
    for run in (tmp_path / "made").glob("[ab]-seed*"):
        shutil.copytree(run, plan.folder / run.name)
    failed = [Failure(trial="b-seed1", reason="no memory <b>")]
    page = write_comparison(plan, failed, store_in=tmp_path / "kept").read_bytes()
    shutil.rmtree(plan.folder)
    assert "output_dir" not in (tmp_path / "kept" / "comparison.json").read_text()  # a path of this machine
    compare_folders([tmp_path / "kept"], tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == page
    assert b"Which?" in page and b"no memory &lt;b&gt;" in page


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunFolderError, match=r"--store .* cannot be written"):
        compare_folders([make(tmp_path / "runs")], tmp_path / "page.html", store_in=tmp_path / "file")
