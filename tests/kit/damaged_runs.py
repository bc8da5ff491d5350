"""Small runs whose checkpoints are damaged or do not fit on the disk, trained in this process."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from configs import load_config
from rl.train import train
from tests.kit.tiny_config import write_tiny

CHANGES = """
warm_start: {updates: 8, num_problems: 24, batch_size: 4, learning_rate: 3.0e-3, save_every: 4}
rollout: {max_new_tokens: 36}
grpo: {updates: 6, save_every: 2}
eval: {every: 3, every_problems: 3}
"""
LORA = "policy.lora={r: 4, alpha: 8}"


def write_config(folder: Path) -> Path:
    """Write the config of these runs into a folder."""
    return write_tiny(folder / "config.yaml", CHANGES)


def train_in(folder: Path, *overrides: str, resume: bool = False) -> str:
    """Train in a folder; returns what was shown."""
    out = io.StringIO()
    config = load_config(write_config(folder.parent), [f"output_dir={folder}", *overrides])
    train(config, resume=resume, out=out)
    return out.getvalue()


def weights(folder: Path, model: str = "models/grpo") -> str:
    """SHA-256 of the weights in a model folder of a run."""
    (file,) = (folder / model).glob("*model.safetensors")
    return hashlib.sha256(file.read_bytes()).hexdigest()
