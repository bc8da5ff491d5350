"""The learner's pass has no dropout and no noise, however a family keeps them."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from trl.trainer.utils import add_fused_lm_head

from rl.grpo.trainer import StrideTrainer
from tests.kit.model_families import make_family

# How each family keeps its noise, and a rate that would be hard to miss.
NOISY: list[tuple[str, dict[str, Any]]] = [
    ("opt", {"dropout": 0.3, "attention_dropout": 0.3}),
    ("llama", {"attention_dropout": 0.3}),
    ("qwen2", {"attention_dropout": 0.3}),
    ("starcoder2", {"attention_dropout": 0.3, "residual_dropout": 0.3, "embedding_dropout": 0.3}),
    ("mixtral", {"router_jitter_noise": 0.3}),
    ("gpt_neox", {"attention_dropout": 0.3, "hidden_dropout": 0.3}),
    ("gpt2", {"attn_pdrop": 0.3, "resid_pdrop": 0.3, "embd_pdrop": 0.3}),
    ("falcon", {"attention_dropout": 0.3, "hidden_dropout": 0.3}),  # read from the config in each pass
    ("gptj", {"attn_pdrop": 0.3, "resid_pdrop": 0.3}),
    ("phimoe", {"router_jitter_noise": 0.3}),  # draws experts while it trains
    ("granite", {"attention_dropout": 0.3}),
]
IDS = torch.tensor([[0, 0, 3, 4, 5, 6, 7, 8], [9, 10, 11, 12, 13, 14, 15, 1]])
MASK = (IDS != 0).long()


def learner_logprobs(model: Any) -> torch.Tensor:
    """Log-probabilities of the last 4 tokens as `StrideTrainer` computes them while it trains."""
    trainer: Any = SimpleNamespace(accelerator=SimpleNamespace(autocast=nullcontext))
    logps, _, _ = StrideTrainer._get_per_token_logps_and_entropies(trainer, model.train(), IDS, MASK, 4)
    return logps


def sampler_logprobs(model: Any) -> torch.Tensor:
    """The same by a full pass of each row in evaluation mode."""
    copied, rows = copy.deepcopy(model).eval(), []
    for ids, mask in zip(IDS, MASK, strict=True):
        ids = ids[mask.bool()][None]
        with torch.no_grad():
            logprobs = copied(ids).logits[0, -5:-1].log_softmax(-1)
        rows.append(logprobs.gather(1, ids[0, -4:, None]).squeeze(1))
    return torch.stack(rows)


@pytest.mark.parametrize(("family", "noise"), NOISY, ids=[family for family, _ in NOISY])
def test_the_learner_equals_the_sampler(family: str, noise: dict[str, Any]) -> None:
    model = make_family(family, **noise)
    expected = sampler_logprobs(model)
    with torch.no_grad():
        assert not torch.allclose(model.train()(IDS).logits, model(IDS).logits, atol=1e-3)  # there is noise
    add_fused_lm_head(model)
    assert model.config.to_dict().items() >= noise.items()  # saved as it came
    assert (learner_logprobs(model) - expected).abs().max() < 1e-5
    assert model.training  # the Trainer reads from it which metrics to write


def test_dropout_of_an_adapter_is_off_too() -> None:
    model = make_family("llama")
    add_fused_lm_head(model)
    settings = LoraConfig(r=2, lora_dropout=0.5, target_modules="all-linear", init_lora_weights=False)
    model = get_peft_model(model, settings)
    assert (learner_logprobs(model) - sampler_logprobs(model)).abs().max() < 1e-5


def test_gradient_checkpointing_is_kept_and_has_no_dropout() -> None:
    """Layers recompute in training mode alone; OPT's layers hold dropout themselves."""
    model = make_family("opt", **dict(NOISY)["opt"])
    expected = sampler_logprobs(model)
    add_fused_lm_head(model)
    # The Trainer's own calls have another name from transformers 5.24 on.
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    enable({"use_reentrant": False})
    passes = []
    model.model.decoder.layers[0].fc1.register_forward_hook(lambda *_: passes.append(1))
    logps = learner_logprobs(model)
    assert (logps - expected).abs().max() < 1e-5
    logps.sum().backward()
    assert len(passes) == 2  # once more for the gradient
