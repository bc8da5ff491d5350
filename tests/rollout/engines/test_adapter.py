"""An engine of a model with a LoRA adapter samples from a plain model that shares the learner's base."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from rollout.engines import adapter as merged
from rollout.engines.adapter import MergedAdapter, can_merge, sampled_model
from rollout.engines.cache_size import CallSize, cache_bytes
from rollout.engines.decoder import has_decoder
from rollout.engines.embedded import TorchEngine
from rollout.engines.spec import EngineSpec
from rollout.types import Prompt, Sampling
from tests.kit.causal_models import PAD, STOP, WRITTEN_OUT, full_forward, ids, make, mixed_prompts

PROMPTS = [Prompt(ids=(3, 4, 5), seeds=(1, 2, 3)), Prompt(ids=(6, 7, 8, 9, 10, 11), seeds=(4, 5))]
SAMPLING = Sampling(temperature=1.0, max_new_tokens=16)
GREEDY = Sampling(temperature=0.0, max_new_tokens=16)
KINDS: dict[str, dict[str, Any]] = {
    "lora": {},
    "rank-stabilised": {"use_rslora": True},
    "ranks and scales by layer": {"rank_pattern": {"q_proj": 4}, "alpha_pattern": {"down_proj": 9}},
    "dora": {"use_dora": True},
    "a head that is trained whole": {"modules_to_save": ["lm_head"]},
    "two layers": {"target_modules": ["q_proj", "v_proj"]},
}


def adapted(family: str = "llama", dtype: torch.dtype = torch.float32, **settings: Any) -> Any:
    """A model with a random adapter, large enough to change what is sampled."""
    base = make(family).to(dtype).eval()
    settings = {"target_modules": "all-linear", "fan_in_fan_out": family == "gpt2", **settings}
    torch.manual_seed(1)
    config = LoraConfig(r=2, lora_alpha=4, init_lora_weights=False, task_type="CAUSAL_LM", **settings)
    return get_peft_model(base, config)


def make_engine(model: Any, dtype: torch.dtype = torch.float32) -> Any:
    spec = EngineSpec(
        model=model,
        stop_ids=(STOP,),
        pad_id=PAD,
        dtype=dtype,
        device="cpu",
        threads=1,
        max_rows=None,
        cuda_graphs=True,
    )
    return spec.build()


def trained(model: Any, factor: float = 1.0) -> dict[str, torch.Tensor]:
    """The weights that the learner publishes, each times a factor."""
    return {name: p.detach() * factor for name, p in model.named_parameters() if p.requires_grad}


def frozen(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}


def difference(engine: Any, model: Any) -> float:
    """Largest difference of log-probabilities, sampled against a full pass of the learner."""
    with torch.no_grad():
        return max(
            (torch.tensor(completion.logprobs) - full_forward(model, prompt.ids, completion.ids)).abs().max()
            for prompt, group in zip(PROMPTS, engine.generate(PROMPTS, SAMPLING), strict=True)
            for completion in group
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_the_decoder_samples_what_the_learner_scores(family: str, kind: str) -> None:
    learner = adapted(family, **KINDS[kind])
    engine = make_engine(learner)
    assert type(engine.model) is type(make(family)) and engine._decoder is not None
    assert difference(engine, learner) < 1e-5
    engine.load_weights(trained(learner, -1.5), version=3)
    assert difference(engine, learner) > 0.1  # the weights make a difference
    learner.load_state_dict(trained(learner, -1.5), strict=False)
    assert difference(engine, learner) < 1e-5 and engine.weight_version == 3


@pytest.mark.parametrize("family", ["gpt2", "mistral"])  # matrices the other way round; no written-out decoder
@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_other_families_sample_from_a_plain_model_too(family: str, kind: str) -> None:
    learner = adapted(family, **KINDS[kind])
    engine = make_engine(learner)
    assert type(engine.model) is type(make(family)) and engine._decoder is None
    assert difference(engine, learner) < 1e-5


@pytest.mark.parametrize("family", WRITTEN_OUT)
def test_greedy_tokens_are_the_learners(family: str) -> None:
    learner = adapted(family)
    for prompt, group in zip(PROMPTS, make_engine(learner).generate(PROMPTS, GREEDY), strict=True):
        context = list(prompt.ids)
        for token in group[0].ids:
            with torch.no_grad():
                assert int(learner(torch.tensor([context])).logits[0, -1].argmax()) == token
            context.append(token)


def test_weights_depend_on_the_last_publication_alone() -> None:
    """Bit for bit: nothing builds up, and the learner's base is untouched."""
    learner = adapted()
    before = frozen(learner)
    often, once = make_engine(learner), make_engine(learner)
    for version in range(1, 30):
        often.load_weights(trained(learner, 0.37 * version), version)
        often.generate(PROMPTS, SAMPLING)
    for engine in (often, once):
        engine.load_weights(trained(learner, 0.9), version=30)
    assert all(
        torch.equal(a, b) for a, b in zip(often.model.parameters(), once.model.parameters(), strict=True)
    )
    assert often.generate(PROMPTS, SAMPLING) == once.generate(PROMPTS, SAMPLING)
    assert all(torch.equal(tensor, before[name]) for name, tensor in frozen(learner).items())


def test_the_base_is_shared_and_the_learners_layout_kept() -> None:
    learner = adapted()
    base = learner.get_base_model()
    strides = {name: p.stride() for name, p in base.named_parameters()}
    engine = make_engine(learner)
    own, theirs = dict(engine.model.named_parameters()), dict(base.named_parameters())
    for name in ("model.embed_tokens.weight", "model.layers.1.input_layernorm.weight", "model.norm.weight"):
        assert own[name].data_ptr() == theirs[name].data_ptr() and own[name] is not theirs[name]
    layers = {module for module in base.modules() if hasattr(module, "base_layer")}
    kept = {layer.lora.base_layer.weight.data_ptr() for layer in engine._adapter._layers}
    assert kept == {layer.base_layer.weight.data_ptr() for layer in layers}
    assert strides == {name: p.stride() for name, p in base.named_parameters()}
    memory = {p.data_ptr() for p in engine.model.parameters()}
    assert not memory & {layer.base_layer.weight.data_ptr() for layer in layers}


def test_publishing_copies_what_the_learner_goes_on_changing() -> None:
    learner = adapted()
    engine = make_engine(learner)
    engine.load_weights({n: p for n, p in learner.named_parameters() if p.requires_grad}, version=1)
    before = engine.generate(PROMPTS, SAMPLING)
    learner.load_state_dict(trained(learner, 3.0), strict=False)  # in place, as an optimiser does
    assert engine.generate(PROMPTS, SAMPLING) == before
    engine.load_weights({}, version=1)
    assert engine.generate(PROMPTS, SAMPLING) == before
    engine.load_weights(trained(learner), version=1)
    assert engine.generate(PROMPTS, SAMPLING) != before


def test_weights_of_a_part_leave_the_others_as_they_were() -> None:
    learner = adapted()
    parts, whole = make_engine(learner), make_engine(learner)
    new = trained(learner, 2.0)
    parts.load_weights({name: tensor for name, tensor in new.items() if "lora_A" in name}, version=1)
    parts.load_weights({name: tensor for name, tensor in new.items() if "lora_B" in name}, version=2)
    whole.load_weights(new, version=2)
    assert parts.generate(PROMPTS, SAMPLING) == whole.generate(PROMPTS, SAMPLING)


def test_weights_that_do_not_fit_change_nothing() -> None:
    learner = adapted()
    engine = make_engine(learner)
    before = engine.generate(PROMPTS, SAMPLING)
    new = trained(learner, 2.0)
    name = next(iter(new))
    with pytest.raises(ValueError, match=r"weights version 4: x\.lora_A\.default\.weight .*no such parameter"):
        engine.load_weights({**new, "x.lora_A.default.weight": torch.zeros(3)}, version=4)
    with pytest.raises(ValueError, match=r"lora_A\.default\.weight is \(3,\), engine has \(2, 32\)"):
        engine.load_weights({**new, name: torch.zeros(3)}, version=4)
    assert engine.generate(PROMPTS, SAMPLING) == before


def test_in_bfloat16_each_weight_is_rounded_up_or_down_and_right_on_average() -> None:
    """From a base in float32 or in bfloat16, whose embeddings and norms are then shared.

    Each matrix has 1,000 weights or more, whose changes by the adapter are an eighth of the spacing: rounded to
    nearest, most would be as before.
    """
    for dtype in (torch.float32, torch.bfloat16):
        learner = adapted("qwen3", dtype)
        learner.load_state_dict(trained(learner, 0.02), strict=False)
        engine = make_engine(learner, torch.bfloat16)
        own = dict(engine.model.named_parameters())
        share = []
        for name, module in learner.get_base_model().named_modules():
            if hasattr(module, "base_layer"):
                base, change = module.base_layer.weight.bfloat16().float(), module.get_delta_weight("default")
                merged_weight = own[f"{name}.weight"].float()
                spacing = 2.0 ** (torch.maximum(base.abs(), (base + change).abs()).log2().floor() - 7)
                assert change.abs().median() < spacing.median() / 6
                assert bool(((merged_weight - base - change).abs() < spacing).all())
                share.append((((merged_weight - base) * change).sum() / (change**2).sum()).item())
        assert len(share) == 14 and abs(sum(share) / 14 - 1) < 0.1
        again = make_engine(learner, torch.bfloat16)
        assert all(torch.equal(p, own[name]) for name, p in again.model.named_parameters())
        engine.load_weights({n: t * 0.0 for n, t in trained(learner).items() if "lora_B" in n}, version=1)
        for name, module in learner.get_base_model().named_modules():
            if hasattr(module, "base_layer"):
                assert torch.equal(own[f"{name}.weight"], module.base_layer.weight.bfloat16())
        assert {p.dtype for p in own.values()} == {torch.bfloat16}
        assert engine.model.model.rotary_emb.inv_freq.dtype == torch.float32
        theirs = learner.get_base_model().model.norm.weight
        assert (own["model.norm.weight"].data_ptr() == theirs.data_ptr()) == (dtype == torch.bfloat16)


def test_weights_that_are_not_finite_stay_so() -> None:
    learner = adapted()
    engine = make_engine(learner, torch.bfloat16)
    engine.load_weights(trained(learner, float("nan")), version=1)
    assert engine.model.model.layers[0].mlp.up_proj.weight.isnan().all()
    engine.load_weights(trained(learner), version=0)
    assert engine.generate(PROMPTS, SAMPLING) == make_engine(learner, torch.bfloat16).generate(
        PROMPTS, SAMPLING
    )


def test_captured_steps_replay_with_published_weights() -> None:
    """A capture that keeps the step: what it reads must stay where it is."""

    def capture() -> Any:
        return lambda step: (step(), step)[1]

    learner = adapted()
    plain = make_engine(learner)
    adapter = MergedAdapter(learner, dtype=torch.float32, device="cpu")
    replayed = TorchEngine(
        adapter.model, adapter=adapter, stop_ids=[STOP], pad_id=PAD, threads=1, make_capture=capture
    )
    for version in (1, 2):
        for engine in (plain, replayed):
            engine.load_weights(trained(learner, 0.5 * version), version)
        at = {name: p.data_ptr() for name, p in replayed.model.named_parameters()}
        assert ids(replayed.generate(mixed_prompts(), SAMPLING)) == ids(
            plain.generate(mixed_prompts(), SAMPLING)
        )
        assert replayed._graphs is not None and replayed._graphs._steps
        assert at == {name: p.data_ptr() for name, p in replayed.model.named_parameters()}


def test_an_engine_in_another_process_keeps_a_base_of_its_own() -> None:
    learner = adapted(modules_to_save=["lm_head"])
    sent = pickle.loads(pickle.dumps(learner))
    engine, here = make_engine(sent), make_engine(learner)
    for other in (engine, here):
        other.load_weights(trained(learner, 1.2), version=1)
    assert engine.generate(PROMPTS, SAMPLING) == here.generate(PROMPTS, SAMPLING)


def test_the_cache_is_counted_as_the_engine_allocates_it() -> None:
    """Once for each prompt, as in the model without adapter."""
    calls, sizes = [CallSize(4, 8, 64)], {"prompt_tokens": 100, "max_rows": None, "dtype": torch.float32}
    learner = adapted("qwen3")
    assert sampled_model(learner) is learner.get_base_model() and has_decoder(sampled_model(learner))
    assert cache_bytes(learner, calls, **sizes) == cache_bytes(make("qwen3"), calls, **sizes)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"bias": "lora_only"},
        {"lora_bias": True, "target_modules": ["q_proj"]},
        {"trainable_token_indices": [1]},
        {"target_modules": [], "target_parameters": ["q_proj.weight"]},
    ],
)
def test_what_cannot_be_merged_is_sampled_through_pefts_layers(
    settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    learner = adapted("qwen2", **settings)
    assert not can_merge(learner) and sampled_model(learner) is learner
    engine = make_engine(learner)
    assert engine._decoder is None and "cannot be merged" in caplog.text
    learner.load_state_dict(trained(learner, 1.2), strict=False)
    engine.load_weights(trained(learner), version=1)
    assert difference(engine, learner) < 1e-5


class Params4bit(nn.Parameter):
    """A stand-in for a matrix of bitsandbytes: eighths of whole numbers."""


class Linear4bit(nn.Linear):
    """A stand-in for its layer."""

    @classmethod
    def of(cls, layer: nn.Linear) -> Linear4bit:
        """A layer quantized from one in full precision."""
        own = cls(layer.in_features, layer.out_features, bias=layer.bias is not None)
        own.weight = Params4bit((layer.weight * 8).round().to(torch.int8), requires_grad=False)
        own.bias = layer.bias
        return own

    def dequantized(self) -> torch.Tensor:
        return self.weight.to(torch.bfloat16) / 8

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.dequantized().to(x.dtype), self.bias)


@pytest.fixture
def dequantize(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], torch.Tensor]:
    def stand_in(module: Any) -> torch.Tensor:
        weight: torch.Tensor = module.dequantized() if isinstance(module, Linear4bit) else module.weight
        return weight

    monkeypatch.setattr(merged, "dequantize_module_weight", stand_in)
    return stand_in


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "v_proj"]])
def test_a_base_in_four_bits_is_dequantized(dequantize: Callable[[Any], torch.Tensor], targets: Any) -> None:
    """With the quantized layers that have an adapter, and those that have none."""
    learner = adapted("llama-3", target_modules=targets)
    for module in list(learner.get_base_model().modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and ("base_layer" in name or name.endswith("_proj")):
                setattr(module, name, Linear4bit.of(child))
    engine = make_engine(learner)
    assert engine._decoder is not None and can_merge(learner)
    assert difference(engine, learner) < 1e-5
    assert {p.dtype for p in engine.model.parameters()} == {torch.float32}


@pytest.mark.gpu
@pytest.mark.parametrize("family", WRITTEN_OUT)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_gpu_learner_and_engine_share_one_base(family: str, dtype: torch.dtype) -> None:
    learner = adapted(family, dtype)
    spec = EngineSpec(
        model=learner,
        stop_ids=(STOP,),
        pad_id=PAD,
        dtype=dtype,
        device="cuda",
        threads=1,
        max_rows=None,
        cuda_graphs=True,
    )
    engine: Any = spec.build()
    theirs = learner.get_base_model().get_input_embeddings().weight
    assert theirs.is_cuda and engine.model.get_input_embeddings().weight.data_ptr() == theirs.data_ptr()
    tolerance = 1e-3 if dtype == torch.float32 else 0.1
    for version in (1, 2):
        learner.load_state_dict(trained(learner, 0.8), strict=False)
        engine.load_weights(trained(learner), version)
        for prompt, group in zip(PROMPTS, engine.generate(PROMPTS, SAMPLING), strict=True):
            for completion in group:
                text = torch.tensor([[*prompt.ids, *completion.ids]], device="cuda")
                with torch.no_grad():
                    logits = learner(text).logits[0, len(prompt.ids) - 1 : -1].float()
                right = torch.log_softmax(logits, dim=-1).gather(1, text[0, len(prompt.ids) :, None]).squeeze(1)
                got = torch.tensor(completion.logprobs, device="cuda")
                assert float((got - right).abs().mean()) < tolerance
