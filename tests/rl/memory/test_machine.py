"""A tiny model against the memory of the machine, worked by hand, without torch."""

from __future__ import annotations

from typing import Any

import pytest

from configs import ConfigError, check_config
from configs.schema.config import PolicyConfig, TinyModelConfig
from envs import make_env
from rl.memory import machine
from rl.memory.machine import check_tiny_model, num_tiny_parameters
from rl.models.policy import load_policy

MIB = 2**20


def config(**sections: Any) -> Any:
    return check_config(
        {"env": {"name": "addition"}, "rewards": {"terms": [{"name": "correct", "weight": 1.0}]}, **sections}
    )


def test_parameters_are_those_of_the_model() -> None:
    tiny = TinyModelConfig(hidden_size=16, num_layers=2, num_heads=2, intermediate_size=32, max_positions=64)
    policy = load_policy(PolicyConfig(tiny=tiny), make_env("addition"), seed=0)
    assert num_tiny_parameters(tiny) == policy.num_parameters - 16 * len(policy.tokenizer)


def test_a_tiny_model_is_compared_with_all_of_its_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """One layer 512 wide: 4 * 512^2 + 3 * 512 * 2048 + 3 * 512 parameters of 20 bytes, 80 MiB."""
    monkeypatch.setattr(machine, "host_bytes", lambda: 100 * MIB)
    size = {"hidden_size": 512, "num_heads": 4, "intermediate_size": 2048}
    check_tiny_model(config(policy={"tiny": {**size, "num_layers": 1}}))
    with pytest.raises(ConfigError, match=r"policy\.tiny takes at least 160 MiB .* has 100 MiB of memory"):
        check_tiny_model(config(policy={"tiny": {**size, "num_layers": 2}}))
    check_tiny_model(config(policy={"model": "someone/large", "tiny": {**size, "num_layers": 2}}))
