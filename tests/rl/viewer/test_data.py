"""The viewer's data from run folders: the files, the columns, and the rows unchanged."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl.runs.errors import RunFolderError
from rl.runs.log import evaluation_log
from rl.runs.record import SampleRow, Stage
from rl.runs.trajectories import trajectory_log
from rl.viewer import Trajectories, read_trajectories
from tests.kit.file_rows import row_data, step_data, write_rows


def columns_of(data: Trajectories) -> tuple[dict[str, Any], dict[str, list[float]]]:
    packed = gzip.decompress(data.columns)
    size = 4 + int.from_bytes(packed[:4], "little")
    header = json.loads(packed[4:size])
    columns = {}
    for name, place in header["columns"].items():
        kind = getattr(np, place["type"].removesuffix("Array").lower())
        assert (size + place["at"]) % 8 == 0
        columns[name] = np.frombuffer(packed, kind, count=header["num"], offset=size + place["at"]).tolist()
    return header, columns


def rows_of(data: Trajectories) -> list[dict[str, Any]]:
    return [json.loads(line) for chunk in data.chunks for line in gzip.decompress(chunk).split(b"\n")]


def test_the_columns_are_the_figures_of_the_rows(tmp_path: Path) -> None:
    marker = [step_data("Wait, no.", "marker", "unchecked")]
    training = [
        row_data(0, reward=0.25),
        row_data(
            1, outcome="wrong", reward=-1, steps=marker, split="train", update=300, parts={"step_count": -0.75}
        ),
    ]
    run = write_rows(tmp_path / "a", training=training, warm=[row_data(1, tokens=70000)])
    data = read_trajectories([run])
    header, columns = columns_of(data)
    assert data.num == header["num"] == 3
    assert [(one["key"], one["evaluated"], one["num"]) for one in header["sources"]] == [
        ("a/warm", True, 1),
        ("a/training", False, 2),
    ]
    assert columns["source"] == [0, 1, 1]
    assert columns["update"] == [1, 1, 300]
    kinds = {name: header["columns"][name]["type"] for name in ("index", "update", "tokens", "reward")}
    assert list(kinds.values()) == ["Uint8Array", "Uint16Array", "Uint32Array", "Float64Array"]
    assert columns["tokens"] == [70000, 9, 9]
    assert columns["reward"] == [1.0, 0.25, -1.0]
    assert columns["right"] == [1, 1, 0]
    # Two forward lines and a backtrack; the marker counts as a step and as a backtrack.
    assert columns["steps"] == [2, 2, 1]
    assert columns["backtracks"] == [1, 1, 1]
    assert columns["invalid"] == [1, 1, 0]
    assert [header["names"]["split"][code] for code in columns["split"]] == ["id", "id", "train"]
    assert [header["names"]["outcome"][code] for code in columns["outcome"]] == [
        "verified",
        "verified",
        "wrong",
    ]
    assert [math.isnan(value) for value in columns["part:step_count"]] == [True, True, False]
    assert columns["part:step_count"][2] == -0.75
    assert [math.isnan(value) for value in columns["part:correct"]] == [False, False, True]


def test_a_group_is_the_samples_of_one_draw(tmp_path: Path) -> None:
    training = [
        row_data(0, group=7, sample=0),
        row_data(0, group=7, sample=1),
        row_data(0, group=8),
        row_data(1, group=7),
        row_data(0, group=7, sample=2),
        row_data(0, group=7, sample=0, update=2),
    ]
    _, columns = columns_of(
        read_trajectories([write_rows(tmp_path / "a", training=training, warm=[row_data(0, group=7)])])
    )
    # The evaluated row first; another update, group id, problem or source is another group.
    assert columns["group"] == [0, 1, 1, 2, 3, 1, 4]


def test_an_advantage_of_tokens_is_their_mean(tmp_path: Path) -> None:
    rows = [
        row_data(0, advantage=-0.5),
        row_data(1, advantage=[0.5, -1.0, 0.0, 2.0]),  # 1.5 / 4
        row_data(2),
        row_data(3, advantage=[]),
        row_data(4, advantage=None),
    ]
    _, columns = columns_of(read_trajectories([write_rows(tmp_path / "a", training=rows)]))
    assert columns["advantage"][:2] == [-0.5, 0.375]
    assert all(math.isnan(value) for value in columns["advantage"][2:])


def test_problems_are_the_same_only_with_the_same_text(tmp_path: Path) -> None:
    first = write_rows(tmp_path / "a", warm=[row_data(0), row_data(1), row_data(2)])
    second = write_rows(
        tmp_path / "b", grpo=[row_data(0), row_data(1, prompt="Numbers: 7\nAnswer:\n"), row_data(2, answer="3")]
    )
    _, columns = columns_of(read_trajectories([first, second]))
    problem, place = columns["problem"], columns["place"]
    assert place[:3] == place[3:]
    assert [problem[i] == problem[i + 3] for i in range(3)] == [True, False, False]
    assert len(set(problem)) == 5


HOSTILE = 'x", "pieces": ["y"], "logprobs": [1], \u202e \x00 </script><!-- ☃\r\n'
TOKENS = {"pieces": ['"], "logprobs": [', "]", "\n"], "logprobs": [-0.1234, -1.0, 0.0], "advantage": 0.5}


@pytest.mark.parametrize(("name", "text"), [("warm", f"{HOSTILE}\ud800"), ("training", HOSTILE)])
def test_rows_come_back_as_they_were_written(tmp_path: Path, name: str, text: str) -> None:
    written = [row_data(i, text=text, prompt=text, **(TOKENS if i % 2 else {})) for i in range(700)]
    data = read_trajectories([write_rows(tmp_path / "a", **{name: written})])
    header, columns = columns_of(data)
    assert rows_of(data) == written
    assert len(data.chunks) > 2
    assert columns["index"] == list(range(700))
    lengths = [len(gzip.decompress(chunk).split(b"\n")) for chunk in data.chunks]
    assert header["starts"] == [sum(lengths[:i]) for i in range(len(lengths))]


def test_rows_of_several_files_and_row_groups_are_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rl.runs.trajectories._TOKENS", 100)  # 12 rows of 9 tokens are a row group
    written = [row_data(i, update=1 + i // 30) for i in range(90)]
    data = read_trajectories([write_rows(tmp_path / "a", training=written)])
    assert [file.open().num_row_groups for file in trajectory_log(tmp_path / "a").files()] == [3, 3, 3]
    assert [row["index"] for row in rows_of(data)] == columns_of(data)[1]["index"] == list(range(90))
    # Chunks end with their row group: 12, 12 and 6 rows.
    assert columns_of(data)[0]["starts"] == [0, 12, 24, 30, 42, 54, 60, 72, 84]


def test_tokens_are_not_read_for_the_columns() -> None:
    whole = row_data(
        text='"], "logprobs": [', pieces=['"], "logprobs": [', ']"'], logprobs=[-0.5, -1.0], advantage=[1]
    )
    expected = SampleRow.from_json({k: v for k, v in whole.items() if k not in ("pieces", "logprobs")})
    log = evaluation_log(Path(), Stage.WARM)
    assert log.parse(json.dumps(whole).encode(), tokens=False) == expected
    assert log.parse(json.dumps(whole).encode()) == SampleRow.from_json(whole) != expected
    apart = json.dumps(whole, separators=(",", ":"))  # not as a run writes it
    assert log.parse(apart.encode(), tokens=False) == SampleRow.from_json(whole)


def test_long_rows_make_small_chunks(tmp_path: Path) -> None:
    lines = [row_data(i, text="x" * 600_000) for i in range(5)]
    data = read_trajectories([write_rows(tmp_path / "a", warm=lines)])
    assert [len(gzip.decompress(chunk).split(b"\n")) for chunk in data.chunks] == [2, 2, 1]
    # Of a Parquet row no length is known but that in tokens: 8 bytes each.
    rows = [row_data(i, tokens=75_000) for i in range(5)]
    data = read_trajectories([write_rows(tmp_path / "b", training=rows)])
    assert [len(gzip.decompress(chunk).split(b"\n")) for chunk in data.chunks] == [2, 2, 1]


@pytest.mark.parametrize("name", ["warm", "training"])
def test_numbers_that_json_lacks_become_none(tmp_path: Path, name: str) -> None:
    odd = row_data(
        reward=math.inf, pieces=["a", "NaN"], logprobs=[math.nan, -math.inf], parts={"correct": math.nan}
    )
    data = read_trajectories([write_rows(tmp_path / "a", **{name: [odd]})])
    _, columns = columns_of(data)
    assert math.isnan(columns["reward"][0])
    assert math.isnan(columns["part:correct"][0])
    expected = {**odd, "reward": None, "logprobs": [None, None], "parts": {"correct": None}}
    text = gzip.decompress(data.chunks[0]).decode()
    assert json.loads(text, parse_constant=pytest.fail) == expected


def test_a_line_cut_off_by_a_kill_is_ignored(tmp_path: Path) -> None:
    run = write_rows(tmp_path / "a", warm=[row_data(0), row_data(1)])
    with (run / "eval" / "warm.jsonl").open("a") as file:
        file.write("\n" + json.dumps(row_data(2))[:50])
    data = read_trajectories([run])
    assert data.num == 2
    assert [one["index"] for one in rows_of(data)] == [0, 1]


def test_files_rewritten_meanwhile_do_not_mix_with_what_was_read(tmp_path: Path) -> None:
    run = write_rows(tmp_path / "a", warm=[row_data(0), row_data(1)], training=[row_data(2)])
    data = read_trajectories([run])
    path = run / "eval" / "warm.jsonl"
    path.unlink()
    path.write_text("other rows\n" * 500)
    assert [json.loads(line)["index"] for line in gzip.decompress(data.chunks[0]).split(b"\n")] == [0, 1]
    trajectory_log(run).write(1, [SampleRow.from_json(row_data(3))])
    (file,) = trajectory_log(run).files()
    for change in (lambda: None, file.path.unlink):
        change()
        with pytest.raises(RunFolderError, match=r"update-000001.parquet has been deleted or replaced since"):
            data.chunks[1]


def test_only_the_updates_that_were_asked_for_are_read(tmp_path: Path) -> None:
    rows = [row_data(i, update=i) for i in range(1, 6)]
    run = write_rows(tmp_path / "a", training=rows, warm=[row_data(0)])
    (trajectory_log(run).path / "update-000005.parquet").write_bytes(b"damaged")
    _, columns = columns_of(read_trajectories([run], range(2, 4)))
    assert columns["update"] == [1, 2, 3]  # 1: the row of the warm start
    with pytest.raises(RunFolderError, match=r"--updates 7-8: the run in .*a has no samples .* updates 1 to 5"):
        read_trajectories([run], range(7, 9))
    with pytest.raises(RunFolderError, match="it has none at all"):
        read_trajectories([write_rows(tmp_path / "b", warm=[row_data(0)])], range(7, 9))


def test_the_columns_are_read_without_what_only_a_shown_row_needs(tmp_path: Path) -> None:
    """The bytes of texts, steps and tokens may be anything until their row is shown."""
    run = write_rows(tmp_path / "a", training=[row_data(i, **TOKENS) for i in range(20)])
    (file,) = trajectory_log(run).files()
    expected = columns_of(read_trajectories([run]))
    whole = bytearray(file.path.read_bytes())
    group = file.open().metadata.row_group(0)
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema.split(".")[0] in ("text", "steps", "pieces", "logprobs", "token_advantages"):
            start = column.dictionary_page_offset or column.data_page_offset
            whole[start : start + column.total_compressed_size] = b"?" * column.total_compressed_size
    file.path.write_bytes(whole)
    data = read_trajectories([run])
    assert columns_of(data) == expected
    with pytest.raises(RunFolderError, match=r"update-000001.parquet cannot be read: "):
        data.chunks[0]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "Expecting property name"),
        ("[1]", "[1] is not a JSON object"),
        (json.dumps(row_data(reward="x")), "reward: 'x' is not a number"),
        (json.dumps(row_data(split=["id"])), "split: ['id'] is not a string"),
        (json.dumps(row_data(parts=3)), "parts: 3 is not a JSON object"),
        (json.dumps(row_data(steps=[{"text": "x"}])), "steps: a step has no 'kind'"),
        (
            json.dumps(row_data(steps=[step_data("x", "<b>")])),
            "steps: '<b>' is none of forward, backtrack",
        ),
        (
            json.dumps(row_data(steps=[step_data("x", verdict="<b>")])),
            "steps: '<b>' is none of unchecked,",
        ),
        (json.dumps(row_data(outcome="<b>")), "outcome: '<b>' is none of verified, correct,"),
        ("[" * 100_000, "recursion"),
        ("\xff", "can't decode"),
        ('{"reward": ' + "9" * 5000 + "}", "digits"),
    ],
)
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, line: str, says: str) -> None:
    run = write_rows(tmp_path / "a", warm=[row_data()])
    with (run / "eval" / "warm.jsonl").open("a", encoding="latin-1") as file:
        file.write(line + "\n")
    with pytest.raises(RunFolderError) as caught:
        read_trajectories([run])
    assert f"{run / 'eval' / 'warm.jsonl'} cannot be read: row 2 is damaged" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert says in str(caught.value)


def test_a_number_beyond_64_bits_is_one_clear_line(tmp_path: Path) -> None:
    run = write_rows(tmp_path / "a", warm=[row_data(10**30)])
    with pytest.raises(RunFolderError, match=r"warm.jsonl cannot be read: a number is too large"):
        read_trajectories([run])


def test_folders_that_cannot_be_shown(tmp_path: Path) -> None:
    run = write_rows(tmp_path / "a", training=[row_data()])
    with pytest.raises(RunFolderError, match=r"no run in .*nothing \(no config.yaml\)"):
        read_trajectories([run, tmp_path / "nothing"])
    with pytest.raises(RunFolderError, match="has no trajectories yet"):
        read_trajectories([write_rows(tmp_path / "b")])
    with pytest.raises(RunFolderError, match="is given twice"):
        read_trajectories([run, tmp_path / "b" / ".." / "a"])


def test_runs_of_the_same_name_have_different_keys(tmp_path: Path) -> None:
    runs = [write_rows(tmp_path / seed / "run", warm=[row_data()]) for seed in ("s0", "s1")]
    header, _ = columns_of(read_trajectories(runs))
    assert [one["key"] for one in header["sources"]] == ["s0/run/warm", "s1/run/warm"]
    assert header["title"] == "s0/run, s1/run"
