"""Tiny random models of the library's families of causal LMs, by model type."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

import rollout.line_llama  # noqa: F401 - lets AutoConfig read the type
from tests.kit.causal_models import V

_SMALL: dict[str, Any] = {
    "vocab_size": V,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "n_inner": 48}
_EXPERTS = {
    "moe_intermediate_size": 16,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
}
_SHARED = {"shared_expert_intermediate_size": 16}
_LATENT = {  # multi-head latent attention
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
_DEEPSEEK = {**_EXPERTS, **_LATENT, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}
_ALTERNATING = {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]}
_GEMMA = {"sliding_window": 6, "query_pre_attn_scalar": 8}
_MAMBA = {
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_n_groups": 1,
    "mamba_d_state": 8,
    "mamba_expand": 2,
    "mamba_chunk_size": 8,
}
_DELTA_NET = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}

ATTENTION: dict[str, dict[str, Any]] = {
    "afmoe": _EXPERTS,
    "apertus": {},
    "arcee": {},
    "bitnet": {},
    "bloom": {},
    "codegen": {**_GPT2, "rotary_dim": 4, "n_ctx": 128},
    "cohere": {},
    "cohere2": _ALTERNATING,
    "cwm": {},
    "deepseek_v2": _DEEPSEEK,
    "deepseek_v3": _DEEPSEEK,
    "diffllama": {},
    "doge": {},
    "dots1": {**_EXPERTS, "n_group": 1, "topk_group": 1, "n_shared_experts": 1, "first_k_dense_replace": 1},
    "ernie4_5": {},
    "ernie4_5_moe": {**_EXPERTS, "moe_num_experts": 4, "moe_k": 2},
    "exaone4": {},
    "exaone_moe": _EXPERTS,
    "falcon": {"head_dim": None},
    "flex_olmo": _EXPERTS,
    "gemma": {},
    "gemma2": _GEMMA,
    "gemma3_text": {**_GEMMA, **_ALTERNATING},
    "gemma4_text": {
        **_ALTERNATING,
        "vocab_size_per_layer_input": V,
        "hidden_size_per_layer_input": 8,
        "num_kv_shared_layers": 0,
    },
    "glm": {"partial_rotary_factor": 0.5},
    "glm4": {"partial_rotary_factor": 0.5},
    "glm4_moe": {**_EXPERTS, "n_group": 1, "topk_group": 1},
    "gpt2": _GPT2,
    "gpt_neo": {
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 6,
    },
    "gpt_neox": {},
    "gpt_oss": {**_EXPERTS, **_ALTERNATING},
    "gptj": {**_GPT2, "rotary_dim": 4},
    "granite": {},
    "granitemoe": _EXPERTS,
    "granitemoeshared": {**_EXPERTS, "shared_intermediate_size": 16},
    "helium": {},
    "hunyuan_v1_dense": {},
    "hunyuan_v1_moe": {**_EXPERTS, "moe_topk": [2, 2], "num_shared_expert": [1, 1]},
    "jetmoe": {**_EXPERTS, "kv_channels": 8},
    "llama": {},
    "minicpm3": _LATENT,
    "minimax_m2": _EXPERTS,
    "ministral": {"sliding_window": 6},
    "mistral": {"sliding_window": 6},
    "mixtral": _EXPERTS,
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 128, "expansion_ratio": 2},
    "nanochat": {},
    "nemotron": {},
    "olmo": {},
    "olmo2": {},
    "olmo3": {"sliding_window": 6},
    "olmoe": _EXPERTS,
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "persimmon": {},
    "phi": {},
    "phi3": {},
    "phimoe": _EXPERTS,
    "qwen2": {},
    "qwen2_moe": {**_EXPERTS, **_SHARED},
    "qwen3": {},
    "qwen3_moe": _EXPERTS,
    "seed_oss": {},
    "smollm3": {},
    "stablelm": {},
    "starcoder2": {},
    "vaultgemma": _GEMMA,
    "xglm": {"d_model": 32, "ffn_dim": 48, "num_layers": 2, "attention_heads": 4},
    "stride_line_llama": {"line_stride": 4, "newline_token_ids": [3, 7], "line_window": 2},
}
"""Families whose layers keep keys and values."""

STATES: dict[str, dict[str, Any]] = {
    "bamba": {**_MAMBA, "attn_layer_indices": [1]},
    "falcon_h1": {**_MAMBA, "mamba_d_ssm": 32, "mamba_d_head": 8},  # attention and Mamba in each layer
    "falcon_mamba": {"state_size": 8, "time_step_rank": 4},
    "granitemoehybrid": {
        **_EXPERTS,
        **_MAMBA,
        "shared_intermediate_size": 16,
        "layer_types": ["mamba", "attention"],
    },
    "jamba": {
        **_EXPERTS,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "mamba_d_state": 8,
        "mamba_dt_rank": 4,
        "use_mamba_kernels": False,
    },
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_ff_dim": 48, "block_multiple_of": 8},
    "lfm2_moe": {**_EXPERTS, "layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "mamba": {"state_size": 8, "time_step_rank": 4},
    "mamba2": {"state_size": 8, "num_heads": 4, "head_dim": 16, "n_groups": 1, "expand": 2, "chunk_size": 8},
    "nemotron_h": {
        "layers_block_type": ["mamba", "attention"],
        "mamba_num_heads": 4,
        "mamba_head_dim": 16,
        "n_groups": 1,
        "ssm_state_size": 8,
        "chunk_size": 8,
    },
    "olmo_hybrid": _DELTA_NET,
    "qwen3_5_text": {**_DELTA_NET, "head_dim": 16},
    "qwen3_next": {**_EXPERTS, **_SHARED, **_DELTA_NET},
}
"""Families with linear attention, state spaces or convolutions, alone or beside attention."""

NO_BACKBONE: dict[str, dict[str, Any]] = {
    "llama4_text": {**_EXPERTS, "intermediate_size_mlp": 48, "attention_chunk_size": 64}
}
"""Families whose backbone TRL's loss does not find."""

REFUSED: dict[str, dict[str, Any]] = {
    "minimax": {**_EXPERTS, "layer_types": ["linear_attention", "full_attention"], "block_size": 8},
    "openai-gpt": _GPT2,
    "recurrent_gemma": {"lru_width": 32, "attention_window_size": 6, "block_types": ["recurrent", "attention"]},
    "rwkv": {"attention_hidden_size": 32, "context_length": 128},
}
"""Families whose cache is part of the model, of a class of its own, or missing."""


def make_family(family: str, **more: Any) -> Any:
    """A model of two layers with the same weights at every call.

    Args:
        family: A key of one of the above.
        more: Further settings of its config.
    """
    settings = _SMALL | (ATTENTION | STATES | NO_BACKBONE | REFUSED)[family] | more
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        family, **{key: value for key, value in settings.items() if value is not None}
    )
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for parameter in model.parameters():  # spread the logits: near-uniform ones would hide mistakes
        parameter.data.mul_(2.0 if parameter.dim() > 1 else 1.0)
    return model
