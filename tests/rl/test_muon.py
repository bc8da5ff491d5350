"""Muon for hidden matrices, AdamW for the rest: which weights, which steps, and resuming."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.schema.config import LoraSettings, PolicyConfig, WarmStartConfig
from configs.schema.yaml_text import ConfigError
from envs import make_env
from rl.models.policy import Policy, load_policy
from rl.muon import MuonWithAdamW, hidden_matrices
from tests.kit.one_update import make_groups, make_policy, run
from tests.kit.tiny_policy import TINY
from tests.kit.warm_starts import run_warm_start

ENV = make_env("addition", {"train": ["1_1"]})


def names(model: torch.nn.Module) -> set[str]:
    """The last two parts of the names of the weights that are Muon's."""
    chosen = {id(weight) for weight in hidden_matrices(model)}
    return {
        ".".join(name.removesuffix(".weight").removesuffix(".default").rsplit(".", 2)[-2:])
        for name, weight in model.named_parameters()
        if id(weight) in chosen
    }


def test_hidden_matrices_are_those_of_attention_and_mlp() -> None:
    attention = {f"self_attn.{name}_proj" for name in "qkvo"}
    linear = attention | {f"mlp.{name}_proj" for name in ("gate", "up", "down")}
    assert names(make_policy().model) == linear
    adapter = make_policy(lora=LoraSettings(r=2)).model
    assert names(adapter) == {f"{name.partition('.')[2]}.lora_{half}" for name in linear for half in "AB"}
    head = torch.nn.Linear(32, 100, bias=False)  # not tied
    model: Any = make_policy().model
    model.set_output_embeddings(head)
    assert all(weight is not head.weight for weight in hidden_matrices(model))


def test_steps_are_those_of_muon_and_adamw() -> None:
    ours: Any = make_policy().model
    theirs = copy.deepcopy(ours)
    rates: dict[str, Any] = {"lr": 3e-3, "weight_decay": 0.1}
    adam: dict[str, Any] = {**rates, "betas": (0.8, 0.95), "fused": True}
    optimizer = MuonWithAdamW(torch.optim.AdamW(ours.parameters(), **adam), hidden_matrices(ours))
    matrices = list(hidden_matrices(theirs))
    taken = {id(weight) for weight in matrices}
    by_hand = (
        torch.optim.Muon(matrices, **rates, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW([weight for weight in theirs.parameters() if id(weight) not in taken], **adam),
    )
    generator = torch.Generator().manual_seed(0)
    for step in range(4):
        for weight, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            weight.grad = torch.randn(weight.shape, generator=generator)
            other.grad = weight.grad.clone()
        for group in (*optimizer.param_groups, *(group for one in by_hand for group in one.param_groups)):
            group["lr"] = 3e-3 / (step + 1)  # as a schedule does
        optimizer.step()
        for one in by_hand:
            one.step()
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))


def weights(policy: Policy) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in policy.model.parameters()])


def test_a_warm_start_goes_on_exactly(tmp_path: Path) -> None:
    config = WarmStartConfig(updates=4, num_problems=40, batch_size=4, optim="muon", save_every=2)
    whole, resumed = (load_policy(PolicyConfig(tiny=TINY), ENV, seed=0) for _ in range(2))
    run_warm_start(whole, ENV, config, tmp_path)
    run_warm_start(resumed, ENV, config, tmp_path, resume_from=tmp_path / "checkpoint-2")
    assert torch.equal(weights(whole), weights(resumed))
    state = torch.load(tmp_path / "checkpoint-4" / "optimizer.pt", weights_only=True)
    groups = state["param_groups"]
    assert [(group["rule"], group["weight_decay"]) for group in groups] == [
        ("muon", 0.01),
        ("adamw", 0.01),
        ("adamw", 0.0),
    ]
    assert {len(state["state"][place]) for place in groups[0]["params"]} == {1}  # momentum alone


@pytest.mark.parametrize("lora", [None, LoraSettings(r=2)])
def test_grpo_trains_with_it(lora: LoraSettings | None, tmp_path: Path) -> None:
    policy = make_policy(lora=lora)
    before = {name: weight.detach().clone() for name, weight in policy.model.named_parameters()}
    run(policy, make_groups(make_policy()), tmp_path, optim="muon", learning_rate=1e-2)
    matrices = {id(weight) for weight in hidden_matrices(policy.model)}
    sizes = [
        float((weight.detach() - before[name]).square().mean().sqrt())
        for name, weight in policy.model.named_parameters()
        if id(weight) in matrices
        and not name.endswith("lora_A.default.weight")  # without gradient where B is 0
    ]
    assert sizes
    assert sizes == pytest.approx([0.2 * 1e-2] * len(sizes), rel=0.5)  # singular values from 0.5 to 1.5


@pytest.mark.filterwarnings("ignore:Model has .tie_word_embeddings")
def test_without_hidden_matrices_there_is_nothing_to_train(tmp_path: Path) -> None:
    policy = make_policy(lora=LoraSettings(r=2, target_modules=["embed_tokens"]))
    with pytest.raises(ConfigError, match=r"grpo\.optim is 'muon', .*policy\.lora\.target_modules leaves none"):
        run(policy, make_groups(make_policy()), tmp_path, optim="muon")
