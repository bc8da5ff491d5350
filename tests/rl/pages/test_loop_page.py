"""The page of a step-skipping loop: what it says, for finished and unfinished loops."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from rl.iterate.read import is_loop, read_loop
from rl.pages.iteration.choice import kept_round, why
from rl.pages.iteration.followed import followed, kept_table, unverified_frac
from rl.pages.iteration.solved import solved_table
from rl.pages.iteration.summary import verdict
from rl.pages.iteration.write import render_loop, write_loop_report
from rl.runs.errors import RunFolderError
from scripts.report import main
from tests.kit.loops import solving, write_loop, write_round
from tests.kit.runs_by_hand import CONFIG

SHARES = {
    "id": (1.0, 1.0, 1.0),
    "validation": (0.2, 0.8, 0.5),
    "ood_easy": (0.3, 0.6, 0.7),
    "ood_hard": (0.0, 0.3, 0.0),
    "train": (0.7,),
}


def page_text(page: str) -> str:
    """What a reader sees, without tags."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_loop(tmp_path_factory.mktemp("loops") / "loop", solving(SHARES), finished=3, num=12)


def test_the_page_says_what_was_chosen_and_shows_every_round(folder: Path) -> None:
    path = write_loop_report(folder)
    page = path.read_text()
    loop = read_loop(folder)
    kept = kept_round(loop)
    assert kept is not None and kept.round == 1  # the most right answers of the validation cell
    text = page_text(page)
    assert why(kept) in text
    assert "Round kept" in text
    for section in (
        "Standard models by round",
        "The round to keep",
        "Asked for fewer steps",
        "kept, not verified",
    ):
        assert section in text
    assert page.count("<svg") == 4 + 3 + 2
    assert "<script" not in page
    assert page == render_loop(read_loop(folder))  # the same bytes


def test_figures_are_those_of_the_answers(folder: Path) -> None:
    loop = read_loop(folder)
    rows = {group.name: group.rows for group in solved_table(loop, 1).groups}
    answers = loop.standard[1]["validation"]
    share = sum(row.correct for row in answers) / len(answers)
    assert rows["validation"][1].cells[0].text == f"{100 * share:.1f} %"
    assert [row.note for row in rows["id"]] == ["", "kept", ""]
    by_request = followed(loop, "id")
    # Problems of two steps are asked for full less two as for all steps: they are no real skips.
    two = by_request[2][1]
    assert two.num == 12
    assert two.num_real == sum(row.full_steps > 2 for row in loop.standard[0]["id"])


def test_what_was_kept_without_every_line_verified_is_said_to_be_that(folder: Path) -> None:
    loop = read_loop(folder)
    found = loop.rounds[1].asked
    assert found is not None and found.kept_verified is not None
    kept = [row for row in loop.asked[1] if row.kept]
    assert found.kept == len(kept) and found.kept_verified < found.kept
    assert unverified_frac(found) == pytest.approx(sum(not row.verified for row in kept) / len(kept))
    assert kept_table(loop).heads[-2:] == ("Every line verified", "Not verified")
    first = kept_table(loop).groups[0]
    assert "learnt 12 full traces and 0 skipped by hand" in first.about


def test_an_unfinished_loop_has_a_page(tmp_path: Path) -> None:
    folder = write_loop(tmp_path / "young", solving(SHARES), finished=0, rounds=5)
    assert "No round of 6 is finished yet." in page_text(render_loop(read_loop(folder)))
    write_round(folder, 0, solving(SHARES))
    assert "Unfinished: 1 of 6 rounds." in page_text(render_loop(read_loop(folder)))
    write_round(folder, 1, solving(SHARES))
    assert "Unfinished: 2 of 6 rounds." in page_text(render_loop(read_loop(folder)))


def test_without_a_validation_cell_the_page_says_what_to_set(tmp_path: Path) -> None:
    folder = write_loop(tmp_path / "loop", solving(SHARES))
    for log in (folder / "rounds").glob("*/standard.jsonl"):
        lines = [line for line in log.read_text().splitlines() if '"cell": "validation"' not in line]
        log.write_text("\n".join(lines) + "\n")
    loop = read_loop(folder)
    assert kept_round(loop) is None
    assert verdict(loop, None).startswith("The standard model of round 1:")
    assert "set iterate.validation" in page_text(render_loop(loop))


def test_text_of_a_model_stays_text(tmp_path: Path) -> None:
    folder = write_loop(tmp_path / "loop", solving(SHARES))
    log = folder / "rounds" / "1" / "asked.jsonl"
    log.write_text(log.read_text().replace('"stated": "', '"stated": "<b>&'))
    page = render_loop(read_loop(folder))
    assert "<b>&" not in page
    assert "&lt;b&gt;&amp;" in page


def test_stride_report_writes_the_page_of_a_loop(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "report.html").unlink(missing_ok=True)
    assert main([str(folder)]) == 0
    assert capsys.readouterr().out.strip() == f"report: {folder / 'report.html'}"
    assert "Step-skipping loop" in (folder / "report.html").read_text()


def test_a_folder_without_a_loop_is_refused(tmp_path: Path) -> None:
    assert not is_loop(tmp_path)
    with pytest.raises(RunFolderError, match="there is no loop in"):
        read_loop(tmp_path)
    (tmp_path / "config.yaml").write_text(str(CONFIG))
    assert not is_loop(tmp_path)
