"""Nodes that die while a run trains on three of them: it finishes on the rest, with the same weights.

In: when to kill which node, and whether another one joins. Out: the run's groups and weights, beside those of a
calm run. Where the head dies, or the node of the driver, the run ends, and says so. ``python -m tests.kit.chaos
nodes`` prints the figures.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.kit.chaos_actors import Outcome, compare, drive, train
from tests.kit.finding import Finding, share
from tests.kit.fork_server import ForkServer
from tests.kit.ray_nodes import RayNodes

UPDATES, MOMENTS = 20, 3
LOST_WITHIN_S = 30.0
"""Longest time from the death of the head, or of the driver's node, to the end of the run."""
_TRY_AGAIN = 75
# Each actor imports torch: on a busy machine, when all come back at once, that takes more than a minute.
_KEYS = ("rollout.cpus_per_actor=1", "rollout.start_deadline_s=240")


def run(scale: float) -> Iterator[Finding]:
    """Kill one node, then two, and one that is replaced, at random moments of a run."""
    updates = max(3, share(UPDATES, scale))
    with tempfile.TemporaryDirectory() as folder, ForkServer() as server:
        untroubled = train(server, Path(folder) / "calm", "rollout.backend=local", updates=updates)
        for moment in range(share(MOMENTS, scale)):
            for nodes, added in ((1, 0), (1, 1), (2, 0)):
                name = f"{nodes} of 3 nodes killed" + (", 1 added" if added else "")
                run = Path(folder) / f"{moment}-{nodes}-{added}"
                tried = lose_nodes(server, run, updates=updates, lost=nodes, added=added, seed=moment)
                yield compare(name, untroubled, tried)
        for lost, (name, _) in _SERVERS.items():
            found = [
                lose_server(server, Path(folder) / f"{lost}-{moment}", lost, seed=moment)
                for moment in range(share(MOMENTS, scale))
            ]
            longest = max(took for took, _ in found)
            yield Finding(
                test=f"{name} killed",
                size=len(found),
                figures=f"exit code {_TRY_AGAIN} and a line, at most {longest:.0f} s later",
                failures=tuple(f"{name}: {wrong}" for _, wrong in found if wrong),
            )


_SERVERS = {
    "gcs_server": ("the head", "the Ray cluster is lost: its head has not answered for "),
    "raylet": (
        "the node of the driver",
        "the Ray cluster is lost: this machine's node (the process raylet) has",
    ),
}


def lose_server(server: ForkServer, folder: Path, name: str, *, seed: int = 0) -> tuple[float, str]:
    """Train on a head with a worker node, and kill a server of the head after a few updates.

    Args:
        server: Forks the driver.
        folder: For the run.
        name: `gcs_server` or `raylet`.
        seed: Of the moment.

    Returns:
        Seconds from the death to the end of the run; what is wrong with that end, or "".
    """
    draw, killed = random.Random(seed), []
    at = draw.randrange(1, 4)
    with RayNodes(head_cpus=1, worker_cpus=2, workers=1) as nodes:

        def trouble(update: int, driver: int) -> int:
            if update == at:
                time.sleep(draw.random() * 0.1)
                killed.append(time.monotonic())
                nodes.kill_head(name)
            return update == at

        ended = drive(
            server, folder, *_KEYS, "rollout.num_actors=2",
            updates=10_000, trouble=trouble, environment=nodes.environment,
        )  # fmt: skip
        took = time.monotonic() - killed[0]
    last = ended.log.splitlines()[-1]
    if ended.code != _TRY_AGAIN or not last.startswith(f"error: {_SERVERS[name][1]}"):
        return took, f"exit code {ended.code}: {ended.log[-500:]}"
    if "Traceback" in ended.log:
        return took, f"a traceback: {ended.log[-2000:]}"
    return took, f"ended after {took:.0f} s" if took > LOST_WITHIN_S else ""


def lose_nodes(
    server: ForkServer,
    folder: Path,
    *keys: str,
    updates: int,
    lost: int,
    added: int,
    workers: int = 2,
    held_s: float = 0.0,
    seed: int = 0,
) -> Outcome:
    """Train on a head with worker nodes, of which some are killed and replaced.

    Args:
        server: Forks the driver.
        folder: For the run.
        keys: Further keys of its config.
        updates: Its length.
        lost: Nodes that are killed, each a moment after another update.
        added: Nodes that join after each.
        workers: Worker nodes.
        held_s: Seconds that the driver is held after each, so that it meets a death that is known.
        seed: Of the moments.
    """
    draw = random.Random(seed)
    at = sorted(draw.sample(range(1, updates // 2 + 1), lost))
    with RayNodes(head_cpus=1, worker_cpus=2, workers=workers) as nodes:

        def trouble(update: int, driver: int) -> int:
            if update not in at:
                return 0
            time.sleep(draw.random() * 0.1)
            os.kill(driver, signal.SIGSTOP)  # updates are short, and the run must not end before the node does
            try:
                nodes.kill(0)
                for _ in range(added):
                    nodes.add()
                time.sleep(held_s)
            finally:
                os.kill(driver, signal.SIGCONT)
            return 1

        return train(
            server, folder, *_KEYS, *keys, updates=updates, trouble=trouble, environment=nodes.environment
        )
