"""Memory of the vLLM engine on a GPU that is not there: what it is made with, and when it sleeps and wakes.

A stand-in for vLLM refuses every call on memory that is asleep; `tests/vllm` has the real one, on the CPU.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from rl.models.policy import trainable_weights
from rollout.engines.vllm import VllmEngine, check_arguments
from rollout.engines.vllm_settings import VllmError, VllmSettings
from rollout.types import Prompt, Sampling
from tests.kit.fake_vllm import LLM, LOGPROB, TOKEN, install
from tests.kit.vllm_engines import LIMITS, make, moved

PROMPTS = [Prompt(ids=(2, 3), seeds=(1, 2))]
SAMPLING = Sampling(temperature=1.0, max_new_tokens=1)
SLEEPS = replace(LIMITS, sleep=True)


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)


@pytest.fixture(scope="module")
def model() -> Any:
    return make()


def engine_of(model: Any, settings: VllmSettings = SLEEPS) -> VllmEngine:
    engine = VllmEngine(copy.deepcopy(model), stop_ids=[1], settings=settings, threads=1, device="cuda")
    LLM.made.calls.clear()
    return engine


def sample(engine: VllmEngine) -> int:
    """Sample; returns the version of the weights."""
    (group,) = engine.generate(PROMPTS, SAMPLING)
    assert [completion.ids for completion in group] == [(TOKEN,)] * 2
    assert [completion.logprobs for completion in group] == [(LOGPROB,)] * 2
    return group[0].weight_version


def test_a_prefix_is_read_with_the_prompt_and_stands_in_the_completion(model: Any) -> None:
    engine = engine_of(model)
    engine.load_weights(trainable_weights(model), 1)
    (group,) = engine.generate([replace(PROMPTS[0], prefix_ids=(7, 8))], replace(SAMPLING, max_new_tokens=3))
    assert [prompt["prompt_token_ids"] for prompt in LLM.made.prompts] == [[2, 3, 7, 8]] * 2
    assert [one.max_tokens for one in LLM.made.params] == [1, 1]
    assert [(one.ids, one.logprobs, one.num_given) for one in group] == [((7, 8, TOKEN), (LOGPROB,), 2)] * 2


# ---- sleep ----


def test_weights_wake_before_they_are_loaded_and_the_cache_before_sampling(model: Any) -> None:
    engine = engine_of(model)
    weights = trainable_weights(model)
    for version in (1, 2):
        engine.load_weights(weights, version)
        assert [sample(engine), sample(engine)] == [version] * 2
        assert engine.sleep()
    woken = ["wake weights", "reload", "wake kv_cache", "clear the cache", "generate", "generate", "sleep 2"]
    assert LLM.made.calls == ["reload", "generate", "generate", "sleep 2", *woken]


def test_sleep_may_come_again_and_before_sampling(model: Any) -> None:
    engine = engine_of(model)
    assert engine.sleep() and engine.sleep()
    assert LLM.made.calls == ["sleep 2"]
    engine.load_weights(trainable_weights(model), 1)
    assert engine.sleep()  # the cache still was
    assert LLM.made.awake == set()


def test_without_new_weights_a_sleeper_refuses_to_sample(model: Any) -> None:
    engine = engine_of(model)
    assert engine.sleep()
    with pytest.raises(RuntimeError, match="discarded its weights in `sleep`; `load_weights` comes before"):
        sample(engine)
    engine.load_weights(trainable_weights(model), 4)
    assert sample(engine) == 4


def test_weights_that_do_not_fit_leave_it_asleep(model: Any) -> None:
    engine = engine_of(model)
    assert engine.sleep()
    with pytest.raises(ValueError, match=r"model\.norm\.weight is \(5,\), engine has \(128,\)"):
        engine.load_weights({"model.norm.weight": torch.zeros(5)}, 1)
    assert LLM.made.calls == ["sleep 2"]


def test_with_an_adapter_the_base_weights_outlast_sleep() -> None:
    adapted = make(lora=True)
    engine = engine_of(adapted)
    assert not engine.sleep()
    assert sample(engine) == 0  # without a new version
    assert not engine.sleep()
    engine.load_weights(trainable_weights(adapted), 7)
    assert sample(engine) == 7
    woken = ["wake kv_cache", "clear the cache", "generate"]
    first = ["sleep 1", "wake weights", *woken]
    assert LLM.made.calls == [*first, "sleep 1", "wake weights", "adapter version-7", *woken]


def test_without_sleep_mode_nothing_sleeps(model: Any) -> None:
    engine = engine_of(model, LIMITS)
    assert not LLM.made.options["enable_sleep_mode"]
    assert not engine.sleep()
    assert sample(engine) == 0
    assert LLM.made.calls == ["generate"]


# ---- weights ----


@pytest.mark.parametrize("arguments", [{}, {"tensor_parallel_size": 2}], ids=["here", "in two processes"])
def test_the_learners_tensors_are_cast_and_handed_on(model: Any, arguments: dict[str, Any]) -> None:
    half = copy.deepcopy(model).to(torch.bfloat16)
    half.model.norm.weight.requires_grad_(False)  # not trained, so it never comes again
    engine = engine_of(half, replace(LIMITS, arguments=arguments))
    weights = trainable_weights(moved(model, 1))
    del weights["model.norm.weight"]
    engine.load_weights(weights, 1)
    held = LLM.made.weights
    assert held is not None and {tensor.dtype for tensor in held.values()} == {torch.bfloat16}
    assert held.keys() == dict(half.named_parameters()).keys()
    assert torch.equal(held.pop("model.norm.weight"), half.model.norm.weight)
    assert all(torch.equal(tensor, weights[name].bfloat16()) for name, tensor in held.items())
    assert LLM.made.calls == ["reload from a folder" if arguments else "reload"]


def test_some_of_the_trained_weights_are_too_few(model: Any) -> None:
    engine = engine_of(model)
    weights = trainable_weights(model)
    del weights["model.norm.weight"]
    with pytest.raises(
        ValueError, match=r"^weights version 3 lack model\.norm\.weight; vLLM takes all of them"
    ):
        engine.load_weights(weights, 3)
    assert engine.weight_version == 0 and LLM.made.calls == []


# ---- memory and arguments ----


def test_the_cache_is_sized_in_one_of_three_ways(model: Any) -> None:
    """By rows: 17 of 256 tokens; keys and values of 2 layers and 2 heads of 64 in float32 for each token."""
    sized = {"kv_cache_memory_bytes", "gpu_memory_utilization"}

    def options(**settings: Any) -> dict[str, Any]:
        engine_of(model, replace(SLEEPS, **settings))
        return {name: value for name, value in LLM.made.options.items() if name in sized}

    per_token = 2 * 2 * 2 * 64 * 4
    assert options() == {"kv_cache_memory_bytes": 17 * 256 * per_token, "gpu_memory_utilization": 0.01}
    assert options(kv_cache_bytes=2**20)["kv_cache_memory_bytes"] == 2**20
    assert options(kv_cache_bytes=2**40)["kv_cache_memory_bytes"] == 17 * 256 * per_token
    in_training = {"cache_rows": 4, "cache_tokens": 100}  # the longest is of evaluation
    assert options(**in_training)["kv_cache_memory_bytes"] == 5 * 128 * per_token
    assert options(**in_training | {"cache_rows": 1})["kv_cache_memory_bytes"] == 2 * 256 * per_token
    assert options(gpu_memory_utilization=0.4) == {"gpu_memory_utilization": 0.4}
    split = options(arguments={"tensor_parallel_size": 2, "kv_cache_dtype": "fp8_e4m3"})
    assert split["kv_cache_memory_bytes"] == 17 * 256 * per_token // 8


def test_a_cache_too_small_for_one_sequence_is_refused(model: Any) -> None:
    needed = 2 * 256 * 2 * 2 * 2 * 64 * 4
    replace(LIMITS, kv_cache_bytes=needed).check_cache(model, torch.float32)
    with pytest.raises(
        ValueError, match=r"kv_cache_gib is 0\.0009.*completion of 160 tokens take 0\.001; raise"
    ):
        replace(LIMITS, kv_cache_bytes=needed - 1).check_cache(model, torch.float32)
    split = replace(LIMITS, kv_cache_bytes=needed // 2, arguments={"tensor_parallel_size": 2})
    split.check_cache(model, torch.float32)


def test_further_arguments_reach_vllm(model: Any) -> None:
    engine_of(model, replace(LIMITS, arguments={"quantization": "fp8", "max_num_batched_tokens": 99}))
    assert LLM.made.options["quantization"] == "fp8"
    assert LLM.made.options["max_num_batched_tokens"] == 99


def test_unknown_arguments_are_refused_with_the_nearest() -> None:
    check_arguments({"quantization": "fp8", "tensor_parallel_size": 2})
    with pytest.raises(VllmError, match=r"has quantisation, which .* not know; did you mean quantization\?$"):
        check_arguments({"quantization": "fp8", "quantisation": "fp8"})
    with pytest.raises(VllmError, match=r"has _api_process_rank, "):
        check_arguments({"_api_process_rank": 1})


def test_too_little_memory_names_the_keys(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LLM, "fails_with", "No available memory for the cache blocks.\nTry more.")
    with pytest.raises(VllmError, match=r"cache blocks\. Try more; change rollout\.gpu_memory_utilization or"):
        engine_of(model)
