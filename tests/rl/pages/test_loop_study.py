"""The page and the CSV files of a study over loops."""

from __future__ import annotations

import csv
import gzip
import html
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from rl.compare.runs import Comparison
from rl.iterate.export import answers_csv, regret_csv, rounds_csv
from rl.iterate.regret import Candidate
from rl.iterate.study import LoopStudy, StudyLoop, read_loop_study, values
from rl.pages.iteration.study import answer, render_loops
from rl.pages.iteration.study_tables import difference_table, regret_table, requests_table, rounds_table
from rl.pages.iteration.write_study import study_text, write_figures, write_pages
from scripts.report import main
from tests.kit.loops import solving, write_loop

# Of the problems of each cell that a round solves: the harder cells gain, and the last round is not the best.
COLD = {
    "id": (1.0,),
    "validation": (0.1, 0.9, 0.4),
    "ood_easy": (0.2, 0.8, 0.5),
    "ood_hard": (0.0, 0.4, 0.1),
    "train": (0.8,),
}
WARM = {**COLD, "validation": (0.1, 0.5, 0.6), "ood_easy": (0.2, 0.4, 0.5)}


def comparison(folders: dict[str, dict[int, Path]]) -> Comparison:
    first = {case: next(iter(seeds.values())) for case, seeds in folders.items()}
    return Comparison(
        kind="Ablation",
        name="skips",
        question="Does <i>mixing</i> help?",
        folders={case: {seed: (path,) for seed, path in seeds.items()} for case, seeds in folders.items()},
        configs={case: yaml.safe_load((path / "config.yaml").read_text()) for case, path in first.items()},
        failures={},
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> LoopStudy:
    root = tmp_path_factory.mktemp("study")
    folders: dict[str, dict[int, Path]] = {}
    for case, shares in (("cold", COLD), ("warm", WARM)):
        for seed in (0, 1):
            writes = solving(shares, seed=seed)
            folder = write_loop(root / f"{case}-{seed}", writes, finished=3, num=20, init=case)
            folders.setdefault(case, {})[seed] = folder
    return read_loop_study(comparison(folders))


def page_text(page: str) -> str:
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_full_traces_alone_are_round_0_of_the_cold_case(study: LoopStudy) -> None:
    assert study.full_only == Candidate("cold", 0)
    table = difference_table(study)
    assert table is not None
    rows = {row.head: row for row in table.groups[0].rows}
    assert list(rows) == [
        *(f"cold, round {number}" for number in (1, 2)),
        "cold, round kept",
        *(f"warm, round {number}" for number in (0, 1, 2)),
        "warm, round kept",
    ]
    assert table.heads[1:] == ("id", "ood_easy", "ood_hard", "validation")
    after, before = (
        values(study.solved("cold", "ood_easy", number), lambda one: one.accuracy) for number in (1, 0)
    )
    gain = sum(after) / 2 - sum(before) / 2
    assert rows["cold, round 1"].cells[1].text == f"+{100 * gain:.1f}"
    # Warm and cold models of round 0 solve the same problems here: no difference.
    assert rows["warm, round 0"].cells[1].text == "0.0"


def test_the_page_has_every_section(study: LoopStudy) -> None:
    page = render_loops(study)
    text = page_text(page)
    for section in (
        "Standard models by round",
        "Mixed data against full traces alone",
        "Which round to keep",
        "Asked for fewer steps",
        "Accuracy against steps",
        "Differences between the configs",
    ):
        assert section in text
    # Four cells of accuracy and of steps, three requests, three fronts.
    assert page.count("<svg") == 4 + 4 + 3 + 3
    assert "<i>mixing" not in page
    assert answer(study).startswith("id: ")


def test_the_answer_names_no_case_that_has_learnt_full_traces_alone(study: LoopStudy) -> None:
    def without_skips(loop: StudyLoop) -> StudyLoop:
        rounds = tuple(replace(row, num_skipped=0) for row in loop.record.rounds)
        return replace(loop, record=replace(loop.record, rounds=rounds))

    assert "cold has" in answer(study)
    loops = tuple(without_skips(loop) if loop.case == "cold" else loop for loop in study.loops)
    found = answer(replace(study, loops=loops))
    assert "cold has" not in found and "warm has" in found


def test_regret_is_given_by_case_and_over_both(study: LoopStudy) -> None:
    table = regret_table(study)
    assert table is not None
    names = [group.name for group in table.groups]
    assert names[:3] == ["id: cold", "ood_easy: cold", "ood_hard: cold"]
    assert names[-1] == "ood_hard: all cases, case and round chosen"
    easy = {row.head: row.cells for row in table.groups[1].rows}
    assert easy["validation"][0].text == "1 (2×)"
    assert easy["validation"][1].text == "0.0"
    assert float(easy["last round"][1].text) > 0


def test_tables_are_means_over_seeds(study: LoopStudy) -> None:
    table = rounds_table(study)
    assert [group.name for group in table.groups] == ["id", "ood_easy", "ood_hard", "validation"]
    assert len(table.groups[0].rows) == 8  # three rounds and the round kept, of two cases
    requests = requests_table(study)
    assert requests is not None
    assert [group.name for group in requests.groups] == ["cold", "warm"]
    assert [row.head for row in requests.groups[0].rows] == ["full"] * 3 + ["full − 1"] * 3 + ["full − 2"] * 3


def test_raw_figures_are_beside_the_page(study: LoopStudy, tmp_path: Path) -> None:
    write_figures(study, tmp_path)
    write_pages(study, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == render_loops(study)
    assert not (tmp_path / "report-runs.html").exists()  # without ordinary runs
    rounds = list(csv.DictReader(io.StringIO((tmp_path / "rounds.csv").read_text())))
    # Two cases, two seeds: three requests and four cells in each of three rounds, and what was asked in two.
    assert len(rounds) == 4 * (3 * 7 + 2)
    packed = gzip.decompress((tmp_path / "answers.csv.gz").read_bytes()).decode()
    assert packed == answers_csv(study) and len(packed.splitlines()) == 1 + 4 * 3 * 4 * 20
    regrets = list(csv.DictReader(io.StringIO((tmp_path / "regret.csv").read_text())))
    for row in regrets:
        assert float(row["regret"]) == pytest.approx(float(row["oracle"]) - float(row["accuracy"]))
    assert rounds_csv(study) == (tmp_path / "rounds.csv").read_text()
    assert regret_csv(study) == (tmp_path / "regret.csv").read_text()
    assert "cold, round 2" in study_text(study)


def test_an_unfinished_study_says_what_is_missing(tmp_path: Path) -> None:
    begun = write_loop(tmp_path / "a", solving(COLD), finished=1, rounds=4)
    young = write_loop(tmp_path / "b", solving(COLD), finished=0, rounds=4)
    compared = comparison({"cold": {0: begun, 1: young, 2: tmp_path / "none"}})
    study = read_loop_study(compared)
    assert study.unfinished() == [
        "cold, seed 0: 1 of 5 rounds",
        "cold, seed 1: 0 of 5 rounds",
        "cold, seed 2: not begun",
    ]
    text = page_text(render_loops(study))
    assert "cold, seed 1: 0 of 5 rounds" in text
    assert "No loop has more than one round" in text
    nothing = read_loop_study(comparison({"cold": {1: young}}))
    assert "No round of any loop is finished yet." in page_text(render_loops(nothing))


def test_folders_of_loops_are_compared_as_a_study(
    study: LoopStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(chain[0]) for seeds in study.comparison.folders.values() for chain in seeds.values()]
    output = tmp_path / "page.html"
    assert main([*folders, "--output", str(output)]) == 0
    assert "of step-skipping loops" in output.read_text()
    assert "validation" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*folders, "--output", str(output), "--store", str(tmp_path / "stored")])
    assert "some of these are loops; leave it out" in capsys.readouterr().err
