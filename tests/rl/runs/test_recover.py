"""Damaged files of a run that goes on: set aside and said, and what their neighbours know is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configs import Config, check_config
from rl.pages.run.search import stage_searches
from rl.runs.analysis import write_settings
from rl.runs.early_stopping import next_best
from rl.runs.errors import OtherFormatError, RunFolderError
from rl.runs.folder import RunFolder, check_run_folder, open_run
from rl.runs.read import read_run
from rl.runs.record import Stage, Summary, UpdateRow
from rl.runs.trajectories import trajectory_log
from rl.search.record import ProblemRow, is_finished, problem_log, stage_folder
from tests.kit.runs_by_hand import sample, split_result

ACCURACIES = [0.5, 0.7, 0.6, 0.6]  # of the evaluations after updates 1 to 4


def config(folder: Path) -> Config:
    return check_config(
        {
            "env": {"name": "addition"},
            "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
            "warm_start": {"updates": 2},
            "grpo": {"updates": 9},
            "eval": {"every": 1, "every_problems": 10, "patience": 2, "splits": ["id"]},
            "output_dir": str(folder),
        }
    )


def results(accuracy: float) -> Any:
    return split_result(accuracy, 3.0)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that early stopping has ended after update 4, two evaluations after the best one."""
    path = tmp_path / "run"
    folder = open_run(config(path), resume=False, overwrite=False)
    folder.metrics.append(*[UpdateRow(stage=Stage.WARM, update=n, metrics={"loss": 1.0}) for n in (1, 2)])
    best = None
    for update, accuracy in enumerate(ACCURACIES, start=1):
        figures = {"eval_id/accuracy": accuracy, "eval_id/verified": accuracy, "eval_id/steps_per_correct": 3.0}
        folder.metrics.append(UpdateRow(stage=Stage.GRPO, update=update, metrics={"loss": 0.5, **figures}))
        folder.trajectories.write(update, [sample(update=update)])
        folder.during.write(update, [sample(update=update, index=n) for n in range(10)])
        best = next_best(best, update, "accuracy", "id", results(accuracy))
    assert best is not None
    summary = Summary()
    for stage, updates in ((Stage.BASE, 0), (Stage.WARM, 2), (Stage.GRPO, 4)):
        folder.evaluation(stage, greedy=True).append(*[sample(stage=stage, index=n) for n in range(3)])
        folder.model(stage).mkdir()
        summary = summary.with_training(stage, updates, 1.0) if updates else summary
        summary = summary.with_results(stage, {"id": split_result(0.5, 3.0)}, 1.0)
    folder.write_summary(summary.with_best(best).with_stop(4))
    folder.close()
    return path


def go_on(path: Path) -> RunFolder:
    check_run_folder(config(path), resume=True, overwrite=False)
    folder = open_run(config(path), resume=True, overwrite=False)
    folder.close()
    return folder


def test_an_intact_run_is_left_as_it_is(run: Path) -> None:
    kept = {
        path: path.read_bytes() for path in run.rglob("*") if path.is_file() and "provenance" not in path.name
    }
    assert go_on(run).notes == ()
    assert {path: path.read_bytes() for path in kept if path.name != ".lock"} == {
        path: text for path, text in kept.items() if path.name != ".lock"
    }


# How a file is damaged, and what it holds after that.
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda text: b"",
    "cut off": lambda text: text[: len(text) // 2],
    "zeros": lambda text: b"\0" * len(text),
    "zeros at its end": lambda text: text[:-40] + b"\0" * 40,
    "not text": lambda text: b"\xff\xfe" + text,
    "a flipped bit": lambda text: bytes([text[0] ^ 1]) + text[1:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_summary_is_made_again(run: Path, damage: Callable[[bytes], bytes]) -> None:
    """Evaluations are repeated; the best model and the early stop are those of before."""
    path = run / "summary.json"
    before, spoilt = read_run(run).summary, damage(path.read_bytes())
    path.write_bytes(spoilt)
    folder = go_on(run)
    assert folder.notes == (
        f"{path} is damaged and set aside as summary.json.damaged; it is made again, and stages are "
        "evaluated again",
    )
    assert (run / "summary.json.damaged").read_bytes() == spoilt
    found = folder.summary()
    assert (found.best, found.stopped, found.updates) == (before.best, 4, before.updates)
    assert not any(found.done(stage) for stage in Stage)
    assert go_on(run).notes == ()


def searched(run: Path) -> Path:
    folder = stage_folder(run, Stage.WARM)
    folder.mkdir()
    write_settings(
        folder, "search", {"name": "", "model": "", "env": {}, "search": {"merge": "mean", "depth": 1}}
    )
    plain: Any = {"split": "id", "bucket": None, "question": "", "answer": "", "greedy": None}
    empty: Any = {"responses": (), "samples": (), "searches": ()}
    problem_log(folder).append(*[ProblemRow(index=n, **plain, **empty) for n in range(3)])
    (folder / "search.html").write_text("")
    return folder


def test_a_damaged_row_of_a_search_is_left_out_and_the_search_is_unfinished(run: Path) -> None:
    folder = searched(run)
    assert go_on(run).notes == () and is_finished(folder)
    log = folder / "search.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([lines[0], b"{]\n", lines[2]]))
    with pytest.raises(RunFolderError, match=f"{log} cannot be read: row 2 .* --resume, which sets it aside"):
        stage_searches(run, [Stage.WARM])
    (note,) = go_on(run).notes
    assert note.startswith(f"{log}: row 2 damaged, and left out; the other 2 go on")
    assert [row.index for row in problem_log(folder).read()] == [0, 2] and not is_finished(folder)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{}")], ids=["missing", "empty"])
def test_a_search_without_settings_is_set_aside(run: Path, damage: Callable[[Path], object]) -> None:
    folder = searched(run)
    damage(folder / "search.json")
    with pytest.raises(RunFolderError, match=r"search\.json cannot be read: .* --resume, which sets it aside"):
        stage_searches(run, [Stage.WARM])
    (note,) = go_on(run).notes
    assert note == (
        f"{folder / 'search.json'} is missing or damaged; the search is set aside as warm-search.damaged"
    )
    assert stage_searches(run, [Stage.WARM]) == []
    assert (run / "eval" / "warm-search.damaged" / "search.jsonl").is_file()


def test_a_search_of_a_newer_format_is_refused(run: Path) -> None:
    log = searched(run) / "search.jsonl"
    log.write_text(log.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(OtherFormatError, match=r"search\.jsonl has format 99"):
        check_run_folder(config(run), resume=True, overwrite=False)


def test_a_missing_summary_is_made_again(run: Path) -> None:
    before = read_run(run).summary
    (run / "summary.json").unlink()
    (note,) = go_on(run).notes
    assert note == f"{run / 'summary.json'} is missing; it is made again, and stages are evaluated again"
    assert read_run(run).summary.best == before.best


def test_a_new_run_has_no_summary_to_miss(tmp_path: Path) -> None:
    open_run(config(tmp_path / "run"), resume=False, overwrite=False).close()
    assert go_on(tmp_path / "run").notes == ()
    assert not (tmp_path / "run" / "summary.json").exists()


@pytest.mark.parametrize("name", ["metrics.jsonl", "eval/warm.jsonl"])
@pytest.mark.parametrize(
    ("row", "spoil"),
    [
        (2, lambda line: line[:-9]),
        (2, lambda line: line.replace(b'"stage": "', b'"stage": "x')),
        (1, lambda line: b"\0\0" + line[20:]),
        (3, lambda line: b"\xff" * 30),
        (3, lambda line: b"[1, 2]"),
    ],
)
def test_damaged_rows_are_left_out(run: Path, name: str, row: int, spoil: Callable[[bytes], bytes]) -> None:
    path = run / name
    lines = path.read_bytes().splitlines(keepends=True)
    spoilt = [*lines[: row - 1], spoil(lines[row - 1].rstrip(b"\n")) + b"\n", *lines[row:]]
    path.write_bytes(b"".join(spoilt))
    (note,) = go_on(run).notes
    assert note == (
        f"{path}: row {row} damaged, and left out; the other {len(lines) - 1} go on, and the file as it was is "
        f"{path.name}.damaged"
    )
    assert path.read_bytes() == b"".join([*lines[: row - 1], *lines[row:]])
    assert path.with_name(f"{path.name}.damaged").read_bytes() == b"".join(spoilt)
    read_run(run)


@pytest.mark.parametrize("name", ["metrics.jsonl", "eval/warm.jsonl"])
@pytest.mark.parametrize("tail", [b'{"format": 3, "sta', b"\0" * 300, b"\n\n"])
def test_what_a_kill_or_a_power_cut_has_left_goes(run: Path, name: str, tail: bytes) -> None:
    path = run / name
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    assert go_on(run).notes == ()
    assert path.read_bytes() == whole
    # An end of line that was lost alone costs no row, and a row behind zeros is read.
    path.write_bytes(b"\0" * 10 + whole[:-1])
    assert go_on(run).notes == ()
    assert path.read_bytes() == whole


def test_a_file_of_zeros_counts_as_empty(run: Path) -> None:
    (run / "metrics.jsonl").write_bytes(b"\0" * 500)
    assert go_on(run).notes == ()
    assert read_run(run).metrics == {}


@pytest.mark.parametrize("damage", [name for name in DAMAGE if name != "not text"])
def test_damaged_trajectories_are_set_aside(run: Path, damage: str) -> None:
    path = trajectory_log(run).files()[1].path
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    (note,) = go_on(run).notes
    assert note == (
        f"{path} is damaged and set aside as update-000002.parquet.damaged; its completions are lost"
    )
    assert [file.update for file in trajectory_log(run).files()] == [1, 3, 4]
    assert len(trajectory_log(run).read()) == 3


@pytest.mark.parametrize("text", ["", "{", "[]", "\0" * 99])
@pytest.mark.parametrize("name", ["provenance.json", "problems.json"])
def test_what_says_where_a_run_comes_from_is_no_reason_to_refuse_it(run: Path, name: str, text: str) -> None:
    (run / name).write_text(text)
    (note,) = go_on(run).notes
    assert note == f"{run / name} is damaged and set aside as {name}.damaged; what it said is lost"
    assert len(json.loads((run / "provenance.json").read_text())["resumed"]) == 1


def test_every_damaged_file_is_kept(run: Path) -> None:
    for number in ("", "-2", "-3"):
        (run / "summary.json").write_text("{")
        go_on(run)
        assert (run / f"summary.json.damaged{number}").read_text() == "{"


def test_all_of_it_at_once(run: Path) -> None:
    for path in (*run.glob("*.json"), *run.rglob("*.jsonl"), *run.rglob("*.parquet")):
        path.write_bytes(b"?" * 50 + b"\n")
    notes = go_on(run).notes
    assert len(notes) == 1 + 1 + 3 + 8 + 1  # provenance, metrics, evaluations, trajectories and during, summary
    assert all("\n" not in note for note in notes)
    assert read_run(run).summary == Summary()


@pytest.mark.parametrize("name", ["summary.json", "metrics.jsonl", "eval/warm.jsonl"])
def test_a_newer_format_is_refused_and_not_taken_for_damage(run: Path, name: str) -> None:
    path = run / name
    path.write_text(path.read_text().replace('"format": 3', '"format": 4'))
    before = path.read_bytes()
    with pytest.raises(OtherFormatError) as refused:
        go_on(run)
    assert str(refused.value).startswith(
        f"{path} has format 4, and this version of Stride reads formats 1 to 3; read it with the version "
        "that wrote "
    )
    assert path.read_bytes() == before


def test_a_best_model_that_was_judged_on_fewer_problems(run: Path) -> None:
    """Problems that were skipped do not count: what the kept completions say decides."""
    before = read_run(run).summary
    folder = open_run(config(run), resume=True, overwrite=False)
    for update in range(1, 5):
        folder.during.write(update, [sample(update=update, index=n) for n in range(7)])
    folder.close()
    (run / "summary.json").write_text("{")
    go_on(run)
    found = read_run(run).summary.best
    assert before.best is not None and found == replace(before.best, num_problems=7)
