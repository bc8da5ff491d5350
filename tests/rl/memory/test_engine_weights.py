"""The stated weights of an engine against those of one that was made."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from configs.schema.config import LoraSettings
from rl.memory.engine import engine_weights
from rl.models.adapter import add_adapter
from rollout.engines import cpu_linear
from rollout.engines.adapter import MergedAdapter
from rollout.engines.cpu_linear import Matrix
from rollout.engines.decoder import Decoder
from tests.kit.causal_models import WRITTEN_OUT, make


def storages(*models: nn.Module) -> dict[int, int]:
    """Bytes of the parameters' memory, by address; what an adapter has is small and left out."""
    return {
        parameter.untyped_storage().data_ptr(): parameter.untyped_storage().nbytes()
        for model in models
        for name, parameter in model.named_parameters()
        if "lora_" not in name
    }


@pytest.mark.parametrize("family", [*WRITTEN_OUT, "gpt2"])
def test_copies_for_products_count(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = make(family)
    plain = engine_weights(model, torch.float32, shares_base=False)
    monkeypatch.setattr(cpu_linear, "prefers_onednn", lambda: True)
    stated = engine_weights(model, torch.float32, shares_base=False, on_gpu=False)
    assert engine_weights(model, torch.bfloat16, shares_base=False, on_gpu=False) == plain // 2
    if family == "gpt2":
        assert stated == plain  # it has no decoder
        return
    decoder = Decoder(model)
    matrices = [decoder._head, *(matrix for layer in decoder._layers for matrix in layer.matrices)]
    assert all(type(matrix) is Matrix and matrix._packed is not None for matrix in matrices)
    assert stated - plain == sum(4 * matrix.weight.numel() for matrix in matrices)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_engine_that_merges_an_adapter(dtype: torch.dtype) -> None:
    policy: Any = add_adapter(make("llama"), LoraSettings(r=2), 0)
    merged = MergedAdapter(policy, dtype=dtype, device="cpu").model
    learner, both = storages(policy), storages(policy, merged)
    beside = sum(both.values()) - sum(learner.values())
    equal = dtype == torch.float32
    assert engine_weights(policy, dtype, shares_base=equal) == beside
    own = engine_weights(policy, dtype, shares_base=equal, own_base=True)
    assert own == sum(both.values())  # as in an actor
