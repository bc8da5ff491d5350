"""Which models vLLM runs and which it refuses; an engine for each test."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from configs import ConfigError, check_config
from configs.schema.config import LoraSettings, PolicyConfig
from envs import make_env
from rl.build import check_backends
from rl.models.policy import load_policy, trainable_weights
from rollout.engines.vllm import VllmError
from tests.kit.vllm_engines import (
    CLOSE,
    PROMPTS,
    SAMPLING,
    TINY,
    make,
    make_engine,
    moved,
    worst,
)

SMALL = {"vocab_size": 50, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 256}


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_other_families(family: str) -> None:
    torch.manual_seed(0)
    if family == "llama":  # with an untied head and biases
        family_model: Any = LlamaForCausalLM(LlamaConfig(**SMALL, **HEADS, attention_bias=True))
    elif family == "qwen2":
        family_model = Qwen2ForCausalLM(Qwen2Config(**SMALL, **HEADS))
    else:
        config = GPT2Config(vocab_size=50, n_embd=64, n_layer=1, n_head=2, n_positions=256)
        family_model = GPT2LMHeadModel(config)
    other = moved(moved(family_model, 0), 1).eval()
    with closing(make_engine(family_model)) as sampler:
        sampler.load_weights(trainable_weights(other), 1)
        groups = sampler.generate(PROMPTS, SAMPLING)
    assert worst(other, PROMPTS, groups, 0.8) < CLOSE


def test_half_precision() -> None:
    """Eight significant bits, rounded in another order: 0.02 was measured."""
    other = moved(make(), 1).to(torch.bfloat16)
    with closing(make_engine(make().to(torch.bfloat16))) as sampler:
        sampler.load_weights(trainable_weights(moved(make(), 1)), 1)  # the learner's are in full precision
        groups = sampler.generate(PROMPTS, SAMPLING)
    assert worst(other, PROMPTS, groups, 0.8) < 0.1


def test_unsupported_models_are_reported_in_one_line() -> None:
    with pytest.raises(VllmError, match=r"installed vLLM is for 'cpu', but the engine runs on 'cuda'"):
        make_engine(make(), device="cuda")
    small = LlamaForCausalLM(LlamaConfig(**SMALL, **{**HEADS, "num_attention_heads": 16}))
    with pytest.raises(VllmError, match=r"vLLM cannot run LlamaForCausalLM on cpu: .") as caught:
        make_engine(small)
    assert "\n" not in str(caught.value)

    class Unheard(LlamaForCausalLM):
        """An unknown architecture."""

    with pytest.raises(VllmError, match=r"vLLM does not know Unheard; set rollout\.engine to 'torch'"):
        make_engine(Unheard(small.config))
    config = PolicyConfig(tiny=TINY, lora=LoraSettings(r=600))
    wide: Any = load_policy(config, make_env("directional"), seed=0).model
    with pytest.raises(VllmError, match=r"policy\.lora\.r is 600, vLLM allows 512 at most"):
        make_engine(wide)


@pytest.mark.parametrize("key", ["rollout.temperature", "eval.temperature"])
def test_a_temperature_that_vllm_would_change_is_refused(key: str) -> None:
    section, _, name = key.partition(".")
    config = {"env": {"name": "directional"}, "rewards": {"terms": [{"name": "correct", "weight": 1.0}]}}
    sections: dict[str, dict[str, Any]] = {"rollout": {"engine": "vllm"}, "eval": {}}
    sections[section][name] = 0.005
    with pytest.raises(ConfigError, match=rf"{key} is 0\.005, but vLLM goes down to 0\.01; raise it or"):
        check_backends(check_config({**config, **sections, "device": "cpu"}))


def test_a_trained_adapter_is_used_from_the_start() -> None:
    trained = moved(make(lora=True), 6)
    with closing(make_engine(trained)) as sampler:
        groups = sampler.generate(PROMPTS, SAMPLING)
    assert worst(trained, PROMPTS, groups, 0.8) < CLOSE
