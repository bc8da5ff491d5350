"""A thread in which Ray is started and ended.

Ray takes over the handler of SIGTERM in the main thread only, and there nothing interrupts its C++ code. The
thread lives as long as the cluster: the kernel kills Ray's servers when the thread that started them ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any


class HungError(Exception):
    """A call has not ended in time, and goes on."""


class RayThread(threading.Thread):
    """Runs one call after the other. A call that hangs does not keep the process from ending."""

    def __init__(self) -> None:
        super().__init__(name="ray", daemon=True)
        self._calls: SimpleQueue[tuple[Callable[..., Any], dict[str, Any], Future[Any]] | None] = SimpleQueue()
        self.start()

    def run(self) -> None:
        """Run calls until the end."""
        while (item := self._calls.get()) is not None:
            function, arguments, future = item
            try:
                future.set_result(function(**arguments))
            except BaseException as error:
                future.set_exception(error)

    def call(self, function: Callable[..., Any], *, limit_s: float, **arguments: Any) -> Any:
        """The result of a call made in the thread.

        Raises:
            HungError: It has not ended in time.
            BaseException: What it raised.
        """
        future: Future[Any] = Future()
        self._calls.put((function, arguments, future))
        if not wait([future], timeout=limit_s).done:
            raise HungError
        return future.result()

    def end_with(self, function: Callable[[], Any]) -> None:
        """Make a last call after those made so far, and do not wait for it."""
        self._calls.put((function, {}, Future()))
        self._calls.put(None)

    def end(self) -> None:
        """End the thread after the calls made so far."""
        self._calls.put(None)
        self.join()
