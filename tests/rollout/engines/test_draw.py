"""Drawing tokens a few rows at a time."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rollout.engines import draw as module
from rollout.engines.draw import draw, draw_bytes
from rollout.types import Sampling

SAMPLINGS = [
    Sampling(temperature=1.0, max_new_tokens=1),
    Sampling(temperature=0.7, max_new_tokens=1),
    Sampling(temperature=0.0, max_new_tokens=1),
    Sampling(temperature=1.0, max_new_tokens=1, top_p=0.9),
    Sampling(temperature=1.3, max_new_tokens=1, top_p=0.8, top_k=20),
]
ROWS, V = 37, 500


class Memory(TorchDispatchMode):
    """Bytes of the tensors that operations return, at most at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self._live: dict[int, tuple[int, Any]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {arg.untyped_storage().data_ptr() for arg in args if isinstance(arg, torch.Tensor)}
        for tensor in result if isinstance(result, tuple | list) else (result,):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in given:
                self._live[storage.data_ptr()] = (storage.nbytes(), weakref.ref(storage))
        self._live = {key: kept for key, kept in self._live.items() if kept[1]() is not None}
        self.peak = max(self.peak, sum(size for size, _ in self._live.values()))
        return result


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(ROWS, V, generator=generator) * 3
    return logits, torch.rand(ROWS, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_rows_drawn_in_parts_get_the_same_tokens(sampling: Sampling, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, uniform = inputs()
    before = logits.clone()
    tokens, logprobs = draw(logits, uniform, sampling)
    for rows in (1, 5, ROWS):
        monkeypatch.setitem(module._DRAWN_AT_ONCE, "cpu", rows * V)
        parts = draw(logits, uniform, sampling)
        assert torch.equal(parts[0], tokens) and torch.equal(parts[1], logprobs)
    assert torch.equal(logits, before)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_memory_stated_for_drawing_is_not_exceeded(
    sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the number of rows, beside the logits themselves."""
    monkeypatch.setitem(module._DRAWN_AT_ONCE, "cpu", 4 * V)
    logits, uniform = inputs()
    with Memory() as memory:
        draw(logits, uniform, sampling)
    of_logits = 2 * logits.nbytes
    assert 4 * V * 4 < memory.peak <= draw_bytes(ROWS, V, "cpu") - of_logits
