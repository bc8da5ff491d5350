"""The roofline of sampling: the tokens per second that the machine's memory and arithmetic allow.

In: a model and a workload. Out: tokens per second if each decode step took only as long as moving its bytes or
computing its products, at rates measured here. A step reads the weights once, the KV cache of each row, and
that of a prompt once for its group.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from transformers import LlamaForCausalLM

from rl.bench.workload import GROUP, Workload

_QUEUED = 16


def floor(model: LlamaForCausalLM, workload: Workload) -> float:
    """Tokens per second if each step took only as long as its bytes or its operations at the measured rates."""
    weight = model.lm_head.weight
    bytes_per_s = memory_rate(weight)
    flops_per_s = _matmul_rate(weight, model.config.hidden_size, len(workload.lengths))
    seconds = [max(b / bytes_per_s, flops / flops_per_s) for b, flops in _steps(model, workload)]
    return workload.tokens / sum(seconds)


def memory_floor(model: LlamaForCausalLM, workload: Workload) -> float:
    """Tokens per second if each step took only as long as its bytes."""
    moved = sum(step.bytes for step in _steps(model, workload))
    return workload.tokens / (moved / memory_rate(model.lm_head.weight))


class _Step(NamedTuple):
    """What a decode step moves and computes."""

    bytes: int
    flops: int


def _steps(model: LlamaForCausalLM, workload: Workload) -> Iterator[_Step]:
    config: Any = model.config
    weights = sum(p.numel() for name, p in model.named_parameters() if "embed_tokens" not in name)
    head_dim = config.hidden_size // config.num_attention_heads
    kept = 2 * config.num_hidden_layers * config.num_key_value_heads * head_dim  # keys and values of a position
    attended = 2 * config.num_hidden_layers * config.hidden_size
    for step in range(max(workload.lengths)):
        rows = [row for row, length in enumerate(workload.lengths) if length > step]
        groups = {row // GROUP for row in rows}
        prompt = [len(workload.prompts[row // GROUP]) for row in rows]
        read = sum(len(workload.prompts[group]) for group in groups) + step * len(rows)
        yield _Step(
            bytes=model.lm_head.weight.itemsize * (weights + kept * read),
            flops=2 * weights * len(rows) + 2 * attended * (sum(prompt) + step * len(rows)),
        )


def memory_rate(like: torch.Tensor) -> float:
    """Bytes per second that the memory of a tensor's device moves, in its dtype.

    On a CPU a sum reads; elsewhere a copy reads and writes, since a sum does not keep up with a GPU's memory.
    """
    if like.device.type == "cpu":
        numbers = like.new_ones(1 << 26)
        return numbers.nbytes / _fastest(numbers.sum)
    numbers, copy = like.new_ones(1 << 29), like.new_empty(1 << 29)
    return 2 * numbers.nbytes / _fastest(lambda: copy.copy_(numbers), queued=_QUEUED)


def _matmul_rate(like: torch.Tensor, width: int, rows: int) -> float:
    """Float operations per second of a product as large as a step's largest, on the same device."""
    columns = max(4 * width, len(like))
    left, right = like.new_ones(rows, width), like.new_ones(width, columns)
    queued = 1 if like.device.type == "cpu" else _QUEUED
    return 2 * rows * width * columns / _fastest(lambda: left @ right, queued=queued)


def _fastest(work: Callable[[], torch.Tensor], queued: int = 1) -> float:
    """Seconds of one call, of `queued` calls before each wait: a GPU should not wait for their launches."""
    best = math.inf
    for _ in range(20):
        started = time.perf_counter()
        for _ in range(queued):
            made = work()
        made.flatten()[0].item()  # waits for the device
        best = min(best, (time.perf_counter() - started) / queued)
    return best
