"""What sampling costs: the embedded engine and transformers on the same model, prompts and lengths, in turn.

How many tokens a sample gets is fixed in advance, the same for all, so that tokens a second compare. The floor
is what each decoding step must move and compute at rates measured here: weights once a step, keys and values of
each row, those of a prompt once a group.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    ContinuousBatchingConfig,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LogitsProcessor,
    LogitsProcessorList,
)

from rollout.torch_engine import TorchEngine
from rollout.types import Prompt, Sampling

GROUP = 8  # samples a prompt
_VOCABULARY, _PAD, _STOP = 512, 0, 1
_PAGE = 32  # positions in a block of continuous batching's cache
_SIGMA, _CAP = 0.8, 8  # of the skewed lengths: log-normal, at most so many times the mean
MODELS = {  # name: layers, width, heads
    "1m": (4, 128, 4),
    "6m": (6, 256, 8),
    "30m": (8, 512, 8),
}


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is sampled.

    Attributes:
        prompts: Token ids, one tuple a group.
        lengths: New tokens of each sample, group by group.
    """

    prompts: tuple[tuple[int, ...], ...]
    lengths: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """New tokens in all."""
        return sum(self.lengths)

    @property
    def repeated(self) -> list[list[int]]:
        """The prompt of each sample."""
        return [list(prompt) for prompt in self.prompts for _ in range(GROUP)]


def make_workload(kind: str, *, samples: int, mean: int, prompt_tokens: int, seed: int = 0) -> Workload:
    """Prompts of a length up to a quarter off `prompt_tokens`, and lengths.

    Args:
        kind: "equal": `mean` each. "skewed": log-normal with sigma 0.8, mean `mean`, capped at 8 times that.
        samples: A multiple of 8.
        mean: Of the lengths, in tokens.
        prompt_tokens: Middle of the prompts' lengths.
        seed: Of both.
    """
    rng = random.Random(seed)
    prompts = [
        tuple(
            rng.randrange(2, _VOCABULARY)
            for _ in range(rng.randint(prompt_tokens * 3 // 4, prompt_tokens * 5 // 4))
        )
        for _ in range(samples // GROUP)
    ]
    lengths = [mean] * samples
    if kind == "skewed":
        middle = math.log(mean) - _SIGMA**2 / 2
        lengths = [max(1, min(_CAP * mean, round(rng.lognormvariate(middle, _SIGMA)))) for _ in range(samples)]
    return Workload(prompts=tuple(prompts), lengths=tuple(lengths))


def make_bench_model(name: str) -> LlamaForCausalLM:
    """A Llama with random weights, of one of the sizes in `MODELS`."""
    layers, width, heads = MODELS[name]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=_VOCABULARY,
        hidden_size=width,
        intermediate_size=4 * width if name == "1m" else 3 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=_STOP,
        pad_token_id=_PAD,
    )
    return LlamaForCausalLM(config).eval().requires_grad_(False)


# ---- who samples ----

Run = Callable[[], int]  # samples the workload, returns the number of new tokens


@contextmanager
def stride(model: LlamaForCausalLM, workload: Workload, threads: int) -> Iterator[Run]:
    """The embedded engine."""
    engine = TorchEngine(model, stop_ids=[_VOCABULARY], pad_id=_PAD, threads=threads)

    def run() -> int:
        prompts = [
            Prompt(
                ids=ids,
                seeds=tuple(range(GROUP * g, GROUP * (g + 1))),
                limits=workload.lengths[GROUP * g : GROUP * (g + 1)],
            )
            for g, ids in enumerate(workload.prompts)
        ]
        groups = engine.generate(prompts, Sampling(temperature=1.0, max_new_tokens=max(workload.lengths)))
        return sum(len(completion.ids) for group in groups for completion in group)

    yield run


class _FixedLengths(LogitsProcessor):
    """Makes each row stop after its number of new tokens."""

    def __init__(self, lengths: Sequence[int], width: int) -> None:
        self.lengths = torch.tensor(lengths)
        self.width = width

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        last = self.lengths <= input_ids.shape[1] - self.width + 1
        scores[:, _STOP] = -torch.inf
        scores[last] = -torch.inf
        scores[last, _STOP] = 0.0
        return scores


@contextmanager
def generate(model: Any, workload: Workload, threads: int) -> Iterator[Run]:
    """`generate` of transformers, which is what TRL samples with."""

    def run() -> int:
        rows = workload.repeated
        width = max(map(len, rows))
        ids = torch.tensor([[_PAD] * (width - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        with torch.inference_mode():
            out = model.generate(
                ids,
                attention_mask=mask,
                do_sample=True,
                temperature=1.0,
                top_k=0,
                max_new_tokens=max(workload.lengths),
                logits_processor=LogitsProcessorList([_FixedLengths(workload.lengths, width)]),
            )
        return int(((out[:, width:] == _STOP).int().argmax(dim=1) + 1).sum())

    yield run


@contextmanager
def continuous_batching(model: LlamaForCausalLM, workload: Workload, threads: int) -> Iterator[Run]:
    """Continuous batching of transformers, with room for all rows at once."""
    config = GenerationConfig(do_sample=True, temperature=1.0, top_k=0, eos_token_id=-1, pad_token_id=_PAD)
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


CONTESTANTS = {"stride": stride, "generate": generate, "continuous batching": continuous_batching}


# ---- measuring ----


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Tokens a second of one contestant, one figure a round."""

    name: str
    tokens_per_s: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle round."""
        return statistics.median(self.tokens_per_s)

    @property
    def spread(self) -> float:
        """Range of the rounds as a share of the median."""
        return (max(self.tokens_per_s) - min(self.tokens_per_s)) / self.median


def race(
    model: LlamaForCausalLM,
    workload: Workload,
    names: Sequence[str],
    *,
    rounds: int,
    threads: int,
    say: Callable[[str], None],
) -> list[Timing]:
    """Let the contestants sample the workload in turn, each time once to warm up and once for the figure.

    Raises:
        RuntimeError: A contestant sampled another number of tokens than asked for.
    """
    figures: dict[str, list[float]] = {name: [] for name in names}
    for number in range(1, rounds + 1):
        for name in names:
            with CONTESTANTS[name](model, workload, threads) as run:
                _sample(run, workload, name)  # to warm up
                seconds = _sample(run, workload, name)
            figures[name].append(workload.tokens / seconds)
            say(f"round {number}/{rounds}  {name}: {figures[name][-1]:,.0f} tokens/s")
    return [Timing(name=name, tokens_per_s=tuple(values)) for name, values in figures.items()]


def _sample(run: Run, workload: Workload, name: str) -> float:
    started = time.perf_counter()
    tokens = run()
    seconds = time.perf_counter() - started
    if tokens != workload.tokens:
        raise RuntimeError(f"{name} sampled {tokens} tokens, {workload.tokens} were asked for")
    return seconds


def floor(model: LlamaForCausalLM, workload: Workload) -> float:
    """Tokens a second if every step took no longer than its bytes or its operations at the measured rates."""
    bytes_per_s, flops_per_s = _memory_rate(), _matmul_rate(model.config.hidden_size, len(workload.lengths))
    config = model.config
    weights = sum(p.numel() for name, p in model.named_parameters() if "embed_tokens" not in name)
    per_position = 2 * config.num_hidden_layers * config.hidden_size
    seconds = 0.0
    for step in range(max(workload.lengths)):
        rows = [row for row, length in enumerate(workload.lengths) if length > step]
        groups = {row // GROUP for row in rows}
        prompt = [len(workload.prompts[row // GROUP]) for row in rows]
        read = sum(len(workload.prompts[group]) for group in groups) + step * len(rows)
        moved = 4 * (weights + per_position * read)
        computed = 2 * weights * len(rows) + 2 * per_position * (sum(prompt) + step * len(rows))
        seconds += max(moved / bytes_per_s, computed / flops_per_s)
    return workload.tokens / seconds


def _memory_rate() -> float:
    """Bytes a second read from memory."""
    numbers = torch.ones(1 << 26)
    return numbers.nbytes / _fastest(numbers.sum)


def _matmul_rate(width: int, rows: int) -> float:
    """Float operations a second of a product shaped like a step's largest."""
    left, right = torch.randn(rows, width), torch.randn(width, 4 * width)
    return 2 * rows * width * 4 * width / _fastest(lambda: left @ right)


def _fastest(work: Callable[[], object]) -> float:
    best = math.inf
    for _ in range(20):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best
