"""Keys for vLLM: what contradicts itself, and arguments that are Stride's to set."""

from __future__ import annotations

from typing import Any

import pytest

from configs import Config, ConfigError, check_config


def config(**rollout: Any) -> Config:
    terms = [{"name": "correct", "weight": 1.0}]
    return check_config({"env": {"name": "addition"}, "rewards": {"terms": terms}, "rollout": rollout})


@pytest.mark.parametrize(
    ("rollout", "message"),
    [
        ({"gpu_memory_utilization": 0.5}, "gpu_memory_utilization is for vLLM, but engine is torch"),
        ({"enable_sleep_mode": True}, "enable_sleep_mode is for vLLM, but engine is torch; set engine to vllm"),
        ({"vllm_args": {"quantization": "fp8"}}, "vllm_args is for vLLM, but engine is torch"),
        (
            {"engine": "vllm", "gpu_memory_utilization": 0.5, "kv_cache_gib": 1.0},
            "gpu_memory_utilization and kv_cache_gib both size the KV cache; set one of them",
        ),
        (
            {"engine": "vllm", "backend": "ray", "enable_sleep_mode": True, "max_staleness": 2},
            "enable_sleep_mode is true, but with max_staleness 2 the actors sample while the learner works",
        ),
        (
            {"engine": "vllm", "vllm_args": {"quantization": "fp8", "dtype": "half"}},
            "rollout.vllm_args: Stride sets dtype itself; set rollout.dtype",
        ),
    ],
)
def test_contradictions_are_refused(rollout: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(**rollout)
    assert message in str(caught.value)


def test_other_arguments_are_free() -> None:
    arguments = {"tensor_parallel_size": 2, "quantization": "fp8", "enforce_eager": True}
    found = config(engine="vllm", vllm_args=arguments).rollout
    assert found.vllm_args == arguments and found.enable_sleep_mode == "auto"
