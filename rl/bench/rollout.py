"""What sampling costs: the embedded engine and transformers on the same model, prompts and lengths, in turn.

How many tokens a sample gets is fixed in advance, the same for all, so that tokens a second compare. The floor
is what each decoding step must move and compute at rates measured here: weights once a step, keys and values of
each row, those of a prompt once a group.
"""

from __future__ import annotations

import copy
import importlib.util
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
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

from rl.bench.race import Contestants, Lap
from rl.bench.workload import GROUP, PAD, STOP, Case, Workload
from rollout.engines.cuda_graphs import CudaGraphs
from rollout.engines.embedded import TorchEngine
from rollout.engines.vllm import VllmEngine, VllmRoom
from rollout.types import Sampling

_PAGE = 32  # positions in a block of continuous batching's cache

# ---- who samples ----

Run = Callable[[], int]  # samples the workload, returns the number of new tokens


@contextmanager
def stride(model: LlamaForCausalLM, workload: Workload, threads: int) -> Iterator[Run]:
    """The embedded engine."""
    engine = TorchEngine(
        copy.deepcopy(model),  # its weights are laid out anew
        stop_ids=[-1],
        pad_id=PAD,
        threads=threads,
        make_recorder=CudaGraphs if model.device.type == "cuda" else None,
    )

    def run() -> int:
        sampling = Sampling(temperature=1.0, max_new_tokens=max(workload.lengths))
        groups = engine.generate(workload.requests, sampling)
        return sum(len(completion.ids) for group in groups for completion in group)

    yield run


class FixedLengths(LogitsProcessor):
    """Makes each row stop after its number of new tokens."""

    def __init__(self, lengths: Sequence[int], width: int, device: torch.device | str = "cpu") -> None:
        self.lengths = torch.tensor(lengths, device=device)
        self.width = width

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """The stop token alone in rows that are due, and anything else in the others."""
        last = self.lengths <= input_ids.shape[1] - self.width + 1
        scores[:, STOP] = -torch.inf
        scores[last] = -torch.inf
        scores[last, STOP] = 0.0
        return scores


@contextmanager
def generate(model: Any, workload: Workload, threads: int) -> Iterator[Run]:
    """`generate` of transformers, which is what TRL samples with."""

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
    """Continuous batching of transformers, with room for all rows at once."""
    config = GenerationConfig(do_sample=True, temperature=1.0, top_k=0, eos_token_id=-1, pad_token_id=PAD)
    totals = [len(ids) + length for ids, length in zip(workload.repeated, workload.lengths, strict=True)]
    room = ContinuousBatchingConfig(  # left to itself, it takes most of the machine's memory
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
    """VLLM, asked for nothing but tokens: the engine's own requests have seeds and log-probabilities, too."""
    longest = max(map(len, workload.prompts)) + max(workload.lengths)
    room = VllmRoom(max_rows=len(workload.lengths), max_tokens=longest)
    engine = VllmEngine(copy.deepcopy(model), stop_ids=[], room=room, threads=threads, device=model.device.type)
    llm = engine._llm
    params = [llm.get_default_sampling_params() for _ in workload.lengths]
    for own, length in zip(params, workload.lengths, strict=True):
        own.temperature, own.ignore_eos, own.detokenize, own.max_tokens = 1.0, True, False, length

    def run() -> int:
        llm.reset_prefix_cache()
        prompts = [{"prompt_token_ids": ids} for ids in workload.repeated]
        with engine._guarded():
            outputs = llm.generate(prompts, params, use_tqdm=False)
        return sum(len(output.outputs[0].token_ids) for output in outputs)

    yield run


CONTESTANTS = {"stride": stride, "generate": generate, "continuous batching": continuous_batching}
if importlib.util.find_spec("vllm") is not None:
    CONTESTANTS["vllm"] = vllm


# ---- measuring ----


def rollout(case: Case) -> Contestants:
    """Everyone who can sample here."""
    model, workload = case.make_model(), case.make_workload()
    return {
        name: partial(_lap, name, partial(enter, model, workload, case.threads), workload)
        for name, enter in CONTESTANTS.items()
    }


def _lap(name: str, enter: Callable[[], AbstractContextManager[Run]], workload: Workload) -> Lap:
    """Sample the workload twice, to warm up and for the figure.

    Raises:
        RuntimeError: Another number of tokens was sampled than asked for.
    """
    with enter() as run:
        for _ in range(2):
            started = time.perf_counter()
            tokens = run()
            seconds = time.perf_counter() - started
            if tokens != workload.tokens:
                raise RuntimeError(f"{name} sampled {tokens} tokens, {workload.tokens} were asked for")
    return Lap(per_s=tokens / seconds)


def floor(model: LlamaForCausalLM, workload: Workload) -> float:
    """Tokens a second if every step took no longer than its bytes or its operations at the measured rates."""
    weight = model.lm_head.weight
    config: Any = model.config
    bytes_per_s = _memory_rate(weight)
    flops_per_s = _matmul_rate(weight, config.hidden_size, len(workload.lengths))
    weights = sum(p.numel() for name, p in model.named_parameters() if "embed_tokens" not in name)
    head_dim = config.hidden_size // config.num_attention_heads
    kept = 2 * config.num_hidden_layers * config.num_key_value_heads * head_dim  # of a position
    asked = 2 * config.num_hidden_layers * config.hidden_size
    seconds = 0.0
    for step in range(max(workload.lengths)):
        rows = [row for row, length in enumerate(workload.lengths) if length > step]
        groups = {row // GROUP for row in rows}
        prompt = [len(workload.prompts[row // GROUP]) for row in rows]
        read = sum(len(workload.prompts[group]) for group in groups) + step * len(rows)
        moved = weight.itemsize * (weights + kept * read)
        computed = 2 * weights * len(rows) + 2 * asked * (sum(prompt) + step * len(rows))
        seconds += max(moved / bytes_per_s, computed / flops_per_s)
    return workload.tokens / seconds


def _memory_rate(like: torch.Tensor) -> float:
    """Bytes a second read from memory, where this tensor is and of its dtype."""
    numbers = like.new_ones(1 << (26 if like.device.type == "cpu" else 30))
    return numbers.nbytes / _fastest(numbers.sum)


def _matmul_rate(like: torch.Tensor, width: int, rows: int) -> float:
    """Float operations a second of a product shaped like a step's largest, likewise."""
    left, right = like.new_ones(rows, width), like.new_ones(width, 4 * width)
    return 2 * rows * width * 4 * width / _fastest(lambda: left @ right)


def _fastest(work: Callable[[], torch.Tensor]) -> float:
    best = math.inf
    for _ in range(20):
        started = time.perf_counter()
        work().flatten()[0].item()  # waits for the device
        best = min(best, time.perf_counter() - started)
    return best
