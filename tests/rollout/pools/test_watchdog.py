"""A private cluster ends with its driver, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from rollout.pools.watchdog import MARK, Watchdog, cluster_processes

STARTS = """
import os, signal, sys, time
def leave(number, frame): raise KeyboardInterrupt
for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background jobs ignore SIGINT, and so would this
    signal.signal(number, leave)
import ray
from rollout.pools import cluster
from rollout.pools.room import ActorSize
make = cluster.OwnedFolder
def show(**settings):
    folder = make(**settings); print(folder.path, flush=True); return folder
cluster.OwnedFolder = show
import ray._private.node as node
wait = node.wait_for_persisted_port  # for the first server, up to 30 s with the interpreter's lock held
def wait_later(*args, **kwargs):
    time.sleep(0.5)
    return wait(*args, **kwargs)
node.wait_for_persisted_port = wait_later
try:
    cluster.connect(num_actors=1, size=ActorSize(cpus=1, gpus=0))
    class Stopped:
        def pid(self): return os.getpid()
        def stop(self): os.kill(os.getpid(), signal.SIGSTOP)
    actor = ray.remote(Stopped).remote()
    print(ray.get(actor.pid.remote()), flush=True)
    actor.stop.remote()
    time.sleep(600)
except KeyboardInterrupt:
    sys.exit(143)
"""


def wait_for_nothing(folder: Path, limit_s: float) -> None:
    until = time.monotonic() + limit_s
    while (folder.exists() or cluster_processes(folder)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not cluster_processes(folder) and not folder.exists()


@pytest.mark.parametrize("ended", [True, False])
def test_what_is_left_is_killed_and_removed(ended: bool) -> None:
    folder = Path(tempfile.mkdtemp(prefix="stride-watched-"))
    sleep, null = ["sleep", "600"], subprocess.DEVNULL
    with (folder / "out").open("w") as out:
        left = [subprocess.Popen(sleep, stdout=out)]
    left.append(subprocess.Popen(sleep, stdout=null, stderr=null, env={**os.environ, MARK: str(folder)}))
    for process in left:
        process.send_signal(signal.SIGSTOP)
    assert sorted(cluster_processes(folder)) == sorted(process.pid for process in left)
    watchdog = Watchdog(folder)
    watchdog.finish(ended=ended, limit_s=20)
    assert [process.wait(5) for process in left] == [-signal.SIGKILL] * 2
    assert not folder.exists()


@pytest.mark.slow
def test_nothing_outlives_a_driver_that_is_killed() -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", STARTS], env={**os.environ, "RAY_ADDRESS": ""}, stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None
    folder, pid = Path(driver.stdout.readline().strip()), int(driver.stdout.readline())
    until = time.monotonic() + 30
    while "T" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert pid in cluster_processes(folder)
    driver.kill()
    driver.wait()
    wait_for_nothing(folder, 20)
    driver.stdout.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_ray_starts(number: signal.Signals) -> None:
    """The program's own handler answers at once, and what has been started is killed.

    Not before the process has ended: Ray would wait for it, and no thread could go on.
    """
    driver = subprocess.Popen(
        [sys.executable, "-c", STARTS], env={**os.environ, "RAY_ADDRESS": ""}, stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None
    folder = Path(driver.stdout.readline().strip())
    until = time.monotonic() + 30
    while not cluster_processes(folder):
        assert time.monotonic() < until
        time.sleep(0.01)
    try:
        driver.send_signal(number)
        assert driver.wait(60) == 143
        wait_for_nothing(folder, 20)
    finally:
        driver.kill()
        driver.wait()
        driver.stdout.close()
