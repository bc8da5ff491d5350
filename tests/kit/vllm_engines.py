"""Models, prompts and comparisons that the tests of vLLM share."""

from __future__ import annotations

import copy
import random
from typing import Any

import torch

from configs.schema.config import LoraSettings, PolicyConfig, TinyModelConfig
from envs import make_env
from rl.models.policy import load_policy
from rollout.engines.draw import nucleus
from rollout.engines.vllm import VllmEngine
from rollout.engines.vllm_settings import VllmSettings
from rollout.types import Completion, Prompt, Sampling

TINY = TinyModelConfig(hidden_size=128, num_layers=2, num_heads=2, intermediate_size=192, max_positions=256)
LIMITS = VllmSettings(max_rows=16, max_tokens=160)
STOP = 1
SAMPLING = Sampling(temperature=0.8, max_new_tokens=30)
CLOSE = 1e-4  # of log-probabilities, in float32; measured: 3e-6
Groups = list[list[Completion]]


def make(lora: bool = False) -> Any:
    config = PolicyConfig(tiny=TINY, lora=LoraSettings(r=4, alpha=8) if lora else None)
    model: Any = load_policy(config, make_env("directional"), seed=0).model
    for name, parameter in model.named_parameters():  # spread the logits: near-uniform ones hide mistakes
        if parameter.dim() > 1 and "lora_" not in name:
            parameter.data.mul_(3.0)
    return model.eval()


def make_engine(model: torch.nn.Module, limits: VllmSettings = LIMITS, device: str = "cpu") -> VllmEngine:
    return VllmEngine(copy.deepcopy(model), stop_ids=[STOP], settings=limits, threads=1, device=device)


def drawn(seed: int, length: int) -> tuple[int, ...]:
    rng = random.Random(seed)
    return tuple(rng.randrange(2, 20) for _ in range(length))


PROMPTS = [
    Prompt(ids=drawn(0, 100), seeds=tuple(range(8))),  # three whole blocks to share
    Prompt(ids=drawn(1, 7), seeds=(2**64 - 1, 21)),
    Prompt(ids=(2,), seeds=(31, 32, 33)),
]


def mixed_prompts() -> list[Prompt]:
    """25 prompts of 1 to 40 tokens, 1 to 5 samples each: some 75 samples for 16 rows."""
    rng = random.Random(0)
    return [
        Prompt(ids=drawn(p, rng.randint(1, 40)), seeds=tuple(range(100 * p, 100 * p + rng.randint(1, 5))))
        for p in range(25)
    ]


def worst(model: Any, prompts: list[Prompt], groups: Groups, temperature: float, top_p: float = 1.0) -> float:
    """Largest difference to the log-probabilities of full forward passes, one row at a time, no cache."""
    largest = 0.0
    for prompt, group in zip(prompts, groups, strict=True):
        for completion in group:
            with torch.no_grad():
                logits = model(torch.tensor([[*prompt.ids, *completion.ids]])).logits[
                    0, len(prompt.ids) - 1 : -1
                ]
            logprobs = torch.log_softmax(logits.float() / (temperature or 1.0), dim=-1)
            if top_p < 1:
                logprobs = nucleus(logprobs, top_p)
            expected = logprobs.gather(1, torch.tensor(completion.ids)[:, None]).squeeze(1)
            largest = max(largest, (expected - torch.tensor(completion.logprobs)).abs().max().item())
    return largest


def ids(groups: Groups) -> list[list[tuple[int, ...]]]:
    return [[completion.ids for completion in group] for group in groups]


def versions(groups: Groups) -> set[int]:
    return {completion.weight_version for group in groups for completion in group}


def moved(model: Any, seed: int) -> Any:
    """A copy with other weights."""
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    for parameter in other.parameters():
        if parameter.requires_grad:
            parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return other
