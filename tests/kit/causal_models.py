"""Tiny random models of the common families, prompts for them, and full forward passes."""

from __future__ import annotations

import random

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from rollout.line_llama import LineLlamaConfig, LineLlamaForCausalLM
from rollout.types import Completion, Prompt

V, STOP, PAD = 19, 1, 0  # size of the vocabulary, and two of its tokens
WRITTEN_OUT = [
    "llama",
    "llama-3",
    "llama-line-window",
    "llama-columns",
    "qwen2",
    "qwen3",
    "mistral-full",
    "smollm3",
]  # with a `Decoder`
SMALL = {"vocab_size": V, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}
TOKENS = {"pad_token_id": PAD, "bos_token_id": None, "eos_token_id": STOP}


def make(family: str) -> torch.nn.Module:
    """A model of two layers with the same weights at every call."""
    torch.manual_seed(0)
    if family == "llama":
        model = LlamaForCausalLM(LlamaConfig(**SMALL, **HEADS))
    elif family == "llama-3":  # rotary positions of its own, biases, tied embeddings
        rope = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0}
        rope |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 64}
        more = {"attention_bias": True, "tie_word_embeddings": True, "rope_parameters": rope}
        model = LlamaForCausalLM(LlamaConfig(**SMALL, **HEADS, **more))
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.data.normal_()
    elif family == "llama-lines":  # at line positions, with lines shorter and longer than the stride
        lines = {"line_stride": 4, "newline_token_ids": [3, 7]}
        model = LineLlamaForCausalLM(LineLlamaConfig(**SMALL, **HEADS, **lines))
    elif family == "llama-line-window":  # and tokens see two lines
        lines = {"line_stride": 4, "newline_token_ids": [3, 7], "line_window": 2}
        model = LineLlamaForCausalLM(LineLlamaConfig(**SMALL, **HEADS, **lines))
    elif family == "llama-columns":  # a prompt needs one of its newlines: the first line is read whole
        columns = {"line_stride": 16, "newline_token_ids": [2, 3, 7], "digit_token_ids": [4, 5, 6, 8]}
        model = LineLlamaForCausalLM(LineLlamaConfig(**SMALL, **HEADS, **columns))
    elif family == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(**SMALL, **HEADS))
    elif family == "qwen3":
        model = Qwen3ForCausalLM(Qwen3Config(**SMALL, **HEADS, head_dim=16))
    elif family == "mistral-full":
        model = MistralForCausalLM(MistralConfig(**SMALL, **HEADS, sliding_window=None))
    elif family == "mistral":  # a sliding window shorter than the completions
        model = MistralForCausalLM(MistralConfig(**SMALL, **HEADS, sliding_window=6))
    elif family == "smollm3":  # rotary positions in the first layer only
        model = SmolLM3ForCausalLM(SmolLM3Config(**SMALL, **HEADS, **TOKENS, no_rope_layers=[1, 0]))
    elif family == "smollm3-window":  # and its window is shorter than the completions
        window = {"use_sliding_window": True, "sliding_window": 6}
        window |= {"layer_types": ["sliding_attention", "full_attention"], "no_rope_layers": [1, 0]}
        model = SmolLM3ForCausalLM(SmolLM3Config(**SMALL, **HEADS, **TOKENS, **window))
    else:
        model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=V, n_embd=32, n_layer=2, n_head=4, n_positions=128, bos_token_id=1, eos_token_id=1
            )
        )
    for parameter in model.parameters():  # spread the logits: near-uniform ones would hide mistakes
        parameter.data.mul_(3.0 if parameter.dim() > 1 else 1.0)
    return model


def full_forward(
    model: torch.nn.Module, prompt: tuple[int, ...], ids: tuple[int, ...], temperature: float = 1.0
) -> torch.Tensor:
    """Log-probability of each completion token, shape (T,), without KV cache, padding or batch."""
    logits = model(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
    logprobs = torch.log_softmax(logits.float() / temperature, dim=-1)
    return logprobs.gather(1, torch.tensor(ids)[:, None]).squeeze(1)


def mixed_prompts(family: str = "") -> list[Prompt]:
    """25 prompts of 1 to 14 tokens, 1 to 5 samples each; those of column positions end with a newline too."""
    rng, end = random.Random(0), (3,) if family == "llama-columns" else ()
    return [
        Prompt(
            ids=(*(rng.randrange(2, V) for _ in range(rng.randint(1, 14))), *end),
            seeds=tuple(range(100 * p, 100 * p + rng.randint(1, 5))),
        )
        for p in range(25)
    ]


def ids(groups: list[list[Completion]]) -> list[list[tuple[int, ...]]]:
    """The tokens of each completion, by group."""
    return [[completion.ids for completion in group] for group in groups]
