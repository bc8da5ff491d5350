"""The precision of a run: of the learner's weights, of its passes, and of the engine's copy of the weights.

In: a config, and the device it runs on here. Out: what its keys mean there.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from configs import Config, ConfigError
from envs.one_line import one_line
from rl.devices import find_device
from rl.runs.record import SECTIONS


@dataclass(frozen=True, kw_only=True, slots=True)
class Passes:
    """How the learner's passes run.

    Attributes:
        cpu: On the CPU, even where there is a GPU.
        mixed_precision: Matrix products in bfloat16 (autocast), whatever the weights are.
        checkpointing: Each layer is computed again in the backward pass (gradient checkpointing), so that only
            its input is kept until then.
    """

    cpu: bool
    mixed_precision: bool = False
    checkpointing: bool = False


def prepare_learner(config: Config, model: Any) -> Passes:
    """Set the attention of a model that is to be trained here.

    Call it after engines have made their copies, whose attention is the library's choice.

    Args:
        config: The run's config.
        model: A `PreTrainedModel`, or a `PeftModel` around one.

    Returns:
        How its passes run.

    Raises:
        ConfigError: The config asks for what the GPU or the model does not have.
    """
    checkpointing = gradient_checkpointing(config)
    if checkpointing and not model.supports_gradient_checkpointing:
        if config.policy.gradient_checkpointing is True:
            raise ConfigError(
                "policy.gradient_checkpointing is true, but transformers has none for policy.model "
                f"'{config.policy.model}'; set it to false or 'auto'"
            )
        checkpointing = False
    if (attention := config.policy.attn_implementation) is not None:
        try:
            model.set_attn_implementation(attention)
        except (ValueError, ImportError) as error:
            reason = one_line(error)
            raise ConfigError(
                f"policy.attn_implementation is '{attention}', but {reason}; set it to null"
            ) from None
    return Passes(
        cpu=find_device(config) == "cpu",
        mixed_precision=mixed_precision(config),
        checkpointing=checkpointing,
    )


def check_learner(config: Config, model: Any) -> None:
    """Refuse what `prepare_learner` would, before engines copy the model, which is left as it is.

    Raises:
        ConfigError: The config asks for what the GPU or the model does not have.
    """
    before = model.config._attn_implementation
    prepare_learner(config, model)
    if config.policy.attn_implementation is not None:
        model.set_attn_implementation(before)


def check_precision(config: Config) -> None:
    """Refuse what needs a GPU or a package that is not there.

    Raises:
        ConfigError: Names the key.
    """
    on_gpu, policy = find_device(config) == "cuda", config.policy
    if policy.mixed_precision == "bf16":
        mixed_precision(config)  # refuses a GPU without bfloat16
    if policy.load_in_4bit and not on_gpu:
        raise ConfigError("policy.load_in_4bit is true, but the learner is on the CPU; set it to false")
    if policy.attn_implementation == "flash_attention_2":
        key = "policy.attn_implementation is 'flash_attention_2', but"
        if not on_gpu:
            raise ConfigError(f"{key} the learner is on the CPU; set it to 'sdpa' or null")
        if not (mixed_precision(config) or learner_dtype(config) == torch.bfloat16):
            raise ConfigError(f"{key} it computes in bfloat16; set policy.mixed_precision to 'bf16'")
        if find_spec("flash_attn") is None:
            raise ConfigError(
                f"{key} flash-attn is not installed; install it, or set the key to 'sdpa' or null"
            )
    by_bitsandbytes = ["policy.load_in_4bit"] if policy.load_in_4bit else []
    for name in SECTIONS.values():
        section = getattr(config, name)
        if section is not None and section.optim.endswith("bit"):
            by_bitsandbytes.append(f"{name}.optim '{section.optim}'")
            if section.optim.startswith("paged") and not on_gpu:
                raise ConfigError(
                    f"{name}.optim is '{section.optim}', whose pages move between a GPU and the host, but the "
                    "learner is on the CPU; set it to 'adamw_8bit' or 'adamw_torch_fused'"
                )
    if by_bitsandbytes and find_spec("bitsandbytes") is None:
        raise ConfigError(
            f"{' and '.join(by_bitsandbytes)} needs bitsandbytes, which is not installed; install "
            "'stride-rl[bitsandbytes]' or change the key"
        )


def learner_dtype(config: Config) -> torch.dtype:
    """Precision in which the learner's weights are loaded; those of an adapter are float32 in any case."""
    policy = config.policy
    if policy.dtype is not None:
        dtype: torch.dtype = getattr(torch, policy.dtype)
        return dtype
    frozen = policy.lora is not None and find_device(config) == "cuda" and mixed_precision(config)
    return torch.bfloat16 if frozen or policy.load_in_4bit else torch.float32


def mixed_precision(config: Config) -> bool:
    """Whether the learner computes matrix products in bfloat16, whatever its weights are (autocast).

    Raises:
        ConfigError: It is asked for, and the GPU has no bfloat16.
    """
    asked = config.policy.mixed_precision
    if asked == "no":
        return False
    if find_device(config) == "cpu":
        return asked == "bf16"
    has_it = torch.cuda.is_bf16_supported(including_emulation=False)
    if asked == "bf16" and not has_it:
        raise ConfigError(
            f"policy.mixed_precision is 'bf16', but {torch.cuda.get_device_name(0)} does not compute in "
            "bfloat16; set it to 'no' or 'auto'"
        )
    return has_it


def gradient_checkpointing(config: Config) -> bool:
    """Whether the learner computes its layers again in the backward pass, if its model can."""
    asked = config.policy.gradient_checkpointing
    return find_device(config) == "cuda" if asked == "auto" else asked


def engine_dtype(config: Config) -> torch.dtype:
    """Precision of the engine's copy of the weights."""
    if config.rollout.dtype is not None:
        dtype: torch.dtype = getattr(torch, config.rollout.dtype)
        return dtype
    return torch.bfloat16 if mixed_precision(config) else learner_dtype(config)


def all_float32(config: Config) -> bool:
    """Whether learner and engine both compute in float32, so that they agree up to its rounding."""
    exact = not (config.tf32 and torch.cuda.is_available()) and not mixed_precision(config)
    return exact and learner_dtype(config) == engine_dtype(config) == torch.float32
