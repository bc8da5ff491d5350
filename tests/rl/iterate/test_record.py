"""The records of a loop: they come back as they were, and other formats and damaged rows are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rl.iterate.files import all_logs, asked_log, evaluation_log, rounds_log
from rl.iterate.metrics import asked, following, solved
from rl.iterate.record import ModelKind, RoundRow
from rl.runs.errors import DamagedFileError, OtherFormatError
from tests.kit.answers import make_answer

ROUND = RoundRow(
    round=1,
    num_full=3,
    num_skipped=1,
    updates=9,
    asked=asked([make_answer(cell="train", kept=True)]),
    following={"1": following([make_answer(), make_answer(index=1, outcome=None)])},
    solved={"id": solved([])},  # without an answer, most figures are None
)


def test_rows_come_back(tmp_path: Path) -> None:
    answers = [
        make_answer(),
        make_answer(index=1, bucket=None, fewer=None, asked=None, outcome=None, stated=None),
    ]
    log = evaluation_log(tmp_path, 1, ModelKind.STANDARD)
    log.path.parent.mkdir(parents=True)
    log.append(*answers)
    assert log.read() == answers
    rounds_log(tmp_path).append(ROUND, replace(ROUND, round=0, asked=None))
    assert rounds_log(tmp_path).read() == [ROUND, replace(ROUND, round=0, asked=None)]
    assert [one.path.name for one in all_logs(tmp_path)] == ["rounds.jsonl", "standard.jsonl", "expert.jsonl"]


def test_another_format_is_refused_by_name(tmp_path: Path) -> None:
    log = asked_log(tmp_path, 1)
    log.path.parent.mkdir(parents=True)
    log.path.write_text(json.dumps({**make_answer().to_json(), "format": 9}) + "\n")
    with pytest.raises(OtherFormatError, match=r"format 9, and of a loop's records .* reads format 1"):
        log.read()


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [("steps", "2", "steps: '2' is not an integer"), ("model", "x", "none of conditioned, standard")],
)
def test_a_damaged_row_is_refused_and_mended(tmp_path: Path, field: str, value: str, why: str) -> None:
    log = asked_log(tmp_path, 1)
    log.path.parent.mkdir(parents=True)
    log.append(make_answer())
    with log.path.open("a") as file:
        file.write(json.dumps({**make_answer(index=1).to_json(), field: value}) + "\n")
    log.append(make_answer(index=2))
    with pytest.raises(DamagedFileError, match=why):
        log.read()
    assert "row 2 damaged" in log.mend()
    assert [row.index for row in log.read()] == [0, 2]
    assert (log.path.parent / "asked.jsonl.damaged").is_file()
