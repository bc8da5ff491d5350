"""A policy that starts from a saved LoRA adapter: trained further, merged, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from configs.schema.config import LoraSettings, PolicyConfig
from envs import make_env
from rl.models.adapter import share_base
from rl.models.files import PolicyError
from rl.models.policy import Policy, load_policy
from rl.models.saved_adapter import check_model
from tests.kit.tiny_policy import TINY

ENV = make_env("addition")
LORA = LoraSettings(r=2, alpha=4)


def logits(model: Any, policy: Policy) -> torch.Tensor:
    ids = torch.tensor([policy.encoder.encode("Add 3 and 45\n")])
    with torch.no_grad():
        result: torch.Tensor = model.eval()(input_ids=ids).logits
    return result


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of a base model in the folder beside it, trained to be far from nothing."""
    folder = tmp_path_factory.mktemp("adapters")
    load_policy(PolicyConfig(tiny=TINY), ENV, seed=5).save(folder / "base")
    policy = load_policy(PolicyConfig(model=str(folder / "base"), lora=LORA), ENV, seed=5)
    for name, parameter in policy.model.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(generator=torch.Generator().manual_seed(len(name)))
    policy.save(folder / "adapter")
    return folder / "adapter"


def changed(adapter: Path, folder: Path, **settings: Any) -> str:
    """A copy with other settings."""
    for file in adapter.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return str(folder)


def adapted(adapter: Path) -> Any:
    """The same model by PEFT alone."""
    return PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(adapter.parent / "base"), str(adapter)
    )


def test_an_adapter_is_trained_further(adapter: Path, tmp_path: Path) -> None:
    config = PolicyConfig(model=str(adapter), lora=LORA)
    policy = load_policy(config, ENV, seed=0)
    right = logits(adapted(adapter), policy)
    assert (
        right - logits(load_policy(PolicyConfig(model=str(adapter.parent / "base")), ENV, seed=0).model, policy)
    ).abs().max() > 0.1
    assert torch.equal(logits(policy.model, policy), right)
    trained = {name for name, parameter in policy.model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, _ in policy.model.named_parameters() if "lora_" in name}
    # And again from a checkpoint of such a run.
    for name, parameter in policy.model.named_parameters():
        parameter.data.add_(0.25 if name in trained else 0.0)
    policy.save(tmp_path)
    again = load_policy(config, ENV, seed=0, checkpoint=tmp_path)
    assert torch.equal(logits(again.model, policy), logits(policy.model, policy))


def test_a_policy_loaded_again_keeps_the_base_it_had(adapter: Path) -> None:
    config = PolicyConfig(model=str(adapter), lora=LORA)
    first, again = (load_policy(config, ENV, seed=0) for _ in range(2))
    right = logits(again.model, again)
    share_base(again.model, first.model)
    assert torch.equal(logits(again.model, again), right)
    theirs = dict(first.model.named_parameters())
    for name, parameter in again.model.named_parameters():
        assert (parameter.data_ptr() == theirs[name].data_ptr()) == ("lora_" not in name)
    config = PolicyConfig(model=str(adapter.parent / "base"))  # all of its weights are trained
    first, again = (load_policy(config, ENV, seed=0) for _ in range(2))
    share_base(again.model, first.model)
    theirs = dict(first.model.named_parameters())
    assert all(p.data_ptr() != theirs[name].data_ptr() for name, p in again.model.named_parameters())


def test_an_adapter_without_a_tokenizer_gets_its_bases(adapter: Path, tmp_path: Path) -> None:
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).write_bytes((adapter / name).read_bytes())
    config = PolicyConfig(model=str(tmp_path), lora=LORA)
    check_model(config)
    policy = load_policy(config, ENV, seed=0)
    assert torch.equal(logits(policy.model, policy), logits(adapted(adapter), policy))


def test_an_adapter_is_merged(adapter: Path) -> None:
    config = PolicyConfig(model=str(adapter), merge_adapter=True)
    check_model(config)
    policy = load_policy(config, ENV, seed=0)
    assert not isinstance(policy.model, PeftModel)
    assert all(parameter.requires_grad for parameter in policy.model.parameters())
    assert torch.allclose(logits(policy.model, policy), logits(adapted(adapter), policy), atol=1e-4)


def test_dropout_of_the_warm_start_is_that_of_the_config(adapter: Path, tmp_path: Path) -> None:
    model = changed(adapter, tmp_path, lora_dropout=0.5)
    policy = load_policy(PolicyConfig(model=model, lora=LORA.model_copy(update={"dropout": 0.1})), ENV, seed=0)
    rates = {module.p for module in policy.model.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.1}


@pytest.mark.parametrize(
    ("settings", "policy", "message"),
    [
        ({}, {}, "is a LoRA adapter; to train it further, set policy.lora={r: 2, alpha: 4}; to train all "),
        ({}, {"lora": {"r": 4, "alpha": 4}}, "with r 2 and alpha 4, but policy.lora has r 4 and alpha 4; set"),
        ({}, {"lora": {"r": 2, "alpha": 8}}, "with r 2 and alpha 4, but policy.lora has r 2 and alpha 8; set"),
        ({}, {"lora": {"r": 2, "alpha": 4, "target_modules": ["q_proj"]}}, "is ['q_proj']; leave it out"),
        ({}, {"lora": {"r": 2, "alpha": 4}, "merge_adapter": True}, "and policy.lora is set, but"),
        ({"peft_type": "IA3"}, {"merge_adapter": True}, "is a IA3 adapter, and only LORA is supported"),
        ({"base_model_name_or_path": None}, {"merge_adapter": True}, "is an adapter without a base model; set"),
        (
            {"base_model_name_or_path": "/nowhere"},
            {"merge_adapter": True},
            "is an adapter without its base: policy.model '/nowhere': no such folder",
        ),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_without_torch(
    settings: dict[str, Any], policy: dict[str, Any], message: str, adapter: Path, tmp_path: Path
) -> None:
    config = PolicyConfig.model_validate({"model": changed(adapter, tmp_path, **settings), **policy})
    with pytest.raises(PolicyError) as refused:
        check_model(config)
    assert str(refused.value).startswith("policy.m") and message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_nothing_to_merge_is_refused(adapter: Path) -> None:
    with pytest.raises(PolicyError, match="is a whole model; set it to false"):
        check_model(PolicyConfig(model=str(adapter.parent / "base"), merge_adapter=True))
    with pytest.raises(PolicyError, match=r"policy\.merge_adapter is set, but policy\.model is 'tiny'"):
        check_model(PolicyConfig(merge_adapter=True))


def test_weights_that_do_not_fit_the_base_are_refused(adapter: Path, tmp_path: Path) -> None:
    other = TINY.model_copy(update={"hidden_size": 64})
    load_policy(PolicyConfig(tiny=other), ENV, seed=5).save(tmp_path / "other")
    (tmp_path / "adapter").mkdir()
    model = changed(adapter, tmp_path / "adapter", base_model_name_or_path=str(tmp_path / "other"))
    for more in ({"lora": LORA}, {"merge_adapter": True}):
        with pytest.raises(PolicyError, match=r"the adapter .* cannot be (loaded|merged): .*size mismatch"):
            load_policy(PolicyConfig(model=model, **more), ENV, seed=0)


@pytest.mark.parametrize("targets", [["lm_head", "q_proj"], ["lm_head"]])
def test_an_adapter_on_the_output_layer_is_refused(targets: list[str]) -> None:
    lora = LoraSettings(r=2, target_modules=targets)
    with pytest.raises(
        PolicyError, match=r"^policy\.lora\.target_modules has 'lm_head', .*: down_proj, gate_proj"
    ):
        load_policy(PolicyConfig(tiny=TINY, lora=lora), ENV, seed=0)
