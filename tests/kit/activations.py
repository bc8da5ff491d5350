"""Memory of the learner's passes in bytes a token: what is kept for the backward pass, and the most at a time.

The whole model runs on fake tensors: each operation of a pass on a CPU, with its shapes and without numbers.
Two lengths are compared, so that what does not grow with tokens (weights, their gradients, casts of them) drops
out. `python -m tests.kit.activations` prints the table of docs/LOG.md.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from peft import LoraConfig, get_peft_model
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM, masking_utils
from trl.trainer import utils as trl_utils

from rl.grpo.evaluation_mode import switch_to_evaluation

LENGTHS = (8192, 16384)  # the second is the default of grpo.micro_batch_tokens on a GPU
VOCAB = 512  # the fused output layer keeps its input only, whatever the vocabulary
MIB = 1 << 20
SHAPES: dict[str, dict[str, Any]] = {
    "Qwen2.5-1.5B": {
        "model_type": "qwen2",
        "hidden_size": 1536,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
    },
    "Qwen3-4B": {
        "model_type": "qwen3",
        "hidden_size": 2560,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
    },
}


@dataclass(frozen=True, kw_only=True)
class Bytes:
    """Memory beyond weights.

    Attributes:
        kept: Kept from the forward for the backward pass.
        peak: Most at a time in forward and backward pass, gradients of weights included.
    """

    kept: float
    peak: float


class Live(TorchDispatchMode):
    """Bytes of the tensors that were made under it and are still there."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if id(storage) not in given and storage not in self._seen:
                    self._seen.add(storage)
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._free, storage.nbytes())
        return out

    def _free(self, size: int) -> None:
        self.now -= size


@contextmanager
def kept_for_backward(model: torch.nn.Module) -> Iterator[Callable[[], int]]:
    """Counts bytes that autograd keeps: each storage once, those of the model's own weights left out."""
    own = {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers())}
    sizes: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            sizes[storage._cdata] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        yield lambda: sum(sizes.values())


def measure(model: Any, num_tokens: int, *, mixed: bool = False) -> Bytes:
    """One pass of GRPO's learner over a row of tokens, with a loss on each but the first."""
    ids = torch.ones((1, num_tokens), dtype=torch.long)
    model.zero_grad(set_to_none=True)
    with Live() as live:
        with kept_for_backward(model) as kept, torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            logps = model(input_ids=ids, labels=ids, fused_lm_head=True).log_probs
        size = kept()
        logps.sum().backward()
    return Bytes(kept=size, peak=live.peak)


def prepare(model: Any, *, lora: bool, checkpointing: bool) -> Any:
    """The model as `StrideTrainer` trains it, with an adapter on all layers if there is one."""
    trl_utils.add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    if lora:
        model = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear"))
        model.enable_input_require_grads()
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    switch_to_evaluation(model)
    return model


@contextmanager
def fake_passes() -> Iterator[None]:
    """Passes without numbers, over one sequence a row: the library cannot see that, and would make a mask."""
    with (
        FakeTensorMode(),
        patch.object(masking_utils, "find_packed_sequence_indices", lambda position_ids: None),
    ):
        yield


def without_numbers(model: Any) -> Any:
    """The same model with fake weights on a CPU, whatever device it was made on; used under `fake_passes`."""
    made: dict[int, torch.Tensor] = {}

    def fake(tensor: torch.Tensor | None) -> Any:
        if tensor is not None and id(tensor) not in made:
            empty = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
            own = isinstance(tensor, torch.nn.Parameter)
            made[id(tensor)] = torch.nn.Parameter(empty, tensor.requires_grad) if own else empty
        return None if tensor is None else made[id(tensor)]  # tied weights stay tied

    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            tensors.update({name: fake(tensor) for name, tensor in tensors.items()})
    return model


def a_token(shape: dict[str, Any], *, lora: bool, mixed: bool, checkpointing: bool) -> Bytes:
    """Bytes a token of a model of this shape: float32, or bfloat16 under a LoRA adapter."""
    settings = {**shape, "vocab_size": VOCAB, "tie_word_embeddings": True}
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16 if lora else torch.float32)
        model = prepare(model, lora=lora, checkpointing=checkpointing)
    with fake_passes():
        model = without_numbers(model)
        short, long = (measure(model, length, mixed=mixed) for length in LENGTHS)
    step = LENGTHS[1] - LENGTHS[0]
    return Bytes(kept=(long.kept - short.kept) / step, peak=(long.peak - short.peak) / step)


def _main() -> None:
    for name, shape in SHAPES.items():
        for label, lora, mixed in (
            ("LoRA r=16 on bfloat16, autocast", True, True),
            ("all weights, float32, autocast", False, True),
            ("all weights, float32", False, False),
        ):
            for checkpointing in (False, True):
                found = a_token(shape, lora=lora, mixed=mixed, checkpointing=checkpointing)
                print(
                    f"{name}, {label}, {'checkpointing' if checkpointing else 'none'}: "
                    f"kept {found.kept / MIB:.3f}, peak {found.peak / MIB:.3f} MiB a token",
                    flush=True,
                )


if __name__ == "__main__":
    _main()
