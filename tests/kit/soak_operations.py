"""Operations that do what hostile text could make a worker do; for the soak test and other tests.

Those that attack other processes or files return how far they got; confinement stops them.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def echo(value: Any) -> Any:
    """Return the value."""
    return value


def describe() -> dict[str, Any]:
    """Describe the worker: its process ids, environment, open files and imported modules."""
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "environment": dict(os.environ),
        "files": [fd for fd in range(256) if _is_open(fd)],
        "modules": sorted(sys.modules),
    }


def fail(name: str, message: str = "on purpose") -> None:
    """Raise a built-in exception by its name."""
    raise vars(sys.modules["builtins"])[name](message)


def nap(seconds: float, value: Any = None) -> Any:
    """Return the value after some seconds."""
    time.sleep(seconds)
    return value


def hang() -> None:
    """Loop in Python."""
    while True:
        pass


def hang_in_c() -> int:
    """Compute one integer power, which takes hours and handles no signals."""
    return int(9 ** (9**8 * len(str(os.getpid()))))


def exit_quietly() -> None:
    """Exit with status 0."""
    os._exit(0)


def kill_itself() -> None:
    """Kill the worker with SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


def segfault() -> None:
    """Read at address 0."""
    ctypes.string_at(0)


def abort() -> None:
    """End by SIGABRT."""
    os.abort()


def exit_python() -> None:
    """Raise SystemExit."""
    sys.exit(0)


def grab_at_once() -> int:
    """Allocate 80 GB at once."""
    return len([0] * 10**10)


def grab_slowly() -> int:
    """Fill memory 16 MiB at a time."""
    grabbed = []
    while True:
        grabbed.append(bytearray(1 << 24))


def recurse() -> int:
    """Recurse without end."""
    return recurse() + 1


def long_reply(length: int) -> str:
    """A string of this length."""
    return "x" * length


def deep_reply(depth: int) -> list[Any]:
    """Lists in lists."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def write_file(path: str) -> str:
    """Make a file."""
    return _try(lambda: Path(path).write_text("x"))


def change_files(folder: str) -> dict[str, str]:
    """Try all other ways to change a folder that has a file `there`."""
    there, other = Path(folder, "there"), Path(folder, "other")
    return {
        "touch": _try(other.touch),
        "append": _try(lambda: os.open(there, os.O_WRONLY | os.O_APPEND)),
        "truncate": _try(lambda: os.truncate(there, 0)),
        "remove": _try(there.unlink),
        "rename": _try(lambda: there.rename(other)),
        "link": _try(lambda: other.hardlink_to(there)),
        "symlink": _try(lambda: other.symlink_to(there)),
        "mkdir": _try(other.mkdir),
        "fifo": _try(lambda: os.mkfifo(other)),
        "chmod": _try(lambda: there.chmod(0o777)),
        "times": _try(lambda: os.utime(there, (0, 0))),
    }


def reach_out(pid: int) -> dict[str, str]:
    """Start processes, signal and inspect process `pid`, use the network."""
    libc = ctypes.CDLL(None, use_errno=True)

    def system(name: str, *arguments: int) -> None:
        if getattr(libc, name)(*arguments) < 0:
            raise OSError(ctypes.get_errno(), name)

    return {
        "fork": _try(_fork_and_sleep),
        "subprocess": _try(lambda: subprocess.run(["/bin/true"], check=True)),
        "exec": _try(lambda: os.execv("/bin/true", ["true"])),
        "kill": _try(lambda: os.kill(pid, signal.SIGKILL)),
        "signal_all": _try(lambda: os.kill(-1, 0)),  # signal 0 only checks the permission
        "limits": _try(lambda: system("prlimit", pid, 0, 0, 0)),
        "priority": _try(lambda: os.setpriority(os.PRIO_PROCESS, pid, 19)),
        "ptrace": _try(lambda: system("ptrace", 16, pid, 0, 0)),
        "memory": _try(lambda: Path(f"/proc/{pid}/mem").open("rb").close()),
        "environment": _try(lambda: Path(f"/proc/{pid}/environ").read_bytes()),
        "tcp": _try(lambda: socket.create_connection(("127.0.0.1", 9), timeout=0.1)),
        "unix": _try(lambda: socket.socketpair()),
    }


def kill_zygote() -> None:
    """Kill the parent."""
    os.kill(os.getppid(), signal.SIGKILL)


def leave_processes(then: str) -> list[int]:
    """Fork a child that forks a child, both in new sessions; then call an operation by name."""
    read_fd, write_fd = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        if grandchild := os.fork():
            os.write(write_fd, str(grandchild).encode())
        else:
            os.setsid()
        time.sleep(600)
    pids = [child, int(os.read(read_fd, 20))]
    if then:
        vars(sys.modules[__name__])[then]()
    return pids


def fork_bomb() -> None:
    """Double the number of processes repeatedly, up to some hundred."""
    for _ in range(7):
        os.fork()
    time.sleep(600)


def write_reply(text: str, repeat: int) -> None:
    """Write an invalid reply into the pipe to the zygote, then continue normally."""
    os.write(_reply_fd(), text.encode("latin-1") * repeat)


def drip() -> None:
    """Write single bytes slowly, never a whole line."""
    while True:
        os.write(_reply_fd(), b" ")
        time.sleep(0.01)


def write_late(text: str) -> str:
    """Write `text` into the pipe before the next request arrives."""
    fd = _reply_fd()
    plain_write = os.write

    def write(to: int, line: Any) -> int:
        done = plain_write(to, line)
        if to == fd and bytes(line).endswith(b"\n"):
            time.sleep(0.05)
            plain_write(fd, text.encode())
        return done

    vars(os)["write"] = write
    return text


def close_reply() -> None:
    """Close the pipe to the zygote, but keep running."""
    os.close(_reply_fd())
    time.sleep(600)


def forge(value: Any) -> None:
    """Find the request's id, and reply with an id that differs in one character."""
    frame = sys._getframe(1)
    token = str(frame.f_locals["token"])
    other = ("0" if token[0] != "0" else "1") + token[1:]
    os.write(_reply_fd(), json.dumps({"id": other, "value": value}).encode() + b"\n")
    time.sleep(600)


def _reply_fd() -> int:
    """The highest open file descriptor is the pipe end that was opened last."""
    return max(fd for fd in range(256) if _is_open(fd))


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _fork_and_sleep() -> None:
    if os.fork() == 0:
        time.sleep(600)


def _try(act: Callable[[], object]) -> str:
    """Name of the exception raised, or empty."""
    try:
        act()
    except Exception as error:
        return type(error).__name__
    return ""
