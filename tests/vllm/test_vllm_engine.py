"""vLLM on the CPU against full forward passes of the model it was given, the embedded engine and itself."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from rl.models.policy import trainable_weights
from rollout.engines.embedded import TorchEngine
from rollout.engines.vllm import VllmEngine
from rollout.types import FinishReason, Prompt, Sampling
from tests.kit.vllm_engines import (
    CLOSE,
    LIMITS,
    PROMPTS,
    SAMPLING,
    STOP,
    drawn,
    ids,
    make,
    make_engine,
    mixed_prompts,
    moved,
    versions,
    worst,
)


@pytest.fixture(scope="module")
def model() -> Any:
    return make()


@pytest.fixture(scope="module")
def shared(model: Any) -> Iterator[VllmEngine]:
    with closing(make_engine(model)) as engine:
        yield engine


@pytest.fixture
def engine(shared: VllmEngine, model: Any) -> Iterator[VllmEngine]:
    """The only engine; each test leaves it with the model's own weights."""
    yield shared
    shared.load_weights(trainable_weights(model), version=0)


# ---- sampling ----


def test_completions_have_the_requested_lengths(engine: VllmEngine) -> None:
    found = engine.sample_tokens([PROMPTS[0].ids, PROMPTS[0].ids, PROMPTS[1].ids], [3, 1, 5])
    assert [len(tokens) for tokens in found] == [3, 1, 5]


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0, 1.7])
@pytest.mark.parametrize("prompts", [PROMPTS, mixed_prompts()], ids=["shared", "waiting"])
def test_logprobs_agree_with_a_full_forward(
    engine: VllmEngine, model: Any, prompts: list[Prompt], temperature: float
) -> None:
    groups = engine.generate(prompts, Sampling(temperature=temperature, max_new_tokens=30))
    assert [len(group) for group in groups] == [len(prompt.seeds) for prompt in prompts]
    assert worst(model, prompts, groups, temperature) < CLOSE


@pytest.mark.parametrize("top_p", [0.9, 0.5])
def test_logprobs_of_a_nucleus_agree_with_a_full_forward(engine: VllmEngine, model: Any, top_p: float) -> None:
    sampling = Sampling(temperature=1.0, max_new_tokens=30, top_p=top_p)
    assert worst(model, PROMPTS, engine.generate(PROMPTS, sampling), 1.0, top_p) < CLOSE


def test_greedy_tokens_are_those_of_the_embedded_engine(engine: VllmEngine, model: Any) -> None:
    prompts = [replace(prompt, seeds=(0,)) for prompt in mixed_prompts()]
    greedy = Sampling(temperature=0.0, max_new_tokens=30)
    embedded = TorchEngine(copy.deepcopy(model), stop_ids=[STOP], pad_id=0, threads=1)
    assert ids(engine.generate(prompts, greedy)) == ids(embedded.generate(prompts, greedy))


def test_continuations_of_a_prefix_are_those_of_a_longer_prompt(engine: VllmEngine, model: Any) -> None:
    """Greedy ones are the rest of the sample, as in the embedded engine; others follow from seed and prefix."""
    prompts = [replace(prompt, seeds=(0,)) for prompt in mixed_prompts()]
    greedy = Sampling(temperature=0.0, max_new_tokens=30)
    whole = [one for (one,) in engine.generate(prompts, greedy)]
    rng = random.Random(0)
    parts = [
        replace(prompt, prefix_ids=one.ids[: rng.randrange(len(one.ids))])
        for prompt, one in zip(prompts, whole, strict=True)
    ]
    embedded = TorchEngine(copy.deepcopy(model), stop_ids=[STOP], pad_id=0, threads=1)
    got = [one for (one,) in engine.generate(parts, greedy)]
    assert [one.ids for one in got] == [one.ids for one in whole]
    assert [one.ids for (one,) in embedded.generate(parts, greedy)] == [one.ids for one in whole]
    assert [one.num_given for one in got] == [len(part.prefix_ids) for part in parts]
    group = replace(PROMPTS[0], prefix_ids=drawn(5, 7))
    longer = replace(PROMPTS[0], ids=group.read_ids)
    sampled, read = engine.generate([group], SAMPLING)[0], engine.generate([longer], SAMPLING)[0]
    limit = SAMPLING.max_new_tokens - 7
    assert [one.ids[7:] for one in sampled] == [one.ids[:limit] for one in read]
    assert all(one.ids[:7] == group.prefix_ids for one in sampled)
    assert max(len(one.ids) for one in sampled) == SAMPLING.max_new_tokens  # whole completions are limited


def test_the_same_call_gives_the_same_tokens_after_any_other(engine: VllmEngine) -> None:
    expected = engine.generate(PROMPTS, SAMPLING)
    engine.generate(PROMPTS[::-1], Sampling(temperature=1.0, max_new_tokens=12))
    assert engine.generate(PROMPTS, SAMPLING) == expected


def test_tokens_depend_on_the_seed_not_on_the_rest_of_the_batch(engine: VllmEngine) -> None:
    """Rounding may differ with the batch, so log-probabilities are compared within 1e-5."""
    alone = [engine.generate([prompt], SAMPLING)[0] for prompt in PROMPTS]
    together = engine.generate(PROMPTS, SAMPLING)
    assert ids(alone) == ids(together)
    for one, other in zip(alone, together, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-5)
    many = engine.generate([Prompt(ids=(3, 4), seeds=tuple(range(50)))], SAMPLING)[0]
    assert len({completion.ids for completion in many}) > 40
    twice = engine.generate([Prompt(ids=(3, 4), seeds=(9, 9))], SAMPLING)[0]
    assert twice[0].ids == twice[1].ids


def test_sampled_tokens_follow_the_distribution(engine: VllmEngine, model: Any) -> None:
    """First tokens of 4,000 samples against their probabilities: chi-square below its 99.99 % point."""
    prompt = Prompt(ids=(3, 4, 5), seeds=tuple(range(4000)))
    temperature = 0.7
    completions = engine.generate([prompt], Sampling(temperature=temperature, max_new_tokens=1))[0]
    counts = Counter(completion.ids[0] for completion in completions)
    with torch.no_grad():
        logits = model(torch.tensor([prompt.ids])).logits[0, -1] / temperature
    expected = (4000 * torch.softmax(logits, -1)).tolist()
    common = [token for token, times in enumerate(expected) if times >= 5]
    statistic = sum((counts[token] - expected[token]) ** 2 / expected[token] for token in common)
    freedom = len(common)
    # Wilson and Hilferty's approximation of the 99.99 % point; z = 3.719.
    limit = freedom * (1 - 2 / (9 * freedom) + 3.719 * (2 / (9 * freedom)) ** 0.5) ** 3
    assert freedom > 5
    assert statistic < limit


def test_a_completion_ends_at_its_first_stop_token_or_at_its_limit(engine: VllmEngine) -> None:
    sampling = Sampling(temperature=1.5, max_new_tokens=15)
    free = [Prompt(ids=(3, 4), seeds=tuple(range(200)))]
    rng = random.Random(1)
    own = [replace(free[0], limits=tuple(rng.randint(1, 30) for _ in range(200)))]
    whole, cut = engine.generate(free, sampling)[0], engine.generate(own, sampling)[0]
    for completions, limits in ((whole, [15] * 200), (cut, [min(15, limit) for limit in own[0].limits])):
        assert {completion.finish_reason for completion in completions} == set(FinishReason)
        for completion, limit in zip(completions, limits, strict=True):
            assert STOP not in completion.ids[:-1]
            stopped = completion.ids[-1] == STOP
            assert completion.finish_reason is (FinishReason.STOP if stopped else FinishReason.LENGTH)
            assert stopped or len(completion.ids) == limit
            assert len(completion.logprobs) == len(completion.ids)
    # A limit only cuts the end off.
    assert [c.ids for c in cut] == [w.ids[: len(c.ids)] for c, w in zip(cut, whole, strict=True)]


def test_no_prompts_no_completions(engine: VllmEngine) -> None:
    assert engine.generate([], SAMPLING) == []


def test_prompts_that_are_too_long_are_refused(engine: VllmEngine) -> None:
    long = [Prompt(ids=drawn(0, 131), seeds=(0,))]
    with pytest.raises(ValueError, match="may take 161 tokens, the engine is made for 160"):
        engine.generate(long, SAMPLING)
    assert len(engine.generate([replace(long[0], ids=long[0].ids[1:])], SAMPLING)[0][0].ids) == 30
    with pytest.raises(ValueError, match=r"temperature is 0\.005, vLLM's lowest is 0\.01"):
        engine.generate(PROMPTS, Sampling(temperature=0.005, max_new_tokens=2))


# ---- memory, cache, process ----


def test_the_kv_cache_keeps_to_its_size_and_holds_all_rows(engine: VllmEngine, model: Any) -> None:
    def held(worker: Any) -> tuple[int, int]:
        caches = {cache.data_ptr(): cache.nbytes for cache in worker.model_runner.kv_caches}
        return sum(caches.values()), worker.cache_config.num_gpu_blocks * worker.cache_config.block_size

    ((taken, tokens),) = engine._llm.collective_rpc(held)
    assert tokens >= LIMITS.max_rows * LIMITS.max_tokens
    assert 0 < taken <= LIMITS.cache_bytes(model, torch.float32)


def test_a_prompt_is_prefilled_once_for_its_group_and_then_forgotten(
    engine: VllmEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[int]] = []
    generate = engine._llm.generate

    def watched(*args: Any, **kwargs: Any) -> Any:
        outputs = generate(*args, **kwargs)
        found.append([output.num_cached_tokens for output in outputs])
        return outputs

    monkeypatch.setattr(engine._llm, "generate", watched)
    for _ in range(2):
        engine.generate([PROMPTS[0]], SAMPLING)
    assert found == [[0] + [96] * 7] * 2  # three blocks of 32 of a prompt of 100


def test_the_state_of_the_process_is_restored(engine: VllmEngine, model: Any) -> None:
    """The local back end's engine lives in the learner's process."""

    def state() -> list[Any]:
        return [
            random.getstate(),
            np.random.get_state()[1].tolist(),
            torch.random.get_rng_state().tolist(),
            torch.get_num_threads(),
            torch.get_default_dtype(),
        ]

    before = state()
    engine.generate(PROMPTS, SAMPLING)
    engine.load_weights(trainable_weights(model), version=1)
    assert state() == before
    assert torch.set_num_threads.__module__ != "vllm.v1.worker.cpu_worker"


# ---- weights ----


def test_new_weights_are_used_in_place(engine: VllmEngine, model: Any) -> None:
    held = engine._llm
    first = engine.generate(PROMPTS, SAMPLING)
    for version in (1, 2, 3):
        other = moved(model, version)
        engine.load_weights(trainable_weights(other), version)
        groups = engine.generate(PROMPTS, SAMPLING)
        assert worst(other, PROMPTS, groups, 0.8) < CLOSE
        assert worst(model, PROMPTS, groups, 0.8) > 100 * CLOSE  # the old ones are gone, also from the cache
        assert versions(groups) == {version}
    engine.load_weights(trainable_weights(model), version=0)
    assert engine.generate(PROMPTS, SAMPLING) == first
    assert engine._llm is held


def test_weights_are_copied(engine: VllmEngine, model: Any) -> None:
    other = copy.deepcopy(model)
    engine.load_weights(trainable_weights(other), version=1)
    for parameter in other.parameters():
        parameter.data.zero_()
    assert worst(model, PROMPTS, engine.generate(PROMPTS, SAMPLING), 0.8) < CLOSE


def test_weights_that_do_not_fit_are_refused_and_change_nothing(engine: VllmEngine, model: Any) -> None:
    before = engine.generate(PROMPTS, SAMPLING)
    good = trainable_weights(moved(model, 5))
    with pytest.raises(ValueError, match=r"weights version 3: nothing\.weight is \(2,\), .*no such parameter"):
        engine.load_weights({**good, "nothing.weight": torch.zeros(2)}, version=3)
    with pytest.raises(ValueError, match=r"model\.norm\.weight is \(5,\), engine has \(128,\)"):
        engine.load_weights({**good, "model.norm.weight": torch.zeros(5)}, version=3)
    with pytest.raises(ValueError, match=r"version 3 lack model\.norm\.weight; vLLM takes all of them at once"):
        engine.load_weights({name: good[name] for name in good if name != "model.norm.weight"}, version=3)
    assert engine.weight_version == 0
    assert engine.generate(PROMPTS, SAMPLING) == before


def test_sleep_and_wake_pass_through_vllms_scheduler(engine: VllmEngine, model: Any) -> None:
    """On a CPU, vLLM's worker frees nothing; engine core and executor do the same as on a GPU."""
    before = engine.generate(PROMPTS, SAMPLING)
    settings, engine._settings = engine._settings, replace(engine._settings, sleep=True)
    try:
        for _ in range(2):
            assert engine.sleep()
            assert engine._llm.llm_engine.is_sleeping()
            engine.load_weights(trainable_weights(model), 0)
            assert engine._llm.llm_engine.is_sleeping()  # the KV cache
            assert engine.generate(PROMPTS, SAMPLING) == before
            assert not engine._llm.llm_engine.is_sleeping()
    finally:
        engine._settings = settings


def test_a_diverged_policy_leaves_nothing_behind(engine: VllmEngine, model: Any) -> None:
    expected = engine.generate(mixed_prompts(), SAMPLING)
    good = trainable_weights(model)
    engine.load_weights({name: tensor * float("nan") for name, tensor in good.items()}, version=1)
    assert len(engine.generate(mixed_prompts()[::-1], SAMPLING)) == 25
    engine.load_weights(good, version=0)
    assert engine.generate(mixed_prompts(), SAMPLING) == expected
