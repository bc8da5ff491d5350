"""Whatever a text does to a worker, each call gets its own answer in time, and no process is left."""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from envs.grading import GraderError
from envs.sandbox import Reply, ReplyStatus, Sandbox, client
from envs.sandbox.confine import Layer
from tests.kit.soak import OPERATIONS, soak

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 0.4
SOON_S = 30.0  # for calls that take milliseconds, on a busy machine


def make(**settings: Any) -> Sandbox:
    return Sandbox(OPERATIONS, **{"timeout_s": TIMEOUT_S, "memory_mb": 256, **settings})


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with make() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared: Sandbox) -> Iterator[Sandbox]:
    yield shared
    value = os.urandom(4).hex()
    assert shared.call("echo", value=value) == ok(value)  # it still works after every test


@pytest.fixture
def victim() -> Iterator[int]:
    """A process that workers try to signal and to inspect."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


def ok(value: Any) -> Reply:
    return Reply(status=ReplyStatus.OK, value=value, detail="")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def still_alive(pids: list[int], within_s: float = SOON_S) -> list[int]:
    due = time.monotonic() + within_s
    while any(map(alive, pids)) and time.monotonic() < due:
        time.sleep(0.01)
    return [pid for pid in pids if alive(pid)]


def needs(sandbox: Sandbox, *layers: Layer) -> None:
    if missing := set(layers) - sandbox.confinement:
        pytest.skip(f"no {', '.join(missing)} here")


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -0.0,
        5e-324,
        2**63,
        "ä🙂\u202e\x00\n\u2028",
        "\ud800",
        str(10**4000),
        [],
        {"a": [1, {"b": None}], "": "{}"},
        "x" * 60_000,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_json_survives_the_round_trip(sandbox: Sandbox, value: Any) -> None:
    assert sandbox.call("echo", value=value) == ok(value)


@pytest.mark.parametrize("name", ["ValueError", "KeyError", "AssertionError", "TimeoutError", "OSError"])
def test_an_ordinary_exception_is_a_crash_and_the_worker_stays(sandbox: Sandbox, name: str) -> None:
    pid = sandbox.call("describe").value["pid"]
    reply = sandbox.call("fail", name=name)
    assert reply.status is ReplyStatus.CRASH and reply.value is None and reply.detail.startswith(f"{name}: ")
    assert sandbox.call("describe").value["pid"] == pid


def test_details_are_short_and_plain(sandbox: Sandbox) -> None:
    hostile = "ä\x1b[31m\n\u202e\\"
    assert sandbox.call("fail", name="ValueError", message=hostile).detail == (
        r"ValueError: \xe4\x1b[31m\n\u202e" + "\\"
    )
    assert len(sandbox.call("fail", name="ValueError", message="\x00" * 10_000).detail) == 300


@pytest.mark.parametrize(
    ("operation", "arguments", "detail"),
    [
        ("fail", {"name": "MemoryError"}, "MemoryError: on purpose"),
        ("fail", {"name": "KeyboardInterrupt"}, "KeyboardInterrupt: on purpose"),
        ("fail", {"name": "GeneratorExit"}, "GeneratorExit: on purpose"),
        ("exit_python", {}, "SystemExit: 0"),
        ("recurse", {}, "RecursionError: "),
        ("grab_at_once", {}, "MemoryError"),
        ("exit_quietly", {}, "the worker ended: exit status 0"),
        ("kill_itself", {}, "the worker ended: SIGKILL"),
        ("segfault", {}, "the worker ended: SIGSEGV"),
        ("abort", {}, "the worker ended: SIGABRT"),
        ("close_reply", {}, "the worker ended: SIGKILL"),
    ],
)
def test_breaking_a_worker_is_a_crash_and_the_worker_is_replaced(
    sandbox: Sandbox, operation: str, arguments: dict[str, Any], detail: str
) -> None:
    pid = sandbox.call("describe").value["pid"]
    reply = sandbox.call(operation, **arguments)
    assert reply.status is ReplyStatus.CRASH and reply.value is None and reply.detail.startswith(detail)
    assert sandbox.call("describe").value["pid"] != pid
    assert not alive(pid)


def test_filling_memory_ends_at_the_limit_of_memory() -> None:
    with make(timeout_s=SOON_S) as sandbox:  # so much time that memory, not time, runs out first
        pid = sandbox.call("describe").value["pid"]
        reply = sandbox.call("grab_slowly")
        assert (reply.status, reply.value) == (ReplyStatus.CRASH, None)
        assert reply.detail.startswith("MemoryError")
        assert sandbox.call("describe").value["pid"] != pid and not alive(pid)


@pytest.mark.parametrize("operation", ["hang", "hang_in_c"])
def test_a_hang_ends_at_the_time_limit(sandbox: Sandbox, operation: str) -> None:
    pid = sandbox.call("describe").value["pid"]
    start = time.monotonic()
    reply = sandbox.call(operation)
    assert TIMEOUT_S <= time.monotonic() - start < TIMEOUT_S + SOON_S
    assert reply == Reply(status=ReplyStatus.TIMEOUT, value=None, detail="0.4 s")
    assert not alive(pid)
    start = time.monotonic()
    assert sandbox.call("echo", value=1) == ok(1)
    assert time.monotonic() - start < SOON_S


def test_the_time_limit_counts_processor_time() -> None:
    with make(timeout_s=1.0) as sandbox:
        pid = sandbox.call("describe").value["pid"]
        hanging = threading.Thread(target=sandbox.call, args=("hang",))
        start = time.monotonic()
        hanging.start()
        time.sleep(0.05)
        os.kill(pid, signal.SIGSTOP)  # as if other processes had the processor
        hanging.join(1.3)
        assert hanging.is_alive() and alive(pid)
        os.kill(pid, signal.SIGCONT)
        hanging.join(SOON_S)
        assert not hanging.is_alive() and time.monotonic() - start > 2
        assert sandbox.call("nap", seconds=0.5, value=1) == ok(1)


def test_a_worker_that_does_not_compute_ends_at_the_wall_limit() -> None:
    with make(timeout_s=2.0, wall_timeout_s=0.3) as sandbox:
        for operation, arguments in (("drip", {}), ("nap", {"seconds": 60})):
            pid = sandbox.call("describe").value["pid"]
            start = time.monotonic()
            reply = sandbox.call(operation, **arguments)
            assert 0.3 <= time.monotonic() - start < SOON_S
            assert reply == Reply(status=ReplyStatus.TIMEOUT, value=None, detail="0.3 s of waiting")
            assert not alive(pid)
    with pytest.raises(ValueError, match="wall_timeout_s=0"):
        Sandbox(OPERATIONS, wall_timeout_s=0)


@pytest.mark.parametrize(
    ("text", "repeat", "detail"),
    [
        ("x\n", 1, "not JSON"),
        ("\n", 1, "not JSON"),
        ("\xff\xfe\n", 1, "not JSON"),
        ("[" * 60_000 + "\n", 1, "not JSON: RecursionError"),
        ("[" * 80 + "]" * 80 + "\n", 1, "nested too deep"),
        ("9" * 5000 + "\n", 1, "not JSON"),
        ('{"id":1e999}\n', 1, "not JSON"),
        ('{"id":NaN}\n', 1, "not JSON"),
        ('{"id":"0","value":1}\n', 1, "not a reply to the request"),
        ('{"id":"0","value":1}\n', 3, "more than one line"),
        ("partial", 1, "not JSON"),  # completed by the reply that follows
        ("x", 100_000, "too long"),
    ],
    ids=range(12),
)
def test_an_invalid_reply_from_a_worker_is_a_crash(
    sandbox: Sandbox, text: str, repeat: int, detail: str
) -> None:
    reply = sandbox.call("write_reply", text=text, repeat=repeat)
    assert reply.status is ReplyStatus.CRASH and reply.value is None
    assert reply.detail.startswith("no valid reply: ")
    # The second of two lines may be found later; the reply is invalid in both cases.
    assert detail in reply.detail or "more than one line" in reply.detail


def test_a_worker_cannot_answer_for_another_call(sandbox: Sandbox) -> None:
    assert sandbox.call("forge", value="forged").status is ReplyStatus.CRASH
    for pause_s in (0.0, 0.1):
        text = '{"id":"0","value":"forged"}\n'
        assert sandbox.call("write_late", text=text) == ok(text)
        time.sleep(pause_s)
        assert sandbox.call("echo", value="own") == ok("own")


def test_replies_have_a_maximum_length(sandbox: Sandbox) -> None:
    assert sandbox.call("long_reply", length=65_000).status is ReplyStatus.OK
    assert sandbox.call("long_reply", length=66_000).detail == "reply too long"
    assert sandbox.call("deep_reply", depth=30).status is ReplyStatus.OK
    assert sandbox.call("deep_reply", depth=100).detail == "no valid reply: nested too deep"


def test_an_error_of_the_caller_is_no_reply(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match=r"unknown operation 'ecko'; did you mean 'echo'\? known: .*hang"):
        sandbox.call("ecko", value=1)
    for hidden in ("_try", "Path", "ctypes", "warm_up"):
        with pytest.raises(ValueError, match="unknown operation"):
            sandbox.call(hidden)
    with pytest.raises(ValueError, match=r"'echo' got \(val\), but takes \(value\); missing: value"):
        sandbox.call("echo", val=1)
    with pytest.raises(ValueError, match=r"'hang' got \(value\), but takes \(\)"):
        sandbox.call("hang", value=1)
    with pytest.raises(ValueError, match="JSON"):
        sandbox.call("echo", value=math.nan)
    with pytest.raises(TypeError, match="not JSON serializable"):
        sandbox.call("echo", value=object())
    with pytest.raises(ValueError, match="at most"):
        sandbox.call("echo", value="x" * 600_000)
    with pytest.raises(ValueError, match="timeout_s=0"):
        Sandbox(OPERATIONS, timeout_s=0)


def test_a_worker_inherits_nothing_from_its_client(sandbox: Sandbox) -> None:
    with Path(os.devnull).open() as file:
        os.set_inheritable(file.fileno(), True)
        with make() as fresh:
            worker = fresh.call("describe").value
    assert worker["environment"] == {}
    assert worker["session"] == worker["pid"]
    assert worker["files"][:3] == [0, 1, 2] and len(worker["files"]) == 5
    assert not {"torch", "ray", "numpy", "pydantic", "envs"} & set(worker["modules"])


def test_a_worker_cannot_change_files(sandbox: Sandbox, tmp_path: Path) -> None:
    needs(sandbox, Layer.LANDLOCK, Layer.SECCOMP)
    there = tmp_path / "there"
    there.write_text("as it was")
    before = there.stat()
    outcome = sandbox.call("change_files", folder=str(tmp_path)).value
    assert set(outcome.values()) == {"PermissionError"}, outcome
    assert list(tmp_path.iterdir()) == [there] and there.read_text() == "as it was"
    assert (there.stat().st_mode, there.stat().st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


def test_a_worker_cannot_reach_the_outside(sandbox: Sandbox, victim: int) -> None:
    needs(sandbox, Layer.LANDLOCK, Layer.SECCOMP)
    outcome = sandbox.call("reach_out", pid=victim).value
    assert set(outcome.values()) == {"PermissionError"}, outcome
    zygote = sandbox.zygote_pid
    assert "PermissionError" in sandbox.call("kill_zygote").detail
    assert "PermissionError" in sandbox.call("fork_bomb").detail
    assert sandbox.zygote_pid == zygote
    assert alive(victim)


@pytest.mark.parametrize(
    ("layer", "refused"),
    [
        (
            Layer.LANDLOCK,
            "touch append truncate remove rename link symlink mkdir fifo "
            "subprocess exec kill ptrace memory environment tcp",
        ),
        (
            Layer.SECCOMP,
            "touch append truncate remove rename link symlink mkdir fifo chmod times "
            "fork subprocess exec kill signal_all limits priority ptrace tcp unix",
        ),
    ],
)
def test_each_layer_holds_alone(tmp_path: Path, victim: int, layer: Layer, refused: str) -> None:
    (tmp_path / "there").write_text("as it was")
    with make(layers=[layer]) as alone:
        needs(alone, layer)
        assert alone.confinement == {layer}
        outcome = alone.call("change_files", folder=str(tmp_path)).value
        outcome |= alone.call("reach_out", pid=victim).value
        assert {name: outcome[name] for name in refused.split() if outcome[name] != "PermissionError"} == {}
        assert "PermissionError" in alone.call("kill_zygote").detail
    assert alive(victim)


def test_without_the_kernels_help_files_stay_empty(tmp_path: Path) -> None:
    with make(layers=[Layer.LIMITS]) as weak:
        assert weak.confinement == {Layer.LIMITS}
        assert weak.call("write_file", path=str(tmp_path / "canary")).value == "OSError"
    assert (tmp_path / "canary").stat().st_size == 0


@pytest.mark.parametrize(
    ("then", "status"),
    [
        ("", ReplyStatus.OK),
        ("hang", ReplyStatus.TIMEOUT),
        ("exit_quietly", ReplyStatus.CRASH),
        ("kill_itself", ReplyStatus.CRASH),
    ],
)
def test_without_the_kernels_help_no_process_is_left(then: str, status: ReplyStatus) -> None:
    with make(layers=[Layer.LIMITS]) as weak:
        zygote = weak.zygote_pid
        reply = weak.call("leave_processes", then=then)
        assert reply.status is status
        if status is not ReplyStatus.OK:
            assert descendants(weak) <= 1  # the next worker
            assert weak.call("echo", value=1) == ok(1)
        pids = [weak.zygote_pid or 0, *(reply.value or [])]
        assert zygote in (None, weak.zygote_pid)
    assert still_alive(pids, within_s=0) == []


def test_without_the_kernels_help_no_process_of_a_fork_bomb_is_left() -> None:
    with make(layers=[Layer.LIMITS], wall_timeout_s=1.5) as weak:
        assert weak.call("echo", value=1) == ok(1)
        zygote = weak.zygote_pid
        assert weak.call("fork_bomb").status is ReplyStatus.TIMEOUT
        assert descendants(weak) <= 1 and weak.zygote_pid == zygote
    assert still_alive([zygote or 0], within_s=0) == []


def descendants(sandbox: Sandbox) -> int:
    """Number of descendants of the zygote, dead or alive."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = {sandbox.zygote_pid}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return len(found) - 1


def test_a_worker_that_kills_its_zygote_twice_is_an_error() -> None:
    with make(layers=[Layer.LIMITS]) as weak:
        assert weak.call("echo", value=1) == ok(1)
        with pytest.raises(GraderError, match=r"failed 2 times: the zygote ended with -9"):
            weak.call("kill_zygote")
        assert weak.call("echo", value=2) == ok(2)


@pytest.mark.slow
def test_a_lost_zygote_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with make(timeout_s=2.0) as sandbox:
        worker = sandbox.call("describe").value["pid"]
        zygotes = {sandbox.zygote_pid}
        os.kill(sandbox.zygote_pid or 0, signal.SIGKILL)
        assert sandbox.call("echo", value="between calls") == ok("between calls")
        zygotes.add(sandbox.zygote_pid)
        workers = [worker, sandbox.call("describe").value["pid"]]
        left: list[int] = []

        def kill(zygote: int) -> None:
            os.kill(zygote, signal.SIGKILL)
            left.extend(still_alive(workers, within_s=0.6))  # the second one sleeps for 0.8 s

        killer = threading.Timer(0.1, kill, (sandbox.zygote_pid,))
        killer.start()
        assert sandbox.call("nap", seconds=0.8, value="in a call") == ok("in a call")
        killer.join()
        zygotes.add(sandbox.zygote_pid)
        assert len(zygotes) == 3
        assert left == []
    monkeypatch.setattr(client, "GRACE_S", 0.2)
    with make(wall_timeout_s=1.5) as sandbox:
        assert sandbox.call("echo", value=1) == ok(1)
        os.kill(sandbox.zygote_pid or 0, signal.SIGSTOP)
        assert sandbox.call("echo", value="frozen") == ok("frozen")


def test_after_a_worker_is_killed_from_outside_the_call_is_repeated(sandbox: Sandbox) -> None:
    pid = sandbox.call("describe").value["pid"]
    os.kill(pid, signal.SIGKILL)
    assert sandbox.call("echo", value=1) == ok(1)
    pid = sandbox.call("describe").value["pid"]
    killer = threading.Timer(0.1, os.kill, (pid, signal.SIGKILL))
    killer.start()
    assert sandbox.call("nap", seconds=0.25, value=2) == ok(2)
    killer.join()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def broken(:\n", r"cannot load .*operations\.py: SyntaxError: .*line 1\)"),
        ("import no_such_library", r"cannot load .*ModuleNotFoundError: No module named 'no_such_library'"),
        ("def warm_up():\n    raise SystemExit('not today')", r"cannot load .*SystemExit: not today"),
        ("import os\nos._exit(3)", r"the zygote ended with 3: nothing on stderr"),
        (None, r"cannot load .*FileNotFoundError: .*operations\.py"),
    ],
)
def test_a_failed_start_has_a_reason(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "operations.py"
    if text is not None:
        path.write_text(text)
    with Sandbox(path) as sandbox:
        with pytest.raises(GraderError, match=reason):
            sandbox.call("echo")
        assert sandbox.zygote_pid is None


def test_too_little_memory_to_start_is_reported() -> None:
    with (
        make(memory_mb=1) as sandbox,
        pytest.raises(GraderError, match=r"memory_mb=1 is too little: .* at least \d+"),
    ):
        sandbox.call("echo", value=1)


def test_operations_warm_up_once_and_may_print(tmp_path: Path) -> None:
    path = tmp_path / "operations.py"
    path.write_text(
        textwrap.dedent("""
        import os
        print("imported")
        WARMED = []

        def warm_up():
            print("warm", flush=True)
            os.write(1, b"{}")
            WARMED.append(os.getpid())

        def warmed() -> list[int]:
            print("asked", flush=True)
            return [*WARMED, os.getppid()]

        def no_json():
            return {1, 2}
        """)
    )
    with Sandbox(path) as sandbox:
        reply = sandbox.call("warmed")
        assert reply == ok([sandbox.zygote_pid] * 2)
        assert sandbox.call("no_json").detail.startswith("TypeError: ")


def test_a_package_warms_up_an_operation_before_its_first_call(tmp_path: Path) -> None:
    """What a warm-up imports is there for all later workers, and costs none of a call's time."""
    folder = tmp_path / "operations"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        textwrap.dedent("""
        import time
        from . import heavy

        def warm_up_use():
            end = time.process_time() + 0.6
            while time.process_time() < end:
                pass
            heavy.USED.append("warm")

        def use() -> list[str]:
            heavy.USED.append("call")
            return heavy.USED

        def look() -> list[str]:
            return heavy.USED
        """)
    )
    (folder / "heavy.py").write_text("USED = []\n")
    with Sandbox(folder, timeout_s=0.4, calls_per_worker=2) as sandbox:
        assert sandbox.call("look") == ok([])
        assert sandbox.call("use") == ok(["warm", "call"])
        assert sandbox.call("use") == ok(["warm", "call", "call"])
        assert sandbox.call("use") == ok(["warm", "call"])  # of a new worker
        with pytest.raises(ValueError, match=r"unknown operation 'warm_up_use'"):
            sandbox.call("warm_up_use")


def test_a_worker_is_replaced_after_its_calls() -> None:
    with make(calls_per_worker=3) as sandbox:
        pids = [sandbox.call("describe").value["pid"] for _ in range(7)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]


def test_threads_get_their_own_answers(sandbox: Sandbox) -> None:
    def ask(thread: int) -> list[Any]:
        return [sandbox.call("echo", value=[thread, number]).value for number in range(50)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert answers == [[[thread, number] for number in range(50)] for thread in range(8)]


def test_an_interrupted_call_leaves_no_reply_behind() -> None:
    class Alarm(BaseException): ...

    def ring(number: int, frame: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    try:
        with make() as sandbox:
            assert sandbox.call("echo", value=1) == ok(1)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Alarm):
                sandbox.call("nap", seconds=0.1, value="too late")
            assert sandbox.call("nap", seconds=0.15, value="own") == ok("own")
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_pickled_sandbox_is_a_new_one(sandbox: Sandbox) -> None:
    with pickle.loads(pickle.dumps(sandbox)) as copy:
        assert copy.call("hang").detail == "0.4 s"
        assert copy.zygote_pid != sandbox.zygote_pid


def test_close_ends_everything_and_a_call_starts_again() -> None:
    sandbox = make()
    sandbox.close()
    for _ in range(2):
        pids = [sandbox.call("describe").value["pid"], sandbox.zygote_pid or 0]
        sandbox.close()
        sandbox.close()
        assert still_alive(pids, within_s=0) == []
        assert sandbox.zygote_pid is None
    pids = [sandbox.call("describe").value["pid"], sandbox.zygote_pid or 0]
    del sandbox
    assert still_alive(pids, within_s=0) == []


PREAMBLE = """
import ctypes, os, signal, sys, threading, time
from envs.sandbox import Sandbox
from tests.kit.soak import OPERATIONS
sandbox = Sandbox(OPERATIONS, timeout_s=30)
print(sandbox.call("describe").value["pid"], sandbox.zygote_pid, flush=True)
"""
HANG_IN_A_THREAD = """
threading.Thread(target=sandbox.call, args=("hang",), daemon=True).start()
time.sleep(0.2)
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)\n"
ENDINGS = {
    "returns": "",
    "raises": "raise SystemExit(3)",
    "is killed": KILL,
    "returns during a call": HANG_IN_A_THREAD,
    "is killed during a call": HANG_IN_A_THREAD + KILL,
    "is killed, its fork lives on": "if os.fork():\n    " + KILL + "else:\n    time.sleep(8)",
    # Forked without Python's knowledge, it keeps the pipes open.
    "is killed, its vfork lives on": "if ctypes.CDLL(None).fork():\n    " + KILL + "else:\n    time.sleep(8)",
}


@pytest.mark.slow
def test_nothing_outlives_the_client() -> None:
    clients = {
        how: subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + ending],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for how, ending in ENDINGS.items()
    }
    left = {}
    for how, process in clients.items():
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        process.wait(30)
        process.stdout.close()
        assert len(pids) == 2, how
        left[how] = still_alive(pids)
    assert left == {how: [] for how in ENDINGS}


def test_a_forked_client_has_processes_of_its_own() -> None:
    code = PREAMBLE + textwrap.dedent("""
        thread = threading.Thread(target=lambda: print(sandbox.call("nap", seconds=1, value="parent's").value))
        thread.start()
        time.sleep(0.2)  # the thread holds the lock now
        parents = sandbox.zygote_pid
        child = os.fork()
        if child == 0:
            assert sandbox.zygote_pid is None
            assert sandbox.call("echo", value=1).value == 1 and sandbox.zygote_pid != parents
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        thread.join()
        assert sandbox.call("echo", value=2).value == 2 and sandbox.zygote_pid == parents
        """)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[1:] == ["parent's"] and done.stderr == ""


@pytest.mark.slow
def test_soak() -> None:
    figures = soak(150, seed=0, timeout_s=TIMEOUT_S)
    assert (figures.num_wrong, figures.first_wrong) == (0, "")
    assert sum(figures.statuses.values()) == 150 and len(figures.statuses) == 3
    assert (figures.files_added, figures.zombies_added, figures.processes_left) == (0, 0, 0)
