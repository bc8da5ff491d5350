"""A run of seconds with a warm start, GRPO in two updates a batch, a reward with a history, and evaluations.

In: a folder and arguments of `stride train`. Out: what must be equal in two runs that were the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl.runs.log import metrics_log
from scripts.train import main
from tests.kit.fork_server import Driver, ForkServer
from tests.kit.tiny_config import write_tiny

CHANGES = """
warm_start: {updates: 6, num_problems: 24, batch_size: 8, micro_batch_size: 4, learning_rate: 3.0e-3}
rollout: {max_new_tokens: 24}
rewards:
  terms:
    - {name: correct, weight: 1.0}
    - {name: format, weight: 0.2}
    - {name: length_over_history, weight: -0.1}
    - {name: token_count, weight: -0.2}
grpo: {updates: 6, num_iterations: 2, max_resamples: 1}
eval: {num_problems: 3, every: 3, every_problems: 2}
"""


def train(folder: Path, *arguments: str) -> None:
    """Run it in this process."""
    main(_arguments(folder, arguments))


def start(server: ForkServer, folder: Path, *arguments: str, **how: Any) -> Driver:
    """Start it in a process of its own; `how`: see `ForkServer.train`."""
    return server.train(_arguments(folder, arguments), **how)


def _arguments(folder: Path, arguments: Sequence[str]) -> list[str]:
    config = write_tiny(folder.parent / "small.yaml", CHANGES)
    return [str(config), f"output_dir={folder}", *arguments]


def digests(folder: Path) -> list[str]:
    """The final weights of each stage, and the best ones."""
    return [
        hashlib.sha256((folder / "models" / name / "model.safetensors").read_bytes()).hexdigest()
        for name in ("warm", "grpo", "best")
    ]


def untimed(folder: Path) -> list[tuple[Any, ...]]:
    """The logged updates without what tells the time."""
    times = ("seconds", "_per_s", "time")
    return [
        (row.stage, row.update, {k: v for k, v in row.metrics.items() if not any(time in k for time in times)})
        for row in metrics_log(folder).read()
    ]
