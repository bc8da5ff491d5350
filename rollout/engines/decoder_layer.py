"""A block of a written-out decoder, on the library's weights, with its matrices of the same input as one.

Shapes: B tokens, H query heads in K groups of R, C = B * K, E head dimension, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from rollout.engines.cpu_linear import Matrix


class DecoderLayer:
    """A decoder block with concatenated matrices."""

    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.head_dim: int = attention.head_dim
        self.groups: int = attention.k_proj.out_features // self.head_dim
        self.heads: int = attention.q_proj.out_features // self.head_dim
        # The scale of the queries is applied with their rotation; keys have none.
        scales = [attention.scaling] * self.heads + [1.0] * self.groups
        self.scale_H1 = attention.q_proj.weight.new_tensor(scales)[:, None]
        self.rotary = bool(getattr(attention, "use_rope", True))
        self.qkv = join([attention.q_proj, attention.k_proj, attention.v_proj])
        self.gate_up = join([mlp.gate_proj, mlp.up_proj])
        self.out, self.down = join([attention.o_proj]), join([mlp.down_proj])
        self.matrices = (self.qkv, self.gate_up, self.out, self.down)
        self.norm, self.mlp_norm = Norm(layer.input_layernorm), Norm(layer.post_attention_layernorm)
        has_norms = hasattr(attention, "q_norm")
        self.qk_norms = (Norm(attention.q_norm), Norm(attention.k_norm)) if has_norms else None

    def project(
        self, x_BD: torch.Tensor, rotation: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Scaled queries [C, R, E], keys and values [B, K, E]."""
        heads, groups = self.heads, self.groups
        qkv = self.qkv(self.norm(x_BD)).view(len(x_BD), heads + 2 * groups, self.head_dim)
        qk, v_BKE = qkv.split_with_sizes([heads + groups, groups], dim=1)
        if self.qk_norms is not None:
            parts = zip(self.qk_norms, qk.split_with_sizes([heads, groups], dim=1), strict=True)
            qk = torch.cat([norm(part) for norm, part in parts], dim=1)
        if self.rotary:
            cos, sin = rotation
            first, second = qk.chunk(2, dim=-1)
            qk = torch.addcmul(qk * cos, torch.cat([second, first], dim=-1), sin)
        else:
            qk = qk * self.scale_H1
        q_BHE, k_BKE = qk.split_with_sizes([heads, groups], dim=1)
        return q_BHE.reshape(-1, heads // groups, self.head_dim), k_BKE, v_BKE

    def finish(self, x_BD: torch.Tensor, read_BD: torch.Tensor) -> torch.Tensor:
        """Output of the block, from its input and its attention output."""
        x_BD = self.out.add_to(x_BD, read_BD)
        gate, up = self.gate_up(self.mlp_norm(x_BD)).chunk(2, dim=-1)
        return self.down.add_to(x_BD, F.silu(gate).mul_(up))


class Norm:
    """An RMS norm; on a CPU in fewer operations than the library's."""

    def __init__(self, norm: Any) -> None:
        self.weight: torch.Tensor = norm.weight
        self.epsilon: float = norm.variance_epsilon
        self.epsilon_1 = self.weight.new_tensor(self.epsilon)
        self.written_out = self.weight.device.type == "cpu" and self.weight.dtype == torch.float32

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The norm of x [*, D]."""
        if not self.written_out:
            return F.rms_norm(x, self.weight.shape, self.weight, self.epsilon)
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = torch.addcmul(self.epsilon_1, length, length, value=1 / x.shape[-1]).rsqrt_()
        return (x * scale).mul_(self.weight)


def join(linears: list[Any]) -> Matrix:
    """Weight and bias of linear maps with the same input, as one map; their parameters become views of it.

    On a CPU the weights of one input are contiguous, instead of those of one output: with few rows such
    products are faster, because the other layout is repacked in each of them (docs/LOG.md).
    """
    by_input = linears[0].weight.device.type == "cpu"
    weight = _share([linear.weight for linear in linears], by_input=by_input)
    biases = [linear.bias for linear in linears]
    return Matrix(weight, None if biases[0] is None else _share(biases))


def _share(parameters: list[nn.Parameter], *, by_input: bool = False) -> torch.Tensor:
    if len(parameters) == 1 and not by_input:
        return parameters[0].detach()
    if by_input:
        joined = torch.cat([parameter.detach().t() for parameter in parameters], dim=1).t()
    else:
        joined = torch.cat([parameter.detach() for parameter in parameters])
    for parameter, part in zip(parameters, joined.split_with_sizes([len(p) for p in parameters]), strict=True):
        parameter.data = part
    return joined
