"""The embedded engine within a bound on its KV cache: the same completions, and never more memory."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from rollout.engines import cache
from rollout.engines.cache_size import CacheError, CacheNeeds, CallSize, cache_bytes, make_plan
from rollout.engines.embedded import TorchEngine
from rollout.types import Completion, Prompt, Sampling
from tests.kit.causal_models import PAD, STOP, WRITTEN_OUT, V, ids, make, mixed_prompts
from tests.kit.model_families import make_family

LONG = Sampling(temperature=1.0, max_new_tokens=60)


@pytest.fixture(autouse=True)
def _few_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Completions of this file are too short for the columns that rows get in practice."""
    monkeypatch.setattr(cache, "_LEAST_COLUMNS", 4)


def engine(model: torch.nn.Module, bound: int | None = None, **more: Any) -> TorchEngine:
    return TorchEngine(model, stop_ids=[STOP], pad_id=PAD, threads=1, cache_bytes=bound, **more)


def one_sample(model: Any, new_tokens: int) -> int:
    """Bytes of the longest sample of `mixed_prompts`."""
    calls = [CallSize(1, 1, new_tokens)]
    return cache_bytes(model, calls, prompt_tokens=14, max_rows=None, dtype=torch.float32)


def assert_same(got: list[list[Completion]], expected: list[list[Completion]]) -> None:
    assert ids(got) == ids(expected)
    for ours, theirs in zip(got, expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.finish_reason == b.finish_reason
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-5)


def model_of(family: str) -> Any:
    return make(family) if family in {*WRITTEN_OUT, "gpt2", "mistral"} else make_family(family)


@pytest.mark.parametrize(
    ("family", "check_every"),
    [
        ("llama", 1),
        ("llama", 16),
        ("llama-line-window", 5),
        ("llama-columns", 5),
        ("qwen3", 5),
        ("gpt2", 1),
        ("gpt2", 16),
        ("qwen3_next", 5),
        ("mamba2", 5),
    ],
)
def test_a_tight_cache_gives_the_same_completions(family: str, check_every: int) -> None:
    """Twice the memory of one sample, for dozens of up to 60 tokens: rows are preempted and go on."""
    prompts = mixed_prompts(family)[: None if family in WRITTEN_OUT else 8]  # the library's forward is slow
    expected = engine(model_of(family)).generate(prompts, LONG)
    assert max(len(c.ids) for group in expected for c in group) > 50
    bound = 2 * one_sample(model_of(family), 60)
    tight = engine(model_of(family), bound, check_every=check_every)
    assert_same(tight.generate(prompts, LONG), expected)
    assert tight._buffers.nbytes <= bound
    assert (tight.num_preempted > 1) == (family != "mamba2")  # states do not grow


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral"])
def test_the_memory_of_one_sample_is_enough(family: str) -> None:
    """A cache of the library's own kind, as for sliding windows, takes one row after the other."""
    expected = engine(make(family)).generate(mixed_prompts()[:8], LONG)
    tight = engine(make(family), one_sample(make(family), 60))
    assert_same(tight.generate(mixed_prompts()[:8], LONG), expected)


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "qwen3_next", "mamba2"])
def test_less_than_one_sample_is_refused(family: str) -> None:
    model = model_of(family)
    short = engine(model, one_sample(model, 60) - 1)
    with pytest.raises(
        CacheError, match=r"16 prompt and 60 new tokens takes .* rollout\.kv_cache_gib is .*raise"
    ):
        short.generate(mixed_prompts(), LONG)
    if family != "mamba2":  # states have the same size for any length
        assert short.generate(mixed_prompts()[:1], Sampling(temperature=1.0, max_new_tokens=5))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_cache_for_the_worst_case_changes_nothing(family: str) -> None:
    """Bit for bit, with all rows at once and with some of them waiting."""
    for max_rows in (None, 6):
        free = engine(make(family), max_rows=max_rows)
        expected = free.generate(mixed_prompts(), LONG)
        enough = engine(make(family), free._buffers.nbytes, max_rows=max_rows)
        assert enough.generate(mixed_prompts(), LONG) == expected
        assert enough.num_preempted == 0


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_group_larger_than_the_cache_is_sampled_in_parts(family: str) -> None:
    prompts = [Prompt(ids=(3, 4, 5), seeds=tuple(range(40))), Prompt(ids=(6, 7), seeds=(50, 51))]
    expected = engine(make(family)).generate(prompts, LONG)
    tight = engine(make(family), 3 * one_sample(make(family), 60))
    shapes: list[tuple[int, ...]] = []  # of what is read at once; the steps of a decoder have one axis
    model: Any = tight.model
    model.get_input_embeddings().register_forward_pre_hook(lambda _, given: shapes.append(given[0].shape))
    assert_same(tight.generate(prompts, LONG), expected)
    assert tight.num_preempted and 1 <= max(shape[0] for shape in shapes if len(shape) == 2) < 40


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_evaluation_leaves_the_memory_as_training_sized_it(family: str) -> None:
    model = model_of(family)
    training, evaluation = CallSize(4, 2, 40), CallSize(25, 5, 60)
    sizes: dict[str, Any] = {"prompt_tokens": 14, "max_rows": None, "dtype": torch.float32}
    bound = cache_bytes(model, [training], **sizes)
    assert bound < cache_bytes(model, [evaluation], **sizes) / 5
    assert bound == cache_bytes(model, [training, evaluation], **sizes, bound=bound)
    sampler = engine(model, bound)
    pairs = [Prompt(ids=prompt.ids, seeds=(1, 2)) for prompt in mixed_prompts()[:4]]
    trained = sampler.generate(pairs, Sampling(temperature=1.0, max_new_tokens=40))
    expected = engine(model_of(family)).generate(mixed_prompts(), LONG)
    assert_same(sampler.generate(mixed_prompts(), LONG), expected)
    assert sampler._buffers.nbytes <= bound
    assert_same(sampler.generate(pairs, Sampling(temperature=1.0, max_new_tokens=40)), trained)


@pytest.mark.parametrize("seed", range(4))
def test_any_mix_gives_the_same_tokens_within_any_bound(seed: int) -> None:
    rng = random.Random(seed)
    prompts = []
    for p in range(rng.randint(2, 12)):
        samples = rng.randint(1, 6)
        own = tuple(rng.randint(1, 95) for _ in range(samples)) if rng.random() < 0.5 else ()
        prompt_ids = tuple(rng.randrange(2, V) for _ in range(rng.randint(1, 20)))
        prompts.append(Prompt(ids=prompt_ids, seeds=tuple(range(10 * p, 10 * p + samples)), limits=own))
    sampling = Sampling(temperature=rng.choice([0.0, 1.0, 2.0]), max_new_tokens=rng.choice([12, 60]))
    call = CallSize(len(prompts), 6, sampling.max_new_tokens)
    for family in ("llama", "gpt2"):
        expected = engine(make(family)).generate(prompts, sampling)
        sizes: dict[str, Any] = {"prompt_tokens": 20, "max_rows": None, "dtype": torch.float32}
        least = cache_bytes(make(family), [CallSize(1, 1, call.new_tokens)], **sizes)
        most = cache_bytes(make(family), [call], **sizes)
        for share in (0.05, 0.4):
            bound = int(least + share * (most - least))
            max_rows, check_every = rng.choice([None, 7]), rng.choice([1, 5])
            tight = engine(make(family), bound, max_rows=max_rows, check_every=check_every)
            assert_same(tight.generate(prompts, sampling), expected)
            assert tight._buffers.nbytes <= bound


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3_next", "mistral"])
def test_no_plan_is_over_its_bound(family: str) -> None:
    needs, rng = CacheNeeds.of(model_of(family), torch.float32), random.Random(0)
    for _ in range(300):
        call = CallSize(rng.randint(1, 200), rng.randint(1, 16), rng.randint(1, 4000))
        sizes: dict[str, Any] = {"prompt_tokens": rng.randint(1, 600), "max_rows": rng.choice([None, 50])}
        one = make_plan(CallSize(1, 1, call.new_tokens), needs, **sizes)
        least = needs.bytes(one.positions, 1)
        bound = int(least * rng.uniform(1, 50))
        plan = make_plan(call, needs, **sizes, bound=bound)
        assert needs.bytes(plan.positions, plan.slots) <= bound
        assert plan.row_positions >= call.new_tokens and plan.slots >= 1 and plan.columns >= call.new_tokens
        assert plan.groups >= 1 or not needs.stores_prompts


def test_measuring_a_model_in_training_leaves_it_as_it_was() -> None:
    """Its dropout, its gradient checkpointing, the parts of it that are not in training, and random numbers."""
    model: Any = make("gpt2")
    expected = CacheNeeds.of(model.eval(), torch.float32)
    assert expected.position == 2 * 2 * 32 * 4  # keys and values of 2 layers, 32 numbers in float32
    model.train()
    model.gradient_checkpointing_enable()
    model.transformer.h[0].eval()
    modes, state = [module.training for module in model.modules()], torch.get_rng_state()
    assert CacheNeeds.of(model, torch.float32) == expected
    assert [module.training for module in model.modules()] == modes and len(set(modes)) == 2
    assert torch.equal(torch.get_rng_state(), state)


def test_half_the_memory_serves_skewed_lengths_without_preemption() -> None:
    """Most completions stop early, so a fraction of the worst case holds all of them at any time."""
    model = make("llama")
    prompts = [Prompt(ids=(3, 4, 5), seeds=tuple(range(60)))]
    sampler = engine(
        model, cache_bytes(model, [CallSize(1, 20, 60)], prompt_tokens=3, max_rows=None, dtype=torch.float32)
    )
    lengths = [len(c.ids) for c in sampler.generate(prompts, LONG)[0]]
    assert max(lengths) > 50 and sum(lengths) / len(lengths) < 30
    assert sampler.num_preempted == 0
