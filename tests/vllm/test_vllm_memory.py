"""vLLM with little memory and with further arguments: the same tokens as with plenty and without."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import torch

from configs.schema.vllm import OWNED_ARGUMENTS
from rl.models.policy import trainable_weights
from rollout.engines.vllm import VllmEngine, VllmError, check_arguments
from rollout.engines.vllm_settings import VllmSettings
from rollout.types import Sampling
from tests.kit.vllm_engines import (
    CLOSE,
    LIMITS,
    PROMPTS,
    SAMPLING,
    Groups,
    ids,
    make,
    make_engine,
    mixed_prompts,
    moved,
    worst,
)

LONG = Sampling(temperature=0.8, max_new_tokens=100)
ONE_SEQUENCE = replace(LIMITS, max_rows=1).cache_bytes(make(), torch.float32)


@pytest.fixture(scope="module")
def model() -> Any:
    return make()


@pytest.fixture(scope="module")
def roomy(model: Any) -> Groups:
    """Completions where all rows fit."""
    with closing(make_engine(model)) as engine:
        return engine.generate(mixed_prompts(), LONG)


def count_preemptions(engine: VllmEngine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the requests that vLLM's scheduler preempts from now on."""
    scheduler, found = engine._llm.llm_engine.engine_core.engine_core.scheduler, []
    preempt = scheduler._preempt_request

    def counted(request: Any, *args: Any, **kwargs: Any) -> Any:
        found.append(request.request_id)
        return preempt(request, *args, **kwargs)

    monkeypatch.setattr(scheduler, "_preempt_request", counted)
    return found


def test_preempted_rows_give_the_same_tokens(
    model: Any, roomy: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache for one whole sequence, and 16 rows that share it."""
    with closing(make_engine(model, replace(LIMITS, kv_cache_bytes=ONE_SEQUENCE))) as engine:
        preempted = count_preemptions(engine, monkeypatch)
        groups = engine.generate(mixed_prompts(), LONG)
    assert len(preempted) > 10
    assert ids(groups) == ids(roomy)
    assert worst(model, mixed_prompts(), groups, 0.8) < CLOSE


@pytest.mark.parametrize(
    "settings",
    [
        replace(LIMITS, arguments={"block_size": 64, "max_num_batched_tokens": 160}),
        replace(LIMITS, gpu_memory_utilization=0.05),
    ],
    ids=["arguments", "share"],
)
def test_arguments_and_a_share_of_memory_change_no_token(
    model: Any, roomy: Groups, settings: VllmSettings
) -> None:
    with closing(make_engine(model, settings)) as engine:
        assert ids(engine.generate(mixed_prompts(), LONG)) == ids(roomy)


def test_a_model_split_over_two_processes_takes_new_weights(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0|1")
    few = replace(SAMPLING, max_new_tokens=10)  # the processes wait for each other at every layer
    other = moved(model, 1)
    with closing(make_engine(model, replace(LIMITS, arguments={"tensor_parallel_size": 2}))) as engine:
        before = engine.generate(PROMPTS, few)
        engine.load_weights(trainable_weights(other), 1)
        after = engine.generate(PROMPTS, few)
    assert worst(model, PROMPTS, before, 0.8) < CLOSE
    assert worst(other, PROMPTS, after, 0.8) < CLOSE


def test_what_vllm_refuses_is_one_line(model: Any) -> None:
    for settings, said in (
        (
            replace(LIMITS, kv_cache_bytes=ONE_SEQUENCE // 4),
            r"memory.*; change rollout\.gpu_memory_utilization or",
        ),
        (replace(LIMITS, arguments={"quantization": "none such"}), "none such"),
        (replace(LIMITS, sleep=True), "[Ss]leep mode"),
    ):
        with pytest.raises(VllmError, match=f"vLLM cannot run LlamaForCausalLM on cpu: .*{said}") as caught:
            make_engine(model, settings)
        assert "\n" not in str(caught.value)


def test_names_of_arguments_are_vllms() -> None:
    check_arguments({"max_num_batched_tokens": 512, "quantization": "fp8"})
    with pytest.raises(VllmError, match=r"has max_num_batched_token, .* did you mean max_num_batched_tokens"):
        check_arguments({"max_num_batched_token": 512})
    check_arguments(OWNED_ARGUMENTS)
