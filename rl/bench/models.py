"""The models of the benchmarks by name: sizes only, without torch, so that the command line can list them."""

from __future__ import annotations

from typing import NamedTuple

VOCABULARY, PAD, STOP = 512, 0, 1
NO_STOP = -1  # as the stop token of an engine that samples fixed lengths


class Shape(NamedTuple):
    """Sizes of a Llama."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    mlp_width: int
    vocabulary: int = VOCABULARY


MODELS = {
    "tiny": Shape(2, 64, 2, 2, 256),
    "1m": Shape(4, 128, 4, 4, 512),
    "6m": Shape(6, 256, 8, 8, 768),
    "30m": Shape(8, 512, 8, 8, 1536),
    "0.5b": Shape(24, 896, 14, 2, 4864, 151_936),  # Qwen2.5-0.5B's sizes with untied embeddings; for GPUs
}
TRAINED = [name for name, shape in MODELS.items() if shape.vocabulary == VOCABULARY]
"""Models of the update benchmarks, whose tokenizer has `VOCABULARY` words."""
