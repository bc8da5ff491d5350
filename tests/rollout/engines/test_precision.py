"""A model cast to bfloat16 is the one that the library loads in bfloat16."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from rollout.engines.precision import cast_weights
from rollout.engines.spec import EngineSpec
from rollout.types import Prompt, Sampling
from tests.kit.causal_models import V, full_forward, make
from tests.kit.model_families import ATTENTION, STATES, make_family

LONG = LlamaConfig(
    vocab_size=V,
    hidden_size=128,
    intermediate_size=128,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=4096,
)


def tensors(model: Any) -> dict[str, torch.Tensor]:
    return dict([*model.named_parameters(), *model.named_buffers()])


@pytest.mark.parametrize("family", [*ATTENTION, *STATES])
def test_each_tensor_is_the_one_the_library_loads(family: str, tmp_path: Path) -> None:
    model = make_family(family)
    model.save_pretrained(tmp_path)
    loaded = tensors(AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16))
    cast_weights(model, torch.bfloat16)
    cast = tensors(model)
    assert cast.keys() == loaded.keys()
    for name, tensor in cast.items():
        assert tensor.dtype == loaded[name].dtype, name
        assert torch.equal(tensor, loaded[name]), name
    if family in ("llama", "deepseek_v3", "ernie4_5_moe"):  # the comparison has met both precisions
        assert {tensor.dtype for tensor in cast.values() if tensor.is_floating_point()} == {
            torch.float32,
            torch.bfloat16,
        }


def test_an_adapter_stays_as_peft_makes_it_and_its_base_is_cast() -> None:
    model = get_peft_model(make("llama"), LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    cast_weights(model, torch.bfloat16)
    dtypes = {name: parameter.dtype for name, parameter in model.named_parameters()}
    assert {dtype for name, dtype in dtypes.items() if "lora_" in name} == {torch.float32}
    assert {dtype for name, dtype in dtypes.items() if "lora_" not in name} == {torch.bfloat16}
    assert {b.dtype for name, b in model.named_buffers() if "inv_freq" in name} == {torch.float32}


def test_tied_weights_stay_tied_and_back_in_float32_nothing_is_left_over() -> None:
    model: Any = make("llama-3")
    cast_weights(model, torch.bfloat16)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    cast_weights(model, torch.float32)
    assert {t.dtype for t in tensors(model).values() if t.is_floating_point()} == {torch.float32}


@pytest.mark.parametrize(
    ("lora", "position"), [(False, 2000), (True, 2000), pytest.param(False, 4000, marks=pytest.mark.slow)]
)
def test_far_positions_are_as_exact_as_with_the_library(lora: bool, position: int, tmp_path: Path) -> None:
    """Tokens sampled in bfloat16 at far positions: their log-probabilities against float32.

    At 2,000, the mean difference is 0.05 with the library's own bfloat16; it would be 0.23 with rotary
    frequencies in bfloat16.
    """
    torch.manual_seed(0)
    exact: Any = LlamaForCausalLM(LONG)
    for name, parameter in exact.named_parameters():  # attention that depends on positions
        if parameter.dim() > 1:
            parameter.data.mul_(10.0 if "q_proj" in name or "k_proj" in name else 3.0)
    exact.save_pretrained(tmp_path)
    library: Any = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    if lora:
        settings = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
        exact, library = get_peft_model(exact, settings), get_peft_model(library, copy.deepcopy(settings))
        trained = {name: torch.randn_like(p) * 0.05 for name, p in exact.named_parameters() if p.requires_grad}
        for model in (exact, library):
            model.load_state_dict(trained, strict=False)
    prompt = Prompt(ids=tuple(torch.randint(2, V, (position,)).tolist()), seeds=tuple(range(4)))
    spec = EngineSpec(
        model=exact,
        stop_ids=(),
        pad_id=0,
        dtype=torch.bfloat16,
        device="cpu",
        threads=1,
        max_rows=None,
        cuda_graphs=False,
    )
    (group,) = spec.build().generate([prompt], Sampling(temperature=1.0, max_new_tokens=24))
    ours = theirs = 0.0
    for completion in group:
        with torch.no_grad():
            right = full_forward(exact, prompt.ids, completion.ids)
            theirs += (full_forward(library, prompt.ids, completion.ids) - right).abs().mean().item() / 4
        ours += (torch.tensor(completion.logprobs) - right).abs().mean().item() / 4
    assert ours < 1.3 * theirs
