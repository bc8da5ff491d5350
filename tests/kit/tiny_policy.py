"""A random policy of two layers that trains and samples in milliseconds, and a worker made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from configs.schema.config import LoraSettings, PolicyConfig, TinyModelConfig
from envs import Env
from rewards import RewardSum
from rl.models.policy import Policy, load_policy
from rollout.engines.spec import EngineSpec
from rollout.types import Sampling
from rollout.worker import WorkerSpec

TINY = TinyModelConfig(hidden_size=32, num_layers=2, num_heads=2, intermediate_size=64, max_positions=256)


def tiny_policy(
    env: Env[Any], *, seed: int = 0, lora: LoraSettings | None = None, saved_to: Path | None = None
) -> Policy:
    """A policy for the characters of an environment.

    Args:
        env: Gives the tokenizer's characters.
        seed: Of the weights.
        lora: Settings of an adapter, or None.
        saved_to: A folder that it is saved to and loaded from, or None.
    """
    config = PolicyConfig(tiny=TINY, lora=lora)
    policy = load_policy(config, env, seed=seed)
    if saved_to is None:
        return policy
    policy.save(saved_to)
    return load_policy(config, env, seed=seed, checkpoint=saved_to)


def worker_spec(policy: Policy, env: Env[Any], rewards: RewardSum, *, max_new_tokens: int) -> WorkerSpec:
    """A worker that samples with the embedded engine on one thread, at temperature 1."""
    return WorkerSpec(
        engine=EngineSpec(
            model=policy.model,
            stop_ids=policy.encoder.stop_ids,
            pad_id=policy.encoder.pad_id,
            dtype=torch.float32,
            device="cpu",
            threads=1,
            max_rows=None,
            cuda_graphs=True,
        ),
        encoder=policy.encoder,
        env=env,
        rewards=rewards,
        sampling=Sampling(temperature=1.0, max_new_tokens=max_new_tokens),
        max_prompt_tokens=64,
    )
