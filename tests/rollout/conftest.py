"""A tiny policy and a worker made of it, shared by the rollout tests."""

from __future__ import annotations

import pytest
import torch

from configs.schema.config import PolicyConfig, TinyModelConfig
from envs import make_env
from rewards import RewardSum, Term
from rl.policy import Policy, load_policy
from rollout.engines.spec import EngineSpec
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
        env=make_env("directional", SETTINGS),
        rewards=RewardSum([Term(name="correct", weight=1.0), Term(name="format", weight=0.5)]),
        sampling=Sampling(temperature=1.0, max_new_tokens=24),
        max_prompt_tokens=64,
    )
