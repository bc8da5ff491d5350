"""What is shown of an ablation while it runs, on a terminal and in a log."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import struct
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from configs import check_config
from configs.schema.ablation import Trial
from rl.ablation.progress import Progress, last_line, read_progress
from rl.ablation.schedule import Schedule, State
from rl.ablation.table import LiveTable, TrialRow, trial_table
from rl.runs.errors import RunFolderError
from rl.runs.log import metrics_log
from rl.runs.record import Stage, Summary, UpdateRow
from rl.stats.format import duration
from tests.kit.runs_by_hand import write_summary


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def trials(tmp_path: Path) -> list[Trial]:
    found = []
    for case, warm, after in (("warm-1", True, None), ("plain", False, "warm-1"), ("steps", False, "warm-1")):
        for seed in (0, 1):
            name = f"{case}-seed{seed}"
            config: dict[str, Any] = {
                "env": {"name": "addition"},
                "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
                "warm_start": {"updates": 100} if warm else None,
                "grpo": None if warm else {"updates": 10},
                "output_dir": str(tmp_path / name),
            }
            begin = f"{after}-seed{seed}" if after else None
            found.append(Trial(name=name, case=case, seed=seed, config=check_config(config), after=begin))
    return found


def log(trial: Trial, stage: Stage, update: int, **metrics: float) -> None:
    trial.folder.mkdir(exist_ok=True)
    metrics_log(trial.folder).append(UpdateRow(stage=stage, update=update, metrics=metrics))


def end(trial: Trial, *stages: Stage) -> None:
    updates, train_s = (100, 100.0) if Stage.WARM in stages else (10, 40.0)
    last = stages[-1]
    found = Summary(stages={stage: {} for stage in stages}, updates={last: updates}, train_s={last: train_s})
    write_summary(trial.folder, found)


def test_progress_is_the_last_whole_row(trials: list[Trial]) -> None:
    trial = trials[2]
    assert str(read_progress(trial)) == "starting"
    for update in range(1, 400):  # more than is read
        log(trial, Stage.GRPO, update % 10, accuracy=0.5, **{f"padding/{n}": 0.125 for n in range(50)})
    with (trial.folder / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "grpo", "upd')
    found = read_progress(trial)
    assert (str(found), found.accuracy, found.steps_per_correct) == ("grpo 9/10", 0.5, None)
    assert metrics_log(trial.folder).path.stat().st_size > 1 << 17
    with (trial.folder / "metrics.jsonl").open("a") as file:
        file.write("ate\n")
    with pytest.raises(RunFolderError, match=r"metrics\.jsonl cannot be read: its last row is damaged"):
        read_progress(trial)
    log(trial, Stage.GRPO, 10)
    assert str(read_progress(trial)) == "evaluating grpo"
    end(trial, Stage.BASE, Stage.GRPO)
    assert str(read_progress(trial)) == "grpo 10/10"


def test_the_last_line_of_a_log(tmp_path: Path) -> None:
    assert last_line(tmp_path / "none.log") == ""
    (tmp_path / "a.log").write_text("first\n" + "x" * 100_000 + "\nbar 1\rbar 2\n  \n")
    assert last_line(tmp_path / "a.log") == "bar 2"


def test_a_log_says_what_begins_and_ends(trials: list[Trial]) -> None:
    clock, out = Clock(), io.StringIO()
    warm0, warm1, plain0 = trials[:3]
    end(warm0, Stage.BASE, Stage.WARM)
    schedule = Schedule(trials, done={warm0.name})
    table = LiveTable(schedule, at_once=2, out=out, clock=clock)
    schedule.start(warm1.name)
    table.started(warm1.name)
    schedule.start(plain0.name)
    table.started(plain0.name)
    clock.now = 59.0
    table.tick()
    log(plain0, Stage.GRPO, 2, accuracy=0.25, steps_per_correct=3.0, backtracks=0.5)
    clock.now = 70.0
    table.tick()
    log(plain0, Stage.GRPO, 4, accuracy=0.75, steps_per_correct=2.0, backtracks=0.25)
    clock.now = 140.0
    table.tick()
    table.tick()
    schedule.fail(warm1.name, "ValueError: no")
    table.ended(warm1.name)
    end(plain0, Stage.BASE, Stage.GRPO)
    schedule.finish(plain0.name)
    table.ended(plain0.name)
    assert out.getvalue().split("\n") == [
        "6 runs, 1 of them finished before",
        "warm-1-seed1: started",
        "plain-seed0: started",
        # A warm start takes 100 updates of 1 s. For GRPO there is nothing to go by.
        "1 of 6 runs done after 1 min 10 s, 2 running, about 1 min 40 s left, 4 runs are not measured "
        "yet; warm-1-seed1: starting; plain-seed0: grpo 2/10 acc 0.250 steps 3.00 backtracks 0.50",
        # Two updates took 70 s: six are 210 s more.
        "1 of 6 runs done after 2 min 20 s, 2 running, about 3 min 30 s left, 3 runs are not measured "
        "yet; warm-1-seed1: starting; plain-seed0: grpo 4/10 acc 0.750 steps 2.00 backtracks 0.25 3 min "
        "30 s left",
        f"warm-1-seed1: FAILED: ValueError: no (log: {warm1.log})",
        "plain-seed1: FAILED: warm-1-seed1 failed, from whose model it begins",
        "steps-seed1: FAILED: warm-1-seed1 failed, from whose model it begins",
        # What is left is `steps` with seed 0: by `plain`, 10 updates of 4 s.
        "plain-seed0: done; 2 of 6 runs done after 2 min 20 s, starting, 3 failed, about 40 s left",
        "",
    ]


def test_a_wait_for_room_is_told_from_a_start(trials: list[Trial]) -> None:
    clock, out = Clock(), io.StringIO()
    schedule = Schedule(trials, done=())
    table = LiveTable(schedule, at_once=2, out=out, clock=clock)
    clock.now = 59.0
    table.show()
    clock.now = 119.0
    table.tick()
    assert out.getvalue().split("\n")[1:] == [
        "0 of 6 runs done after 59 s, starting, no measurement of the time left yet",
        "0 of 6 runs done after 1 min 59 s, waiting for room, no measurement of the time left yet",
        "",
    ]


@pytest.fixture
def terminal() -> Iterator[tuple[io.TextIOWrapper, int]]:
    """A terminal of 100 columns and 14 lines, and where to read what it is sent."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 14, 100, 0, 0))
    with open(slave, "w") as out:  # noqa: PTH123 - a descriptor
        yield out, master
    os.close(master)


def drawn(master: int) -> str:
    """All that has been sent."""
    os.set_blocking(master, False)
    found = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            found += os.read(master, 1 << 16)
    return found.decode().replace("\r\n", "\n")


def test_a_terminal_shows_a_table_in_place(trials: list[Trial], terminal: tuple[io.TextIOWrapper, int]) -> None:
    out, master = terminal
    clock = Clock()
    schedule = Schedule(trials, done=())
    table = LiveTable(schedule, at_once=2, out=out, clock=clock)
    schedule.start("warm-1-seed0")
    table.started("warm-1-seed0")
    clock.now = 0.5
    table.tick()  # too early
    assert drawn(master) == "6 runs, 0 of them finished before\n"
    clock.now = 10.0
    log(trials[0], Stage.WARM, 40, loss=1.0)
    table.tick()
    first = drawn(master)
    assert [line.split() for line in first.split("\n")[2:5]] == [
        ["warm-1-seed0", "running", "warm", "40/100", "-", "-", "-", "10", "s", "-"],
        ["warm-1-seed1", "waiting", "-", "-", "-", "-", "-", "-"],
        ["plain-seed0", "waiting", "-", "-", "-", "-", "-", "-"],
    ]
    assert "\x1b" not in first and first.endswith(
        "0 of 6 runs done after 10 s, 1 running, no measurement of the time left yet\n"
    )
    clock.now = 20.0
    log(trials[0], Stage.WARM, 60, loss=1.0)
    table.tick()
    second = drawn(master)
    assert second.startswith(f"\x1b[{first.count(chr(10))}F\x1b[J") and "20 s  20 s" in second
    schedule.fail("warm-1-seed1", "no")
    table.ended("warm-1-seed1")
    third = drawn(master)
    # The line stands above the table, which is drawn again below it.
    assert (
        re.match(r"\x1b\[\d+F\x1b\[Jwarm-1-seed1: FAILED: no", third)
        and third.count("run           state") == 1
    )


def test_many_runs_are_shown_by_case(trials: list[Trial], terminal: tuple[io.TextIOWrapper, int]) -> None:
    out, master = terminal
    many = [
        *trials,
        *(Trial(name=f"plain-seed{s}", case="plain", seed=s, config=trials[2].config) for s in range(2, 6)),
    ]
    schedule = Schedule(many, done={"warm-1-seed0", "warm-1-seed1"})
    table = LiveTable(schedule, at_once=2, out=out, clock=Clock())
    for seed, accuracy in ((0, 0.25), (1, 0.75)):
        schedule.start(f"plain-seed{seed}")
        table.started(f"plain-seed{seed}")
        log(schedule.trials[f"plain-seed{seed}"], Stage.GRPO, seed + 1, accuracy=accuracy)
    table.show()
    rows = [line.split("  ") for line in drawn(master).split("\n")[3:6]]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells == [
        ["warm-1", "2 done before", "-", "-", "-", "-", "-", "-"],
        ["plain", "4 waiting, 2 running", "grpo 1/10; grpo 2/10", "0.500", "-", "-", "0 s", "-"],
        ["steps", "2 waiting", "-", "-", "-", "-", "-", "-"],
    ]


def test_long_names_leave_room_for_the_rest(trials: list[Trial]) -> None:
    config = trials[2].config
    rows = [
        TrialRow(
            trial=Trial(name=f"plain-grpo.learning_rate_{rate}-seed0", case="x", seed=0, config=config),
            state=State.WAITING,
            progress=Progress(),
        )
        for rate in ("0.0001", "0.01")
    ]
    assert max(map(len, trial_table(rows, width=200).split("\n"))) == 97
    short = trial_table(rows, width=80)
    assert max(map(len, short.split("\n"))) == 80
    names = [line.split()[0] for line in short.split("\n")[2:]]
    assert names == ["plain-grp..001-seed0", "plain-grp...01-seed0"]


def test_times_for_a_reader() -> None:
    assert [duration(seconds) for seconds in (0, 59.4, 60, 3570, 3600 + 299)] == [
        "0 s",
        "59 s",
        "1 min",
        "1 h 00 min",
        "1 h 05 min",
    ]
