"""The memory of one forward and backward pass of the learner, found without taking any.

In: the learner's model, with weights or on the `meta` device. Out: the bytes that the pass takes beyond weights
and gradients. The pass itself is run, with TRL's fused head, LoRA, autocast and gradient checkpointing, on
tensors that have shapes and no numbers (`FakeTensorMode`), and the storages alive are counted after every
operation. So nothing has to be known about the family. One whose pass depends on numbers (experts that tokens
are sent to) is estimated instead.
"""

from __future__ import annotations

import copy
import logging
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import transformers.masking_utils
import trl.kernels.chunked_logprob
import trl.trainer.utils
from peft import PeftModel
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from transformers import PreTrainedModel
from trl.trainer.utils import add_fused_lm_head

from rl.grpo.evaluation_mode import switch_to_evaluation
from rollout.line_llama import positions_of
from rollout.positions import InOrder


@dataclass(frozen=True, kw_only=True, slots=True)
class PassMemory:
    """Memory of a forward and backward pass beyond weights and gradients.

    Attributes:
        kept: Bytes kept from the forward pass for the backward pass.
        peak: The most bytes at any moment, what is kept included.
        estimated: Whether this is a rough upper estimate.
    """

    kept: int
    peak: int
    estimated: bool = False


class PassSimulation:
    """Passes of one model, each on rows of equal length."""

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        *,
        mixed_precision: bool,
        checkpointing: bool,
        on_gpu: bool,
        attention: str | None = None,
    ) -> None:
        """Copy the model without its numbers.

        Args:
            model: The learner's model; it is not changed.
            mixed_precision: Compute matrix products in bfloat16 (autocast).
            checkpointing: Recompute layers in the backward pass.
            on_gpu: Count what the kernels of a GPU take, where the head's work in place.
            attention: Its implementation, by its name in transformers; None: the model's.
        """
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._mixed, self._on_gpu = mixed_precision, on_gpu
        with self._mode:
            self._model = _without_numbers(model)
        base: Any = self._model.get_base_model() if isinstance(self._model, PeftModel) else self._model
        vars(base).pop("forward", None)  # a trainer's
        self._config = base.config.get_text_config()
        self._own_positions = not isinstance(positions_of(base), InOrder)  # slow to find, and small
        if attention is not None:
            base.set_attn_implementation("eager" if attention == "eager" else "sdpa")  # flash keeps the same
        add_fused_lm_head(base, outputs=("log_probs", "entropy"))
        if checkpointing:
            self._model.gradient_checkpointing_enable({"use_reentrant": False})
            if isinstance(self._model, PeftModel):
                self._model.enable_input_require_grads()
        self._checkpointing = checkpointing
        self._model.train()
        switch_to_evaluation(self._model)

    def measure(self, rows: int, width: int, *, padded: bool = False) -> PassMemory:
        """Memory of a pass over `rows` rows of `width` tokens, at least 2; `padded`: with an attention mask."""
        log = logging.getLogger("torch._subclasses.fake_tensor")
        before, log.disabled = log.disabled, True  # what it says of a failure is of no use here
        try:
            return self._run(rows, width, padded=padded)
        except Exception:  # a model may do anything in its pass; most often it reads numbers
            return self._estimate(rows * width)
        finally:
            log.disabled = before

    def _run(self, rows: int, width: int, *, padded: bool) -> PassMemory:
        with self._mode, self._as_in_training(), self._attention():
            ids_BW = torch.zeros(rows, width, dtype=torch.long)
            positions = {"position_ids": torch.arange(width).expand(rows, -1)} if self._own_positions else {}
            alive = _Alive()
            for parameter in self._model.parameters():
                alive.leave_out(parameter)
                if parameter.requires_grad:  # as from the second micro-batch on
                    parameter.grad = torch.zeros_like(parameter)
                    alive.leave_out(parameter.grad)
            for buffer in self._model.buffers():
                alive.leave_out(buffer)
            with alive:
                with torch.autocast("cpu", torch.bfloat16, enabled=self._mixed):
                    outputs = self._model(
                        input_ids=ids_BW,
                        attention_mask=torch.ones_like(ids_BW) if padded else None,
                        labels=ids_BW,
                        fused_lm_head=True,
                        **positions,
                    )
                kept = alive.bytes
                outputs.log_probs.mean().backward()
        self._model.zero_grad()
        return PassMemory(kept=kept, peak=alive.peak)

    @contextmanager
    def _as_in_training(self) -> Iterator[None]:
        """Take the branches that real tensors take, and the head's memory as it is on the device."""
        head, utils = trl.kernels.chunked_logprob, trl.trainer.utils
        changes: list[tuple[Any, str, Any]] = [
            (transformers.masking_utils, "find_packed_sequence_indices", lambda positions: None)
        ]
        if self._on_gpu:  # its kernels work in place
            changes += [(head, name, _in_place) for name in ("_forward_tile", "_backward_tile", "_addmm_fp32")]
        else:  # what is not written of a buffer takes no memory there
            width = min(utils._CHUNKED_LOGPROB_CHUNK_SIZE, self._config.vocab_size)
            changes.append((utils, "_CHUNKED_LOGPROB_CHUNK_SIZE", width))
        before = [(module, name, getattr(module, name)) for module, name, _ in changes]
        for module, name, value in changes:
            setattr(module, name, value)
        try:
            yield
        finally:
            for module, name, value in before:
                setattr(module, name, value)

    def _attention(self) -> Any:
        """On a GPU, fused attention with grouped heads needs bfloat16; scores are kept otherwise."""
        heads = getattr(self._config, "num_attention_heads", 0)
        grouped = getattr(self._config, "num_key_value_heads", None) not in (None, heads)
        in_float32 = not self._mixed and next(self._model.parameters()).dtype == torch.float32
        return sdpa_kernel(SDPBackend.MATH) if self._on_gpu and grouped and in_float32 else nullcontext()

    def _estimate(self, tokens: int) -> PassMemory:
        """Twice what a Llama of these sizes keeps in float32, with all experts that a token meets."""
        config = self._config
        hidden = config.hidden_size
        experts = getattr(config, "num_experts_per_tok", None) or 1
        inner = getattr(config, "intermediate_size", None) or 4 * hidden
        layer = 2 * 4 * (10 * hidden + 4 * inner * experts) * tokens
        layers = getattr(config, "num_hidden_layers", None) or 1
        head: Any = self._model.get_output_embeddings()
        tile = 4 * 8 * min(tokens, 4096) * 32768 + 2 * 4 * head.weight.numel()
        kept = 4 * hidden * layers * tokens if self._checkpointing else layer * layers
        return PassMemory(kept=kept, peak=kept + layer + tile, estimated=True)


class _Alive(TorchDispatchMode):
    """Counts the bytes of all storages that operations made and that are still referenced."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak = 0
        self._sizes: dict[int, int] = {}
        self._left_out: set[int] = set()

    def leave_out(self, tensor: torch.Tensor) -> None:
        """Do not count the storage of a tensor, which must stay alive."""
        self._left_out.add(tensor.untyped_storage()._cdata)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in tree_iter(out):
            if isinstance(value, torch.Tensor):
                self._add(value.untyped_storage())
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._sizes or key in self._left_out:
            return
        self._sizes[key] = storage.nbytes()
        self.bytes += storage.nbytes()
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        self.bytes -= self._sizes.pop(key)


def _without_numbers(model: PreTrainedModel | PeftModel) -> Any:
    """A copy of a model whose parameters and buffers are fake tensors on the CPU."""
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        fake = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
        if isinstance(tensor, nn.Parameter):
            fake = nn.Parameter(fake, requires_grad=tensor.requires_grad)
        memo[id(tensor)] = fake
    return copy.deepcopy(model, memo)


def _in_place(*args: Any, **kwargs: Any) -> None:
    """A kernel that allocates nothing."""
