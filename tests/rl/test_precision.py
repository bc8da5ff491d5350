"""The precision of learner and engine, on a CPU and on GPUs that are not there."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from configs import Config, ConfigError
from envs import make_env
from rewards import RewardSum, Term
from rl import precision
from rollout.engines.precision import set_tf32
from tests.kit.model_families import make_family
from tests.kit.tiny_policy import tiny_policy, worker_spec

ENV = make_env("addition")
LORA = {"r": 4}


def config(**policy: Any) -> Config:
    return Config.model_validate(
        {
            "env": {"name": "addition"},
            "rewards": {"terms": [{"name": "correct", "weight": 1}]},
            "rollout": {"dtype": policy.pop("rollout_dtype", None)},
            "tf32": policy.pop("tf32", False),
            **{stage: {"optim": policy.pop(stage)} for stage in ("warm_start", "grpo") if stage in policy},
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


def test_what_a_cpu_cannot_do_is_refused() -> None:
    four_bits = config(model="some", lora=LORA, load_in_4bit=True)
    with pytest.raises(ConfigError, match=r"^policy\.load_in_4bit is true, but the learner is on the CPU"):
        precision.check_precision(four_bits)
    with pytest.raises(ConfigError, match=r"^policy\.attn_implementation is 'flash_attention_2', but the l"):
        precision.check_precision(config(attn_implementation="flash_attention_2"))
    with pytest.raises(ConfigError, match=r"^warm_start\.optim is 'paged_adamw_8bit', whose pages"):
        precision.check_precision(config(warm_start="paged_adamw_8bit"))
    precision.check_precision(config(attn_implementation="eager", warm_start="adafactor", grpo="sgd"))


def test_a_missing_package_is_one_line(gpu: pytest.MonkeyPatch) -> None:
    installed: list[str] = []
    gpu.setattr(precision, "find_spec", lambda name: name if name in installed else None)
    given = config(model="some", lora=LORA, load_in_4bit=True, grpo="paged_adamw_8bit")
    with pytest.raises(ConfigError) as refused:
        precision.check_precision(given)
    assert str(refused.value) == (
        "policy.load_in_4bit and grpo.optim 'paged_adamw_8bit' needs bitsandbytes, which is not installed; "
        "install 'stride-rl[bitsandbytes]' or change the key"
    )
    flash = config(attn_implementation="flash_attention_2")
    with pytest.raises(ConfigError, match="flash-attn is not installed; install it, or set the key to 'sdpa'"):
        precision.check_precision(flash)
    installed += ["bitsandbytes", "flash_attn"]
    precision.check_precision(given)
    precision.check_precision(flash)
    with pytest.raises(ConfigError, match=r"computes in bfloat16; set policy\.mixed_precision to 'bf16'"):
        precision.check_precision(config(attn_implementation="flash_attention_2", mixed_precision="no"))


def test_the_learner_has_the_attention_asked_for_and_engines_the_librarys() -> None:
    policy, given = tiny_policy(ENV), config(attn_implementation="eager")
    precision.check_learner(given, policy.model)
    assert policy.model.config._attn_implementation == "sdpa"
    assert precision.prepare_learner(given, policy.model) == precision.Passes(cpu=True)
    assert policy.model.config._attn_implementation == "eager"


def test_a_model_without_checkpointing_is_refused_or_keeps_its_activations(gpu: pytest.MonkeyPatch) -> None:
    model = make_family("jetmoe")
    assert not precision.prepare_learner(config(), model).checkpointing
    with pytest.raises(
        ConfigError, match=r"^policy\.gradient_checkpointing is true, but transformers has none"
    ):
        precision.prepare_learner(config(gradient_checkpointing=True), model)


def test_tf32_is_set_for_the_process_that_samples() -> None:
    spec = dataclasses.replace(
        worker_spec(
            tiny_policy(ENV), ENV, RewardSum([Term(name="correct", weight=1.0)]), max_new_tokens=4
        ).engine,
        tf32=True,
    )
    try:
        spec.build()
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        set_tf32(False)
    assert torch.get_float32_matmul_precision() == "highest"


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
