"""Completions continued from a prefix: the same tokens as if they had been sampled, read once for a group."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from rollout.engines import cache
from rollout.engines.cache_size import CallSize, cache_bytes
from rollout.engines.cuda_graphs import Capture, Step
from rollout.engines.embedded import TorchEngine
from rollout.types import Completion, PrefixError, Prompt, Sampling
from tests.kit.causal_models import PAD, STOP, V, full_forward, ids, make, mixed_prompts
from tests.kit.model_families import make_family

SAMPLING = Sampling(temperature=1.0, max_new_tokens=24)


def engine(family: str, **more: Any) -> TorchEngine:
    library = family in ("qwen3_next", "mamba2")
    model = make_family(family) if library else make(family)
    return TorchEngine(model, stop_ids=[STOP], pad_id=PAD, threads=1, **more)


def cut(prompts: Sequence[Prompt], groups: Sequence[Sequence[Completion]], rng: random.Random) -> list[Prompt]:
    """Each sample as a prompt of its own that gives a random number of its first tokens, and has its seed."""
    return [
        Prompt(ids=prompt.ids, seeds=(seed,), prefix_ids=completion.ids[: rng.randrange(len(completion.ids))])
        for prompt, group in zip(prompts, groups, strict=True)
        for seed, completion in zip(prompt.seeds, group, strict=True)
    ]


def prefilled(
    sampler: TorchEngine, prompts: Sequence[Prompt]
) -> tuple[list[list[Completion]], list[tuple[int, ...]]]:
    """Completions, and rows and columns of each prefill on the way: of embedded tokens with two axes."""
    shapes: list[tuple[int, ...]] = []
    model: Any = sampler.model
    hook = model.get_input_embeddings().register_forward_pre_hook(
        lambda _, given: shapes.append(tuple(given[0].shape))
    )
    groups = sampler.generate(prompts, SAMPLING)
    hook.remove()
    return groups, [shape for shape in shapes if len(shape) == 2 and shape[1] > 1]


def some_prompts() -> list[Prompt]:
    return mixed_prompts()[:6]


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2", "mistral", "qwen3_next", "mamba2"])
def test_a_sample_continued_with_its_own_seed_is_that_sample(family: str) -> None:
    """In one call, prefixes of any lengths, empty ones too; decoder, library rows, windows and states."""
    sampler, prompts = engine(family), some_prompts()
    whole = sampler.generate(prompts, SAMPLING)
    assert max(len(c.ids) for group in whole for c in group) == 24
    parts = cut(prompts, whole, random.Random(1))
    got = [one for (one,) in sampler.generate(parts, SAMPLING)]
    for part, one, expected in zip(parts, got, [c for group in whole for c in group], strict=True):
        given = len(part.prefix_ids)
        assert (one.ids, one.finish_reason, one.num_given) == (expected.ids, expected.finish_reason, given)
        assert one.logprobs == pytest.approx(expected.logprobs[given:], abs=2e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_continuations_are_read_once_and_have_the_logprobs_of_a_full_forward(family: str) -> None:
    sampler = engine(family)
    prompt = Prompt(ids=(3, 4, 5), seeds=tuple(range(16)), prefix_ids=(6, 7, 8, 9, 10))
    (group,), read = prefilled(sampler, [prompt])
    assert read == [(1, 8)]  # one row of prompt and prefix for all 16
    assert len({completion.ids for completion in group}) > 12
    for completion in group:
        assert completion.ids[:5] == prompt.prefix_ids
        with torch.no_grad():
            expected = full_forward(sampler.model, prompt.read_ids, completion.ids[5:])
        assert completion.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize("family", ["llama", "qwen3", "llama-line-window", "llama-columns"])
@pytest.mark.parametrize("newline", [True, False])
def test_texts_that_begin_another_are_read_with_it(family: str, newline: bool) -> None:
    """Prefixes of one sample, and the same text as a prompt; but not a question that goes on, by columns."""
    sampler, end = engine(family), (3,) if newline else ()
    text = (9, 4, 5, *end, 6, 8, 10, 3, 12, 4, 9, 5, 11)
    prompts = [
        *(Prompt(ids=text[:4], seeds=(at, at + 1), prefix_ids=text[4:at]) for at in (6, 12, 4, 9)),
        Prompt(ids=text[:9], seeds=(1,)),
        Prompt(ids=(*text[:5], 13), seeds=(2, 3)),
    ]
    groups, read = prefilled(sampler, prompts)
    apart = family == "llama-columns" and not newline
    assert [shape[0] > 2 for shape in read] == [apart] and (apart or read == [(2, 12)])
    for prompt, group in zip(prompts, groups, strict=True):
        for completion in group:
            with torch.no_grad():
                new = completion.ids[completion.num_given :]
                expected = full_forward(sampler.model, prompt.read_ids, new)
            if family != "llama-columns" or newline:  # of which a question needs its newline
                assert completion.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_prefix_that_leaves_nothing_to_sample_is_refused() -> None:
    prompt = Prompt(ids=(3, 4), seeds=(1,), prefix_ids=(5,) * 24)
    with pytest.raises(PrefixError, match=r"prefix of 24 tokens leaves nothing .* at most 24; raise max_new"):
        engine("llama").generate([Prompt(ids=(3,), seeds=(1,)), prompt], SAMPLING)
    assert engine("llama").generate([replace(prompt, prefix_ids=(5,) * 23)], SAMPLING)[0][0].num_given == 23


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("share", [0.0, 0.1])
def test_any_cache_that_holds_a_sample_holds_its_continuations(
    family: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest prefix and the most new tokens are of different prompts, and together over the bound."""
    monkeypatch.setattr(cache, "_LEAST_COLUMNS", 4)
    rng, prompts = random.Random(2), some_prompts()
    sampling = Sampling(temperature=1.0, max_new_tokens=32)
    groups = engine(family).generate(prompts, sampling)
    parts = [
        replace(part, prefix_ids=part.prefix_ids[: len(part.prefix_ids) // 16 * 16])
        for part in cut(prompts, groups, rng)
    ]
    parts = [replace(part, ids=(2,) * (16 - len(part.ids)) + part.ids) for part in parts]
    assert {len(part.prefix_ids) for part in parts} == {0, 16}
    expected = engine(family).generate(parts, sampling)
    sizes: dict[str, Any] = {"prompt_tokens": 16, "max_rows": None, "dtype": torch.float32}
    least = cache_bytes(make(family), [CallSize(1, 1, 32)], **sizes)
    bound = int(least + share * cache_bytes(make(family), [CallSize(6, 5, 32)], **sizes))
    tight = engine(family, cache_bytes=bound)
    assert ids(tight.generate(parts, sampling)) == ids(expected)
    assert tight._buffers.nbytes <= bound
    assert tight.num_preempted or not share
    assert len(tight._apart(parts, 32)) == (1 if share else 2)


class Counting:
    """Captures a step by keeping it, and counts the captures."""

    def __init__(self) -> None:
        self.captured = 0

    def __call__(self) -> Capture:
        return self._capture

    def _capture(self, step: Step) -> Step:
        self.captured += 1
        step()
        return step


def test_prefixes_of_many_lengths_replay_few_graphs() -> None:
    capture, plain = Counting(), engine("llama")
    replayed = engine("llama", make_capture=capture, calls=[CallSize(1, 8, 24)], prompt_tokens=4)
    token = random.Random(0).randrange
    for length in range(20):
        prompt = Prompt(
            ids=(3, 4, 5), seeds=tuple(range(8)), prefix_ids=tuple(token(2, V) for _ in range(length))
        )
        assert ids(replayed.generate([prompt], SAMPLING)) == ids(plain.generate([prompt], SAMPLING))
    assert capture.captured <= 5
