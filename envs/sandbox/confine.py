"""Confines a worker before it reads text from a model.

In: a newly forked process, and the pipes it keeps. Out: the layers of confinement in force. The process ends up
in a session of its own with an empty environment, no files but its pipes and little memory. If the kernel has
Landlock and seccomp, it also cannot change files, start processes, reach the network or signal other processes.
It can still read files, because libraries import lazily.

`adopt_orphans`, `end_with_parent` and `kill_children` make sure that no process outlives the one it works for;
users' rewards use them too.

This file uses only the standard library, since the zygote loads it by its path. A layer that the system lacks
is left out without an error. Linux only.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
from collections.abc import Collection
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

MAX_FILES = 64

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP = 1, 4, 22
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_SECCOMP_FILTER = 2
_CAPABILITY_VERSION, _CAP_DAC_READ_SEARCH = 0x20080522, 1 << 2
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT, _LANDLOCK_VERSION = 444, 446, 1

# Landlock's rights to execute, write, remove and create files of any kind, but not to read (bits 2 and 3). Each
# entry is the first ABI that has the rights, and the rights.
_FILE_RIGHTS = ((1, 0x1FFF & ~0b1100), (2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
_TCP_BIND_AND_CONNECT = 0b11
_SCOPE_SOCKETS_AND_SIGNALS = 0b11

# The audit numbers of the two architectures, and the column of each in the table of system calls.
_ARCHITECTURES = {"x86_64": (0xC000003E, 1), "aarch64": (0xC00000B7, 2)}
# System calls: name, number on x86_64, number on aarch64.
_REFUSED = """
fork 57 -, vfork 58 -, clone 56 220, clone3 435 435, execve 59 221, execveat 322 281,
socket 41 198, socketpair 53 199, connect 42 203, bind 49 200,
tkill 200 130, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240, pidfd_open 434 434,
pidfd_send_signal 424 424, pidfd_getfd 438 438, ptrace 101 117, process_vm_readv 310 270,
process_vm_writev 311 271, process_madvise 440 440, process_mrelease 448 448, move_pages 279 239,
migrate_pages 256 238, setrlimit 160 164, setpriority 141 140, sched_setparam 142 118,
sched_setscheduler 144 119, sched_setattr 314 274, sched_setaffinity 203 122, ioprio_set 251 30,
creat 85 -, mkdir 83 -, mkdirat 258 34, mknod 133 -, mknodat 259 33, link 86 -, linkat 265 37, symlink 88 -,
symlinkat 266 36, rename 82 -, renameat 264 38, renameat2 316 276, unlink 87 -, unlinkat 263 35, rmdir 84 -,
truncate 76 45, chmod 90 -, fchmod 91 52, fchmodat 268 53, fchmodat2 452 452, chown 92 -, fchown 93 55,
lchown 94 -, fchownat 260 54, utime 132 -, utimes 235 -, futimesat 261 -, utimensat 280 88,
setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7, removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16,
openat2 437 437, open_by_handle_at 304 265, memfd_create 319 279, memfd_secret 447 447,
shmget 29 194, msgget 68 186, semget 64 190, mq_open 240 180,
mount 165 40, umount2 166 39, open_tree 428 428, move_mount 429 429, fsopen 430 430, fspick 433 433,
fsmount 432 432, mount_setattr 442 442, pivot_root 155 41, chroot 161 51, unshare 272 97, setns 308 268,
io_uring_setup 425 425, bpf 321 280, perf_event_open 298 241, userfaultfd 323 282,
add_key 248 217, request_key 249 218, keyctl 250 219
"""
# Allowed on the process itself (as 0 or by its id); `os.abort` and reading a limit need them.
_ONLY_ON_ITSELF = "kill 62 129, tgkill 234 131, prlimit64 302 261"
_OPEN, _OPENAT = "open 2 -", "openat 257 56"  # refused if they would write
_FIRST_UNKNOWN = 463  # calls newer than this table, and those that x86_64 reserves for its 32-bit variant
_ALLOW, _REFUSE, _ABSENT = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38  # EPERM, ENOSYS
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16

_libc = ctypes.CDLL(None, use_errno=True)


class Layer(StrEnum):
    """One layer of confinement."""

    LIMITS = "rlimits"
    """Limits memory, processor time and open files; no writing to files, no core dumps."""
    LANDLOCK = "landlock"
    """The kernel refuses to change files, to execute files, to use TCP and to signal other processes."""
    SECCOMP = "seccomp"
    """The kernel refuses system calls that start processes or reach other processes, files or the network."""


def adopt_orphans() -> None:
    """Become the parent of all descendants whose own parent has ended."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent(parent: int) -> None:
    """Let the kernel kill this process as soon as its parent ends. Call it in a newly forked process.

    Args:
        parent: Process id of the parent. It must have forked in its only thread: the kernel goes by the thread.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the line above
        os._exit(1)


def kill_children() -> None:
    """Kill all children of this process, and with `adopt_orphans` all its descendants, and wait for their end.

    It goes on until there are none, since a child may have forked in between.
    """
    while children := child_pids("self"):
        for pid in children:
            kill_process(pid)
        for pid in children:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def child_pids(pid: int | str) -> list[int]:
    """The children of a process, dead ones too; empty if it has ended or the kernel does not list them."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def kill_process(pid: int) -> None:
    """Kill a process and its process group, if it leads one."""
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)


def confine(
    *, parent: int, memory_mb: int, cpu_s: int, keep: Collection[int], layers: Collection[str]
) -> list[Layer]:
    """Confine this process permanently. Call it in a newly forked process with one thread.

    Args:
        parent: Process id of the parent; the process ends with it.
        memory_mb: Address space in MiB.
        cpu_s: Seconds of processor time after which the kernel kills the process.
        keep: File descriptors above 2 that stay open.
        layers: The layers to apply.

    Returns:
        The layers now in force.
    """
    os.setsid()
    end_with_parent(parent)
    _offer_to_the_oom_killer()
    os.environ.clear()
    sys.dont_write_bytecode = True
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing to a file is an error and does not kill
    _close_files(keep)
    _prctl(_PR_SET_DUMPABLE, 0)
    _drop_capabilities()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    # Seccomp comes last, since it refuses calls that the others need.
    apply = {
        Layer.LIMITS: lambda: _limit(memory_mb, cpu_s),
        Layer.LANDLOCK: _landlock,
        Layer.SECCOMP: _seccomp,
    }
    return [layer for layer, act in apply.items() if layer in layers and act()]


def _prctl(option: int, value: int, pointer: int = 0) -> bool:
    zero = ctypes.c_ulong(0)
    failed = _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), ctypes.c_ulong(pointer), zero, zero)
    return bool(failed == 0)


def _offer_to_the_oom_killer() -> None:
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    except OSError:
        return
    try:
        os.write(fd, b"1000")
    except OSError:
        pass
    finally:
        os.close(fd)


def _close_files(keep: Collection[int]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    try:
        open_files = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 (numbers, and no pathlib)
    except OSError:
        open_files = list(range(4096))
    for fd in set(open_files) - {0, 1, 2} - set(keep):
        try:
            os.close(fd)
        except OSError:
            continue


def _drop_capabilities() -> None:
    """Drop all capabilities but the one to read files, since a library may belong to another user."""
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    held = ctypes.create_string_buffer(24)
    if _libc.capget(header, held) == 0:
        reading = struct.unpack("6I", held.raw)[1] & _CAP_DAC_READ_SEARCH
        _libc.capset(header, struct.pack("6I", reading, reading, 0, 0, 0, 0))


def _limit(memory_mb: int, cpu_s: int) -> bool:
    limits = {
        resource.RLIMIT_AS: memory_mb << 20,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: MAX_FILES,
    }
    done = True
    for limit, value in limits.items():
        hard = resource.getrlimit(limit)[1]
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(limit, (lowest, lowest))
        except (OSError, ValueError):
            done = False
    return done


def _landlock() -> bool:
    abi = _libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if abi < 1:
        return False
    rights = sum(right for first, right in _FILE_RIGHTS if abi >= first)
    # Rights named here are refused unless a rule allows them, and no rule is ever added.
    fields = [rights]
    if abi >= 4:
        fields.append(_TCP_BIND_AND_CONNECT)
    if abi >= 6:
        fields.append(_SCOPE_SOCKETS_AND_SIGNALS)
    ruleset = struct.pack(f"{len(fields)}Q", *fields)
    fd = _libc.syscall(_LANDLOCK_CREATE, ruleset, ctypes.c_size_t(len(ruleset)), 0)
    if fd < 0:
        return False
    try:
        return bool(_libc.syscall(_LANDLOCK_RESTRICT, fd, 0) == 0)
    finally:
        os.close(fd)


def _seccomp() -> bool:
    known = _ARCHITECTURES.get(os.uname().machine)
    if known is None or sys.byteorder != "little":
        return False
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in _filter(*known, os.getpid()))
    buffer = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("HP", len(program) // 8, ctypes.addressof(buffer)))
    return _prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, ctypes.addressof(header))


def _filter(architecture: int, column: int, pid: int) -> list[tuple[int, int, int, int]]:
    """The program that the kernel runs at each system call: operation, jump if true, jump if false, operand.

    A jump is the number of instructions to skip.
    """
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_IF_AT_LEAST, 0, 1, _FIRST_UNKNOWN),
        (_RETURN, 0, 0, _ABSENT),
    ]
    for number in _numbers(_REFUSED, column):
        code += [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    for number in _numbers(_ONLY_ON_ITSELF, column):
        code += [
            (_IF_EQUAL, 0, 5, number),
            (_LOAD, 0, 0, _ARGUMENTS_AT),
            (_IF_EQUAL, 2, 0, 0),
            (_IF_EQUAL, 1, 0, pid),
            (_RETURN, 0, 0, _REFUSE),
            (_RETURN, 0, 0, _ALLOW),
        ]
    for table, argument in ((_OPEN, 1), (_OPENAT, 2)):
        for number in _numbers(table, column):
            code += [
                (_IF_EQUAL, 0, 4, number),
                (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument),
                (_IF_ANY_BIT, 0, 1, writing),
                (_RETURN, 0, 0, _REFUSE),
                (_RETURN, 0, 0, _ALLOW),
            ]
    return [*code, (_RETURN, 0, 0, _ALLOW)]


def _numbers(table: str, column: int) -> list[int]:
    rows = (row.split() for row in table.split(","))
    return [int(row[column]) for row in rows if row[column] != "-"]
