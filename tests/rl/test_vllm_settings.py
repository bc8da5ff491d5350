"""A config to the settings of vLLM, and what is refused before anything is sampled; vLLM is a stand-in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from configs import Config, ConfigError
from rl.build import build_policy, check_backends, check_lengths, checked_memory, worker_spec
from rl.parts import build_parts
from rl.precision import engine_dtype
from rollout.engines.vllm_settings import VllmSettings
from tests.kit.fake_vllm import install


def config(device: str = "auto", **rollout: Any) -> Config:
    return Config.model_validate(
        {
            "env": {"name": "directional"},
            "rewards": {"terms": [{"name": "correct", "weight": 1}]},
            "device": device,
            "report_to": [],
            "rollout": {"engine": "vllm", "problems_per_batch": 4, "samples_per_problem": 2, **rollout},
            "eval": {"num_samples": 1, "problems_per_batch": 4},
        }
    )


PARTS = build_parts(config("cpu"))
POLICY = build_policy(config("cpu"), PARTS)


def settings(config: Config) -> VllmSettings:
    found = worker_spec(config, PARTS, POLICY).engine.vllm
    assert found is not None
    return found


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """One GPU of 8 GiB and a vLLM for it."""
    install(monkeypatch)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**33, 2**33))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)


def test_keys_reach_the_engine(gpu: None) -> None:
    found = settings(config("cpu", gpu_memory_utilization=0.3, vllm_args={"quantization": "fp8"}, max_rows=6))
    plain = VllmSettings(max_rows=6, max_tokens=512, cache_rows=6, cache_tokens=512)
    assert found == replace(plain, gpu_memory_utilization=0.3, arguments={"quantization": "fp8"})
    assert settings(config("cpu", kv_cache_gib=0.5)) == replace(
        plain, max_rows=8, cache_rows=8, kv_cache_bytes=2**29
    )


def test_it_sleeps_where_it_shares_a_gpu_and_nothing_is_sampled_ahead(gpu: None) -> None:
    assert settings(config()).sleep
    assert not settings(config(enable_sleep_mode=False)).sleep
    assert not settings(config("cpu")).sleep
    actors = {"backend": "ray", "num_actors": 1, "gpus_per_actor": 0.5}
    assert settings(config(**actors)).sleep
    assert not settings(config(**actors, max_staleness=1)).sleep


def test_sleep_and_split_models_need_their_gpus(gpu: None) -> None:
    check_backends(config(enable_sleep_mode=True))
    with pytest.raises(ConfigError, match=r"enable_sleep_mode is true, but the engine samples on the CPU"):
        check_backends(config("cpu", enable_sleep_mode=True))
    split = {"backend": "ray", "num_actors": 1, "vllm_args": {"tensor_parallel_size": 2}}
    with pytest.raises(ConfigError, match=r"over 2 GPUs, but rollout\.gpus_per_actor is 1; raise it to 2$"):
        check_backends(config(**split, gpus_per_actor=1))
    check_backends(config(**split, gpus_per_actor=2))


def test_line_positions_are_refused() -> None:
    run = config("cpu")
    lines = run.model_copy(
        update={
            "policy": run.policy.model_copy(
                update={"tiny": run.policy.tiny.model_copy(update={"positions": "lines"})}
            )
        }
    )
    with pytest.raises(
        ConfigError, match=r"'vllm', but policy.tiny.positions is lines, .*set rollout.engine to 'torch'"
    ):
        check_lengths(lines, PARTS, build_policy(lines, PARTS))


def test_arguments_that_vllm_does_not_have_are_refused(gpu: None) -> None:
    with pytest.raises(ConfigError, match=r"has quantisation, .* did you mean quantization\?"):
        check_backends(config(vllm_args={"quantisation": "fp8"}))


def test_what_is_said_of_the_cache_follows_the_keys(gpu: None) -> None:
    """A share of 8 GiB without the weights; a stated size; the size that all rows need."""

    def mebibytes(**rollout: Any) -> float:
        return checked_memory(config(**rollout), POLICY).engine.cache / 2**20

    weights = POLICY.num_parameters * engine_dtype(config()).itemsize / 2**20
    assert mebibytes(gpu_memory_utilization=0.5) == pytest.approx(4096 - weights)
    rows = mebibytes()
    assert mebibytes(kv_cache_gib=rows / 2048) == pytest.approx(rows / 2)
    assert mebibytes(kv_cache_gib=7) == rows
    with pytest.raises(
        ConfigError, match=r"^rollout\.kv_cache_gib is .* of 512 tokens take .*; raise it to that"
    ):
        mebibytes(kv_cache_gib=1e-6)
