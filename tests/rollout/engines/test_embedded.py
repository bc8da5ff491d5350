"""The embedded engine against a full forward pass and against itself."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace

import pytest
import torch

from rollout.engines.cache_size import CallSize, cache_bytes
from rollout.engines.decoder import Decoder
from rollout.engines.embedded import TorchEngine
from rollout.types import Completion, FinishReason, Prompt, Sampling
from tests.kit.causal_models import PAD, STOP, WRITTEN_OUT, V, full_forward, ids, make, mixed_prompts


def engine(family: str = "llama", max_rows: int | None = None) -> TorchEngine:
    return TorchEngine(make(family), stop_ids=[STOP], pad_id=PAD, threads=1, max_rows=max_rows)


def library_engine(family: str) -> TorchEngine:
    """An engine that decodes with the library's forward, for any family."""
    sampler = engine(family)
    sampler._decoder = None
    sampler._needs = replace(sampler._needs, stores_prompts=False)
    return sampler


PROMPTS = [
    Prompt(ids=(3, 4, 5), seeds=(11, 12, 13)),
    Prompt(ids=(6, 7, 8, 9, 10, 11, 12), seeds=(21,)),
    Prompt(ids=(2,), seeds=(31, 32)),
]
SAMPLING = Sampling(temperature=0.8, max_new_tokens=20)


@pytest.mark.parametrize("family", [*WRITTEN_OUT, "llama-lines", "mistral", "smollm3-window", "gpt2"])
@pytest.mark.parametrize("temperature", [0.8, 1.0, 1.7])
def test_logprobs_agree_with_a_full_forward(family: str, temperature: float) -> None:
    sampler = engine(family)
    groups = sampler.generate(PROMPTS, Sampling(temperature=temperature, max_new_tokens=20))
    worst = 0.0
    for prompt, group in zip(PROMPTS, groups, strict=True):
        for completion in group:
            with torch.no_grad():
                expected = full_forward(sampler.model, prompt.ids, completion.ids, temperature)
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


@pytest.mark.parametrize("family", WRITTEN_OUT)
def test_a_decoder_and_the_library_sample_the_same_tokens(family: str) -> None:
    fast, slow = engine(family), library_engine(family)
    assert fast._decoder is not None
    prompts = mixed_prompts(family)
    for sampling in (SAMPLING, Sampling(temperature=0.0, max_new_tokens=30)):
        for ours, theirs in zip(
            fast.generate(prompts, sampling), slow.generate(prompts, sampling), strict=True
        ):
            for a, b in zip(ours, theirs, strict=True):
                assert a.ids == b.ids
                assert a.logprobs == pytest.approx(b.logprobs, abs=2e-5)


@pytest.mark.parametrize("family", ["mistral", "smollm3-window", "gpt2"])
def test_other_models_have_no_decoder(family: str) -> None:
    assert engine(family)._decoder is None


def test_line_positions_take_no_table_of_rotations() -> None:
    assert Decoder(make("llama")).reserve(50)
    assert not Decoder(make("llama-lines")).reserve(50)


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2"])
@pytest.mark.parametrize("max_rows", [1, 6, 20])
def test_waiting_rows_get_the_same_tokens(family: str, max_rows: int) -> None:
    sampling = Sampling(temperature=1.0, max_new_tokens=40)
    expected = engine(family).generate(mixed_prompts(), sampling)
    lengths = [len(c.ids) for group in expected for c in group]
    assert min(lengths) < 5 and max(lengths) == 40  # rows leave all the time, and columns run out
    assert ids(engine(family, max_rows).generate(mixed_prompts(), sampling)) == ids(expected)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("max_rows", [1, 2, 3])
def test_a_long_prompt_is_admitted_after_short_ones(family: str, max_rows: int) -> None:
    """A long prompt still fits when the columns run out while only short and young rows are in the batch."""
    rng = random.Random(3)
    prompts = [
        Prompt(ids=tuple(rng.randrange(2, V) for _ in range(rng.choice([1, 14]))), seeds=(p,))
        for p in range(60)
    ]
    sampling = Sampling(temperature=1.0, max_new_tokens=8)
    expected = ids(engine(family).generate(prompts, sampling))
    assert ids(engine(family, max_rows).generate(prompts, sampling)) == expected


@pytest.mark.parametrize("seed", [*range(12), 34])  # 5 and 34 once lost the start of a long prompt
def test_any_mix_of_prompts_limits_and_rows_gives_the_same_tokens(seed: int) -> None:
    rng = random.Random(seed)
    num_prompts, limit = rng.randint(1, 25), rng.choice([1, 2, 3, 5, 12, 30])
    prompts = []
    for p in range(num_prompts):
        samples = rng.randint(1, 6)
        prompt_ids = tuple(rng.randrange(2, V) for _ in range(rng.randint(1, 20)))
        own = tuple(rng.randint(1, 35) for _ in range(samples)) if rng.random() < 0.5 else ()
        prompts.append(Prompt(ids=prompt_ids, seeds=tuple(range(10 * p, 10 * p + samples)), limits=own))
    sampling = Sampling(temperature=rng.choice([0.0, 1.0, 2.0]), max_new_tokens=limit)
    for family in ("gpt2", "llama", "mistral"):
        expected = ids(library_engine(family).generate(prompts, sampling))
        for max_rows in (None, rng.randint(1, 40)):
            assert ids(engine(family, max_rows).generate(prompts, sampling)) == expected


def test_the_number_of_rows_is_limited_but_a_group_always_fits() -> None:
    for max_rows, allowed in ((20, 20), (6, 6), (1, 5)):
        sampler = engine("gpt2", max_rows)
        widths: list[int] = []
        sampler.model.register_forward_pre_hook(
            lambda _, __, given, widths=widths: widths.append(len(given["input_ids"])), with_kwargs=True
        )
        sampler.generate(mixed_prompts(), SAMPLING)
        assert max(widths) <= allowed


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("max_rows", [None, 4])
def test_the_kv_cache_takes_the_memory_stated_in_advance(family: str, max_rows: int | None) -> None:
    """After a call of many prompts and one of long completions, the cache has room for either."""
    many = [Prompt(ids=tuple(range(2, 12)), seeds=(p, p + 100)) for p in range(6)]
    long = Sampling(temperature=1.0, max_new_tokens=50)
    sampler = engine(family, max_rows)
    sampler.generate(many, SAMPLING)
    sampler.generate(many[:3], long)
    assert sampler._buffers.nbytes == cache_bytes(
        sampler.model,
        [CallSize(6, 2, SAMPLING.max_new_tokens), CallSize(3, 2, 50)],
        prompt_tokens=10,
        max_rows=max_rows,
        dtype=torch.float32,
    )


def test_a_completion_ends_at_its_first_stop_token_or_at_the_limit() -> None:
    many = [Prompt(ids=(3, 4), seeds=tuple(range(200)))]
    completions = engine().generate(many, Sampling(temperature=1.5, max_new_tokens=15))[0]
    stopped = [c for c in completions if c.finish_reason is FinishReason.STOP]
    cut = [c for c in completions if c.finish_reason is FinishReason.LENGTH]
    assert stopped and cut  # both must occur, or this tests nothing
    assert all(c.ids[-1] == STOP and STOP not in c.ids[:-1] for c in stopped)
    assert all(len(c.ids) == 15 and STOP not in c.ids for c in cut)
    assert all(len(c.ids) == len(c.logprobs) for c in completions)


def test_a_sample_may_have_a_limit_of_its_own() -> None:
    free = engine().generate(mixed_prompts(), Sampling(temperature=1.0, max_new_tokens=30))
    rng = random.Random(1)
    own = [replace(p, limits=tuple(rng.randint(1, 60) for _ in p.seeds)) for p in mixed_prompts()]
    limited = engine(max_rows=9).generate(own, Sampling(temperature=1.0, max_new_tokens=30))
    for prompt, whole, cut in zip(own, free, limited, strict=True):
        assert [c.ids for c in cut] == [c.ids[:n] for c, n in zip(whole, prompt.limits, strict=True)]
        for completion, limit in zip(cut, prompt.limits, strict=True):
            stopped = completion.ids[-1] == STOP
            assert completion.finish_reason is (FinishReason.STOP if stopped else FinishReason.LENGTH)
            assert stopped or len(completion.ids) == min(limit, 30)


def test_the_same_call_gives_the_same_tokens_after_any_other() -> None:
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


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_lower_limit_gives_the_beginning_of_the_same_completion(temperature: float) -> None:
    """So accuracy under lower limits needs no further sampling, though other rows leave the batch earlier."""
    prompts = [Prompt(ids=prompt.ids, seeds=tuple(range(10))) for prompt in PROMPTS]

    def sample(limit: int) -> list[Completion]:
        found = engine().generate(prompts, Sampling(temperature=temperature, max_new_tokens=limit))
        return [completion for group in found for completion in group]

    whole = sample(40)
    assert temperature == 0 or len({len(completion.ids) for completion in whole}) > 5
    for limit in (1, 7, 20):
        for long, short in zip(whole, sample(limit), strict=True):
            assert short.ids == long.ids[:limit]
            cut = len(long.ids) > limit
            assert short.finish_reason is (FinishReason.LENGTH if cut else long.finish_reason)


@pytest.mark.parametrize(
    ("top_p", "top_k"), [(1.0, None), (0.9, None), (0.5, None), (0.01, None), (1.0, 3), (0.6, 3), (1.0, 1)]
)
def test_sampled_tokens_follow_the_distribution(top_p: float, top_k: int | None) -> None:
    """First tokens of 4,000 samples against their probabilities: chi-square below its 99.99 % point."""
    sampler = engine()
    prompt = Prompt(ids=(3, 4, 5), seeds=tuple(range(4000)))
    sampling = Sampling(temperature=1.0, max_new_tokens=1, top_p=top_p, top_k=top_k)
    completions = sampler.generate([prompt], sampling)[0]
    counts = Counter(c.ids[0] for c in completions)
    with torch.no_grad():
        probs = torch.softmax(sampler.model(torch.tensor([prompt.ids])).logits[0, -1], -1).tolist()
    likeliest = sorted(range(V), key=lambda token: -probs[token])[:top_k]
    needed = top_p * sum(probs[token] for token in likeliest)
    nucleus: list[int] = []  # the fewest of the top_k likeliest tokens that have top_p of them together
    for token in likeliest:
        if sum(probs[token] for token in nucleus) < needed:
            nucleus.append(token)
    assert counts.keys() <= set(nucleus) and (top_p > 0.1 and top_k != 1) == (len(nucleus) > 1)
    whole = sum(probs[token] for token in nucleus)
    probs = [probs[token] / whole if token in nucleus else 0.0 for token in range(V)]
    for completion in completions:
        assert completion.logprobs[0] == pytest.approx(math.log(probs[completion.ids[0]]), abs=1e-5)
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


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_diverged_policy_leaves_nothing_behind(family: str) -> None:
    sampler = engine(family, max_rows=6)
    expected = sampler.generate(mixed_prompts(), SAMPLING)
    good = {name: tensor.clone() for name, tensor in sampler.model.state_dict().items()}
    sampler.load_weights({name: tensor * float("nan") for name, tensor in good.items()}, version=1)
    assert ids(sampler.generate(mixed_prompts()[::-1], SAMPLING))
    sampler.load_weights(good, version=0)
    assert sampler.generate(mixed_prompts(), SAMPLING) == expected


def test_weights_that_do_not_fit_are_refused() -> None:
    sampler = engine()
    with pytest.raises(ValueError, match=r"weights version 3: nothing\.weight is .*no such parameter"):
        sampler.load_weights({"nothing.weight": torch.zeros(2)}, version=3)
    with pytest.raises(ValueError, match=r"model.norm.weight is \(5,\), engine has \(32,\)"):
        sampler.load_weights({"model.norm.weight": torch.zeros(5)}, version=3)
    assert sampler.weight_version == 0


def test_the_thread_setting_of_the_process_is_restored() -> None:
    before = torch.get_num_threads()
    TorchEngine(make("llama"), stop_ids=[STOP], pad_id=PAD, threads=1).generate(PROMPTS, SAMPLING)
    assert torch.get_num_threads() == before


def test_no_prompts_no_completions() -> None:
    assert engine().generate([], SAMPLING) == []
