"""Files, folders and data sets of the hub as records, and one clear line for what cannot be read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest

from envs.data.sources import read_source

ROWS = [{"question": f"What is {n} + {n}?", "answer": str(2 * n)} for n in range(5)]


def to_jsonl(rows: Sequence[Mapping[str, Any]], path: Path) -> str:
    (path / "a.jsonl").write_text("".join(json.dumps(row) + "\n\n" for row in rows), encoding="utf-8-sig")
    return str(path / "a.jsonl")


def to_array(rows: Sequence[Mapping[str, Any]], path: Path) -> str:
    (path / "a.json").write_text(json.dumps(rows, indent=2))
    return str(path / "a.json")


def to_object(rows: Sequence[Mapping[str, Any]], path: Path) -> str:
    (path / "a.json").write_text(json.dumps({"version": 1, "data": rows}))
    return str(path / "a.json")


def to_json_lines(rows: Sequence[Mapping[str, Any]], path: Path) -> str:
    (path / "a.json").write_text("\n".join(json.dumps(row) for row in rows))
    return str(path / "a.json")


def to_parquet(rows: Sequence[Mapping[str, Any]], path: Path) -> str:
    datasets.Dataset.from_list(list(rows)).to_parquet(path / "a.parquet")
    return str(path / "a.parquet")


def to_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> str:
    datasets.Dataset.from_list(list(rows)).to_csv(path / "a.csv")
    return str(path / "a.csv")


def to_tsv(rows: Sequence[Mapping[str, Any]], path: Path) -> str:
    datasets.Dataset.from_list(list(rows)).to_csv(path / "a.tsv", sep="\t")
    return str(path / "a.tsv")


def to_folder(rows: Sequence[Mapping[str, Any]], path: Path) -> str:
    datasets.Dataset.from_list(list(rows)).save_to_disk(path / "saved")
    return str(path / "saved")


def to_split(rows: Sequence[Mapping[str, Any]], path: Path) -> str:
    table = datasets.Dataset.from_list(list(rows))
    datasets.DatasetDict(train=table, test=table.select([0])).save_to_disk(path / "both")
    return f"{path / 'both'}:train"


@pytest.mark.parametrize(
    "save", [to_jsonl, to_array, to_object, to_json_lines, to_parquet, to_csv, to_tsv, to_folder, to_split]
)
def test_every_kind_of_file(save: Callable[[Sequence[Mapping[str, Any]], Path], str], tmp_path: Path) -> None:
    table = read_source(save(ROWS, tmp_path))
    assert table.records == tuple(enumerate(ROWS, 1)) and not table.faults


def test_cells_of_tables_stay_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('question,answer,level\n"a, b\nc",007,\n"d",3.0,2\n')
    assert [record for _, record in read_source(str(tmp_path / "a.csv")).records] == [
        {"question": "a, b\nc", "answer": "007", "level": None},
        {"question": "d", "answer": "3.0", "level": "2"},
    ]


@pytest.mark.parametrize(
    ("name", "text", "number", "reason"),
    [
        ("a.jsonl", '{"question": "a"}\n\n{oops\n{"question": "b"}', 2, "line 3 is not JSON: "),
        ("a.jsonl", '{"question": "a"}\n[1, 2]\n{"question": "b"}', 2, "a list, not an object with columns"),
        ("a.json", '[{"question": "a"}, 5, {"question": "b"}]', 2, "a int, not an object with columns"),
        ("a.csv", "question\na\nb,c\nb\n", 2, "2 cells under 1 columns; put texts with ',' in quotes"),
    ],
)
def test_a_record_that_cannot_be_read_is_a_fault(
    name: str, text: str, number: int, reason: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    table = read_source(str(tmp_path / name))
    assert table.records == ((1, {"question": "a"}), (3, {"question": "b"}))
    (fault,) = table.faults
    assert fault.number == number and fault.reason.startswith(reason)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.jsonl", '{"question": "a", "answer": "1"}\n{"question": "caf\u00e9", "answer": "2"}\n', 2),
        ("a.csv", "question,answer\na,1\nb,2\ncaf\u00e9,3\n", 4),
    ],
)
def test_another_encoding_names_file_and_line(tmp_path: Path, name: str, text: str, line: int) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("cp1252"))
    column = text.split("\n")[line - 1].index("\u00e9") + 1
    with pytest.raises(ValueError) as caught:
        read_source(str(path))
    assert str(caught.value).startswith(
        f"{path} line {line} is not UTF-8 (byte 0xe9 at column {column}); save the file as UTF-8"
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.jsonl", "nowhere.jsonl is neither a file nor a folder"),
        ("data/nowhere.jsonl", "data/nowhere.jsonl is neither a file nor a folder"),
        ("notes.txt", "notes.txt ends in '.txt'; give a file with .jsonl"),
        (
            "a.jsonl:train",
            "a.jsonl:train: only folders and data sets of the hub have splits; leave ':train' out",
        ),
        ("empty", "empty is not a folder saved by datasets"),
        ("both", "both has the splits train, test; name one, as in '"),
        ("both:dev", "both has the splits train, test; name one, as in '"),
        ("saved:train", "saved has no splits; leave ':train' out"),
        ("broken.parquet", "broken.parquet cannot be read"),
        ("broken.json", "broken.json is not JSON: "),
        ("text.json", "text.json holds a str; give a list of objects"),
        ("lists.json", "lists.json holds 2 lists (a, b); give one list of objects"),
        ("columns.json", "columns.json holds 2 lists (q, a); give one list of objects"),
    ],
)
def test_missing_sources(source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    to_jsonl(ROWS, tmp_path)
    texts = {
        "notes.txt": "no",
        "broken.parquet": "no",
        "broken.json": '[{"question": ',
        "text.json": '"no"',
        "lists.json": '{"a": [{"x": 1}], "b": [{"x": 1}]}',
        "columns.json": '{"q": ["a"], "a": ["b"]}',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "empty").mkdir()
    to_split(ROWS, tmp_path)
    to_folder(ROWS, tmp_path)
    with pytest.raises(ValueError) as caught:
        read_source(source)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# ---- the hub ----


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ("openai/gsm8k:train@main", ("openai/gsm8k", "main", "train")),
        ("openai/gsm8k:train[:10%]", ("openai/gsm8k", None, "train[:10%]")),
        ("some-one/my.data", ("some-one/my.data", None, None)),
    ],
)
def test_ids_of_the_hub_are_loaded_by_datasets(
    source: str, asked: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def load(name: str, config: str | None, *, split: str | None) -> Any:
        calls.append((name, config, split))
        table = datasets.Dataset.from_list(ROWS)
        return table if split else datasets.DatasetDict(train=table)

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert [record for _, record in read_source(source).records] == ROWS
    assert calls == [asked]


def test_a_path_goes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    to_folder(ROWS, tmp_path / "openai")
    assert len(read_source("openai/saved").records) == len(ROWS)


def test_without_a_connection_there_is_one_line(tmp_path: Path) -> None:
    program = "from envs.data.sources import read_source\nread_source('some-one/no-such-data:train')"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        "ValueError: some-one/no-such-data is no path here, and cannot be loaded from the hub: "
    )
    assert "give a file" in last
