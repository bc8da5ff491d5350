"""A Ray head that asks for a token, on this machine, and jobs on it as `stride submit` sends them."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
_PORTS = (
    "port",
    "dashboard-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
    "ray-client-server-port",
    "object-manager-port",
    "node-manager-port",
)
NUM_UPDATES = 6
# Overrides of the cluster's config: cut down to a CPU actor and some updates of a model that knows nothing.
TINY = (
    "env.settings.train={'1_1': 1}",
    "env.settings.ood_easy={'2_1': 1}",
    "env.settings.ood_hard={'2_2': 1}",
    "policy.tiny={hidden_size: 32, num_layers: 1, num_heads: 2, intermediate_size: 64, max_positions: 128}",
    "warm_start={updates: 2, num_problems: 16, batch_size: 8}",
    "rollout.num_actors=1",
    "rollout.cpus_per_actor=0.5",
    "rollout.gpus_per_actor=0",
    "rollout.threads=1",
    "rollout.samples_per_problem=2",
    "rollout.max_prompt_tokens=32",
    "rollout.max_new_tokens=40",
    "rollout.problems_per_batch=1",
    f"grpo={{updates: {NUM_UPDATES}, problems_per_update: 2, max_resamples: 0}}",
    "eval={num_problems: 2, num_samples: 0, splits: [id]}",
    "device=cpu",
    "threads=1",
    "report_to=[]",
)


@dataclass(frozen=True, kw_only=True)
class RunningHead:
    """A running head node.

    Attributes:
        address: Of its dashboard.
        environment: Of its clients.
    """

    address: str
    environment: dict[str, str]

    def submit(self, folder: Path, *arguments: str) -> subprocess.Popen[str]:
        """`stride submit` in a folder."""
        command = [sys.executable, "-m", "scripts.cli", "submit", "--address", self.address, *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=folder, env=self.environment, stdout=pipe, stderr=pipe, text=True)


@contextmanager
def running_head() -> Iterator[RunningHead]:
    """Start a head, and leave no process and no file of it."""
    temp = Path(tempfile.mkdtemp(prefix="sj-", dir="/tmp"))  # sockets need a short path
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        # Ray listens on every interface, so a token is required.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_TMPDIR": str(temp),
        "OMP_NUM_THREADS": "1",
    }
    # Without PYTHONPATH on the cluster, a job finds its code in its working folder alone.
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "PYTHONPATH"):
        environment.pop(name, None)
    try:
        subprocess.run(
            [
                *(str(BIN / "ray"), "start", "--head", "--node-ip-address=127.0.0.1"),
                *("--dashboard-host=127.0.0.1", "--min-worker-port=0", "--max-worker-port=0"),
                *("--num-cpus=2", "--num-gpus=0", "--object-store-memory=100000000"),
                *(f"--temp-dir={temp}", "--disable-usage-stats"),
                *(f"--{name}={port}" for name, port in ports.items()),
            ],
            env=environment,
            check=True,
            capture_output=True,
            timeout=240,
        )
        client = {**environment, "PYTHONPATH": str(ROOT)}
        client.pop("RAY_AUTH_MODE")  # stride submit needs no word from the user
        yield RunningHead(address=f"http://127.0.0.1:{ports['dashboard-port']}", environment=client)
    finally:
        left = end_processes(str(temp))
        shutil.rmtree(temp, ignore_errors=True)
        assert not left


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def end_processes(mark: str) -> list[int]:
    """Kill the processes with `mark` in their command or environment, and their children; gives those left."""
    until = time.monotonic() + 20
    while (pids := marked_processes(mark)) and time.monotonic() < until:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.2)
    return pids


def marked_processes(mark: str) -> list[int]:
    marked: set[int] = set()
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            words = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if state == "Z":
            continue
        parents[int(folder.name)] = int(parent)
        if mark.encode() in words:
            marked.add(int(folder.name))
    while more := {pid for pid, parent in parents.items() if parent in marked} - marked:
        marked |= more
    return sorted(marked)
