"""Small runs whose checkpoints are damaged or do not fit on the disk, trained in this process."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from configs import load_config
from rl.train import train

CONFIG = """
name: damaged
device: cpu
threads: 1
report_to: []
env: {name: addition, settings: {train: ["1_1"], ood_easy: ["2_1"], ood_hard: ["2_2"]}}
policy: {tiny: {hidden_size: 32, num_layers: 1, num_heads: 2, intermediate_size: 32, max_positions: 128}}
warm_start: {updates: 8, num_problems: 24, batch_size: 4, learning_rate: 3.0e-3, save_every: 4}
rollout: {samples_per_problem: 4, max_prompt_tokens: 40, max_new_tokens: 36, threads: 1}
rewards: {terms: [{name: correct, weight: 1.0}, {name: token_count, weight: -0.1}]}
grpo: {updates: 6, problems_per_update: 2, learning_rate: 1.0e-3, save_every: 2}
eval: {splits: [id], num_problems: 4, num_samples: 0, every: 3, every_problems: 3}
"""
LORA = "policy.lora={r: 4, alpha: 8}"


def write_config(folder: Path) -> Path:
    """Write the config of these runs into a folder."""
    path = folder / "config.yaml"
    path.write_text(CONFIG)
    return path


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
