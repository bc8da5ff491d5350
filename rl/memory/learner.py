"""The memory of the learner: weights, gradients, the optimizer's state and a pass.

In: its model, with weights or on the `meta` device, the optimizer's name and the size of a pass. Out: bytes by
part, which add up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel

from rl.memory.passes import PassMemory
from rl.memory.text import gib
from rl.muon import hidden_matrices

Model = PreTrainedModel | PeftModel

_EIGHT_BIT = 2 + 8 / 256  # two moments of a byte, and two float32 scales for each block of 256
_LEAST_EIGHT_BIT = 4096  # bitsandbytes keeps the state of smaller tensors in float32
_FOUR_BIT = 0.5 + 1 / 64 + 4 / (64 * 256)  # NF4: 8 bits for each 64, and float32 for 256 of those


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnerMemory:
    """Bytes of the learner while it trains.

    Attributes:
        weights: Weights and buffers.
        gradients: Gradients of the trained weights.
        optimizer: State of the optimizer on the device.
        reference: Weights of the reference model, where it is a model of its own.
        step: The most that the optimizer's step takes for a moment.
        activations: The most that a pass takes for a moment.
        tokens: Tokens of that pass.
        estimated: Whether `activations` is a rough upper estimate.
    """

    weights: int
    gradients: int
    optimizer: int
    reference: int
    step: int
    activations: int
    tokens: int
    estimated: bool = False

    @property
    def lasting(self) -> int:
        """What stays between passes, while the engine samples."""
        return self.weights + self.gradients + self.optimizer + self.reference

    @property
    def peak(self) -> int:
        """The most at any moment."""
        return self.lasting + max(self.activations, self.step)

    def __str__(self) -> str:
        parts = {
            "weights": self.weights,
            "gradients": self.gradients,
            "optimizer": self.optimizer,
            "reference model": self.reference,
            f"passes of {self.tokens:,} tokens{' (estimated)' if self.estimated else ''}": self.activations,
        }
        shown = ", ".join(f"{name} {gib(size)}" for name, size in parts.items() if size)
        return f"{gib(self.peak)} ({shown})"


def learner_memory(
    model: Model, *, optim: str, passes: PassMemory, tokens: int, reference: bool, four_bit: bool, on_gpu: bool
) -> LearnerMemory:
    """Add up the parts.

    Args:
        model: Its parameters have the dtypes they train in; with `four_bit`, those before quantization.
        optim: The optimizer, by its name in transformers.
        passes: The most that a pass takes.
        tokens: Tokens of that pass.
        reference: Whether the KL term's reference is a model of its own: not with an adapter.
        four_bit: Whether the frozen linear layers are kept in 4 bits (NF4, arXiv 2305.14314).
        on_gpu: Whether the learner is on a GPU.
    """
    weights = bytes_of(model)
    largest = 0
    if four_bit:
        frozen = _quantized(model)
        weights -= sum(round((weight.element_size() - _FOUR_BIT) * weight.numel()) for weight in frozen)
        largest = max((2 * weight.numel() for weight in frozen), default=0)  # in full while it multiplies
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return LearnerMemory(
        weights=weights,
        gradients=sum(_size(parameter) for parameter in trained),
        optimizer=_state(model, optim),
        reference=bytes_of(model) if reference else 0,
        step=_step(model, trained, optim, on_gpu=on_gpu),
        activations=passes.peak + largest,
        tokens=tokens,
        estimated=passes.estimated,
    )


def bytes_of(model: nn.Module) -> int:
    """Bytes of parameters and buffers, shared ones once."""
    return sum(_size(tensor) for tensor in (*model.parameters(), *model.buffers()))


def _size(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())


def _quantized(model: Model) -> list[Any]:
    """The weights that bitsandbytes quantizes: those of linear layers but the output layer and the adapter."""
    base: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    head = base.get_output_embeddings().weight
    linears = [module.weight for module in base.modules() if isinstance(module, nn.Linear)]
    return [weight for weight in linears if weight is not head and not weight.requires_grad]


def _state(model: Model, optim: str) -> int:
    """Bytes of the optimizer's state on the device."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if optim == "sgd" or optim.startswith("paged_"):  # paged state can move to host memory
        return 0
    if optim == "adafactor":
        return sum(4 * _factors(parameter) for parameter in trained)
    if optim == "muon":  # momentum alone
        return sum(2 * _size(parameter) for parameter in trained) - sum(map(_size, hidden_matrices(model)))
    if optim != "adamw_8bit":
        return sum(2 * _size(parameter) for parameter in trained)
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}  # kept in 32 bits
    return sum(
        round(
            (8 if id(parameter) in embeddings or parameter.numel() < _LEAST_EIGHT_BIT else _EIGHT_BIT)
            * parameter.numel()
        )
        for parameter in trained
    )


def _factors(parameter: Any) -> int:
    """Numbers of Adafactor's state: a row and a column of a matrix (arXiv 1804.04235)."""
    if parameter.dim() < 2:
        return int(parameter.numel())
    *leading, rows, columns = parameter.shape
    return math.prod(leading) * (rows + columns)


def _step(model: Model, trained: list[Any], optim: str, *, on_gpu: bool) -> int:
    """The most that an optimizer step allocates for a moment."""
    if not trained:
        return 0
    if optim == "adamw_torch" and on_gpu:  # all square roots at once
        return sum(_size(parameter) for parameter in trained)
    if optim == "muon":
        return max((_newton_schulz(matrix) for matrix in hidden_matrices(model)), default=0)
    largest = max(parameter.numel() for parameter in trained)
    return {"adafactor": 3 * 4 * largest, "adamw_torch": 2 * 4 * largest}.get(optim, 0)


def _newton_schulz(matrix: Any) -> int:
    """Bytes beside a matrix while its step is made: the update, and in bfloat16 two copies and two products."""
    rows = min(matrix.shape)
    return _size(matrix) + 2 * (2 * matrix.numel() + 2 * rows * rows)
