"""What the benchmarks work on: models with random weights, prompts, and lengths fixed in advance.

All contestants of a case get the same model, the same prompts and the same number of new tokens a sample, so
that their times compare.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rollout.types import Prompt

GROUP = 8  # samples a prompt
VOCABULARY, PAD, STOP = 512, 0, 1
_SIGMA, _CAP = 0.8, 8  # of the skewed lengths: log-normal, at most so many times the mean


class Shape(NamedTuple):
    """Sizes of a model."""

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
    "0.5b": Shape(24, 896, 14, 2, 4864, 151_936),  # Qwen2.5-0.5B's, but for tied embeddings; for GPUs
}


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is sampled or trained on.

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
    def positions(self) -> int:
        """Tokens of every sample with its prompt in all."""
        return GROUP * sum(map(len, self.prompts)) + self.tokens

    @property
    def requests(self) -> list[Prompt]:
        """The groups as an engine of ours is asked for them."""
        return [
            Prompt(
                ids=ids,
                seeds=tuple(range(GROUP * g, GROUP * (g + 1))),
                limits=self.lengths[GROUP * g : GROUP * (g + 1)],
            )
            for g, ids in enumerate(self.prompts)
        ]

    @property
    def repeated(self) -> list[list[int]]:
        """The prompt of each sample."""
        return [list(prompt) for prompt in self.prompts for _ in range(GROUP)]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of a benchmark; it travels to child processes.

    Attributes:
        model: Name in `MODELS`.
        kind: "equal" or "skewed" lengths.
        samples: A multiple of 8.
        mean: Of the lengths, in tokens.
        prompt_tokens: Middle of the prompts' lengths.
        threads: CPU threads of every contestant.
        device: "cpu" or "cuda", for sampling.
        dtype: Of the model that samples.
        updates: Updates of one lap, where updates are timed.
        trl_rows: Rows of TRL's micro-batches.
    """

    model: str
    kind: str
    samples: int
    mean: int
    prompt_tokens: int
    threads: int
    device: str = "cpu"
    dtype: str = "float32"
    updates: int = 1
    trl_rows: int = GROUP

    def make_model(self) -> LlamaForCausalLM:
        """The model, which contestants copy before they change it."""
        model: Any = make_bench_model(self.model)
        moved: LlamaForCausalLM = model.to(device=self.device, dtype=getattr(torch, self.dtype))
        return moved

    def make_workload(self) -> Workload:
        """The prompts and lengths."""
        return make_workload(self.kind, samples=self.samples, mean=self.mean, prompt_tokens=self.prompt_tokens)


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
            rng.randrange(2, VOCABULARY)
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
    """A Llama with random weights, of one of the sizes in `MODELS`, for sampling."""
    shape = MODELS[name]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.mlp_width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=STOP,
        pad_token_id=PAD,
    )
    return LlamaForCausalLM(config).eval().requires_grad_(False)
