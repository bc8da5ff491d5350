"""The work of the benchmarks: models with random weights, prompts, and lengths fixed in advance.

All contestants of a case get the same model, the same prompts and the same number of new tokens for each
sample, so their times can be compared.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rl.bench.models import MODELS, PAD, STOP, VOCABULARY, Shape
from rollout.engines.precision import cast_weights
from rollout.types import Prompt

GROUP = 8  # samples of a prompt
_SIGMA, _CAP = 0.8, 8  # skewed lengths: sigma of the log-normal; longest, in means


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Prompts and completion lengths to sample or to train on.

    Attributes:
        prompts: Token ids, one tuple for each group.
        lengths: New tokens of each sample, group by group.
    """

    prompts: tuple[tuple[int, ...], ...]
    lengths: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """New tokens of all samples."""
        return sum(self.lengths)

    @property
    def positions(self) -> int:
        """Tokens of all samples, each with its prompt."""
        return GROUP * sum(map(len, self.prompts)) + self.tokens

    @property
    def requests(self) -> list[Prompt]:
        """The groups as requests to one of our engines."""
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
    """One row of a benchmark's table; it can be pickled, so it travels to child processes.

    Attributes:
        model: Name in `MODELS`.
        kind: "equal" or "skewed" lengths.
        samples: A multiple of 8.
        mean: Mean length, in tokens.
        prompt_tokens: Middle of the prompts' lengths.
        threads: CPU threads of every contestant.
        device: "cpu" or "cuda", for sampling.
        dtype: Precision of the model that samples.
        updates: Updates of one lap, in the update benchmarks.
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
        """The model; contestants copy it before they change it."""
        model: Any = make_bench_model(self.model, self.device)
        cast_weights(model, getattr(torch, self.dtype))
        cast: LlamaForCausalLM = model
        return cast

    def make_workload(self) -> Workload:
        """The prompts and lengths."""
        return make_workload(self.kind, samples=self.samples, mean=self.mean, prompt_tokens=self.prompt_tokens)


def make_workload(kind: str, *, samples: int, mean: int, prompt_tokens: int, seed: int = 0) -> Workload:
    """Prompts whose lengths differ from `prompt_tokens` by up to a quarter, and lengths of completions.

    Args:
        kind: "equal": `mean` each. "skewed": log-normal with sigma 0.8, mean `mean`, capped at 8 times that.
        samples: A multiple of 8.
        mean: Mean length, in tokens.
        prompt_tokens: Middle of the prompts' lengths.
        seed: Seed of both.
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


def make_bench_model(name: str, device: str = "cpu") -> LlamaForCausalLM:
    """A Llama with random weights and the sizes of a name in `MODELS`."""
    return make_llama(MODELS[name], device)


def make_llama(shape: Shape, device: str = "cpu") -> LlamaForCausalLM:
    """A Llama of given sizes for up to 4,096 positions, with random weights drawn on its device."""
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
    with torch.device(device):
        return LlamaForCausalLM(config).eval().requires_grad_(False)
