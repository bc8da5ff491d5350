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
    base = model if isinstance(model, PreTrainedModel) else model.get_base_model()
    wanted = library_dtypes(base, dtype)
    for prefix, module in base.named_modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                kept = wanted.get(_library_name(f"{prefix}.{name}" if prefix else name))
                if tensor is None or kept in (None, tensor.dtype) or not tensor.is_floating_point():
                    continue
                if isinstance(tensor, torch.nn.Parameter):
                    tensor.data = tensor.data.to(kept)  # in place: tied parameters stay tied
                else:
                    tensors[name] = tensor.to(kept)


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


def _library_name(name: str) -> str:
    """The name of a tensor before PEFT wrapped its layer."""
    return name.replace(".base_layer.", ".").replace(".original_module.", ".")
