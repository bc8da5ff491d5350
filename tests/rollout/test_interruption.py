"""When a signal interrupts, and when it waits."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from rollout.interruption import Interrupted, ended_by_signals, protected, saved_when_interrupted


def interrupt(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unwinds_and_gives_its_code(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended, ended_by_signals("stopped"):
        interrupt(number)
        raise AssertionError("not reached")
    assert (ended.value.code, capsys.readouterr().err) == (128 + number, "stopped\n")
    assert signal.getsignal(number) is before and signal.set_wakeup_fd(-1) == -1


def test_the_last_words_may_change(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), ended_by_signals("stopped") as signals:
        signals.last_words = lambda: "at update 3"
        interrupt()
    assert capsys.readouterr().err == "at update 3\n"


def test_other_exceptions_pass() -> None:
    with pytest.raises(ValueError, match="x"), ended_by_signals("stopped"):
        raise ValueError("x")


def test_an_exception_that_was_made_of_the_interruption_changes_nothing() -> None:
    with pytest.raises(SystemExit) as ended, ended_by_signals("stopped"):
        try:
            interrupt()
        except KeyboardInterrupt:
            raise RuntimeError("a library's own") from None
    assert ended.value.code == 143


def test_a_protected_block_is_done_whole() -> None:
    done: list[str] = []
    with pytest.raises(SystemExit), ended_by_signals("stopped"):
        with protected():
            with protected():
                interrupt()
                done.append("inner")
            done.append("outer")
        done.append("not reached")
    assert done == ["inner", "outer"]


def test_an_error_in_a_protected_block_lets_signals_in_again() -> None:
    with pytest.raises(SystemExit) as ended, ended_by_signals("stopped"):
        with pytest.raises(ValueError, match="x"), protected():
            raise ValueError("x")
        interrupt()
    assert ended.value.code == 143


def test_what_was_done_is_saved_once() -> None:
    saved: list[str] = []
    with pytest.raises(SystemExit), ended_by_signals("stopped"):
        with saved_when_interrupted(lambda: saved.append("first")):
            pass
        with saved_when_interrupted(lambda: saved.append("second")):
            interrupt()
    assert saved == ["second"]


def test_without_handlers_a_keyboard_interrupt_saves_too() -> None:
    saved: list[int] = []
    with pytest.raises(KeyboardInterrupt) as raised, saved_when_interrupted(lambda: saved.append(1)):
        raise KeyboardInterrupt
    assert saved == [1] and not isinstance(raised.value, Interrupted)


def test_other_threads_are_neither_protected_nor_saved() -> None:
    done: list[str] = []

    def work() -> None:
        with saved_when_interrupted(lambda: done.append("saved")), protected():
            interrupt()
            done.append("worked")

    with pytest.raises(SystemExit), ended_by_signals("stopped"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        threading.Event().wait(5)
    thread.join()
    assert done == ["worked"]
