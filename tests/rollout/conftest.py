"""A tiny policy and a worker made of it, shared by the rollout tests."""

from __future__ import annotations

import pytest
import torch

from configs.schema.config import PolicyConfig, TinyModelConfig
from envs import make_env
from rewards import RewardSum, Term
from rl.policy import Policy, load_policy
from rollout.types import Sampling
from rollout.worker import WorkerSpec

SETTINGS = {"train": [3, 4], "ood_easy": [5], "ood_hard": [6]}
TINY = TinyModelConfig(hidden_size=32, num_layers=2, num_heads=2, intermediate_size=64, max_positions=256)


@pytest.fixture(scope="session")
def policy() -> Policy:
    return load_policy(PolicyConfig(tiny=TINY), make_env("directional", SETTINGS), seed=0)


@pytest.fixture(scope="session")
def spec(policy: Policy) -> WorkerSpec:
    return WorkerSpec(
        model=policy.model,
        encoder=policy.encoder,
        env_name="directional",
        env_settings=SETTINGS,
        rewards=RewardSum([Term(name="correct", weight=1.0), Term(name="format", weight=0.5)]),
        sampling=Sampling(temperature=1.0, max_new_tokens=24),
        max_prompt_tokens=64,
        max_rows=None,
        threads=1,
        device="cpu",
        cuda_graphs=True,
        dtype=torch.float32,
    )
