"""Optimizers by name: what reaches torch and bitsandbytes, and which weights decay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer

from configs.schema.config import GrpoConfig, LoraSettings, RolloutConfig, WarmStartConfig
from rl.grpo.arguments import grpo_arguments
from rl.models.policy import Policy
from rl.precision import Passes
from rl.trainer_arguments import trainer_arguments
from tests.kit.one_update import make_groups, make_policy, run

SETTINGS: dict[str, Any] = {"adam_beta1": 0.8, "adam_beta2": 0.95, "weight_decay": 0.1, "learning_rate": 0.01}


def optimizer(policy: Policy, folder: Path, name: str) -> Any:
    """The optimizer that the Trainer makes for GRPO's arguments."""
    grpo = GrpoConfig.model_validate({**SETTINGS, "optim": name})
    arguments = grpo_arguments(
        grpo, RolloutConfig(), folder=folder, seed=0, passes=Passes(cpu=True), report_to=[]
    )
    return Trainer(model=policy.model, args=arguments).create_optimizer()


@pytest.mark.parametrize(
    ("name", "made"),
    [("adamw_torch", "AdamW"), ("adamw_torch_fused", "AdamW"), ("adafactor", "Adafactor"), ("sgd", "SGD")],
)
def test_the_optimizer_has_the_settings_of_the_config(name: str, made: str, tmp_path: Path) -> None:
    found = optimizer(make_policy(), tmp_path, name)
    assert type(found).__name__ == made
    decayed, rest = found.param_groups
    assert (decayed["weight_decay"], rest["weight_decay"], decayed["lr"]) == (0.1, 0.0, 0.01)
    assert {p.dim() for p in decayed["params"]} == {2} and {p.dim() for p in rest["params"]} == {1}
    if made == "AdamW":
        assert decayed["betas"] == (0.8, 0.95)
        assert bool(decayed["fused"]) == (name == "adamw_torch_fused")


def test_adapters_decay() -> None:
    policy = make_policy(lora=LoraSettings(r=2))
    names = Trainer(model=policy.model).get_decay_parameter_names(policy.model)
    assert {name for name, p in policy.model.named_parameters() if p.requires_grad} <= set(names)


def test_the_defaults_are_those_of_the_library() -> None:
    for section in (WarmStartConfig(), GrpoConfig()):
        given = trainer_arguments(section, folder=Path("x"), seed=0, passes=Passes(cpu=True), report_to=[])
        assert (given["optim"], given["adam_beta1"], given["adam_beta2"]) == ("adamw_torch_fused", 0.9, 0.999)
        assert (given["bf16"], given["weight_decay"]) == (False, section.weight_decay)


def test_eight_bit_adamw_trains_on_a_cpu(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    policy = make_policy()
    found = optimizer(policy, tmp_path / "a", "adamw_8bit")
    assert (type(found).__module__.partition(".")[0], found.args.optim_bits) == ("bitsandbytes", 8)
    before = {name: p.detach().clone() for name, p in policy.model.named_parameters()}
    run(policy, make_groups(make_policy()), tmp_path / "b", optim="adamw_8bit")
    eight = {name: p.detach() - before[name] for name, p in policy.model.named_parameters()}
    exact = make_policy()
    run(exact, make_groups(make_policy()), tmp_path / "c", optim="adamw_torch")
    full = {name: p.detach() - before[name] for name, p in exact.model.named_parameters()}
    flat = [torch.cat([change.flatten() for change in changes.values()]) for changes in (eight, full)]
    assert torch.nn.functional.cosine_similarity(*flat, dim=0) > 0.95
