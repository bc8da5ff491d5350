"""A few tokens of a model, sampled and read again: whether the embedded engine can decode it.

The library's families keep what they have read in caches of many kinds. There is no list of those that work:
each model is tried once. Prompts of different lengths are sampled together, and their log-probabilities
compared with those of full passes. Decoded wrongly, a model would train on wrong log-probabilities without any
sign.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from envs.one_line import one_line
from rollout.engines.embedded import TorchEngine
from rollout.types import Prompt, Sampling

_REMEDY = "set rollout.engine to 'vllm' if vLLM supports the model, or use another model"
_TOLERANCE = 0.01  # mean difference of log-probabilities, in float32
_COARSE_TOLERANCE = 0.1  # in bfloat16, whose rounding depends on the order of sums
_PROMPTS = ((5, (1, 2), (2, 4)), (3, (3, 4), (6, 3)), (9, (5,), (6,)))  # tokens, seeds, limits


class DecodingError(ValueError):
    """A model that the embedded engine cannot sample from."""

    exit_code: ClassVar[int] = 2


def check_decoding(model: torch.nn.Module, *, pad_id: int) -> None:
    """Refuse a model whose decode steps fail or disagree with its full forward pass.

    Args:
        model: A causal LM on its device.
        pad_id: Token that pads prompts on the left.

    Raises:
        DecodingError: Says how it failed, and what to use instead.
    """
    wrapped: Any = model
    name = type(wrapped.get_base_model() if hasattr(wrapped, "get_base_model") else wrapped).__name__
    try:
        difference = _difference(model, pad_id)
    except torch.OutOfMemoryError:
        raise
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        reason = one_line(error)
        raise DecodingError(f"the embedded engine cannot decode {name}: {reason}; {_REMEDY}") from error
    exact = all(parameter.dtype == torch.float32 for parameter in model.parameters())
    if not difference <= (_TOLERANCE if exact else _COARSE_TOLERANCE):
        raise DecodingError(
            f"the embedded engine decodes {name} wrongly: log-probabilities differ from a full pass by "
            f"{difference:.2g} on average; {_REMEDY}"
        )


def _difference(model: torch.nn.Module, pad_id: int) -> float:
    """Mean absolute difference of log-probabilities, sampled against a full pass."""
    engine = TorchEngine(model, stop_ids=(), pad_id=pad_id)
    config: Any = model.config
    vocabulary = config.get_text_config().vocab_size
    prompts = [
        Prompt(ids=tuple((7919 * p + 101 * t) % vocabulary for t in range(length)), seeds=seeds, limits=limits)
        for p, (length, seeds, limits) in enumerate(_PROMPTS)
    ]
    groups = engine.generate(prompts, Sampling(temperature=1.0, max_new_tokens=6))
    differences = []
    with torch.inference_mode():
        for prompt, group in zip(prompts, groups, strict=True):
            for completion in group:
                ids = torch.tensor([[*prompt.ids, *completion.ids]], device=engine.device)
                logprobs = model(input_ids=ids, use_cache=False).logits[0, len(prompt.ids) - 1 : -1].float()
                full = torch.log_softmax(logprobs, dim=-1).gather(1, ids[0, len(prompt.ids) :, None])
                sampled = torch.tensor(completion.logprobs, device=engine.device)
                differences.append((full.squeeze(1) - sampled).abs())
    return float(torch.cat(differences).mean())
