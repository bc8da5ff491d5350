"""The states of linear-attention and state-space layers, for the rows being sampled.

Such a layer (Mamba, gated DeltaNet, short convolutions) keeps a state of constant size for each row in place of
keys and values. A state has no columns: padding read before a prompt would stay in it, so prompts of different
lengths are prefilled apart.

Shapes: B rows.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import (
    DynamicLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionCacheLayerMixin,
    LinearAttentionLayer,
)

from rollout.engines.cache import Buffers, RowLayer, Window

_ROW_LAYERS = (DynamicLayer, LinearAttentionLayer, LinearAttentionAndFullAttentionLayer)


class StateLayer(LinearAttentionLayer):
    """The library's layer of states, to which rows can be added."""

    def add(self, other: LinearAttentionLayer, owner_B: torch.Tensor) -> None:
        """Add rows at the end.

        Args:
            other: States of the prompts.
            owner_B: The prompt of each new row.
        """
        for own, new in (
            (self.conv_states, other.conv_states),
            (self.recurrent_states, other.recurrent_states),
        ):
            for index, prompts in new.items():
                if prompts is not None:
                    rows, old = prompts[owner_B], own[index]
                    own[index] = rows if old is None else torch.cat([old, rows])
        for name in ("has_previous_state", "conv_kernel_size"):
            setattr(self, name, dict(getattr(other, name)))
        self.is_conv_states_initialized = dict(other.is_conv_states_initialized)
        self.is_recurrent_states_initialized = dict(other.is_recurrent_states_initialized)
        self.device: Any = owner_B.device
        self.dtype: Any = other.dtype

    def take(self, index_B: torch.Tensor) -> None:
        """Keep these rows, in this order."""
        reorder: Any = LinearAttentionLayer.reorder_cache
        reorder(self, index_B)


class RowStateLayer(StateLayer, RowLayer):  # type: ignore[override, no-untyped-call]
    """States beside keys and values, of a layer that has both."""

    def __init__(self, window: Window, buffers: Buffers, index: int, number_of_states: int) -> None:
        RowLayer.__init__(self, window, buffers, index)
        LinearAttentionLayer.__init__(self, number_of_states=number_of_states)

    def lazy_initialization(self, *args: Any, **kwargs: Any) -> None:
        """Allocate: keys and values come by position, states by name."""
        kind: Any = RowLayer if args else LinearAttentionLayer
        kind.lazy_initialization(self, *args, **kwargs)


def cache_argument(model: Any) -> str:
    """What the model's forward calls its cache: Mamba's has a name of its own, others are renamed in 5.24."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    names = inspect.signature(base.forward).parameters
    return next((name for name in ("cache_params", "cache") if name in names), "past_key_values")


def measure_cache(model: Any) -> tuple[int, int]:
    """Numbers in the keys and values of one token, and bytes in the states of one row: it reads a token."""
    cache = DynamicCache(config=model.config.get_text_config())
    ids = torch.zeros((1, 1), dtype=torch.long, device=next(model.parameters()).device)
    try:
        with _evaluating(model), torch.inference_mode():
            model(input_ids=ids, use_cache=True, **{cache_argument(model): cache})
    except (AttributeError, RuntimeError, TypeError, ValueError):
        return 0, 0  # such a model cannot be sampled from, and `check_decoding` says so
    numbers = state_bytes = 0
    for layer in cache.layers:
        read = (getattr(layer, "keys", None), getattr(layer, "values", None))
        numbers += sum(tensor.numel() for tensor in read if tensor is not None)
        if isinstance(layer, LinearAttentionCacheLayerMixin):
            kept = [*layer.conv_states.values(), *layer.recurrent_states.values()]
            state_bytes += sum(state.nbytes for state in kept if state is not None)
    return numbers, state_bytes


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """In training, dropout draws random numbers, and gradient checkpointing leaves out the cache."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def has_row_layers(model: Any) -> bool:
    """Whether rows can be added to and taken from all layers of the model's cache, and moved."""
    layers = DynamicCache(config=model.config.get_text_config()).layers
    return all(type(layer) in _ROW_LAYERS for layer in layers)


def keeps_states(model: Any) -> bool:
    """Whether layers of the model keep a state."""
    layers = DynamicCache(config=model.config.get_text_config()).layers
    return any(isinstance(layer, LinearAttentionCacheLayerMixin) for layer in layers)


def make_row_layers(layers: Sequence[Any], window: Window, buffers: Buffers) -> list[Any] | None:
    """Layers for rows that come and go, of the kinds of the library's; None if there is one of another kind."""
    if any(type(layer) not in _ROW_LAYERS for layer in layers):
        return None
    own: list[Any] = []
    for index, layer in enumerate(layers):
        if type(layer) is DynamicLayer:
            own.append(RowLayer(window, buffers, index))
        elif type(layer) is LinearAttentionLayer:
            own.append(StateLayer(number_of_states=layer.number_of_states))
        else:
            own.append(RowStateLayer(window, buffers, index, layer.number_of_states))
    return own
