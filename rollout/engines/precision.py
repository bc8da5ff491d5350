"""The precision of a model's weights: what the library would have loaded.

In: a causal LM, with or without a PEFT adapter. Out: the same model, each tensor in the precision that
`from_pretrained(dtype=...)` gives it. `module.to(dtype)` would cast more: rotary frequencies, whose angles are
off by radians at position 2,000 in bfloat16, and the weights that a family keeps in float32
(`_keep_in_fp32_modules_strict`). Adapters keep the precision that PEFT gives them, float32.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import torch
from transformers import PreTrainedModel


def set_tf32(tf32: bool) -> None:
    """Let float32 matrix products on a GPU of this process keep 10 bits of the mantissa (TF32), or all 23.

    Products on a CPU, and those in bfloat16, are not affected. GPUs before Ampere have no TF32.
    """
    torch.set_float32_matmul_precision("high" if tf32 else "highest")


def cast_weights(model: Any, dtype: torch.dtype) -> None:
    """Cast a model's weights in place.

    Args:
        model: A `PreTrainedModel`, or a `PeftModel` around one.
        dtype: The precision, float32 or bfloat16.
    """
    base = _base(model)
    for name, (tensor, kept) in wanted_dtypes(base, dtype).items():
        if isinstance(tensor, torch.nn.Parameter):
            tensor.data = tensor.data.to(kept)  # in place: tied parameters stay tied
        else:
            owner, _, own_name = name.rpartition(".")
            base.get_submodule(owner)._buffers[own_name] = tensor.to(kept)


def copy_model(model: Any, dtype: torch.dtype, device: str) -> Any:
    """A copy of a model in another precision or on another device, made tensor by tensor.

    Args:
        model: A `PreTrainedModel`, or a `PeftModel` around one.
        dtype: The precision, float32 or bfloat16.
        device: Where the copy lives.
    """
    kept = {id(tensor): kept for tensor, kept in wanted_dtypes(_base(model), dtype).values()}
    memo = {
        id(tensor): copy_tensor(tensor, kept.get(id(tensor), tensor.dtype), device)
        for tensor in (*model.parameters(), *model.buffers())
    }
    return copy.deepcopy(model, memo)


def copy_tensor(tensor: torch.Tensor, dtype: torch.dtype, device: str, *, shared: bool = False) -> torch.Tensor:
    """A copy of a parameter or buffer; with `shared`, on the same memory if precision and device are equal."""
    place = torch.device(device)
    same = tensor.dtype == dtype and tensor.device.type == place.type
    same = same and place.index in (None, tensor.device.index)
    new = tensor.detach() if shared and same else tensor.detach().to(place, dtype, copy=True)
    is_parameter = isinstance(tensor, torch.nn.Parameter)
    return torch.nn.Parameter(new, requires_grad=tensor.requires_grad) if is_parameter else new


def wanted_dtypes(model: PreTrainedModel, dtype: torch.dtype) -> dict[str, tuple[torch.Tensor, torch.dtype]]:
    """Each parameter and buffer with the precision in which the library would load it.

    Args:
        model: A model without adapter, or one whose layers an adapter has replaced; what the adapter adds stays
            in its precision.
        dtype: The precision asked for.
    """
    wanted = library_dtypes(model, dtype)
    return {
        name: (tensor, wanted.get(_library_name(name), tensor.dtype))
        if tensor.is_floating_point()
        else (tensor, tensor.dtype)
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
    }


def library_dtypes(model: PreTrainedModel, dtype: torch.dtype) -> dict[str, torch.dtype]:
    """The precision in which the library would load each parameter and buffer.

    Args:
        model: A model without adapter, or one whose layers an adapter has replaced.
        dtype: The precision asked for.
    """
    with torch.device("meta"):
        make: Any = type(model)._from_config
        empty = make(copy.deepcopy(model.config), dtype=dtype)
    found = {name: tensor.dtype for name, tensor in (*empty.named_parameters(), *empty.named_buffers())}
    plan = {re.compile(name.replace("*", ".*")): kept for name, kept in empty._get_dtype_plan(dtype).items()}
    loaded = empty.state_dict().keys()
    for name in found.keys() & loaded:
        found[name] = next((kept for pattern, kept in plan.items() if pattern.search(name)), found[name])
    return found


def _base(model: Any) -> PreTrainedModel:
    base: PreTrainedModel = model if isinstance(model, PreTrainedModel) else model.get_base_model()
    return base


def _library_name(name: str) -> str:
    """The name of a tensor before PEFT wrapped its layer."""
    for added in ("base_layer", "original_module", "modules_to_save.default"):
        name = name.replace(f".{added}.", ".")
    return name
