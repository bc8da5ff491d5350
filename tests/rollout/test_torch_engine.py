"""The embedded engine against a full forward pass and against itself."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from rollout.torch_engine import TorchEngine
from rollout.types import Completion, FinishReason, Prompt, Sampling

V, STOP, PAD = 19, 1, 0
SMALL = {"vocab_size": V, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}


def make(family: str) -> torch.nn.Module:
    torch.manual_seed(0)
    if family == "llama":
        model = LlamaForCausalLM(LlamaConfig(**SMALL, **HEADS))
    elif family == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(**SMALL, **HEADS))
    elif family == "mistral":  # a sliding window shorter than the completions
        model = MistralForCausalLM(MistralConfig(**SMALL, **HEADS, sliding_window=6))
    else:
        model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=V, n_embd=32, n_layer=2, n_head=4, n_positions=128, bos_token_id=1, eos_token_id=1
            )
        )
    for parameter in model.parameters():  # spread the logits: near-uniform ones would hide mistakes
        parameter.data.mul_(3.0 if parameter.dim() > 1 else 1.0)
    return model


def engine(family: str = "llama") -> TorchEngine:
    return TorchEngine(make(family), stop_ids=[STOP], pad_id=PAD, threads=1)


PROMPTS = [
    Prompt(ids=(3, 4, 5), seeds=(11, 12, 13)),
    Prompt(ids=(6, 7, 8, 9, 10, 11, 12), seeds=(21,)),
    Prompt(ids=(2,), seeds=(31, 32)),
]
SAMPLING = Sampling(temperature=0.8, max_new_tokens=20)


def full_forward(
    model: torch.nn.Module, prompt: Prompt, ids: tuple[int, ...], temperature: float
) -> torch.Tensor:
    """Log-probability of each completion token, without cache, padding or batch."""
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt.ids, *ids]])).logits[0, len(prompt.ids) - 1 : -1]
    logprobs = torch.log_softmax(logits.float() / temperature, dim=-1)
    return logprobs.gather(1, torch.tensor(ids)[:, None]).squeeze(1)


@pytest.mark.parametrize("family", ["llama", "qwen2", "mistral", "gpt2"])
@pytest.mark.parametrize("temperature", [0.8, 1.0, 1.7])
def test_logprobs_agree_with_a_full_forward(family: str, temperature: float) -> None:
    sampler = engine(family)
    groups = sampler.generate(PROMPTS, Sampling(temperature=temperature, max_new_tokens=20))
    worst = 0.0
    for prompt, group in zip(PROMPTS, groups, strict=True):
        for completion in group:
            expected = full_forward(sampler.model, prompt, completion.ids, temperature)
            worst = max(worst, (expected - torch.tensor(completion.logprobs)).abs().max().item())
    assert worst < 1e-4


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2"])
def test_greedy_is_the_likeliest_token_of_a_full_forward(family: str) -> None:
    sampler = engine(family)
    prompts = [Prompt(ids=prompt.ids, seeds=(0,)) for prompt in PROMPTS]
    for prompt, (completion,) in zip(
        prompts, sampler.generate(prompts, Sampling(temperature=0.0, max_new_tokens=12)), strict=True
    ):
        ids = list(prompt.ids)
        for token in completion.ids:
            with torch.no_grad():
                assert int(sampler.model(torch.tensor([ids])).logits[0, -1].argmax()) == token
            ids.append(token)


def test_a_completion_ends_at_its_first_stop_token_or_at_the_limit() -> None:
    many = [Prompt(ids=(3, 4), seeds=tuple(range(200)))]
    completions = engine().generate(many, Sampling(temperature=1.5, max_new_tokens=15))[0]
    stopped = [c for c in completions if c.finish_reason is FinishReason.STOP]
    cut = [c for c in completions if c.finish_reason is FinishReason.LENGTH]
    assert stopped and cut  # both happen, or this tests nothing
    assert all(c.ids[-1] == STOP and STOP not in c.ids[:-1] for c in stopped)
    assert all(len(c.ids) == 15 and STOP not in c.ids for c in cut)
    assert all(len(c.ids) == len(c.logprobs) for c in completions)


def test_the_same_call_gives_the_same_tokens_whatever_came_before() -> None:
    first = engine()
    expected = first.generate(PROMPTS, SAMPLING)
    assert first.generate(PROMPTS, SAMPLING) == expected
    second = engine()
    second.generate(PROMPTS[::-1], SAMPLING)
    assert second.generate(PROMPTS, SAMPLING) == expected


def test_tokens_depend_on_the_seed_not_on_the_rest_of_the_batch() -> None:
    """Rounding may differ with the batch, so tokens are compared, and log-probabilities within 1e-5."""
    alone = [engine().generate([prompt], SAMPLING)[0] for prompt in PROMPTS]
    together = engine().generate(PROMPTS, SAMPLING)
    for one, other in zip(alone, together, strict=True):
        assert [c.ids for c in one] == [c.ids for c in other]
        for a, b in zip(one, other, strict=True):
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-5)
    seeds = {c.ids for c in engine().generate([Prompt(ids=(3, 4), seeds=tuple(range(50)))], SAMPLING)[0]}
    assert len(seeds) > 40


def test_sampled_tokens_follow_the_distribution() -> None:
    """First tokens of 4,000 samples against their probabilities: chi-square below its 99.99 % point."""
    sampler = engine()
    prompt = Prompt(ids=(3, 4, 5), seeds=tuple(range(4000)))
    completions = sampler.generate([prompt], Sampling(temperature=1.0, max_new_tokens=1))[0]
    counts = Counter(c.ids[0] for c in completions)
    with torch.no_grad():
        probs = torch.softmax(sampler.model(torch.tensor([prompt.ids])).logits[0, -1], -1).tolist()
    common = [token for token in range(V) if probs[token] * 4000 >= 5]
    rest = 1.0 - sum(probs[token] for token in common)
    statistic = sum((counts[t] - 4000 * probs[t]) ** 2 / (4000 * probs[t]) for t in common)
    if rest * 4000 >= 5:
        seen = 4000 - sum(counts[t] for t in common)
        statistic += (seen - 4000 * rest) ** 2 / (4000 * rest)
    assert statistic < 50.0  # 18 degrees of freedom at most: 99.99 % point 48.8


def test_new_weights_are_used_and_their_version_recorded() -> None:
    sampler = engine()
    before = sampler.generate(PROMPTS, SAMPLING)
    name = "model.layers.0.mlp.up_proj.weight"
    weights = {name: sampler.model.state_dict()[name] * -1.0}
    sampler.load_weights(weights, version=7)
    after = sampler.generate(PROMPTS, SAMPLING)
    assert {c.weight_version for group in before for c in group} == {0}
    assert {c.weight_version for group in after for c in group} == {7}
    assert ids(before) != ids(after)


def test_weights_that_do_not_fit_are_refused() -> None:
    sampler = engine()
    with pytest.raises(ValueError, match=r"weights version 3: nothing\.weight is .*no such parameter"):
        sampler.load_weights({"nothing.weight": torch.zeros(2)}, version=3)
    with pytest.raises(ValueError, match=r"model.norm.weight is \(5,\), engine has \(32,\)"):
        sampler.load_weights({"model.norm.weight": torch.zeros(5)}, version=3)
    assert sampler.weight_version == 0


def test_thread_setting_of_the_process_is_left_as_it_was() -> None:
    before = torch.get_num_threads()
    TorchEngine(make("llama"), stop_ids=[STOP], pad_id=PAD, threads=1).generate(PROMPTS, SAMPLING)
    assert torch.get_num_threads() == before


def test_no_prompts_no_completions() -> None:
    assert engine().generate([], SAMPLING) == []


def ids(groups: list[list[Completion]]) -> list[list[tuple[int, ...]]]:
    return [[completion.ids for completion in group] for group in groups]
