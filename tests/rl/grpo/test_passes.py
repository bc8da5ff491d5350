"""Gradient checkpointing and mixed precision in the learner: the gradient, its memory and its precision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from trl.kernels import chunked_logprob
from trl.trainer import utils as trl_utils

from configs.schema.config import LoraSettings
from rl.models.policy import Policy
from rl.precision import Passes
from rollout.engines.precision import cast_weights
from tests.kit.activations import (
    MIB,
    SHAPES,
    Live,
    a_token,
    fake_passes,
    kept_for_backward,
    measure,
    prepare,
    without_numbers,
)
from tests.kit.model_families import make_family
from tests.kit.one_update import make_groups, make_policy, run

PLAIN, CHECKPOINTING = Passes(cpu=True), Passes(cpu=True, checkpointing=True)
MIXED = Passes(cpu=True, mixed_precision=True)
LORA = LoraSettings(r=4)
LogProbs = chunked_logprob.ChunkedLogProbFunction


def gradient(policy: Policy, folder: Path, passes: Passes) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """The change of each trained weight by a step of plain gradient descent of size 1, and the row logged."""
    before = {name: p.detach().clone() for name, p in policy.model.named_parameters() if p.requires_grad}
    rows, _ = run(policy, make_groups(make_policy()), folder, passes, optim="sgd", learning_rate=1.0)
    after = dict(policy.model.named_parameters())
    return {name: weight - after[name].detach() for name, weight in before.items()}, rows[0]


@pytest.mark.parametrize("lora", [None, LORA], ids=["all weights", "lora"])
def test_checkpointing_leaves_the_gradient_bit_for_bit_and_keeps_less(
    lora: LoraSettings | None, tmp_path: Path
) -> None:
    gradients, kept = [], []
    for passes in (PLAIN, CHECKPOINTING):
        policy = make_policy(lora=lora)
        with kept_for_backward(policy.model) as count:
            gradients.append(gradient(policy, tmp_path / str(len(kept)), passes)[0])
        kept.append(count())
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])
    moved = [name for name, change in gradients[1].items() if change.any()]
    assert len(moved) == len([name for name in gradients[1] if "lora_A" not in name])  # B starts at 0
    assert kept[1] < 0.5 * kept[0]


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "qwen3_moe", "falcon", "mamba", "qwen3_next"])
def test_layers_of_other_families_are_computed_again_too(family: str) -> None:
    """Their layers keep little more than their input, with the same gradient."""
    results = []
    for checkpointing in (False, True):
        model = prepare(make_family(family), lora=False, checkpointing=checkpointing)
        kept = measure(model, 12).kept
        results.append((kept, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    (kept, expected), (less, found) = results
    assert less < 0.5 * kept
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_mixed_precision_has_float32_gradients_within_rounding_of_bfloat16(tmp_path: Path) -> None:
    policy = make_policy()
    exact, _ = gradient(make_policy(), tmp_path / "a", PLAIN)
    rounded, row = gradient(policy, tmp_path / "b", MIXED)
    assert {change.dtype for change in rounded.values()} == {torch.float32}
    flat = [torch.cat([change.flatten() for change in found.values()]) for found in (exact, rounded)]
    difference = (flat[0] - flat[1]).norm() / flat[0].norm()
    assert 1e-5 < difference < 2e-2  # bfloat16 has 8 bits
    assert 0 < row["logprob_diff/max"] < 0.05
    policy.save(tmp_path / "saved")
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    assert {weight.dtype for weight in saved.values()} == {torch.float32}  # the master weights
    again, _ = gradient(make_policy(), tmp_path / "c", replace(MIXED, checkpointing=True))
    assert all(torch.equal(rounded[name], again[name]) for name in rounded)


def test_log_probabilities_are_those_of_a_float32_softmax_over_bfloat16_logits() -> None:
    """Sharp logits, whose softmax in bfloat16 would be off by hundredths."""
    hidden = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))
    targets = torch.arange(64) % 32
    with torch.autocast("cpu", torch.bfloat16):
        logps, entropy, *_ = chunked_logprob.ChunkedLogProbFunction.apply(
            hidden, weight, None, targets, 1.0, 16
        )
        logits = hidden @ weight.T
    assert (logits.dtype, logps.dtype, entropy.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    exact = logits.float().log_softmax(-1)
    assert torch.allclose(logps, exact.gather(1, targets[:, None])[:, 0], atol=1e-5)
    assert torch.allclose(entropy, -(exact.exp() * exact).sum(-1), atol=1e-5)


def test_an_adapter_on_a_frozen_bfloat16_base_is_trained_in_float32(tmp_path: Path) -> None:
    policy = make_policy(lora=LORA)
    cast_weights(policy.model, torch.bfloat16)
    passes = Passes(cpu=True, mixed_precision=True, checkpointing=True)
    before = {name: p.detach().clone() for name, p in policy.model.named_parameters()}
    run(policy, make_groups(make_policy()), tmp_path, passes, updates=2, learning_rate=1e-5)
    for name, weight in policy.model.named_parameters():
        assert weight.dtype == (torch.float32 if "lora_" in name else torch.bfloat16)
        moved = not torch.equal(weight, before[name])
        assert moved == ("lora_" in name), name


def test_activations_of_1_5_b_under_lora_take_less_than_half_a_mebibyte_a_token() -> None:
    """Two of the 28 layers; each further one keeps its input, 1,536 values in bfloat16."""
    an_input = 1536 * 2
    two = SHAPES["Qwen2.5-1.5B"] | {"num_hidden_layers": 2}
    found = a_token(two, lora=True, mixed=True, checkpointing=True)
    assert 2 * an_input <= found.kept <= 6 * an_input  # the rest is the output layer's
    assert found.peak + 26 * an_input < 0.5 * MIB  # with all that one layer makes, in forward and backward pass


def test_fake_passes_count_what_real_ones_do() -> None:
    model = prepare(make_family("qwen2"), lora=True, checkpointing=True)
    real = measure(model, 120, mixed=True)
    with fake_passes():
        fake = measure(without_numbers(model), 120, mixed=True)
    assert fake.kept == real.kept
    assert fake.peak == pytest.approx(real.peak, rel=1e-3)


def test_logits_of_a_long_row_are_made_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 tokens over a vocabulary of 4,096: no tensor has more than the 64 x 128 logits of one piece."""
    monkeypatch.setattr(chunked_logprob, "TOKEN_CHUNK_SIZE", 64)
    monkeypatch.setattr(trl_utils, "_CHUNKED_LOGPROB_CHUNK_SIZE", 128)
    model = make_family("llama", hidden_size=8, num_attention_heads=1, num_key_value_heads=1, vocab_size=4096)
    trl_utils.add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    ids = torch.ones((1, 1000), dtype=torch.long)
    with Live() as live:
        model(input_ids=ids, labels=ids, fused_lm_head=True).log_probs.sum().backward()
    whole = 1000 * 4096 * 4
    assert live.peak < 0.25 * whole


def test_the_count_is_that_of_one_linear_layer_by_hand() -> None:
    """y = x W^T of 5 rows of 8 floats keeps x alone: 160 bytes; W is the layer's own."""
    layer = torch.nn.Linear(8, 4, bias=False)
    with kept_for_backward(layer) as kept:
        layer(torch.ones(5, 8, requires_grad=True)).sum()
    assert kept() == 5 * 8 * 4
