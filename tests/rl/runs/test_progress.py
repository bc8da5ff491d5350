"""Progress on a terminal of any width and in a file, with a clock that only the test moves."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len

from rl.runs.forecast import Forecast, Kind, Left, Pace, Work
from rl.runs.progress import Progress

GRPO = Work(label="GRPO", kind=Kind.GRPO_UPDATE, units=160)
EVAL = Work(label="evaluation of GRPO", kind=Kind.COMPLETION, units=600)
FIGURES = ["reward 0.257", "accuracy 35.7 %", "steps 1.50", "signal 57.0 %", "14,470 tokens/s"]
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def pace(*seconds: float, period: int = 1) -> float | None:
    measured = Pace(period)
    for each in seconds:
        measured.add(each, 1)
    return measured.seconds_each


# ---- the pace and the time left ----


def test_the_first_update_does_not_count_once_there_is_another() -> None:
    assert pace() is None
    assert pace(9.0) == 9.0
    assert pace(9.0, 1.5) == 1.5
    assert pace(9.0, 1.5, 1.7) == pytest.approx(1.6)


def test_one_slow_update_in_between_changes_little() -> None:
    assert pace(9.0, 1.0, 1.0, 30.0, 1.0, 1.0) == 1.0


def test_the_pace_follows_the_run() -> None:
    """Eight updates of 3 s after a hundred of 1 s: the mean since the start would be 1.15."""
    assert pace(*[1.0] * 100, *[3.0] * 8) == 3.0


def test_updates_that_share_a_rollout_batch_are_measured_together() -> None:
    """Sampling takes 4 s and every pass 1 s: (5 + 1) / 2 per update, wherever it is measured."""
    assert pace(9.0, 1.0, *[5.0, 1.0] * 3, period=2) == 3.0
    assert pace(9.0, 1.0, *[5.0, 1.0] * 3, 5.0, period=2) == 3.0


def test_after_the_second_update_the_estimate_is_near() -> None:
    """A first update of 9 s, then 1.5 s each: the other 158 take 237 s; the mean so far gives 829."""
    clock, out = Clock(), io.StringIO()
    progress = Progress(out, [GRPO], clock=clock)
    with progress.showing(GRPO) as task:
        clock.now += 9.0
        task.advance(1)
        clock.now += 1.5
        task.advance(2)
        assert (task.units_left, task.seconds_each) == (158, 1.5)
    assert out.getvalue().splitlines()[0] == "GRPO 1/160 updates, 24 min left"  # 159 times 9 s is 23.85 min


def test_work_that_comes_later_is_added_as_far_as_it_is_measured() -> None:
    base = Work(label="evaluation of base", kind=Kind.COMPLETION, units=600)
    warm = Work(label="warm start", kind=Kind.WARM_UPDATE, units=10)
    forecast = Forecast([base, warm, GRPO, EVAL])
    forecast.begin(base)
    # 2 s left here, and as much for each completion of the evaluation of GRPO.
    assert forecast.left(base, 200, 0.01) == Left(seconds=8.0, unknown=("warm start", "GRPO"))
    assert forecast.left(base, 200, None) == Left(seconds=None)
    forecast.measured(Kind.COMPLETION, 30.0, 600)
    forecast.begin(warm)
    # The warm start's own 5 s and another evaluation of 600 completions; nothing is known of GRPO.
    assert forecast.left(warm, 5, 1.0) == Left(seconds=35.0, unknown=("GRPO",))
    forecast.begin(GRPO)
    assert forecast.left(GRPO, 50, 2.0) == Left(seconds=130.0)
    forecast.begin(EVAL)
    assert forecast.left(EVAL, 70, 0.1) == Left(seconds=7.0)


def test_a_resumed_stage_is_paced_by_its_new_updates() -> None:
    clock = Clock()
    with Progress(io.StringIO(), clock=clock).showing(GRPO, done=100) as task:
        clock.now += 2.0
        task.advance(101)
        clock.now += 2.0
        task.advance(102)
        assert (task.units_left, task.seconds_each) == (58, 2.0)


# ---- in a file ----


def run(out: io.StringIO, *, seconds: float = 1.0, width: int | None = None) -> None:
    """A GRPO stage and the evaluation after it."""
    clock = Clock()
    progress = Progress(out, [GRPO, EVAL], clock=clock, width=width)
    with progress.showing(GRPO) as task:
        for update in range(1, 161):
            clock.now += seconds
            task.advance(update, FIGURES)
            if update == 80:
                progress.say("warning: 5 updates without a signal")
    with progress.showing(EVAL) as task:
        for done in range(50, 601, 50):
            clock.now += seconds
            task.advance(done, ["id"])


def test_a_file_gets_a_plain_line_every_ten_seconds() -> None:
    out = io.StringIO()
    run(out)
    lines = out.getvalue().splitlines()
    assert not CONTROL.search(out.getvalue()) and "━" not in out.getvalue()
    grpo = [line for line in lines if line.startswith("GRPO ")]
    updates = [int(line.split()[1].split("/")[0]) for line in grpo]
    assert updates == [1, *range(11, 160, 10), 160]
    figures = "reward 0.257, accuracy 35.7 %, steps 1.50, signal 57.0 %, 14,470 tokens/s"
    assert grpo[0] == f"GRPO 1/160 updates, {figures}, 2 min 39 s left, then evaluation of GRPO"
    assert grpo[-1] == f"GRPO 160/160 updates, {figures}, 0 s left, then evaluation of GRPO"
    assert lines[8] == "warning: 5 updates without a signal"
    assert lines[-1] == "evaluation of GRPO 600/600 completions, id, 0 s left"


def test_a_slow_update_is_shown_at_once() -> None:
    out = io.StringIO()
    run(out, seconds=60.0)
    assert sum(line.startswith("GRPO ") for line in out.getvalue().splitlines()) == 160


# ---- on a terminal ----


def screen(text: str) -> list[str]:
    """The rows of a terminal after this output; supports only the control codes that the live line uses."""
    rows, row = [""], 0
    for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
        if piece == "\n":
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif piece.endswith("A") and piece.startswith("\x1b"):
            row -= int(piece[2:-1] or 1)
        elif piece == "\x1b[2K":
            rows[row] = ""
        elif not piece.startswith(("\x1b", "\r")):
            rows[row] += piece
    return [text.rstrip() for text in rows if text.strip()]


@pytest.mark.parametrize("width", [20, 40, 80, 100, 125, 200])
def test_the_live_line_fits_the_terminal(width: int) -> None:
    """GRPO, the evaluation and the warning take one row each; no row of any update is wider."""
    out = Terminal()
    run(out, width=width)
    warning = "warning: 5 updates without a signal"
    written = [row for row in re.split(r"[\r\n]", CONTROL.sub("\r", out.getvalue())) if row != warning]
    assert max(cell_len(row) for row in written) < width
    rows = screen(out.getvalue())
    assert len(rows) == 3
    assert rows[0] == warning
    assert rows[1].startswith("GRPO 160/160") and rows[2].startswith("evaluation of GRPO"[: width - 2])


def test_the_most_important_figures_stay_on_a_narrow_terminal() -> None:
    shown = {}
    for width in (60, 80, 100, 125):
        out = Terminal()
        run(out, width=width)
        shown[width] = screen(out.getvalue())[1]
    assert all("0 s left" in line and "━━━━" in line for line in shown.values())
    assert "reward 0.257" in shown[60] and "signal" not in shown[60]
    assert "accuracy 35.7 %" in shown[80]
    assert "steps 1.50" in shown[100] and "tokens/s" not in shown[100]
    assert "14,470 tokens/s" in shown[125]


def test_a_failure_leaves_the_terminal_usable() -> None:
    out = Terminal()
    with pytest.raises(ZeroDivisionError), Progress(out, width=80).showing(GRPO) as task:
        task.advance(3, FIGURES)
        raise ZeroDivisionError
    assert out.getvalue().endswith("\x1b[?25h")  # the cursor is back
    assert screen(out.getvalue())[0].startswith("GRPO 3/160")


def test_setting_up_is_no_part_of_the_first_update() -> None:
    clock = Clock()
    with Progress(io.StringIO(), clock=clock).showing(GRPO) as task:
        clock.now += 60.0
        task.begin()
        clock.now += 2.0
        task.advance(1)
        assert task.seconds_each == 2.0
