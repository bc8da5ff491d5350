"""The sampling benchmark: the embedded engine, transformers and vLLM on the same model, prompts and lengths.

The number of tokens of each sample is fixed in advance and the same for all contestants, so their tokens a
second can be compared.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from typing import Any

import torch
from transformers import (
    ContinuousBatchingConfig,
    GenerationConfig,
    LlamaForCausalLM,
    LogitsProcessor,
    LogitsProcessorList,
)

from rl.bench.models import NO_STOP, PAD, STOP
from rl.bench.race import Contestants, Lap
from rl.bench.workload import Case, Workload
from rollout.engines.spec import EngineSpec
from rollout.engines.vllm import VllmEngine
from rollout.engines.vllm_settings import VllmSettings
from rollout.types import Sampling

_PAGE = 32  # positions in a block of continuous batching's cache

# ---- contestants ----

Run = Callable[[], int]
"""Samples the workload and returns the number of new tokens."""


@contextmanager
def stride(model: LlamaForCausalLM, workload: Workload, threads: int) -> Iterator[Run]:
    """The embedded engine."""

    def run() -> int:
        sampling = Sampling(temperature=1.0, max_new_tokens=max(workload.lengths))
        groups = engine.generate(workload.requests, sampling)
        return sum(len(completion.ids) for group in groups for completion in group)

    with closing(_spec(model, threads).build()) as engine:
        yield run


class FixedLengths(LogitsProcessor):
    """Makes each row stop after its number of new tokens."""

    def __init__(self, lengths: Sequence[int], width: int, device: torch.device | str = "cpu") -> None:
        self.lengths = torch.tensor(lengths, device=device)
        self.width = width

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Allow only the stop token in rows that have their length, and every other token in the rest."""
        last = self.lengths <= input_ids.shape[1] - self.width + 1
        scores[:, STOP] = -torch.inf
        scores[last] = -torch.inf
        scores[last, STOP] = 0.0
        return scores


@contextmanager
def generate(model: Any, workload: Workload, threads: int) -> Iterator[Run]:
    """`generate` of transformers, with which TRL samples."""

    def run() -> int:
        rows = workload.repeated
        width = max(map(len, rows))
        ids = torch.tensor([[PAD] * (width - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        with torch.inference_mode():
            out = model.generate(
                ids.to(model.device),
                attention_mask=mask.to(model.device),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                max_new_tokens=max(workload.lengths),
                logits_processor=LogitsProcessorList([FixedLengths(workload.lengths, width, model.device)]),
            )
        return int(((out[:, width:] == STOP).int().argmax(dim=1) + 1).sum())

    yield run


@contextmanager
def continuous_batching(model: LlamaForCausalLM, workload: Workload, threads: int) -> Iterator[Run]:
    """Continuous batching of transformers, with a cache large enough for all rows at once."""
    config = GenerationConfig(do_sample=True, temperature=1.0, top_k=0, eos_token_id=-1, pad_token_id=PAD)
    totals = [len(ids) + length for ids, length in zip(workload.repeated, workload.lengths, strict=True)]
    room = ContinuousBatchingConfig(  # by default it takes most of the machine's memory
        page_size=_PAGE,
        num_blocks=sum(-(-total // _PAGE) + 1 for total in totals),
        max_batch_tokens=sum(map(len, workload.repeated)),
    )
    with model.continuous_batching_context_manager(
        generation_config=config, continuous_batching_config=room
    ) as manager:

        def run() -> int:
            for ids, length in zip(workload.repeated, workload.lengths, strict=True):
                manager.add_request(ids, max_new_tokens=length, eos_token_id=-1)
            tokens = finished = 0
            while finished < len(workload.lengths):
                result = manager.get_result(timeout=60)
                if result is None:
                    raise RuntimeError("continuous batching of transformers gave no result in 60 s")
                if result.is_finished():
                    finished += 1
                    tokens += len(result.generated_tokens)
            return tokens

        yield run


@contextmanager
def vllm(model: LlamaForCausalLM, workload: Workload, threads: int) -> Iterator[Run]:
    """vLLM, sampling tokens without the seeds and log-probabilities that training needs."""
    longest = max(map(len, workload.prompts)) + max(workload.lengths)
    limits = VllmSettings(max_rows=len(workload.lengths), max_tokens=longest)
    with closing(_spec(model, threads, vllm=limits).build()) as engine:
        assert isinstance(engine, VllmEngine)
        sample = engine.sample_tokens

        def run() -> int:
            return sum(len(tokens) for tokens in sample(workload.repeated, workload.lengths))

        yield run


def _spec(model: LlamaForCausalLM, threads: int, vllm: VllmSettings | None = None) -> EngineSpec:
    """An engine as a run would build it, but one that stops at no token."""
    return EngineSpec(
        model=model,
        stop_ids=() if vllm else (NO_STOP,),
        pad_id=PAD,
        dtype=model.dtype,
        device=model.device.type,
        threads=threads,
        max_rows=None,
        cuda_graphs=True,
        vllm=vllm,
    )


CONTESTANTS = {"stride": stride, "generate": generate, "continuous batching": continuous_batching}
if importlib.util.find_spec("vllm") is not None:
    CONTESTANTS["vllm"] = vllm


# ---- measuring ----


def rollout(case: Case) -> Contestants:
    """All contestants that are installed."""
    model, workload = case.make_model(), case.make_workload()
    return {
        name: partial(_lap, name, partial(enter, model, workload, case.threads), workload)
        for name, enter in CONTESTANTS.items()
    }


def _lap(name: str, enter: Callable[[], AbstractContextManager[Run]], workload: Workload) -> Lap:
    """Sample the workload twice: once to warm up, once for the figure.

    Raises:
        RuntimeError: The contestant did not sample the workload's number of tokens.
    """
    with enter() as run:
        for _ in range(2):
            started = time.perf_counter()
            tokens = run()
            seconds = time.perf_counter() - started
            if tokens != workload.tokens:
                raise RuntimeError(f"{name} sampled {tokens} tokens instead of {workload.tokens}")
    return Lap(per_s=tokens / seconds)
