"""QLoRA on a CPU, where bitsandbytes has it too: loading, training in float32, the engine's plain copy."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from configs.schema.config import LoraSettings, PolicyConfig, TinyModelConfig
from rl.models.four_bits import plain_copy
from rl.models.policy import Policy, load_policy
from rl.precision import Passes
from tests.kit.one_update import ENV, make_groups, run

pytest.importorskip("bitsandbytes")
# A CPU's kernels take multiples of the block of 64 weights.
TINY = TinyModelConfig(hidden_size=128, num_layers=2, num_heads=2, intermediate_size=128, max_positions=256)


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    load_policy(PolicyConfig(tiny=TINY), ENV, seed=1).save(tmp_path / "base")
    config = PolicyConfig(model=str(tmp_path / "base"), lora=LoraSettings(r=4), load_in_4bit=True)
    policy = load_policy(config, ENV, seed=0, dtype=torch.bfloat16)
    for module in policy.model.modules():  # a CPU's kernel for inference has no gradient
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return policy


def test_the_base_takes_half_a_byte_a_weight(policy: Policy, tmp_path: Path) -> None:
    full = load_policy(PolicyConfig(model=str(tmp_path / "base"), lora=LoraSettings(r=4)), ENV, seed=0)
    assert policy.num_parameters == full.num_parameters
    layer = "base_model.model.model.layers.0.mlp.up_proj.base_layer.weight"
    packed, whole = (dict(each.model.named_parameters())[layer] for each in (policy, full))
    assert packed.dtype == torch.uint8 and packed.numel() * 2 == whole.numel()
    assert not packed.requires_grad


def test_the_plain_copy_computes_the_same_and_a_plain_model_is_returned_as_it_is(policy: Policy) -> None:
    for weight in policy.model.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, std=0.02)
    plain = plain_copy(policy.model)
    assert {p.dtype for name, p in plain.named_parameters() if "lora_" not in name} == {torch.bfloat16}
    assert type(plain.base_model.model.model.layers[0].mlp.up_proj.base_layer) is torch.nn.Linear
    ids = torch.randint(3, 20, (2, 16), generator=torch.Generator().manual_seed(0))
    expected, found = (each.train()(ids).logits.float() for each in (policy.model, plain))
    assert (expected - found).abs().max() < 0.02 * expected.abs().max()
    assert plain_copy(plain) is plain


def test_the_adapter_is_trained_in_float32(policy: Policy, tmp_path: Path) -> None:
    before = {name: p.detach().clone() for name, p in policy.model.named_parameters()}
    passes = Passes(cpu=True, mixed_precision=True, checkpointing=True)
    rows, _ = run(policy, make_groups(policy), tmp_path / "run", passes, updates=2, learning_rate=1e-5)
    for name, weight in policy.model.named_parameters():
        assert torch.equal(weight, before[name]) == ("lora_" not in name), name
        assert "lora_" not in name or weight.dtype == torch.float32
    assert rows[0]["logprob_diff/max"] < 0.1
