"""Prefills and decode steps of the common decoder families, without the overhead of the library's forward.

Llama, Mistral, Qwen2, Qwen3 and SmolLM3 are one model up to a few switches: RMS norms, rotary positions (in
SmolLM3 not in every layer), grouped-query attention, a gated MLP (Touvron et al., arXiv 2302.13971). They are
written out here on the library's own weights: matrices with the same input are concatenated in one buffer, and
the model's parameters become views of it, so weights loaded into the model are the weights used here. A prompt
is prefilled once for all samples of a group, which share its KV cache; a decode step is one new token per row.

Shapes: B rows, H query heads in K groups of R, C = B * K, E head dimension, D hidden size, L prompt positions,
S columns of new tokens, V vocabulary; G groups of up to M rows, N = M * R. In a prefill, P texts of L positions
and T = P * L.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    LlamaForCausalLM,
    MistralForCausalLM,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
    SmolLM3ForCausalLM,
)

from rollout.engines.cpu_linear import Matrix
from rollout.engines.decoder_layer import DecoderLayer, Norm, join
from rollout.engines.prefix import PromptGrid
from rollout.line_llama import LineLlamaForCausalLM, positions_of, window_of
from rollout.positions import InOrder

_FAMILIES = (
    LlamaForCausalLM,
    LineLlamaForCausalLM,
    MistralForCausalLM,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
    SmolLM3ForCausalLM,
)
_FIXED_ROPE = ("default", "linear", "llama3")  # others depend on the length of the sequence


def has_decoder(model: nn.Module) -> bool:
    """Whether the model's decode step is written out here."""
    if type(model) not in _FAMILIES:
        return False
    config: Any = model.config
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    plain = all(type(module) is nn.Linear for module in linears)  # no quantised linears, no adapters
    sliding = any(kind != "full_attention" for kind in getattr(config, "layer_types", None) or ())
    sliding = sliding or (type(model) is MistralForCausalLM and config.sliding_window is not None)
    known = config.hidden_act == "silu" and config.rope_parameters["rope_type"] in _FIXED_ROPE
    return plain and known and not sliding


def make_decoder(model: nn.Module) -> Decoder | None:
    """A decoder on the model's weights, or None if the model has none."""
    return Decoder(model) if has_decoder(model) else None


class StepLayer(Protocol):
    """Keys and values of one layer for the tokens after the prompts."""

    def append(self, keys_BKE: torch.Tensor, values_BKE: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Add those of the new tokens; returns all of them [B * K, S, E]."""
        ...


class Decoder:
    """The decode step of one model.

    Attributes:
        num_layers: Layers.
        has_window: The model's tokens attend to the last lines only.
    """

    def __init__(self, model: nn.Module) -> None:
        """Concatenate the model's matrices.

        Args:
            model: A model for which `has_decoder` holds, on its device. From now on its parameters must be
                written in place.
        """
        inner: Any = model.model
        self._embed = inner.embed_tokens
        self._layers = [DecoderLayer(layer) for layer in inner.layers]
        self.num_layers = len(self._layers)
        self._norm = Norm(inner.norm)
        head: Any = model.lm_head
        tied = head.weight is self._embed.weight
        self._head = Matrix(head.weight, head.bias) if tied else join([head])
        self._rotary = inner.rotary_emb
        self._positions = positions_of(model)
        self.has_window = window_of(model) is not None
        self._tables: tuple[torch.Tensor, torch.Tensor] | None = None

    def refresh(self) -> None:
        """Follow a change of the model's weights."""
        for matrix in (self._head, *(matrix for layer in self._layers for matrix in layer.matrices)):
            matrix.refresh()

    @property
    def queries(self) -> int:
        """R, query heads per key-value head."""
        return self._layers[0].heads // self._layers[0].groups

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self._embed.weight.device
        return device

    @property
    def vocabulary(self) -> int:
        """V, size of the vocabulary."""
        return len(self._head.weight)

    def reserve(self, length: int) -> bool:
        """Extend the tables of rotary positions to `length` tokens; returns whether they are new.

        Line positions have none: with a stride of 64, tables would be 64 times as long as the text.
        """
        if not isinstance(self._positions, InOrder) or (
            self._tables is not None and len(self._tables[0]) >= length
        ):
            return False
        self._tables = self._rotate(torch.arange(length, device=self.device))
        return True

    def _rotate(self, position_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and signed sines [B, E] of positions."""
        cos, sin = self._rotary(self._embed.weight, position_B[None])
        first, second = sin[0].chunk(2, dim=-1)
        return cos[0], torch.cat([-first, second], dim=-1)

    def _rotation(self, position_B: torch.Tensor) -> list[torch.Tensor]:
        """Scaled cosines and sines [B, H + K, E], as layers take them."""
        if isinstance(self._positions, InOrder):
            assert self._tables is not None
            cos_BE, sin_BE = [table[position_B] for table in self._tables]
        else:
            cos_BE, sin_BE = self._rotate(position_B)
        scale_H1 = self._layers[0].scale_H1
        return [cos_BE[:, None] * scale_H1, sin_BE[:, None] * scale_H1]

    def prefill(
        self,
        ids_PL: torch.Tensor,
        position_PL: torch.Tensor,
        seen_PLL: torch.Tensor | None,
        last_N: torch.Tensor,
    ) -> tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
        """Read texts.

        In the last layer only the tokens in `last_N` go further than their keys and values.

        Args:
            ids_PL: Their tokens.
            position_PL: Their positions, among those of texts of the reserved length.
            seen_PLL: The tokens that each one attends to, itself included; None: all up to itself.
            last_N: Flat indices into [P, L] of the tokens whose next one is wanted.

        Returns:
            Logits [N, V] of the tokens after those of `last_N`, in float32; keys and values [P, K, L, E] of
            each layer.
        """
        texts, length = ids_PL.shape
        rotation = self._rotation(position_PL.flatten())
        seen = None if seen_PLL is None else seen_PLL[:, None]
        x_TD = self._embed(ids_PL).flatten(0, 1)
        states = []
        for layer in self._layers:
            q_CRE, k_TKE, v_TKE = layer.project(x_TD, rotation)
            query, key, value = (
                each.view(texts, length, -1, layer.head_dim).transpose(1, 2).contiguous()
                for each in (q_CRE, k_TKE, v_TKE)
            )
            read_PHLE = F.scaled_dot_product_attention(
                query,
                key,
                value,
                seen,
                is_causal=seen is None,
                scale=1.0,
                enable_gqa=layer.heads != layer.groups,
            )
            states.append((key, value))
            read_TD = read_PHLE.transpose(1, 2).reshape(texts * length, -1)
            if layer is self._layers[-1]:
                x_TD, read_TD = x_TD[last_N], read_TD[last_N]
            x_TD = layer.finish(x_TD, read_TD)
        return self._head(self._norm(x_TD)).float(), states

    def decode_step(
        self,
        ids_B: torch.Tensor,
        position_B: torch.Tensor,
        mask_BS: torch.Tensor | None,
        layers: Sequence[StepLayer],
        prompts: PromptGrid,
        prompt_seen_B: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Read one token per row.

        Args:
            ids_B: The tokens.
            position_B: Their positions, among those of texts of the reserved length.
            mask_BS: The columns of `layers`, the new one included, that each row attends to; None: all.
            layers: Keys and values of the tokens after the prompts; the new ones are added.
            prompts: Keys and values of the prompts.
            prompt_seen_B: How many of the last tokens of its prompt each row attends to; None: all.

        Returns:
            Logits [B, V] of the next token, in float32.
        """
        rotation = self._rotation(position_B)
        hidden = None if mask_BS is None else ~mask_BS[:, None]
        prompt_mask = _prompt_mask(prompts, prompt_seen_B, self.queries)
        x_BD = self._embed(ids_B)
        for index, (layer, cached) in enumerate(zip(self._layers, layers, strict=True)):
            q_CRE, k_BKE, v_BKE = layer.project(x_BD, rotation)
            keys_CSE, values_CSE = cached.append(k_BKE, v_BKE)
            read_CRE = _attend(q_CRE, keys_CSE, values_CSE, prompts, prompt_mask, index, hidden)
            x_BD = layer.finish(x_BD, read_CRE.view(len(x_BD), -1))
        return self._head(self._norm(x_BD)).float()


def _attend(
    q_CRE: torch.Tensor,
    keys_CSE: torch.Tensor,
    values_CSE: torch.Tensor,
    prompts: PromptGrid,
    prompt_mask: torch.Tensor | None,
    index: int,
    hidden_B1S: torch.Tensor | None,
) -> torch.Tensor:
    """Attention output of each head [C, R, E] over the prompt of its group and the tokens after it.

    The prompt enters the softmax as one more position: its score is the log-sum-exp of its scores, its value
    the attention output over the prompt alone.
    """
    prompt_CRE, score_CR1 = _read_prompt(q_CRE, prompts, prompt_mask, index)
    since_CRS = torch.bmm(q_CRE, keys_CSE.transpose(1, 2))
    if hidden_B1S is not None:
        since_CRS.view(len(hidden_B1S), -1, since_CRS.shape[2]).masked_fill_(hidden_B1S, -torch.inf)
    scores = torch.cat([score_CR1, since_CRS.float()], dim=-1)
    weights = torch.softmax(scores, dim=-1).to(q_CRE.dtype)
    on_prompt, on_since = weights.split_with_sizes([1, keys_CSE.shape[1]], dim=-1)
    return torch.addcmul(torch.bmm(on_since, values_CSE), on_prompt, prompt_CRE)


def _prompt_mask(prompts: PromptGrid, seen_B: torch.Tensor | None, queries: int) -> torch.Tensor | None:
    """What is added to the scores of prompts [G, 1, 1 or N, L].

    Tokens that a row no longer sees get a number that leaves them no weight beside its own token. It is finite,
    since a softmax over minus infinity alone is undefined.
    """
    if seen_B is None:
        return prompts.mask
    groups, kv_heads, length, _ = prompts.keys[0].shape
    row_GM = prompts.source.view(groups, kv_heads, -1)[:, 0] // kv_heads
    seen_GN = seen_B[row_GM][..., None].expand(-1, -1, queries).flatten(1)
    unseen_GNL = torch.arange(length, device=seen_B.device) < length - seen_GN[..., None]
    mask = prompts.keys[0].new_zeros(unseen_GNL.shape)
    mask = mask.masked_fill_(unseen_GNL, torch.finfo(mask.dtype).min / 2)[:, None]
    return mask if prompts.mask is None else mask + prompts.mask


def _read_prompt(
    q_CRE: torch.Tensor, prompts: PromptGrid, mask: torch.Tensor | None, index: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention output [C, R, E] over the prompt alone, and the log-sum-exp of its scores [C, R, 1].

    All rows of a group, and all query heads of a key-value head, are one batch of queries to the group's
    prompt.
    """
    keys_GKLE, values_GKLE = prompts.keys[index], prompts.values[index]
    groups, kv_heads, _, dim = keys_GKLE.shape
    q_GKNE = q_CRE.flatten(1).index_select(0, prompts.source).view(groups, kv_heads, -1, dim)
    if q_GKNE.device.type == "cpu":
        read_GKNE, log_sum_GKN = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            q_GKNE, keys_GKLE, values_GKLE, attn_mask=mask, scale=1.0
        )
    else:
        scores = q_GKNE @ keys_GKLE.transpose(2, 3)
        scores = (scores if mask is None else scores + mask).float()
        log_sum_GKN = scores.logsumexp(dim=-1)
        read_GKNE = (scores - log_sum_GKN[..., None]).exp().to(q_GKNE.dtype) @ values_GKLE
    read, log_sum = read_GKNE.transpose(1, 2).reshape(-1, dim), log_sum_GKN.transpose(1, 2).reshape(-1)
    if prompts.target is not None:
        read, log_sum = read.index_select(0, prompts.target), log_sum.index_select(0, prompts.target)
    return read.view(q_CRE.shape), log_sum.view(*q_CRE.shape[:2], 1)
