"""An adapter in vLLM, swapped by version, against full forward passes through peft."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import torch

from rl.models.policy import trainable_weights
from rollout.engines.vllm import VllmEngine
from tests.kit.vllm_engines import (
    CLOSE,
    PROMPTS,
    SAMPLING,
    make,
    make_engine,
    moved,
    versions,
    worst,
)


@pytest.fixture(scope="module")
def model() -> Any:
    return make(lora=True)


@pytest.fixture(scope="module")
def engine(model: Any) -> Iterator[VllmEngine]:
    """One engine, because a process can have only one at a time."""
    with closing(make_engine(model)) as engine:
        yield engine


def test_an_adapter_is_swapped_by_version(engine: VllmEngine, model: Any) -> None:
    held = engine._llm
    # A version may repeat with other weights, and a lower one may follow a higher one.
    for number, version in enumerate((0, 0, 1, 2, 0, 9)):
        other = moved(model, number)
        weights = trainable_weights(other)
        assert weights and all("lora_" in name for name in weights)
        engine.load_weights(weights, version)
        groups = engine.generate(PROMPTS, SAMPLING)
        assert worst(other, PROMPTS, groups, 0.8) < CLOSE
        assert worst(model, PROMPTS, groups, 0.8) > 0.01
        assert versions(groups) == {version}
        assert engine._llm.llm_engine.list_loras() == {version + 1}
    assert engine._llm is held


def test_half_an_adapter_leaves_the_other_half(engine: VllmEngine, model: Any) -> None:
    first, second = moved(model, 1), moved(model, 2)
    engine.load_weights(trainable_weights(first), 1)
    half = {name: tensor for name, tensor in trainable_weights(second).items() if "lora_B" in name}
    engine.load_weights(half, 2)
    first.load_state_dict(half, strict=False)
    assert worst(first, PROMPTS, engine.generate(PROMPTS, SAMPLING), 0.8) < CLOSE


def test_an_adapter_that_does_not_fit_is_refused(engine: VllmEngine, model: Any) -> None:
    good = trainable_weights(model)
    engine.load_weights(good, 4)
    before = engine.generate(PROMPTS, SAMPLING)
    other = trainable_weights(moved(model, 3))
    name = next(iter(other))
    with pytest.raises(ValueError, match=r"weights version 5: .* is \(3,\), engine has \(4, 128\)"):
        engine.load_weights({**other, name: torch.zeros(3)}, 5)
    with pytest.raises(ValueError, match=r"x\.lora_A\.default\.weight is .*no such parameter"):
        engine.load_weights({**other, "x.lora_A.default.weight": torch.zeros(3)}, 5)
    engine.load_weights({}, 4)
    assert engine.generate(PROMPTS, SAMPLING) == before
