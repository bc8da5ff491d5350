"""What a user reads about a task that checks no steps: correct answers and counted steps, nothing verified."""

from __future__ import annotations

import csv
import html
import io
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rewards import Outcome
from rl.compare.export import comparison_csv
from rl.compare.folders import find_runs, folder_comparison
from rl.compare.results import CaseRecord
from rl.compare.runs import Comparison
from rl.compare.stored import read_stored, store
from rl.compare.study import make_study
from rl.models.card import model_card
from rl.pages.comparison.page import render_comparison
from rl.pages.comparison.text import comparison_text
from rl.pages.run.write import render_report
from rl.pages.text import result_table
from rl.runs.log import read_summary
from rl.runs.models import find_trained
from rl.runs.read import read_run
from rl.runs.record import JUDGING, Stage
from tests.kit.judged_runs import checked_run, counted_run
from tests.kit.runs_by_hand import sample, write_run, write_summary

CLAIMS = re.compile(r"verif|valid|\bsaved\b|\breal\b|\bfake\b|needless|undone|wasted", re.IGNORECASE)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return counted_run(tmp_path_factory.mktemp("runs") / "counted")


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checked_run(tmp_path_factory.mktemp("runs") / "checked")


def read(page: str) -> str:
    """What a reader sees of a page, titles and labels included; its style and the config are left out."""
    page = re.sub(r"<style.*?</style>|<pre>.*?</pre>", "", page, flags=re.DOTALL)
    titles = " ".join(re.findall(r'(?:title|aria-label)="([^"]*)"', page))
    return html.unescape(re.sub(r"<[^>]+>", " ", page) + titles).replace("\N{NO-BREAK SPACE}", " ")


def claims(text: str) -> set[str]:
    return {found.lower() for found in CLAIMS.findall(text)}


def test_the_report(counted: Path, checked: Path) -> None:
    page = read(render_report(read_run(counted)))
    assert claims(page) == set()
    assert page.count("Steps counted per correct answer") >= 3  # a tile, a column and a panel
    assert "60.0 % correct on id" in page and not re.search(r"\d of \d+ steps", page)
    assert "Steps are counted, not checked: a correct answer can follow from false steps." in page
    assert "step, counted and not checked" in page and "✓ correct" in page
    assert "with 1.33 steps counted per correct answer" in page and "than the full traces" not in page
    # The same page of checked steps makes all these claims.
    judged = read(render_report(read_run(checked)))
    assert claims(judged) == {"verif", "valid", "saved", "real", "fake", "needless", "undone", "wasted"}
    assert "steps counted" not in judged.lower()


def test_a_run_of_both_kinds_says_which_figures_are_of_which(tmp_path: Path, checked: Path) -> None:
    note = "valid steps and steps saved are of the others alone"
    counted = sample(index=1, group=1, steps_checked=False, outcome=Outcome.CORRECT)
    both = write_run(tmp_path / "both", {Stage.WARM: [sample(), counted]})
    assert note in read(render_report(read_run(both)))
    assert note not in read(render_report(read_run(checked)))


def test_a_false_step_of_a_correct_answer_has_no_tick(counted: Path) -> None:
    page = render_report(read_run(counted))
    shown = re.findall(r'<li><span class="mark (\w+)"[^>]*>(.)</span>([^<]*)', page)
    assert ("na", "·", "10 / 6 = 1") in shown
    assert {css for css, _, _ in shown} == {"na"}


def test_the_comparison(counted: Path, checked: Path, tmp_path: Path) -> None:
    for name, run in (("counted", counted), ("checked", checked)):
        folder = tmp_path / name
        for seed in (0, 1):
            shutil.copytree(run, folder / f"{name}{seed}")
            config = folder / f"{name}{seed}" / "config.yaml"
            config.write_text(config.read_text() + f"seed: {seed}\n")
        study = make_study(folder_comparison(find_runs([folder])))
        page, text = read(render_comparison(study)), comparison_text(study)
        if name == "counted":
            assert claims(page) == set() == claims(text) - {"real", "fake", "needless"}
            assert "Steps counted per correct" in page and "steps counted per correct answer" in page
            assert "Steps are counted, not checked" in page and text.endswith("Steps are counted, not checked.")
        else:
            assert (
                claims(page) >= {"valid", "real", "fake", "needless", "wasted"} and "counted" not in page + text
            )


def test_tables_in_the_terminal(counted: Path, checked: Path) -> None:
    shown = result_table(read_run(counted).summary.stages.items())
    assert shown.endswith("\n\nSteps are counted, not checked.") and "valid" not in shown
    assert "counted" not in result_table(read_run(checked).summary.stages.items())


def test_the_model_card(counted: Path, checked: Path) -> None:
    for run, says in ((counted, True), (checked, False)):
        (run / "models" / "grpo").mkdir(parents=True)
        (run / "models" / "grpo" / "config.json").write_text("{}")
        card = model_card(find_trained(run), run.name)
        assert ("Steps are counted, not checked." in card) is says


def test_prices_on_counted_steps_are_on_both_pages(counted: Path, checked: Path, tmp_path: Path) -> None:
    """Only the case that was warned of one is named, and stored results keep the warning."""
    warned = tmp_path / "warned"
    shutil.copytree(counted, warned)
    summary = read_summary(warned)
    warning = "step_count prices what math counts & does not check"
    write_summary(warned, replace(summary, warnings=(warning,)))
    assert f"Warning: {warning}." in read(render_report(read_run(warned)))
    assert "Warning" not in read(render_report(read_run(counted)))
    found = folder_comparison([warned, counted])
    study = make_study(found)
    for one in (study, make_study(*_stored(found, study.cases, tmp_path / "stored"))):
        page, text = read(render_comparison(one)), comparison_text(one)
        assert f"Warning for warned: {warning}." in page and page.count("Warning") == 1
        assert f"warning: warned: {warning}" in text.splitlines()


def _stored(found: Comparison, cases: list[CaseRecord], folder: Path) -> tuple[Comparison, list[CaseRecord]]:
    store(found, cases, folder)
    return read_stored(folder)


def test_the_csv_has_no_column_that_nothing_was_checked_for(counted: Path, checked: Path) -> None:
    for run, says in ((counted, "False"), (checked, "True")):
        (*rows,) = csv.DictReader(io.StringIO(comparison_csv(make_study(folder_comparison([run])))))
        assert {row["steps_checked"] for row in rows} == {says}
        assert {*JUDGING} & rows[0].keys() == (set() if run is counted else {*JUDGING})


def test_both_accuracies_of_a_comparison(tmp_path: Path) -> None:
    """Two of four answers are right, one of them in a box; on three shared problems, one of two."""
    rows = [
        sample(index=0, group=0, steps_checked=False, outcome=Outcome.CORRECT, form="closing_line"),
        sample(index=1, group=1, steps_checked=False, outcome=Outcome.CORRECT, form="box"),
        sample(index=2, group=2, steps_checked=False, outcome=Outcome.WRONG, form="closing_line"),
        sample(index=3, group=3, steps_checked=False, outcome=Outcome.MALFORMED),
    ]
    four, three = ({"num_problems": num, "splits": ["id"]} for num in (4, 3))
    write_run(tmp_path / "a", {Stage.GRPO: rows}, eval=four)
    write_run(tmp_path / "b", {Stage.GRPO: rows[:3]}, eval=three)
    study = make_study(folder_comparison(find_runs([tmp_path])))
    assert study.shared == {"id": 3}
    assert [entry.mean().strict_accuracy for entry in study.entries] == [1 / 3] * 2
    assert "Accuracy in the closing line" in read(render_comparison(study))
    assert "strict form" in comparison_text(study).splitlines()[0]
