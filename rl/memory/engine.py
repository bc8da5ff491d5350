"""The memory of an inference engine: its copy of the weights, its KV cache, and what a step takes for a moment.

In: a config and the policy's model. Out: bytes by part, and the sizes of the calls that they follow from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer

from configs import Config
from rl.memory.learner import Model
from rl.memory.text import gib
from rollout.engines.adapter import sampled_model
from rollout.engines.cache_size import CallSize
from rollout.engines.cpu_linear import packed_bytes
from rollout.engines.decoder import has_decoder
from rollout.engines.draw import draw_bytes

_TOKEN_BYTES = 20  # of each token of a call: its id, its log-probability and a uniform number


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineMemory:
    """Bytes of one engine.

    Attributes:
        weights: Its copy of the weights; what it shares with the learner is left out.
        cache: The most that its KV cache takes, states included.
        step: The most that a prefill or a draw takes for a moment.
        number: Engines of this size on the device.
        sleeps: Whether it gives its memory back while the learner works.
    """

    weights: int
    cache: int
    step: int
    number: int = 1
    sleeps: bool = False

    @property
    def lasting(self) -> int:
        """What all engines keep between calls."""
        return self.number * (self.weights + self.cache)

    def __str__(self) -> str:
        each = "" if self.number == 1 else f"{self.number} x "
        size = gib(self.weights + self.cache + self.step)
        return (
            f"{each}{size} (weights {gib(self.weights)}, KV cache up to {gib(self.cache)}, "
            f"sampling {gib(self.step)})"
        )


def largest_calls(config: Config) -> list[CallSize]:
    """The largest calls of an engine, in training and in evaluation."""
    rollout, evaluation = config.rollout, config.eval
    eval_tokens = max([rollout.max_new_tokens, *evaluation.max_new_tokens.values()])
    searches = evaluation.search or config.expert_iteration is not None
    samples = max(1, evaluation.num_samples, config.search.num_samples if searches else 1)
    return [
        CallSize(rollout.problems_per_batch, rollout.samples_per_problem, rollout.max_new_tokens),
        CallSize(evaluation.problems_per_batch, samples, eval_tokens),
    ]


def engine_rows(config: Config, *, on_gpu: bool) -> int | None:
    """Most rows of the embedded engine: on a GPU, evaluation has no more than training. None: any number."""
    if config.rollout.max_rows is None and on_gpu:
        return largest_calls(config)[0].num_samples
    return config.rollout.max_rows


def engine_weights(
    model: Model, dtype: torch.dtype, *, shares_base: bool, own_base: bool = False, on_gpu: bool = True
) -> int:
    """Bytes of an engine's weights.

    Args:
        model: The policy's model.
        dtype: Precision of the copy.
        shares_base: Whether the engine reads the weights that the adapter leaves alone from a base beside it.
        own_base: Whether that base, from which it merges, is its own and not the learner's.
        on_gpu: Whether the engine is on a GPU.
    """
    plain = sampled_model(model)
    packed = packed_bytes(plain, dtype) if not on_gpu and has_decoder(plain) else 0
    if not isinstance(model, PeftModel):
        return packed + sum(parameter.numel() for parameter in model.parameters()) * dtype.itemsize
    base: Any = model.get_base_model()
    layers: list[Any] = [module for module in base.modules() if isinstance(module, BaseTunerLayer)]
    merged = [layer.get_base_layer().weight for layer in layers]
    whole = [parameter for name, parameter in base.named_parameters() if "lora_" not in name]
    kept = sum(parameter.nbytes for parameter in whole) if own_base else 0
    own = sum(parameter.numel() for parameter in (merged if shares_base else whole)) * dtype.itemsize
    return packed + kept + own


def step_bytes(config: Config, model: Model, dtype: torch.dtype, *, on_gpu: bool) -> int:
    """The most that a call takes beside weights and cache: its tokens, and a prefill or a draw for a moment."""
    settings: Any = model.config
    text = settings.get_text_config()
    inner = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    most = 0
    for call in largest_calls(config):
        rows = min(call.num_samples, engine_rows(config, on_gpu=on_gpu) or call.num_samples)
        tokens = min(rows, call.num_prompts) * config.rollout.max_prompt_tokens
        prefill = tokens * (6 * text.hidden_size + 3 * inner) * dtype.itemsize
        drawn = draw_bytes(rows, text.vocab_size, "cuda" if on_gpu else "cpu")
        most = max(most, call.num_samples * call.new_tokens * _TOKEN_BYTES + max(prefill, drawn))
    return most
