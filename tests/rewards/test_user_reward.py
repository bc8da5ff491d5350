"""A user's own reward: it is found, runs in another process, and its failure is never a score."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from envs import GraderError
from rewards import History, RewardSum, Term, UnscoredError, UserReward, find_reward
from rewards.user import MAX_IN_A_ROW
from tests.kit.directional import TURNS, right, wrong

MODULE = """
import math, os, time
from pathlib import Path
from rewards import reward

@reward(when_wrong=(0, 0))
def brevity(problem, trace, *, limit=200):
    return max(0.0, 1 - trace.num_tokens / limit) if trace.correct else 0.0

@reward(group=True, history=True)
def spread(problem, traces, *, history):
    most = max(trace.num_tokens for trace in traces)
    return [trace.num_tokens / most * (0.5 if history.update == 7 else 1) for trace in traces]

class Half:
    def __float__(self):
        return 0.5

ODD = {1: math.nan, 2: math.inf, 3: -math.inf, 4: "0.5", 5: None, 6: 1e38, 7: -0.1, 8: [0.5], 9: 10**400}

def odd(problem, trace):
    return ODD.get(trace.num_tokens, 0.25)

def numbers(problem, trace):
    return {1: True, 2: Half(), 3: 1, 4: 0.25}[trace.num_tokens]

def raises(problem, trace):
    if trace.num_tokens == 13:
        raise KeyError("thirteen")
    return 1.0

def sulks_once(problem, trace):
    mark = Path(problem.prompt)
    if trace.num_tokens == 13 and not mark.exists():
        mark.touch()
        raise RuntimeError("once")
    return 1.0

def hangs(problem, trace):
    if trace.num_tokens == 13:
        while True:
            time.sleep(60)
    return 1.0

def dies(problem, trace):
    if trace.num_tokens == 13:
        os._exit(3)
    return 1.0

def holds_on(problem, trace):
    import re
    sleeper = start_sleeper()
    Path(problem.prompt).write_text(f"{os.getpid()} {os.getppid()} {sleeper} .")
    return float(bool(re.match(r"(a+)+$", "a" * 60 + "b")))

def start_sleeper():
    import subprocess
    return subprocess.Popen(["sleep", "600"], start_new_session=True).pid

def starts_others(problem, trace):
    Path(problem.prompt).write_text(f"{start_sleeper()} .")
    time.sleep(600)

def fills(problem, trace):
    if trace.num_tokens == 13:
        held = [bytearray(b"x") * 2**24 for _ in range(20)]
        time.sleep(600)
    return 1.0

def fills_together(problem, trace):
    mine = bytearray(b"x") * (150 * 2**20)
    if trace.num_tokens == 13 and os.fork() == 0:
        theirs = bytearray(b"x") * (150 * 2**20)
        time.sleep(600)
    time.sleep(0.5 if trace.num_tokens != 13 else 600)
    return 1.0

def reserves(problem, trace):
    import mmap
    shared = bytearray(b"x") * (150 * 2**20)
    with open(problem.prompt, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    reserved = mmap.mmap(-1, 2**31, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if os.fork() == 0:  # shares what this one holds
        time.sleep(600)
    read = sum(mapped[at] for at in range(0, len(mapped), 4096))
    time.sleep(0.5)
    return 1.0

def needs(problem, trace, *, limit):
    return 1.0

@reward(group=True)
def too_few(problem, traces):
    return [1.0] * (len(traces) - 1)

@reward(group=True)
def no_list(problem, traces):
    return 1.0

def own_pid(problem, trace):
    Path(problem.prompt).write_text(str(os.getpid()))
    return 1.0

def misses(problem, trace, text):
    return 0.0

def other_names(task, sample):
    return 0.25

@reward(group=True)
def other_names_of_a_group(task, samples):
    return [0.5 for _ in samples]

def undeclared_group(problem, traces):
    return [0.0 for _ in traces]

@reward(group=True)
def no_group(problem, trace):
    return 0.0

def undeclared_history(problem, trace, *, history=None):
    return 0.0

@reward(history=True)
def no_history(problem, trace):
    return 0.0

@reward(limit=True)
def no_limit(problem, trace, limit):
    return 0.0

@reward(ascending=("low", "high"))
def no_high(problem, trace, *, low):
    return 0.0

@reward(history=True)
def places_history(problem, trace, *history):
    return 0.0

@reward(limit=True)
def within(problem, trace, *, limit):
    return float(trace.num_tokens <= limit)

@reward(budget=True, when_wrong=(0, 0))
def on_budget(problem, trace):
    return 0.0

@reward(when_right=1)
def no_pair(problem, trace):
    return 1.0

@reward(when_right=(2, 1))
def upside_down(problem, trace):
    return 1.0

number = 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "house").mkdir()
    (tmp_path / "house/__init__.py").touch()
    (tmp_path / "house/rules.py").write_text(MODULE)
    (tmp_path / "leaves.py").write_text("raise SystemExit(2)\n")
    (tmp_path / "broken.py").write_text("import no_such_thing_here\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name in ("house.rules", "house", "broken", "leaves"):
        sys.modules.pop(name, None)


@pytest.fixture
def own() -> Iterator[list[UserReward]]:
    made: list[UserReward] = []
    yield made
    for each in made:
        each.close()


def find(own: list[UserReward], function: str, timeout_s: float = 60.0, **limits: float) -> UserReward:
    found = find_reward(f"house.rules:{function}", timeout_s=timeout_s, **limits)
    assert isinstance(found, UserReward)
    own.append(found)
    return found


def test_it_is_a_term_like_any_other(own: list[UserReward]) -> None:
    rewards = RewardSum(
        [
            Term(name="correct", weight=1.0),
            Term(name="house.rules:brevity", weight=0.5, args={"limit": 100}),
            Term(name="house.rules:spread", weight=-0.4, gate="correct"),
        ]
    )
    scores = rewards(TURNS, [right(50), wrong(20)], History(update=7))
    rewards.close()
    # 1 - 50 / 100, half of it; 50 / 50, times 0.5 at update 7.
    assert scores[0].parts == pytest.approx(
        {"correct": 1.0, "house.rules:brevity": 0.25, "house.rules:spread": -0.2}
    )
    assert scores[1].total == 0.0
    assert rewards.reads_history


def test_any_number_is_accepted(own: list[UserReward]) -> None:
    values = find(own, "numbers")(TURNS, [right(n) for n in (1, 2, 3, 4)])
    assert values == [1.0, 0.5, 1.0, 0.25]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (1, "gave nan, which is no finite number"),
        (2, "gave inf, which is no finite number"),
        (3, "gave -inf, which is no finite number"),
        (4, "gave '0.5', which is no finite number"),
        (5, "gave None, which is no finite number"),
        (
            6,
            "gave 1e+38 for a right answer, outside [0, 1]; declare its range with @reward(when_right=",
        ),
        (7, "gave -0.1 for a right answer, outside [0, 1]"),
        (8, "gave [0.5], which is no finite number"),
        (9, "which is no finite number"),
    ],
)
def test_an_invalid_value_leaves_its_sample_unscored(own: list[UserReward], tokens: int, expected: str) -> None:
    with pytest.raises(UnscoredError) as caught:
        find(own, "odd")(TURNS, [right(20), right(tokens), right(21)])
    assert list(caught.value.failures) == [1]
    message = caught.value.failures[1]
    assert message.startswith("reward 'house.rules:odd' gave ") and expected in message
    assert "on directional/train/0, text 'west. right, around" in message


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("raises", "raised KeyError: 'thirteen'"),
        ("dies", "ended its process (exit code 3)"),
        pytest.param("hangs", "took more than 5 s (rewards.timeout_s)", marks=pytest.mark.slow),
    ],
)
def test_a_failure_on_one_sample_leaves_the_others_scored(
    own: list[UserReward], function: str, expected: str
) -> None:
    found = find(own, function, timeout_s=5.0)
    with pytest.raises(UnscoredError) as caught:
        found(TURNS, [right(1), right(13), right(2)])
    assert list(caught.value.failures) == [1] and expected in str(caught.value)
    assert found(TURNS, [right(1), right(2)]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("too_few", "gave 2 values for 3 traces"),
        ("no_list", "raised TypeError: 'float' object is not iterable"),
    ],
)
def test_a_failure_on_a_group_leaves_the_whole_group_unscored(
    own: list[UserReward], function: str, expected: str
) -> None:
    with pytest.raises(UnscoredError) as caught:
        find(own, function)(TURNS, [right(1), right(13), right(2)])
    assert list(caught.value.failures) == [0, 1, 2] and expected in str(caught.value)


def test_an_exception_is_tried_once_more(own: list[UserReward], tmp_path: Path) -> None:
    problem = replace(TURNS, prompt=str(tmp_path / "mark"))
    assert find(own, "sulks_once")(problem, [right(1), right(13)]) == [1.0, 1.0]
    assert (tmp_path / "mark").exists()


def test_a_pickled_reward_is_found_again_by_name(own: list[UserReward], tmp_path: Path) -> None:
    found = find(own, "own_pid")
    problem = replace(TURNS, prompt=str(tmp_path / "pid"))
    found(problem, [right(1)])
    first = int((tmp_path / "pid").read_text())
    assert first != os.getpid()
    again = pickle.loads(pickle.dumps(found))
    own.append(again)
    again(problem, [right(1)])
    assert int((tmp_path / "pid").read_text()) not in (first, os.getpid())


@pytest.mark.slow
def test_a_reward_that_keeps_failing_ends_the_run(own: list[UserReward]) -> None:
    found = find(own, "raises")
    for _ in range(MAX_IN_A_ROW - 1):
        with pytest.raises(UnscoredError):
            found(TURNS, [right(13)])
    with pytest.raises(
        GraderError, match=r"'house.rules:raises' raised KeyError: 'thirteen', on .* 8 times in a row"
    ):
        found(TURNS, [right(13)])


def started(mark: Path) -> list[int]:
    """The process ids that a function writes to a file, once it has."""
    deadline = time.monotonic() + 60
    while not (mark.exists() and mark.read_text().endswith(".")) and time.monotonic() < deadline:
        time.sleep(0.02)
    return [int(pid) for pid in mark.read_text().split()[:-1]]


def left(pids: list[int], *, within_s: float = 60.0) -> list[int]:
    """The processes that have not ended in time."""
    deadline = time.monotonic() + within_s
    while (found := [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


@pytest.mark.slow
def test_processes_that_it_started_end_with_it(own: list[UserReward], tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    with pytest.raises(UnscoredError, match="took more than 6 s"):
        find(own, "starts_others", timeout_s=6.0)(replace(TURNS, prompt=str(mark)), [right(1)])
    assert left(started(mark)) == []


@pytest.mark.slow
def test_it_does_not_outlive_a_run_that_is_killed(tmp_path: Path) -> None:
    """Not even if it holds the interpreter lock, so that none of its threads could notice."""
    mark = tmp_path / "pids"
    child = os.fork()
    if child == 0:
        try:
            UserReward("house.rules:holds_on", timeout_s=600)(replace(TURNS, prompt=str(mark)), [right(1)])
        finally:
            os._exit(0)
    pids = started(mark)
    assert len(pids) == 3 and left(pids, within_s=0) == pids
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert left(pids) == []


def test_it_does_not_end_with_the_thread_that_asked_first(own: list[UserReward], tmp_path: Path) -> None:
    found, mark = find(own, "own_pid"), tmp_path / "pid"
    problem, pids = replace(TURNS, prompt=str(mark)), []
    for ask in (lambda act: run_in_thread(act), lambda act: act()):
        ask(lambda: found(problem, [right(1)]))
        pids.append(int(mark.read_text()))
        time.sleep(0.3)  # a few looks of its supervisor
    assert pids[0] == pids[1]


def run_in_thread(act: Callable[[], object]) -> None:
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("function", ["fills", "fills_together"])
def test_too_much_memory_ends_it(own: list[UserReward], function: str) -> None:
    found = find(own, function, memory_gib=0.25)
    with pytest.raises(UnscoredError) as caught:
        found(TURNS, [right(1), right(13), right(2)])
    assert list(caught.value.failures) == [1]
    assert str(caught.value).startswith(
        f"reward 'house.rules:{function}' held more than 0.25 GiB of memory (rewards.memory_gib), on "
    )
    assert found(TURNS, [right(1)]) == [1.0]


def test_memory_counts_once_and_only_if_it_is_held(own: list[UserReward], tmp_path: Path) -> None:
    """Neither what is reserved, nor the pages of a file, nor twice what two processes share."""
    big = tmp_path / "big"
    big.write_bytes(bytes(150 * 2**20))
    assert find(own, "reserves", memory_gib=0.25)(replace(TURNS, prompt=str(big)), [right(1)]) == [1.0]


def test_its_folder_may_hold_anything(own: list[UserReward], tmp_path: Path) -> None:
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs/__init__.py").write_text("raise RuntimeError('not the right one')\n")
    assert find(own, "numbers")(TURNS, [right(3)]) == [1.0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "no.such.module:f",
            r"cannot import no\.such\.module: ModuleNotFoundError: .*; give package\.module:function",
        ),
        ("broken:f", "cannot import broken: ModuleNotFoundError: No module named 'no_such_thing_here'"),
        (
            "house.rules:brevty",
            r"house.rules has no function 'brevty'; did you mean 'brevity'\? it has: brevity, ",
        ),
        ("house.rules:number", "house.rules has no function 'number'"),
        (
            "house.rules:misses",
            r"takes \(problem, trace, text\); it must take \(problem, trace\), or \(problem, traces\) with "
            r"@reward\(group=True\), and keywords after a '\*'$",
        ),
        (
            "house.rules:undeclared_group",
            r"^reward 'house.rules:undeclared_group' takes \(problem, traces\) but declares no group; write "
            r"@reward\(group=True\) above it$",
        ),
        (
            "house.rules:no_group",
            r"takes \(problem, trace\) but declares group=True; take \(problem, traces\), or leave group out$",
        ),
        (
            "house.rules:undeclared_history",
            r"takes history but does not declare it; write @reward\(history=True\)$",
        ),
        (
            "house.rules:no_history",
            r"declares history=True but takes no keyword 'history'; add it after a '\*', or leave history out",
        ),
        (
            "house.rules:no_high",
            r"declares ascending=\('low', 'high'\) but takes no keyword 'high'; add it after a '\*'",
        ),
        ("house.rules:places_history", "declares history=True but takes no keyword 'history'"),
        ("house.rules:no_limit", r"takes \(problem, trace, limit\); it must take \(problem, trace\)"),
        (
            "house.rules:upside_down",
            r"declares when_right=\(2, 1\); give two finite numbers, the smaller first",
        ),
    ],
)
def test_invalid_reward_names_are_refused_at_once(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_reward(name)


def test_group_rewards_are_declared_and_may_name_parameters_freely(own: list[UserReward]) -> None:
    assert find(own, "other_names")(TURNS, [right(1), right(2)]) == [0.25, 0.25]
    assert find(own, "other_names_of_a_group")(TURNS, [right(1), right(2)]) == [0.5, 0.5]


def test_it_gets_the_length_limit_and_is_known_to_need_a_budget() -> None:
    terms = [
        Term(name="correct", weight=1.0),
        Term(name="house.rules:within", weight=0.1),
        Term(name="house.rules:on_budget", weight=0.1),
    ]
    with closing(RewardSum(terms, length_limit=30)) as rewards:
        scores = rewards(TURNS, [right(30), right(31)])
    assert [score.parts["house.rules:within"] for score in scores] == [0.1, 0.0]
    assert rewards.on_budget == ("house.rules:on_budget",)


def test_its_weights_and_arguments_are_checked_too() -> None:
    correct = Term(name="correct", weight=1.0)
    with pytest.raises(
        ValueError, match=r"a right answer can earn as little as 1 and a wrong one as much as 2"
    ):
        RewardSum([correct, Term(name="house.rules:raises", weight=2.0)])
    RewardSum([correct, Term(name="house.rules:brevity", weight=2.0)])  # 0 where wrong, it says
    with pytest.raises(ValueError, match=r"'house.rules:needs' needs the argument 'limit'; give it in args"):
        RewardSum([correct, Term(name="house.rules:needs", weight=0.5)])
    with pytest.raises(ValueError, match="takes no argument 'limt'; did you mean 'limit'"):
        RewardSum([correct, Term(name="house.rules:brevity", weight=0.5, args={"limt": 5})])
