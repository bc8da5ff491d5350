"""One decoding step of the common decoder families, without what the library's forward spends around it.

Llama, Mistral, Qwen2 and Qwen3 are one model up to a few switches: RMS norms, rotary positions, attention with
grouped heads, a gated MLP (Touvron et al., arXiv 2302.13971). A step of them for one new token a row is written
out here, on the library's own weights: the matrices that read the same input are laid side by side in one
buffer, of which the model's parameters become views, so that weights loaded into the model are those used here.
The prompt goes through the library's forward, once for all samples of a group, and they share what it leaves.

Shapes: B rows, H query heads in K groups of R, E head dimension, D hidden size, L prompt positions, S columns
of new tokens, V vocabulary; G groups of up to M rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM

from rollout.cache import Prefix, RowLayer

_FAMILIES = (LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM)
_FIXED_ROPE = ("default", "linear", "llama3")  # others change with the length of what is read


def has_decoder(model: nn.Module) -> bool:
    """Whether the model's steps are written out here."""
    if type(model) not in _FAMILIES:
        return False
    config: Any = model.config
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    plain = all(type(module) is nn.Linear for module in linears)  # no quantised or adapted ones
    sliding = any(kind != "full_attention" for kind in getattr(config, "layer_types", None) or ())
    sliding = sliding or (type(model) is MistralForCausalLM and config.sliding_window is not None)
    known = config.hidden_act == "silu" and config.rope_parameters["rope_type"] in _FIXED_ROPE
    return plain and known and not sliding


def make_decoder(model: nn.Module) -> Decoder | None:
    """A decoder on the model's weights, or None where there is none for it."""
    return Decoder(model) if has_decoder(model) else None


class Decoder:
    """The step; see the module."""

    def __init__(self, model: nn.Module) -> None:
        """Join the model's matrices.

        Args:
            model: One that has a decoder, on its device. Its parameters must be written in place from
                now on.
        """
        inner: Any = model.model
        self._embed = inner.embed_tokens
        self._layers = [_Layer(layer) for layer in inner.layers]
        self.num_layers = len(self._layers)
        self._norm = inner.norm
        self._head: Any = model.lm_head
        self._rotary = inner.rotary_emb
        self._tables: tuple[torch.Tensor, torch.Tensor] | None = None

    def reserve(self, length: int) -> None:
        """Make the tables of rotary positions reach to `length`."""
        if self._tables is None or len(self._tables[0]) < length:
            weight = self._embed.weight
            cos, sin = self._rotary(weight, torch.arange(length, device=weight.device)[None])
            first, second = sin[0].chunk(2, dim=-1)
            self._tables = cos[0], torch.cat([-first, second], dim=-1)

    def step(
        self,
        ids_B: torch.Tensor,
        position_B: torch.Tensor,
        mask_BS: torch.Tensor | None,
        layers: Sequence[RowLayer],
        prefix: Prefix,
    ) -> torch.Tensor:
        """Read one token a row.

        Args:
            ids_B: The tokens.
            position_B: Their positions, below what was reserved.
            mask_BS: Which columns of `layers`, the new one included, a row sees; None: all.
            layers: Keys and values of the tokens since the prompt; those of the new ones are added.
            prefix: Keys and values of the prompts.

        Returns:
            Logits [B, V] of the next token, in float32.
        """
        assert self._tables is not None
        scale_H1 = self._layers[0].scale_H1
        rotation = [table[position_B][:, None] * scale_H1 for table in self._tables]
        hidden = None if mask_BS is None else ~mask_BS[:, None, None]
        x_BD = self._embed(ids_B)
        for index, (layer, cached) in enumerate(zip(self._layers, layers, strict=True)):
            q_BKRE, k_BKE, v_BKE = layer.project(x_BD, rotation)
            keys, values = cached.update(k_BKE[:, :, None], v_BKE[:, :, None])
            read = _attend(q_BKRE, keys, values, prefix, index, hidden)
            x_BD = layer.finish(x_BD, read.flatten(1))
        logits: torch.Tensor = self._head(_rms_norm(self._norm, x_BD))
        return logits.float()


def _attend(
    q_BKRE: torch.Tensor,
    keys_BKSE: torch.Tensor,
    values_BKSE: torch.Tensor,
    prefix: Prefix,
    index: int,
    hidden_B11S: torch.Tensor | None,
) -> torch.Tensor:
    """What each head reads [B, K, R, E], from its group's prompt and the tokens since.

    A prompt counts as one more position: its score is the logarithm of the sum of its scores' exponentials, its
    value what was read from it alone.
    """
    prompt_BKRE, score_BKR1 = _read_prompt(q_BKRE, prefix, index)
    since_BKRS = q_BKRE @ keys_BKSE.transpose(2, 3)
    if hidden_B11S is not None:
        since_BKRS.masked_fill_(hidden_B11S, -torch.inf)
    scores = torch.cat([score_BKR1, since_BKRS.float()], dim=-1)
    weights = torch.softmax(scores, dim=-1).to(q_BKRE.dtype)
    on_prompt, on_since = weights.split([1, keys_BKSE.shape[2]], dim=-1)
    return torch.addcmul(on_since @ values_BKSE, on_prompt, prompt_BKRE)


def _read_prompt(q_BKRE: torch.Tensor, prefix: Prefix, index: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What each head reads from its group's prompt alone [B, K, R, E], and the log of the sum [B, K, R, 1].

    All rows of a group, and all heads that share keys, ask its prompt together.
    """
    keys_GKLE, values_GKLE = prefix.layer(index)
    groups, kv_heads, _, dim = keys_GKLE.shape
    q_GKNE = prefix.to_grid(q_BKRE).transpose(1, 2).reshape(groups, kv_heads, -1, dim)
    if q_GKNE.device.type == "cpu":
        read, log_sum = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            q_GKNE, keys_GKLE, values_GKLE, attn_mask=prefix.mask, scale=1.0
        )
    else:
        scores = q_GKNE @ keys_GKLE.transpose(2, 3)
        scores = (scores if prefix.mask is None else scores + prefix.mask).float()
        log_sum = scores.logsumexp(dim=-1)
        read = (scores - log_sum[..., None]).exp().to(q_GKNE.dtype) @ values_GKLE
    shape = (groups, kv_heads, prefix.samples, -1)
    read_GMKRE = read.view(*shape, dim).transpose(1, 2)
    return prefix.to_rows(read_GMKRE), prefix.to_rows(log_sum.view(*shape, 1).transpose(1, 2))


class _Layer:
    """A decoder block with its matrices joined."""

    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.head_dim: int = attention.head_dim
        self.groups = attention.k_proj.out_features // self.head_dim
        self.heads = attention.q_proj.out_features // self.head_dim
        # Queries are scaled with their rotation, keys are not.
        scales = [attention.scaling] * self.heads + [1.0] * self.groups
        self.scale_H1 = attention.q_proj.weight.new_tensor(scales)[:, None]
        self.qkv = _join([attention.q_proj, attention.k_proj, attention.v_proj])
        self.gate_up = _join([mlp.gate_proj, mlp.up_proj])
        self.out, self.down = attention.o_proj, mlp.down_proj
        self.norm, self.mlp_norm = layer.input_layernorm, layer.post_attention_layernorm
        self.q_norm = getattr(attention, "q_norm", None)
        self.k_norm = getattr(attention, "k_norm", None)

    def project(
        self, x_BD: torch.Tensor, rotation: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Scaled queries [B, K, R, E], keys and values [B, K, E]."""
        heads, groups = self.heads, self.groups
        normed = _rms_norm(self.norm, x_BD)
        qkv = F.linear(normed, *self.qkv).view(len(x_BD), heads + 2 * groups, self.head_dim)
        qk, v_BKE = qkv.split([heads + groups, groups], dim=1)
        if self.q_norm is not None:
            q, k = qk.split([heads, groups], dim=1)
            qk = torch.cat([_rms_norm(self.q_norm, q), _rms_norm(self.k_norm, k)], dim=1)
        cos, sin = rotation
        first, second = qk.chunk(2, dim=-1)
        turned = torch.addcmul(qk * cos, torch.cat([second, first], dim=-1), sin)
        q_BHE, k_BKE = turned.split([heads, groups], dim=1)
        return q_BHE.unflatten(1, (groups, heads // groups)), k_BKE, v_BKE

    def finish(self, x_BD: torch.Tensor, read_BD: torch.Tensor) -> torch.Tensor:
        """The block's output, from its input and what its heads read."""
        x_BD = x_BD + self.out(read_BD)
        gate, up = F.linear(_rms_norm(self.mlp_norm, x_BD), *self.gate_up).chunk(2, dim=-1)
        hidden: torch.Tensor = x_BD + self.down(F.silu(gate) * up)
        return hidden


def _rms_norm(norm: Any, x: torch.Tensor) -> torch.Tensor:
    return F.rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _join(linears: list[Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Weight and bias of linear maps of the same input as one; theirs become views of it."""
    weight = _share([linear.weight for linear in linears])
    biases = [linear.bias for linear in linears]
    return weight, None if biases[0] is None else _share(biases)


def _share(parameters: list[nn.Parameter]) -> torch.Tensor:
    joined = torch.cat([parameter.detach() for parameter in parameters])
    for parameter, part in zip(parameters, joined.split([len(p) for p in parameters]), strict=True):
        parameter.data = part
    return joined
