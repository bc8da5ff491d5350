"""LoRA adapters (arXiv 2106.09685) by PEFT: a new one, a saved one that is trained on, or one that is merged.

In: a base model, and the `policy.lora` section or the place of a saved adapter. Out: the model with its
adapter.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel

from configs.schema.config import LoraSettings
from envs.one_line import one_line
from rl.models.files import PolicyError


def add_adapter(
    model: PreTrainedModel, lora: LoraSettings, seed: int, *, revision: str | None = None
) -> PeftModel:
    """Add a new adapter, which changes nothing yet.

    Args:
        model: The base model.
        lora: The `policy.lora` section.
        seed: Seed of the adapter's weights.
        revision: The base model's branch, tag or commit on the hub, which is saved with the adapter.

    Raises:
        PolicyError: The target modules cannot get one.
    """
    settings = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        task_type="CAUSAL_LM",
        revision=revision,
    )
    linears = sorted({name.rpartition(".")[2] for name, m in model.named_modules() if isinstance(m, nn.Linear)})
    head = next(name for name, m in model.named_modules() if m is model.get_output_embeddings()).rpartition(
        "."
    )[2]
    if lora.target_modules != "all-linear" and head in lora.target_modules:
        raise PolicyError(
            f"policy.lora.target_modules has '{head}', the output layer, where an adapter would never be "
            "trained, as the loss reads its weights directly; leave it out. Linear layers here: "
            f"{', '.join(linears)}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            wrapped = get_peft_model(model, settings)
        except ValueError as error:
            raise PolicyError(
                f"policy.lora.target_modules is {lora.target_modules!r}: {one_line(error)} "
                f"Linear layers here: {', '.join(linears)}; or 'all-linear'"
            ) from None
    assert isinstance(wrapped, PeftModel)
    return wrapped


def load_adapter(
    model: PreTrainedModel, place: str, *, dropout: float | None, revision: str | None = None
) -> PeftModel:
    """Add a saved adapter, to be trained on.

    Args:
        model: Its base model.
        place: Its folder or hub id.
        dropout: Its dropout in the warm start; None: as saved.
        revision: Its branch, tag or commit on the hub.

    Raises:
        PolicyError: It does not fit the model.
    """
    options: dict[str, Any] = {} if revision is None else {"revision": revision}
    try:
        settings = LoraConfig.from_pretrained(place, **options)
        if dropout is not None:
            settings.lora_dropout = dropout
        wrapped = PeftModel.from_pretrained(model, place, config=settings, is_trainable=True, **options)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = one_line(error)
        raise PolicyError(f"the adapter {place} cannot be loaded: {reason}") from None
    if isinstance(model.get_output_embeddings(), BaseTunerLayer):
        raise PolicyError(
            f"the adapter {place} changes the output layer, where it would not be trained, as the loss reads "
            "the layer's weights directly; set policy.merge_adapter=true and policy.lora=null"
        )
    return wrapped


def merge_adapter(model: PreTrainedModel, place: str, *, revision: str | None) -> PreTrainedModel:
    """The base model with a saved adapter merged into its weights.

    Args:
        model: The base model, which is changed.
        place: Folder or hub id of the adapter.
        revision: Its branch, tag or commit on the hub.

    Raises:
        PolicyError: It does not fit the model.
    """
    options: dict[str, Any] = {} if revision is None else {"revision": revision}
    try:
        merged: Any = PeftModel.from_pretrained(model, place, **options)
        merged = merged.merge_and_unload(safe_merge=True)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = one_line(error)
        raise PolicyError(f"the adapter {place} cannot be merged: {reason}") from None
    whole: PreTrainedModel = merged.requires_grad_(True)
    return whole


def share_base(model: nn.Module, other: nn.Module) -> None:
    """Give a model with an adapter the base of another, loaded from the same files, in place of its own.

    Args:
        model: The model whose frozen weights are dropped; one whose weights are all trained stays as it is.
        other: The model whose base both have from now on, where it is.
    """
    bases = dict(other.named_parameters())
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad and name in bases and not bases[name].requires_grad:
            parameter.data = bases[name].data
