"""The Parquet files of trajectories: rows come back, resuming reads nothing, writing holds little."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from rl.runs.errors import RunFolderError
from rl.runs.record import SampleRow
from rl.runs.tables import TOKEN_COLUMNS
from rl.runs.trajectories import TrajectoryLog, trajectory_log
from tests.kit.runs_by_hand import sample
from tests.kit.whole_records import ODD, SAMPLE

# What Parquet can hold of it: no lone surrogate, and log-probabilities of four digits.
CLEAN = ODD.replace("\ud800", "\ufffd")
KEPT = replace(
    SAMPLE,
    prompt=CLEAN,
    rendered_prompt=CLEAN,
    text=CLEAN,
    logprobs=(-0.5, 0.0, 0.0),
    steps=tuple(step._replace(text=step.text.replace("\ud800", "\ufffd")) for step in SAMPLE.steps),
)
KEPT = replace(KEPT, steps=tuple(s._replace(reason=s.reason.replace("\ud800", "\ufffd")) for s in KEPT.steps))
PLAIN = sample(parts={"correct": 1.0})


@pytest.fixture
def log(tmp_path: Path) -> TrajectoryLog:
    return trajectory_log(tmp_path)


def names(log: TrajectoryLog) -> list[str]:
    return sorted(path.name for path in log.path.iterdir())


def test_rows_come_back(log: TrajectoryLog) -> None:
    assert log.read() == []
    by_token = replace(KEPT, update=3, sample=1, advantage=(0.5, -1.0, 0.1), logprobs=(-0.1234, -17.0001, -0.3))
    rows = [replace(SAMPLE, update=3), by_token, replace(PLAIN, update=3)]
    log.write(3, rows)
    assert log.read() == [replace(KEPT, update=3), by_token, replace(PLAIN, update=3)]
    log.write(1, [PLAIN])
    assert names(log) == ["update-000001.parquet", "update-000003.parquet"]
    assert [row.update for row in log.read()] == [0, 3, 3, 3]
    without = log.read(tokens=False)
    assert [(row.pieces, row.logprobs) for row in without] == [(None, None)] * 4
    assert without[2].advantage == pytest.approx(-0.4 / 3)  # 0.5 - 1 + 0.1 over three tokens


def test_what_pandas_reads(log: TrajectoryLog) -> None:
    for update in (1, 2):
        log.write(update, [replace(KEPT, update=update, sample=number) for number in range(2)])
    table = pd.read_parquet(log.path)
    assert table["update"].tolist() == [1, 1, 2, 2]
    row = table.iloc[-1]
    assert (row["outcome"], row["reward"], row["parts"]) == (
        "correct",
        -0.5,
        {"correct": 1.0, "step_count": -1.5},
    )
    assert (row["num_steps"], row["num_backtracks"], row["num_invalid"]) == (3, 2, 1)
    assert [step["verdict"] for step in row["steps"]] == ["invalid", "valid", "unchecked", "valid"]
    assert row["pieces"].tolist() == list(KEPT.pieces or ())
    assert pd.read_parquet(log.path, columns=["reward"]).shape == (4, 1)


def test_a_file_without_tokens_has_no_columns_of_them(log: TrajectoryLog) -> None:
    row = replace(SAMPLE, pieces=None, logprobs=None, advantage=(0.5, -1.0))
    log.write(1, [row])
    (file,) = log.files()
    with file.open() as opened:
        assert not {*TOKEN_COLUMNS} & {*opened.schema_arrow.names}
    assert log.read()[0].advantage == -0.25
    log.write(2, [replace(PLAIN, parts={})])
    assert log.read()[1].parts == {}


def test_rows_are_written_as_they_come(log: TrajectoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with the number of rows."""
    monkeypatch.setattr("rl.runs.trajectories._TOKENS", 20_000)

    def rows(num: int) -> Iterator[SampleRow]:
        for number in range(num):
            logprobs = tuple(-k / 7 for k in range(2000))
            yield sample(sample=number, tokens=2000, pieces=(" a",) * 2000, logprobs=logprobs)

    def peak(num: int) -> int:
        tracemalloc.start()
        try:
            log.write(num, rows(num))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(40)  # what is imported and cached
    assert peak(200) < 1.2 * peak(40)
    assert [file.open().num_row_groups for file in log.files()] == [4, 20]
    assert [row.sample for row in log.files()[1].rows(tokens=False)] == list(range(200))


def test_a_reward_part_that_the_first_rows_lack_is_refused(
    log: TrajectoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rl.runs.trajectories._ROWS", 1)
    log.write(1, [replace(PLAIN, parts={"a": 1.0, "b": 2.0}), replace(PLAIN, parts={"b": 2.0})])
    assert [row.parts for row in log.read()] == [{"a": 1.0, "b": 2.0}, {"b": 2.0}]
    with pytest.raises(ValueError, match="reward parts b are not among those of the file: a"):
        log.write(1, [replace(PLAIN, parts={"a": 1.0}), replace(PLAIN, parts={"b": 1.0})])
    assert len(log.read()) == 2  # as before


def test_resuming_deletes_later_updates_and_reads_none(log: TrajectoryLog) -> None:
    log.forget_after(0)
    assert not log.path.exists()
    log.write(1, [])
    assert not log.path.exists()
    log.path.mkdir()
    for update in (1, 9, 10, 1_000_000):  # files that nobody can read
        (log.path / f"update-{update:06}.parquet").write_bytes(b"?")
    for name in ("notes.txt", "update-9.parquet", ".update-000010.parquet.tmp"):
        (log.path / name).write_text("?")
    log.forget_after(9)
    # The user's own files stay; what a kill has left goes.
    assert names(log) == ["notes.txt", "update-000001.parquet", "update-000009.parquet", "update-9.parquet"]
    assert [file.update for file in log.files()] == [1, 9]


def test_a_killed_write_leaves_the_file_before(log: TrajectoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rl.runs.trajectories._ROWS", 1)
    log.write(1, [PLAIN])

    def killed() -> Iterator[SampleRow]:
        yield from (KEPT, KEPT, KEPT)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log.write(1, killed())
    assert log.read() == [PLAIN]
    assert len(pd.read_parquet(log.path)) == 1  # pandas passes over what was left
    log.forget_after(1)
    assert names(log) == ["update-000001.parquet"]


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (
            {b"stride_format": b"7"},
            "has format 7, and this version of Stride reads formats 1 to 3; read it with",
        ),
        (
            None,
            "has no format number, and this version of Stride reads formats 1 to 3; read it with the version",
        ),
    ],
)
def test_another_format_is_refused(log: TrajectoryLog, written: dict[bytes, bytes] | None, says: str) -> None:
    log.write(1, [PLAIN])
    (file,) = log.files()
    pq.write_table(pq.read_table(file.path).replace_schema_metadata(written), file.path)
    with pytest.raises(RunFolderError) as refused:
        log.read()
    assert str(refused.value).startswith(f"{file.path} {says}") and "\n" not in str(refused.value)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_damaged_file_is_refused(log: TrajectoryLog, share: float) -> None:
    log.write(1, [PLAIN])
    (file,) = log.files()
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(RunFolderError) as refused:
        log.read()
    assert str(refused.value).startswith(f"{file.path} cannot be read: ") and "\n" not in str(refused.value)


def test_rows_that_are_no_completions_are_refused(log: TrajectoryLog) -> None:
    log.write(1, [PLAIN])
    (file,) = log.files()
    table = pq.read_table(file.path)
    pq.write_table(table.drop_columns(["prompt"]), file.path)
    with pytest.raises(RunFolderError, match="cannot be read: it has no 'prompt'; restore it, or"):
        log.read()


def test_numbers_that_are_not_finite_come_back(log: TrajectoryLog) -> None:
    log.write(1, [replace(KEPT, reward=math.inf, logprobs=(-math.inf, math.nan, -1.0))])
    (row,) = log.read()
    assert row.reward == math.inf and row.logprobs is not None
    assert row.logprobs[0] == -math.inf and math.isnan(row.logprobs[1])
