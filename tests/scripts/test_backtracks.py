"""`stride backtracks` on a model from scratch: what it prints and writes, what it refuses."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from scripts.backtracks import main
from tests.kit.tiny_config import write_tiny


def test_wrong_turns_of_each_kind_are_continued(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, table = write_tiny(tmp_path / "tiny.yaml"), tmp_path / "table.csv"
    arguments = ["config", str(config), "--problems", "6", "--samples", "2", "--csv", str(table)]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert "digit" in said.out and "carry" in said.out and "again" not in said.out
    assert "48/48 completions" in said.err  # 6 problems, 2 kinds, 2 beginnings, 2 samples
    rows = [*csv.DictReader(table.read_text().splitlines())]
    assert [(row["kind"], row["after"]) for row in rows] == [
        (kind, after) for kind in ("digit", "carry") for after in ("wrong", "right")
    ]
    assert all(row["problems"] == "6" and 0 <= float(row["back"]) <= 1 for row in rows)
    first = table.read_bytes()
    assert main(arguments) == 0 and table.read_bytes() == first


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["env={name: algebra}"], "'algebra' writes no wrong turns that a backtrack takes back"),
        (["--problems", "0"], "--problems is 0; give 1 or more"),
        (["--csv", "nowhere/table.csv"], "--csv nowhere/table.csv is in a folder that does not exist"),
    ],
)
def test_mistakes(more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["config", str(write_tiny(tmp_path / "tiny.yaml")), *more])
    said = capsys.readouterr().err
    assert message in said and said.strip().count("\n") == 0
