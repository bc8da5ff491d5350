"""Linear maps on the CPU, by the faster of the two libraries in torch.

`F.linear` in float32 calls MKL, which leaves the AVX-512 units of AMD processors idle. oneDNN, which torch
carries too, uses them, but a call of it takes longer to begin: on an AMD EPYC large products take half the
time, and those with fewer than some 600,000 multiplications take more (docs/LOG.md). Which library computes
follows from the processor and the sizes alone, so a run on one machine gives the same bits every time.

Shapes: I inputs, O outputs; * any number of leading dimensions.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

_LEAST = 600_000  # multiplications of a product that oneDNN computes
_PACKED_FOR = 16  # rows that oneDNN lays weights out for; it reads them with any number


@cache
def prefers_onednn() -> bool:
    """Whether oneDNN computes large float32 products faster than MKL on this processor."""
    backends: Any = torch.backends
    both = backends.mkl.is_available() and backends.mkldnn.is_available()
    return both and backends.cpu.get_cpu_capability() == "AVX512" and _vendor() == "AuthenticAMD"


def _vendor() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), None)


class Matrix:
    """A linear map without gradients, on any device.

    Attributes:
        weight: [O, I], in any layout.
        bias: [O], or None.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.weight = weight
        self.bias = bias
        self._packed: torch.Tensor | None = None
        self.refresh()

    def refresh(self) -> None:
        """Follow a change of the weight, of which oneDNN reads a copy in a layout of its own."""
        if _is_plain(self.weight):
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach(), _PACKED_FOR)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The map of x [*, I]."""
        if self._packed is None or x.numel() * len(self.weight) < _LEAST:
            return F.linear(x, self.weight, self.bias)
        return _onednn(x, self._packed, self.bias)

    def add_to(self, sum_BD: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """`sum_BD` plus the map of `x`, in one operation where that can be."""
        if self._packed is not None and x.numel() * len(self.weight) >= _LEAST:
            result: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(
                x, sum_BD, self._packed, self.bias, "add"
            )
            return result
        if self.bias is not None:
            return sum_BD + F.linear(x, self.weight, self.bias)
        return torch.addmm(sum_BD, x, self.weight.t())


def packed_bytes(model: nn.Module, dtype: torch.dtype) -> int:
    """Bytes of the copies that `Matrix` keeps of the linear layers of a model of this precision on a CPU."""
    if dtype != torch.float32 or not prefers_onednn():
        return 0
    return sum(4 * module.weight.numel() for module in model.modules() if type(module) is nn.Linear)


def speed_up_linears(model: nn.Module) -> None:
    """Let the linear layers of a model use the faster library wherever they compute in float32 on a CPU."""
    if not prefers_onednn():
        return
    for module in model.modules():
        if type(module) is nn.Linear:
            module.forward = MethodType(_forward, module)  # type: ignore[method-assign]


def _forward(module: Any, x: torch.Tensor) -> torch.Tensor:
    weight, bias = module.weight, module.bias
    large = x.numel() * len(weight) >= _LEAST
    if not (large and _is_plain(x) and _is_plain(weight) and _is_dense(weight)):
        return F.linear(x, weight, bias)
    if torch.is_autocast_enabled("cpu"):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        result: torch.Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return result
    return _onednn(x, weight, bias)


def _is_plain(tensor: torch.Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.device.type == "cpu" and prefers_onednn()


def _is_dense(weight: torch.Tensor) -> bool:
    """Whether this is a whole matrix, as it is or transposed. On parts oneDNN is hundreds of times slower."""
    return weight.is_contiguous() or weight.t().is_contiguous()


def _onednn(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    result: torch.Tensor = torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")
    return result


class _Linear(torch.autograd.Function):
    """A linear map and its gradients, all by oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,) = grads
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        grad_NO, x_NI = grad.flatten(0, -2).contiguous(), x.flatten(0, -2).contiguous()
        return (
            _onednn(grad_NO, weight.t()).view(x.shape) if of_x else None,
            _onednn(grad_NO.t(), x_NI.t()) if of_weight else None,
            grad_NO.sum(0) if of_bias else None,
        )
