"""Needs against the memory of the machine, worked by hand."""

from __future__ import annotations

from typing import Any

import pytest

from configs import ConfigError, check_config
from configs.schema.config import PolicyConfig, TinyModelConfig
from envs import make_env
from rl.models import memory
from rl.models.memory import check_cache, check_tiny_model, num_tiny_parameters
from rl.models.policy import load_policy

MIB = 2**20


def config(**sections: Any) -> Any:
    return check_config(
        {"env": {"name": "addition"}, "rewards": {"terms": [{"name": "correct", "weight": 1.0}]}, **sections}
    )


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 MiB of memory and no cluster."""
    monkeypatch.setattr(memory, "host_bytes", lambda: 100 * MIB)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_parameters_are_those_of_the_model() -> None:
    tiny = TinyModelConfig(hidden_size=16, num_layers=2, num_heads=2, intermediate_size=32, max_positions=64)
    policy = load_policy(PolicyConfig(tiny=tiny), make_env("addition"), seed=0)
    assert num_tiny_parameters(tiny) == policy.num_parameters - 16 * len(policy.tokenizer)


def test_a_tiny_model_is_compared_with_all_of_its_training() -> None:
    """One layer 512 wide: 4 * 512^2 + 3 * 512 * 2048 + 3 * 512 parameters of 20 bytes, 80 MiB."""
    size = {"hidden_size": 512, "num_heads": 4, "intermediate_size": 2048}
    check_tiny_model(config(policy={"tiny": {**size, "num_layers": 1}}))
    with pytest.raises(ConfigError, match=r"policy\.tiny takes at least 160 MiB .* has 100 MiB of memory"):
        check_tiny_model(config(policy={"tiny": {**size, "num_layers": 2}}))
    check_tiny_model(config(policy={"model": "someone/large", "tiny": {**size, "num_layers": 2}}))


def test_the_cache_is_compared_with_the_memory_of_its_device() -> None:
    check_cache(config(), 100 * MIB, gpu_bytes=None)
    check_cache(config(), 150 * MIB, gpu_bytes=200 * MIB)
    with pytest.raises(ConfigError, match="up to 101 MiB an engine, and this machine has 100 MiB of memory"):
        check_cache(config(), 101 * MIB, gpu_bytes=None)
    with pytest.raises(ConfigError, match="up to 201 MiB an engine, and the GPU has 200 MiB of memory"):
        check_cache(config(), 201 * MIB, gpu_bytes=200 * MIB)


def test_the_kv_cache_is_sized_for_the_larger_batch() -> None:
    """Evaluation samples 64 * 4 completions at a time by default, training 8 * 8."""
    with pytest.raises(ConfigError, match=r"lower eval\.num_samples, eval\.problems_per_batch or"):
        check_cache(config(), 200 * MIB, gpu_bytes=None)
    large = config(rollout={"samples_per_problem": 64})
    with pytest.raises(ConfigError, match=r"lower rollout\.samples_per_problem, rollout\.problems_per_batch"):
        check_cache(large, 200 * MIB, gpu_bytes=None)


def test_actors_share_the_memory_of_this_machine_unless_a_cluster_is_joined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    actors = config(rollout={"backend": "ray", "num_actors": 3})
    check_cache(actors, 33 * MIB, gpu_bytes=None)
    with pytest.raises(ConfigError, match="up to 34 MiB in each of 3 engines"):
        check_cache(actors, 34 * MIB, gpu_bytes=None)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    check_cache(actors, 34 * MIB, gpu_bytes=None)
