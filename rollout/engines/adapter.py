"""The plain model that an engine samples from in place of a model with a LoRA adapter.

In: the learner's `PeftModel`, and the adapter's weights at each publication. Out: a model of the base's own
class whose matrices are base plus adapter (Hu et al., arXiv 2106.09685, section 4.1), so that it samples as
fast as one without adapter. Each matrix is computed from the base in float32 and rounded once, so nothing
builds up over publications. The base is the learner's, which is frozen; nothing here writes to it.

What an adapter adds is at first far below the spacing of bfloat16 at the base's weights. Rounded to nearest,
most weights would stay as they are, and the sampler behind the learner. So weights are rounded up or down by
chance (stochastic rounding, Gupta et al., arXiv 1502.02551), and are right on average. The chances are fixed
for each weight, so equal adapters give equal engines.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.variants import DoraLinearVariant
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.integrations import dequantize_module_weight
from peft.utils.other import AuxiliaryTrainingWrapper, ModulesToSaveWrapper
from torch import nn
from transformers import PreTrainedModel

from rollout.engines.base import Weights, copy_weights
from rollout.engines.precision import copy_tensor, wanted_dtypes

_ADAPTER = "default"


def can_merge(model: nn.Module) -> bool:
    """Whether the model has an adapter, and base plus adapter is a model of the base's class.

    It is for LoRA and DoRA on linear layers, and for modules that are trained whole. It is not for adapters on
    embeddings or experts, and for trained biases.
    """
    if not isinstance(model, PeftModel):
        return False
    settings: Any = model.peft_config.get(_ADAPTER)
    if getattr(settings, "bias", None) != "none" or getattr(settings, "lora_bias", False):
        return False
    return all(
        type(module) is ModulesToSaveWrapper or _is_linear(module)
        for module in model.get_base_model().modules()
        if isinstance(module, (BaseTunerLayer, AuxiliaryTrainingWrapper))
    )


def sampled_model(model: nn.Module) -> Any:
    """The model whose class and layers say how an engine samples: the base, where its adapter is merged."""
    return model.get_base_model() if isinstance(model, PeftModel) and can_merge(model) else model


class MergedAdapter:
    """A plain model, and the adapter that is in its weights.

    Attributes:
        model: The plain model. Its parameters may be laid out anew, as long as they stay the same objects.
            Those that the adapter does not change share the memory of the learner's, where precision and device
            are equal.
    """

    def __init__(self, policy: PeftModel, *, dtype: torch.dtype, device: str) -> None:
        """Copy the adapter and merge it.

        Args:
            policy: A model for which `can_merge` holds. Its base must stay as it is, its adapter may change.
            dtype: Precision of the plain model, as of a model loaded in it.
            device: Where the plain model lives.
        """
        base: Any = policy.get_base_model()
        prefix = next(name for name, module in policy.named_modules() if module is base)
        dtypes = wanted_dtypes(base, dtype)
        self._layers: list[_Layer] = []
        self._trained: dict[str, torch.Tensor] = {}
        trained: Iterable[tuple[str, torch.Tensor]]
        memo: dict[int, Any] = {}  # what takes the place of each tensor and module in the copy
        for name, (tensor, kept) in dtypes.items():
            if not (name.endswith(".base_layer.weight") or ".lora_" in name or _is_quantized(tensor)):
                shared = ".modules_to_save." not in name
                memo[id(tensor)] = copy_tensor(tensor, kept, device, shared=shared)
        for name, module in base.named_modules():
            if isinstance(module, LoraLayer):
                linear: Any = module.get_base_layer()
                own: Any = copy.deepcopy(module, {id(linear): linear})
                kept = dtype if _is_quantized(linear.weight) else dtypes[f"{name}.base_layer.weight"][1]
                plain = _plain_linear(linear, memo, kept, device)
                self._layers.append(_Layer(own, plain.weight))
                trained = ((key, value) for key, value in own.named_parameters() if f".{_ADAPTER}" in key)
            elif type(module) is ModulesToSaveWrapper:
                plain = copy.deepcopy(module.modules_to_save[_ADAPTER], memo)
                trained = ((f"modules_to_save.{_ADAPTER}.{key}", p) for key, p in plain.named_parameters())
            elif _is_quantized(getattr(module, "weight", None)) and not name.endswith(".base_layer"):
                plain = _plain_linear(module, memo, dtype, device)
                plain.weight.data.copy_(dequantize_module_weight(module))
                trained = ()
            else:
                continue
            memo[id(module)] = plain
            self._trained |= {f"{prefix}.{name}.{key}": value for key, value in trained}
        self.model: PreTrainedModel = copy.deepcopy(base, memo)
        self._merge()

    def load(self, weights: Weights, version: int) -> None:
        """Take trained weights of the adapter and merge them; those not named stay as they are.

        Args:
            weights: By the names that the `PeftModel` has for them.
            version: Their version, for messages.

        Raises:
            ValueError: A name or shape does not fit the adapter.
        """
        copy_weights(weights, version, to=self._trained)
        self._merge()

    @torch.no_grad()
    def _merge(self) -> None:
        for seed, layer in enumerate(self._layers):
            weight = layer.weight()
            layer.merged.copy_(
                _round_by_chance(weight, seed) if layer.merged.dtype == torch.bfloat16 else weight
            )


@dataclass(frozen=True)
class _Layer:
    """A linear layer with an adapter.

    Attributes:
        lora: PEFT's layer, with an adapter of its own around the learner's base layer.
        merged: The weight of the plain layer.
    """

    lora: Any
    merged: torch.Tensor

    def weight(self) -> torch.Tensor:
        """Base, in the precision of the plain layer, plus adapter; in float32."""
        base = dequantize_module_weight(self.lora.get_base_layer()).to(self.merged.dtype).float()
        if _ADAPTER in self.lora.lora_variant:
            whole: torch.Tensor = self.lora.lora_variant[_ADAPTER].merge_safe(self.lora, _ADAPTER, base)
        else:
            whole = base + self.lora.get_delta_weight(_ADAPTER)
        return whole


def _round_by_chance(weight: torch.Tensor, seed: int) -> torch.Tensor:
    """Weights in float32, each rounded to one of its two neighbours in bfloat16 by numbers of the seed.

    The nearer one is likelier, in proportion, so a weight that bfloat16 has is kept. A value that is not finite
    is kept as well.
    """
    generator = torch.Generator(weight.device).manual_seed(seed)
    bits = weight.contiguous().view(torch.int32)  # bfloat16 has the upper 16
    chance = torch.randint(1 << 16, bits.shape, generator=generator, dtype=torch.int32, device=bits.device)
    rounded = ((bits + chance) & -(1 << 16)).view(torch.float32)
    return torch.where(weight.isfinite(), rounded, weight).bfloat16()


def _is_linear(module: Any) -> bool:
    """Whether this is LoRA or DoRA around a linear layer, quantized or not."""
    return (
        isinstance(module, LoraLayer)
        and type(module).__name__ in ("Linear", "Linear4bit")
        and all(isinstance(variant, DoraLinearVariant) for variant in module.lora_variant.values())
    )


def _is_quantized(weight: Any) -> bool:
    """Whether this is a matrix of bitsandbytes in 4 bits."""
    return type(weight).__name__ == "Params4bit"


def _plain_linear(layer: Any, memo: dict[int, Any], dtype: torch.dtype, device: str) -> Any:
    """A linear layer like this one, in full precision; its matrix has still to be written.

    Args:
        layer: The layer; of bitsandbytes, or any other.
        memo: What takes the place of its bias.
        dtype: Precision of the matrix.
        device: Where it lives.
    """
    if not _is_quantized(layer.weight):
        weight = nn.Parameter(torch.empty_like(layer.weight, dtype=dtype, device=device), requires_grad=False)
        return copy.deepcopy(layer, {**memo, id(layer.weight): weight})
    sizes = layer.in_features, layer.out_features
    plain = nn.Linear(*sizes, bias=False, dtype=dtype, device=device)
    if layer.bias is not None:
        plain.bias = memo[id(layer.bias)]
    return plain
