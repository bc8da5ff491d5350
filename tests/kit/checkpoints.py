"""Checkpoints written as a run writes them, with small files in place of a model's."""

from __future__ import annotations

from pathlib import Path

from rl.runs.checkpoints import checkpoints, save_checkpoint
from rl.runs.record import Stage

FILES = (
    *("model.safetensors", "config.json", "tokenizer.json"),
    *("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"),
)


def content(name: str, update: int) -> bytes:
    """What a file of the checkpoint of an update holds; as long at every update below 100."""
    return f"{name} after {update:2}\n".encode() * 20


def write_checkpoint(run: Path, stage: Stage, update: int, *, keep: int = 9) -> Path:
    """A whole checkpoint of an update."""

    def write(new: Path) -> None:
        for name in FILES:
            (new / name).write_bytes(content(name, update))

    return save_checkpoint(checkpoints(run, stage), update, write, {"cursor": 10 * update}, keep=keep)
