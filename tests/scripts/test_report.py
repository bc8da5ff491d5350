"""scripts/report.py: one run, several, a folder of them; each mistake is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rl.runs.record import Stage
from scripts.report import main
from tests.kit.runs_by_hand import on, study, traces, write_run


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the runs of an ablation in `runs`, another run, and files that are no runs."""
    monkeypatch.chdir(tmp_path)
    study(tmp_path / "runs", {"plain": traces(6), "priced": traces(8)}, (0, 1))
    write_run(tmp_path / "other", {Stage.GRPO: on("id", traces(6))})
    write_run(tmp_path / "expert", {}, expert_iteration={"rounds": 1})
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine.html").write_text("<h1>thesis</h1>")
    return tmp_path


def test_one_run_has_its_report_in_its_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs/plain-seed0"]) == 0
    assert capsys.readouterr().out == "report: runs/plain-seed0/report.html\n"
    assert Path("runs/plain-seed0/report.html").is_file() and not Path("comparison.html").exists()


def test_several_runs_are_compared_in_the_current_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs/priced-seed0", "runs/priced-seed1", "runs/plain-seed0"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "report: comparison.html"
    assert "priced: GRPO" in out and "plain-seed0: GRPO" in out
    page = Path("comparison.html").read_text()
    assert "The baseline is the first case, <b>a</b> priced." in page and "<b>b</b> plain-seed0" in page


def test_runs_with_more_problems_are_compared_on_the_shared_ones(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(runs / "more", {Stage.GRPO: traces(6, num=20)}, eval={"num_problems": 20, "splits": ["id"]})
    assert main(["runs/plain-seed0", "more"]) == 0
    assert "compared on the first 10 problems of id" in capsys.readouterr().out


def test_a_folder_of_runs_is_a_comparison_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--output", "page.html"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "report: page.html"
    page = Path("page.html").read_text()
    assert "The baseline is the first case, <b>a</b> plain." in page and "seeds 0, 1" in page
    assert main(["runs", "--output", "page.html"]) == 0  # a page of ours may be written again


def test_other_files_are_replaced_only_with_overwrite(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["runs", "--output", "mine.html"])
    assert stopped.value.code == 2
    message = "exists and is not a page of Stride's; give another, or replace it with --overwrite"
    assert capsys.readouterr().err == f"error: --output mine.html {message}\n"
    assert Path("mine.html").read_text() == "<h1>thesis</h1>"
    assert main(["runs", "--output", "mine.html", "--overwrite"]) == 0
    assert "The baseline is the first case, <b>a</b> plain." in Path("mine.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent"], "there is no run in absent (no config.yaml in it or in a folder of it)"),
        (["runs/plain-seed0", "absent"], "there is no run in absent"),
        (["empty"], "there is no run in empty"),
        (
            ["runs/plain-seed0", "other"],
            "different problems and cannot be compared (id: problem 0 differs between",
        ),
        (["expert", "runs/plain-seed0"], "expert is expert iteration, which is not compared; leave it out"),
        (["runs", "--output", "table.csv"], "--output table.csv is not a page; give a file that ends in .html"),
        (["runs", "--output", "no/page.html"], "--output no/page.html is in a folder that does not exist"),
        (["runs/plain-seed0", "--output", "page.html"], "the report of one run goes into its folder"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    arguments: list[str], message: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(runs.rglob("*"))
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.startswith("error: ") and error.count("\n") == 1 and message in error
    assert sorted(runs.rglob("*")) == before
