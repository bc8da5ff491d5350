"""Nodes that die while a run trains on three of them: it finishes on the rest, with the same weights.

In: when to kill which node, and whether another one joins. Out: the run's groups and weights, beside those of a
calm run. ``python -m tests.kit.chaos nodes`` prints the figures.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.kit.chaos_actors import Outcome, compare, train
from tests.kit.finding import Finding, share
from tests.kit.fork_server import ForkServer
from tests.kit.ray_nodes import RayNodes

UPDATES, MOMENTS = 20, 3


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

        keys = ("rollout.cpus_per_actor=1", "rollout.start_deadline_s=60", *keys)
        return train(server, folder, *keys, updates=updates, trouble=trouble, environment=nodes.environment)
