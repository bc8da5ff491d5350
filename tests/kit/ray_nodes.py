"""A Ray cluster of several nodes on this machine, in a process of its own, whose nodes can be killed and added.

`RayNodes` starts this file as that process and sends it a word a line: `kill N`, `add`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from rollout.pools.watchdog import end_cluster

ROOT = Path(__file__).resolve().parents[2]
# A node that does not answer is dead after 2 s instead of 15.
_HEALTH = {
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}


class RayNodes:
    """A head and worker nodes; a context manager that leaves nothing behind.

    Attributes:
        environment: What a driver needs to join it.
    """

    def __init__(self, *, head_cpus: int, worker_cpus: int, workers: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rn-", dir="/tmp"))  # sockets need a short path
        (self.folder / "ray").mkdir()
        settings = {
            **_HEALTH,
            "RAY_AUTH_MODE": "disabled",
            "RAY_TMPDIR": str(self.folder),
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, __file__, str(head_cpus), str(worker_cpus), str(workers)]
        environment = {**os.environ, **settings}
        environment.pop("RAY_ADDRESS", None)
        with (self.folder / "nodes.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        try:
            self.environment = {**settings, "RAY_ADDRESS": self._reply()}
        except BaseException:
            self.close()
            raise

    def kill(self, number: int) -> None:
        """Kill a worker node by SIGKILL of its raylet; the oldest has number 0."""
        self._ask(f"kill {number}")

    def freeze(self, number: int) -> None:
        """Stop a worker node's raylet (SIGSTOP)."""
        self._ask(f"freeze {number}")

    def add(self) -> None:
        """Add a worker node."""
        self._ask("add")

    def kill_head(self, name: str) -> None:
        """Kill a server of the head: `gcs_server` or `raylet`."""
        self._ask(f"head {name}")

    def close(self) -> None:
        """End all nodes and remove their files."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        end_cluster(self.folder, ended=True)

    def __enter__(self) -> RayNodes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        assert self._reply() == "done"

    def _reply(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"the nodes ended: {(self.folder / 'nodes.log').read_text()[-2000:]}")
        return line


def main() -> None:
    """Start the nodes, print the address, obey."""
    from ray.cluster_utils import Cluster

    head_cpus, worker_cpus, workers = map(int, sys.argv[1:])
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Ray prints
    head = {"num_cpus": head_cpus, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head, shutdown_at_exit=True)
    nodes = [cluster.add_node(num_cpus=worker_cpus) for _ in range(workers)]
    print(cluster.address, file=replies, flush=True)
    for line in sys.stdin:
        command, *words = line.split()
        if command == "add":
            nodes.append(cluster.add_node(num_cpus=worker_cpus))
        elif command == "head":
            os.kill(_server(cluster.head_node, words[0]), signal.SIGKILL)
        else:
            number = signal.SIGKILL if command == "kill" else signal.SIGSTOP
            os.kill(_server(nodes.pop(int(words[0])), "raylet"), number)
        print("done", file=replies, flush=True)


def _server(node: object, name: str) -> int:
    """The process of a node's server."""
    (info,) = node.all_processes[name]  # type: ignore[attr-defined]
    pid: int = info.process.pid
    return pid


if __name__ == "__main__":
    main()
