"""A tiny policy and a worker made from it, shared by the rollout tests."""

from __future__ import annotations

import pytest

from envs import make_env
from rewards import RewardSum, Term
from rl.models.policy import Policy
from rollout.worker import WorkerSpec
from tests.kit.tiny_policy import tiny_policy, worker_spec

ENV = make_env("directional", {"train": [3, 4], "ood_easy": [5], "ood_hard": [6]})


@pytest.fixture(scope="session")
def policy() -> Policy:
    return tiny_policy(ENV)


@pytest.fixture(scope="session")
def spec(policy: Policy) -> WorkerSpec:
    rewards = RewardSum([Term(name="correct", weight=1.0), Term(name="format", weight=0.5)])
    return worker_spec(policy, ENV, rewards, max_new_tokens=24)
