"""The progress of an ablation: plain lines in a log, a live table on a terminal."""

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

import pytest

from configs.schema.ablation import Trial
from rl.ablation.live import LiveTable
from rl.ablation.schedule import Schedule
from rl.runs.record import Stage
from tests.kit.ablation_runs import Clock, finish, log_update, make_trials


@pytest.fixture
def trials(tmp_path: Path) -> list[Trial]:
    return make_trials(tmp_path)


def test_a_log_has_a_line_for_every_start_and_end_and_one_a_minute(trials: list[Trial]) -> None:
    clock, out = Clock(), io.StringIO()
    warm0, warm1, plain0 = trials[:3]
    finish(warm0, Stage.BASE, Stage.WARM)
    schedule = Schedule(trials, done={warm0.name})
    with LiveTable(schedule, at_once=2, out=out, clock=clock) as table:
        schedule.start(warm1.name)
        table.started(warm1.name)
        schedule.start(plain0.name)
        table.started(plain0.name)
        clock.now = 59.0
        table.tick()
        log_update(plain0, Stage.GRPO, 2, accuracy=0.25, steps_per_correct=3.0, backtracks=0.5)
        clock.now = 70.0
        table.tick()
        log_update(plain0, Stage.GRPO, 4, accuracy=0.75, steps_per_correct=2.0, backtracks=0.25)
        clock.now = 140.0
        table.tick()
        table.tick()
        schedule.fail(warm1.name, "ValueError: no")
        table.ended(warm1.name)
        finish(plain0, Stage.BASE, Stage.GRPO)
        schedule.finish(plain0.name)
        table.ended(plain0.name)
    assert out.getvalue().split("\n") == [
        "6 runs, 1 of them finished before; 2 at a time",
        "warm-1-seed1: started",
        "plain-seed0: started",
        # The warm start takes 100 updates of 1 s. GRPO has not been measured yet.
        "1 of 6 runs done after 1 min 10 s, 2 running, about 1 min 40 s left, plus 4 runs not measured yet",
        "  warm-1-seed1: starting, 1 min 40 s left",
        "  plain-seed0: grpo 2/10, accuracy 0.250, 3.00 steps/correct, 0.50 backtracks",
        # Two updates of GRPO took 70 s: six more take 210 s, and the ten of each waiting run 350 s.
        # With two at a time: plain-seed1 from 100 s to 450 s, steps-seed0 from 210 s to 560 s, then steps-seed1
        # from 450 s to 800 s.
        "1 of 6 runs done after 2 min 20 s, 2 running, about 13 min left",
        "  warm-1-seed1: starting, 1 min 40 s left",
        "  plain-seed0: grpo 4/10, accuracy 0.750, 2.00 steps/correct, 0.25 backtracks, 3 min 30 s left",
        f"warm-1-seed1: FAILED: ValueError: no (log: {warm1.log})",
        "plain-seed1: FAILED: it begins from the model of warm-1-seed1, which failed",
        "steps-seed1: FAILED: it begins from the model of warm-1-seed1, which failed",
        # steps-seed0 is left: 10 updates of 4 s, as plain-seed0 took in the end.
        "plain-seed0: done; 2 of 6 runs done after 2 min 20 s, starting, 3 failed, about 40 s left",
        "",
    ]


def test_waiting_for_room_is_not_called_starting(trials: list[Trial]) -> None:
    clock, out = Clock(), io.StringIO()
    table = LiveTable(Schedule(trials, done=()), at_once=2, out=out, clock=clock)
    clock.now = 59.0
    table.show()
    clock.now = 119.0
    table.tick()
    assert out.getvalue().split("\n")[1:] == [
        "0 of 6 runs done after 59 s, starting, time left not known yet",
        "0 of 6 runs done after 1 min 59 s, waiting for room, time left not known yet",
        "",
    ]


def test_stopped_runs_say_where_they_go_on(trials: list[Trial]) -> None:
    out = io.StringIO()
    schedule = Schedule(trials, done=())
    table = LiveTable(schedule, at_once=2, out=out)
    for trial in trials[:2]:
        schedule.start(trial.name)
    table.stopping()
    for trial in trials[:2]:
        trial.log.write_text("warm start: saved update 9 in 0.1 s\nstopped; the same command goes on\n")
        schedule.stop(trial.name)
        table.ended(trial.name)
    assert out.getvalue().split("\n")[1:] == [
        "stopping: the 2 runs each save their last update; a second signal ends at once",
        "warm-1-seed0: stopped; the same command goes on",
        "warm-1-seed1: stopped; the same command goes on",
        "",
    ]
    assert schedule.failures == {} and [trial.name for trial in trials[2:]] == [
        trial.name for trial in schedule.unfinished
    ]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[io.TextIOWrapper, int]]:
    """A terminal of 100 columns and 14 lines, and a descriptor to read what it is sent."""
    monkeypatch.setenv("TERM", "xterm")
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 14, 100, 0, 0))
    with open(slave, "w") as out:  # noqa: PTH123 - a descriptor
        yield out, master
    os.close(master)


def sent(master: int) -> str:
    """The output since the last call."""
    os.set_blocking(master, False)
    found = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            found += os.read(master, 1 << 16)
    return found.decode().replace("\r\n", "\n")


def plain(text: str) -> list[str]:
    """The lines of that output without control codes."""
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text).split("\n")]


def test_a_terminal_shows_a_table_in_place(trials: list[Trial], terminal: tuple[io.TextIOWrapper, int]) -> None:
    out, master = terminal
    clock = Clock()
    schedule = Schedule(trials, done=())
    with LiveTable(schedule, at_once=2, out=out, clock=clock) as table:
        schedule.start("warm-1-seed0")
        table.started("warm-1-seed0")
        clock.now = 0.5
        table.tick()  # too early
        assert [line for line in plain(sent(master)) if line] == [
            "6 runs, 0 of them finished before; 2 at a time"
        ]
        clock.now = 10.0
        log_update(trials[0], Stage.WARM, 40, loss=1.0)
        table.tick()
        first = plain(sent(master))
        assert first[0] == "0 of 6 runs done after 10 s, 1 running, time left not known yet"
        assert [line.split() for line in first[2:7] if not line.startswith("-")] == [
            ["run", "state", "stage", "accuracy", "steps", "backtracks", "elapsed", "left"],
            ["warm-1-seed0", "running", "warm", "40/100", "-", "-", "-", "10", "s", "-"],
            ["warm-1-seed1", "waiting", "-", "-", "-", "-", "-", "-"],
            ["plain-seed0", "waiting", "-", "-", "-", "-", "-", "-"],
        ]
        clock.now = 20.0
        log_update(trials[0], Stage.WARM, 60, loss=1.0)
        table.tick()
        drawn = sent(master)
        # The second table is drawn over the first, whose lines are all erased.
        assert drawn.count("\x1b[1A\x1b[2K") == len(first) - 1
        # 20 updates took 10 s: 40 more take 20 s, and all 100 of the other warm start 50 s.
        second = plain(drawn)
        assert len(second) == len(first)
        assert (
            second[0] == "0 of 6 runs done after 20 s, 1 running, about 50 s left, plus 4 runs not measured yet"
        )
        assert second[4].split()[-4:] == ["20", "s", "20", "s"]
        schedule.fail("warm-1-seed1", "no")
        table.ended("warm-1-seed1")
        lines = plain(sent(master))
        # The message stands above the table, which is drawn again below it.
        failed = next(place for place, line in enumerate(lines) if "FAILED" in line)
        assert lines[failed] == f"warm-1-seed1: FAILED: no (log: {trials[1].log})"
        assert [place for place, line in enumerate(lines) if line.startswith("run  ")][-1] > failed
    assert "\x1b[?25h" in sent(master)  # the cursor is back


def test_many_runs_are_shown_by_case(trials: list[Trial], terminal: tuple[io.TextIOWrapper, int]) -> None:
    out, master = terminal
    many = [
        *trials,
        *(Trial(name=f"plain-seed{s}", case="plain", seed=s, config=trials[2].config) for s in range(2, 6)),
    ]
    schedule = Schedule(many, done={"warm-1-seed0", "warm-1-seed1"})
    with LiveTable(schedule, at_once=2, out=out, clock=Clock()) as table:
        for seed, accuracy in ((0, 0.25), (1, 0.75)):
            schedule.start(f"plain-seed{seed}")
            table.started(f"plain-seed{seed}")
            log_update(schedule.trials[f"plain-seed{seed}"], Stage.GRPO, seed + 1, accuracy=accuracy)
        sent(master)
        table.show()
        rows = [re.split(r"\s{2,}", line) for line in plain(sent(master))[4:7]]
    assert rows == [
        ["warm-1", "2 done before", "-", "-", "-", "-", "-", "-"],
        ["plain", "4 waiting, 2 running", "grpo 1/10; grpo 2/10", "0.500", "-", "-", "0 s", "-"],
        ["steps", "2 waiting", "-", "-", "-", "-", "-", "-"],
    ]


def test_names_are_folded_where_the_terminal_is_narrow(
    trials: list[Trial], terminal: tuple[io.TextIOWrapper, int]
) -> None:
    out, master = terminal
    fcntl.ioctl(out.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    names = [f"plain-grpo.learning_rate_{rate}-seed0" for rate in ("0.0001", "0.01")]
    long = [Trial(name=name, case="x", seed=0, config=trials[2].config) for name in names]
    with LiveTable(Schedule(long, done=()), at_once=1, out=out, clock=Clock()) as table:
        sent(master)
        table.show()
        lines = plain(sent(master))
    assert max(map(len, lines)) <= 80
    heads = [line.split() for line in lines if "waiting" in line]
    assert [cells[1:] for cells in heads] == [["waiting", *"------"]] * 2
    # Every character of the names is there, on as many lines as it takes.
    column = len(heads[0][0])
    folded = "".join(line[:column].strip() for line in lines[4:])
    assert folded == "".join(names)
