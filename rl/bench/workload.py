"""What the benchmarks work on: models with random weights, prompts, and lengths fixed in advance.

All contestants of a case get the same model, the same prompts and the same number of new tokens a sample, so
that their times compare.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rollout.types import Prompt

GROUP = 8  # samples a prompt
VOCABULARY, PAD, STOP = 512, 0, 1
_SIGMA, _CAP = 0.8, 8  # of the skewed lengths: log-normal, at most so many times the mean
MODELS = {  # name: layers, width, heads
    "tiny": (2, 64, 2),
    "1m": (4, 128, 4),
    "6m": (6, 256, 8),
    "30m": (8, 512, 8),
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
        updates: Updates of one lap, where updates are timed.
        trl_rows: Rows of TRL's micro-batches.
    """

    model: str
    kind: str
    samples: int
    mean: int
    prompt_tokens: int
    threads: int
    updates: int = 1
    trl_rows: int = GROUP

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
    layers, width, heads = MODELS[name]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=4 * width if width <= 128 else 3 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=STOP,
        pad_token_id=PAD,
    )
    return LlamaForCausalLM(config).eval().requires_grad_(False)
