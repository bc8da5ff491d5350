"""The precision of learner and engine, on a CPU and on GPUs that are not there."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from configs import Config, ConfigError
from rl import precision

LORA = {"r": 4}


def config(**policy: Any) -> Config:
    return Config.model_validate(
        {
            "env": {"name": "addition"},
            "rewards": {"terms": [{"name": "correct", "weight": 1}]},
            "rollout": {"dtype": policy.pop("rollout_dtype", None)},
            "tf32": policy.pop("tf32", False),
            "policy": policy,
        }
    )


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A GPU with bfloat16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Card")
    return monkeypatch


def words(given: Config) -> tuple[str, str, str, bool, bool]:
    """Weights, passes, the engine's copy; whether layers are computed again; whether all is float32."""
    passes = "bfloat16" if precision.mixed_precision(given) else "as weights"
    learner, engine = (
        str(dtype).removeprefix("torch.")
        for dtype in (precision.learner_dtype(given), precision.engine_dtype(given))
    )
    return learner, passes, engine, precision.gradient_checkpointing(given), precision.all_float32(given)


def test_a_cpu_computes_in_float32_unless_asked() -> None:
    assert words(config()) == ("float32", "as weights", "float32", False, True)
    assert words(config(lora=LORA)) == ("float32", "as weights", "float32", False, True)
    mixed = config(mixed_precision="bf16", gradient_checkpointing=True)
    assert words(mixed) == ("float32", "bfloat16", "bfloat16", True, False)
    assert words(config(dtype="bfloat16")) == ("bfloat16", "as weights", "bfloat16", False, False)
    assert words(config(dtype="bfloat16", rollout_dtype="float32"))[2:] == ("float32", False, False)
    assert precision.all_float32(config(tf32=True))  # a CPU has none


def test_a_gpu_has_float32_master_weights_and_a_frozen_base_in_bfloat16(gpu: pytest.MonkeyPatch) -> None:
    assert words(config()) == ("float32", "bfloat16", "bfloat16", True, False)
    assert words(config(lora=LORA)) == ("bfloat16", "bfloat16", "bfloat16", True, False)
    assert words(config(lora=LORA, dtype="float32"))[:3] == ("float32", "bfloat16", "bfloat16")
    exact = config(lora=LORA, mixed_precision="no", gradient_checkpointing=False)
    assert words(exact) == ("float32", "as weights", "float32", False, True)
    assert not precision.all_float32(config(mixed_precision="no", tf32=True))
    assert words(config(rollout_dtype="float32"))[2] == "float32"
    four_bits = config(model="some", lora=LORA, load_in_4bit=True)
    assert words(four_bits)[:3] == ("bfloat16", "bfloat16", "bfloat16")


def test_a_gpu_without_bfloat16_computes_in_float32_and_is_refused_where_it_is_asked_for(
    gpu: pytest.MonkeyPatch,
) -> None:
    gpu.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert words(config(lora=LORA))[:3] == ("float32", "as weights", "float32")
    with pytest.raises(ConfigError, match=r"^policy\.mixed_precision is 'bf16', but Card does not compute in"):
        precision.mixed_precision(config(mixed_precision="bf16"))


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"model": "some"}, "lora is null, and weights in 4 bits are not trained; set lora.r"),
        ({"lora": LORA}, "model is tiny, which has no file"),
        ({"model": "some", "lora": LORA, "gguf_file": "q.gguf"}, "gguf_file is 'q.gguf'; leave one"),
        ({"model": "some", "lora": LORA, "merge_adapter": True}, "merge_adapter is True; leave one"),
    ],
)
def test_what_4_bits_exclude_is_refused(policy: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"load_in_4bit is true, but {message}"):
        config(load_in_4bit=True, **policy)
