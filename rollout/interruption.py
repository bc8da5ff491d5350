"""SIGTERM and SIGINT: a run stops at once, but never half-way through what must be done whole.

::

    signal -> handler in the main thread: raises `Interrupted`, or, within `protected`, notes it until the end
           -> watcher thread: ends the process at a second one, or where the main thread does not unwind

Python runs handlers between two bytecodes of the main thread, so one that is inside a backward pass would stop
only after it. The watcher is woken by the C level of the handler (`signal.set_wakeup_fd`). If the main thread
has not begun to save within `BACKSTOP_S`, the watcher saves in its place and ends the process.

Nothing here imports torch or Ray. Outside `ended_by_signals`, as in a notebook, handlers stay as they are, and
`KeyboardInterrupt` is raised wherever Python raises it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT)
BACKSTOP_S = 0.7
SAME_S = 0.3
"""Signals so soon after the first one are the same request: a terminal and a wrapper may both send one."""
_UNDO_S = 2.0


class Interrupted(KeyboardInterrupt):
    """A signal has asked this process to end. Not a `SystemExit`, of which Ray would make exit code 1.

    Attributes:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Signals:
    """What becomes of the signals of this process while it is in force.

    Attributes:
        last_words: Gives the line that is printed at the end.
        received: The first signal; None before it.
        save: Saves what has been done, where there is something to save.
    """

    def __init__(self, last_words: str) -> None:
        self.last_words: Callable[[], str] = lambda: last_words
        self.received: int | None = None
        self.save: Callable[[], None] | None = None
        self._received_at = 0.0
        self._depth = 0  # of protected blocks in the main thread
        self._turn = threading.Lock()  # held in protected blocks, and by the watcher once it saves
        self._unwound = False
        self._taken_over = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._handlers = {number: signal.signal(number, self._handle) for number in ENDING}
        self._fd_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="signals", daemon=True).start()

    def close(self) -> None:
        """Restore the handlers that were in force before."""
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._writer)

    def protect(self) -> None:
        """Keep signals, and the watcher, from coming in between."""
        self._depth += 1  # first: the handler could raise with the lock held
        if self._depth == 1:
            self._turn.acquire()

    def unprotect(self) -> None:
        """Let them in again; one that came in between does its work now."""
        if self._depth == 1:
            self._turn.release()
        self._depth -= 1
        if self._depth == 0 and self.received is not None and not self._unwound:
            raise Interrupted(self.received)

    def unwound(self) -> None:
        """The main thread has reached the place where it saves; if the watcher has begun to, it waits there."""
        self._depth = 1
        with self._turn:
            self._unwound = True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._taken_over:
            threading.Event().wait()  # the process is about to end
        if self.received is None:
            self.received = number
            if self._depth == 0:
                raise Interrupted(number)

    def _watch(self) -> None:
        first: float | None = None
        with contextlib.suppress(OSError):
            while numbers := os.read(self._reader, 64):
                for number in numbers:
                    if number not in ENDING:
                        continue
                    if first is None:
                        first = time.monotonic()
                        threading.Thread(target=self._stand_in, args=[number], daemon=True).start()
                    elif time.monotonic() - first > SAME_S:
                        os._exit(128 + number)
        os.close(self._reader)

    def _stand_in(self, number: int) -> None:
        """Save in place of the main thread where that does not get round to it."""
        waited = False
        while not waited:
            time.sleep(BACKSTOP_S)
            if self.save is None or self._unwound:
                return
            # At the end of a protected block the main thread can do it itself.
            waited = self._turn.acquire(blocking=False)
            if not waited:
                with self._turn:
                    pass
        if self._unwound or (save := self.save) is None:
            self._turn.release()
            return
        self._taken_over = True
        try:
            save()
            if sys.stderr.isatty():
                sys.stderr.write("\x1b[?25h")  # the live line hides the cursor
            sys.stderr.write(f"{self.last_words()}\n")
            undo = threading.Thread(target=atexit._run_exitfuncs, daemon=True)
            undo.start()
            undo.join(_UNDO_S)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(128 + number)


_signals: Signals | None = None


@contextmanager
def ended_by_signals(last_words: str) -> Iterator[Signals]:
    """Unwind at SIGTERM and SIGINT, so that locks are released and children end; exit with 128 + the signal.

    Args:
        last_words: The line that is printed at the end, until another one is set.

    Raises:
        SystemExit: At a signal, whatever became of the exception that it raised.
    """
    global _signals
    signals = _signals = Signals(last_words)
    try:
        yield signals
    except BaseException as error:
        number = signals.received
        if number is None and isinstance(error, KeyboardInterrupt):
            number = signal.SIGINT
        if number is None:
            raise
        sys.stderr.write(f"{signals.last_words()}\n")
        raise SystemExit(128 + number) from None
    finally:
        _signals = None
        signals.close()


def received() -> int | None:
    """The signal that has asked this process to end; None outside `ended_by_signals`, and before one."""
    return None if _signals is None else _signals.received


@contextmanager
def protected() -> Iterator[None]:
    """Do the block whole: a signal that comes meanwhile interrupts at its end.

    Raises:
        Interrupted: At the end, if one came.
    """
    signals = _signals
    if signals is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    signals.protect()
    try:
        yield
    finally:
        signals.unprotect()


@contextmanager
def saved_when_interrupted(save: Callable[[], None]) -> Iterator[None]:
    """Call `save` if the block is interrupted: in this thread, or in another one if this one is stuck.

    Args:
        save: Saves what the block has done so far, wherever it was interrupted outside `protected`.
    """
    signals = _signals
    if threading.current_thread() is not threading.main_thread():
        signals = None
    if signals is not None:
        signals.save = save
    try:
        yield
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        if signals is not None and signals.received is not None:
            signals.unwound()
            interrupted = True
        if interrupted:
            save()
        raise
    finally:
        if signals is not None:
            signals.save = None
