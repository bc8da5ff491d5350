"""Tiny models in the shape of Qwen2.5, Llama 3 and Gemma 2, saved as ordinary Hugging Face folders.

Each has what sets its family apart: the chat template and the special tokens (`byte_tokenizer.FAMILIES`), which
tokens the generation config ends at, and its architecture. Sizes are as small as these allow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from tests.kit.byte_tokenizer import FAMILIES

_SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "max_position_embeddings": 512}
_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}  # grouped-query attention


def _qwen(**tokens: Any) -> PreTrainedModel:
    """Biases in queries, keys and values; tied embeddings."""
    return Qwen2ForCausalLM(Qwen2Config(**_SIZES, **_HEADS, **tokens, tie_word_embeddings=True))


def _llama3(**tokens: Any) -> PreTrainedModel:
    """Rotary positions scaled as in Llama 3.1, here beyond 64 positions; embeddings not tied."""
    rope = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0}
    rope |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    return LlamaForCausalLM(
        LlamaConfig(**_SIZES, **_HEADS, **tokens, rope_parameters=rope, tie_word_embeddings=False)
    )


def _gemma(**tokens: Any) -> PreTrainedModel:
    """Soft caps, heads wider than the residual stream divides into, a sliding window in every other layer."""
    own = {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 32}
    own |= {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "tie_word_embeddings": True}
    return Gemma2ForCausalLM(Gemma2Config(**_SIZES, **_HEADS, **tokens, **own))


_MAKERS = {"qwen": _qwen, "llama3": _llama3, "gemma": _gemma}
TINY_FAMILIES = tuple(_MAKERS)


def save_family(name: str, folder: Path) -> None:
    """Write model, tokenizer and generation config of a family; the same weights at every call."""
    family = FAMILIES[name]
    tokenizer = family.tokenizer()
    ids = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(0)
    model = _MAKERS[name](**ids)
    turn_end = tokenizer.convert_tokens_to_ids(family.turn_end)
    # As the cards of chat models ask to sample; the run must neither sample with it nor fail to save it.
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=[turn_end, tokenizer.eos_token_id],
        do_sample=True,
        temperature=0.7,
        top_k=20,
        top_p=0.8,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
