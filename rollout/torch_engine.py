"""The embedded engine: any Hugging Face causal LM, sampled with plain torch.

The prompt of a group is run once and its keys and values are shared out to the G samples; they are written
into a cache allocated once for the longest the batch can get; rows that have finished leave the batch; the
log-probability of every sampled token is kept as it is drawn. A token is drawn by inverting the cumulative
distribution at a uniform number that belongs to (seed, position), so a sample has no generator state.

Shapes: P prompts, G samples a prompt, B = P * G rows, L prompt tokens (left-padded), T new tokens,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from rollout.engine import Weights
from rollout.types import Completion, FinishReason, Prompt, Sampling

# A batch is made smaller when this share of its rows has finished: copying the cache has its price too.
_SHRINK_AT = 0.25


class TorchEngine:
    """Samples from a model held in this process."""

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        stop_ids: Sequence[int],
        pad_id: int,
        threads: int | None = None,
    ) -> None:
        """Take over a model.

        Args:
            model: A causal LM on its device; it is put in evaluation mode and its weights are replaced by
                `load_weights`, so it must not be the trained copy.
            stop_ids: Tokens that end a completion.
            pad_id: Fills prompts on the left; masked out.
            threads: CPU threads while sampling; None leaves the process's setting.
        """
        self.model = model.eval().requires_grad_(False)
        self.device = next(model.parameters()).device
        self.weight_version = 0
        self._stop = torch.tensor(list(stop_ids), device=self.device)
        self._pad_id = pad_id
        self._threads = threads

    def load_weights(self, weights: Weights, version: int) -> None:
        """See `Engine.load_weights`."""
        own = self.model.state_dict(keep_vars=True)
        for name, tensor in weights.items():
            if name not in own or own[name].shape != tensor.shape:
                have = tuple(own[name].shape) if name in own else "no such parameter"
                raise ValueError(
                    f"weights version {version}: {name} is {tuple(tensor.shape)}, engine has {have}"
                )
        with torch.no_grad():
            for name, tensor in weights.items():
                own[name].copy_(tensor)
        self.weight_version = version

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        """See `Engine.generate`."""
        if not prompts:
            return []
        with _thread_count(self._threads), torch.inference_mode():
            ids_BT, logprobs_BT, length_B, stopped_B = self._sample(prompts, sampling)
        rows = [
            Completion(
                ids=tuple(ids[:length]),
                logprobs=tuple(logprobs[:length]),
                finish_reason=FinishReason.STOP if stopped else FinishReason.LENGTH,
                weight_version=self.weight_version,
            )
            for ids, logprobs, length, stopped in zip(
                ids_BT.tolist(), logprobs_BT.tolist(), length_B.tolist(), stopped_B.tolist(), strict=True
            )
        ]
        groups, start = [], 0
        for prompt in prompts:
            groups.append(rows[start : start + len(prompt.seeds)])
            start += len(prompt.seeds)
        return groups

    def _sample(self, prompts: Sequence[Prompt], sampling: Sampling) -> tuple[torch.Tensor, ...]:
        """Sample all rows.

        Returns:
            Token ids [B, T] and log-probabilities [B, T] with T the limit, lengths [B], stopped [B].
        """
        limit = sampling.max_new_tokens
        ids_PL, mask_PL = self._left_pad(prompts)
        cache = self._make_cache(ids_PL.shape[1] + limit)
        logits_PV = self._forward(ids_PL, mask_PL, (mask_PL.cumsum(1) - 1).clamp(min=0), cache)
        owner_B = torch.tensor(
            [p for p, prompt in enumerate(prompts) for _ in prompt.seeds], device=self.device
        )
        cache.batch_select_indices(owner_B)
        logits_BV, num_rows = logits_PV[owner_B], len(owner_B)

        mask = torch.cat([mask_PL[owner_B], mask_PL.new_ones(num_rows, limit)], dim=1)
        position_B = mask_PL.sum(1)[owner_B]
        uniform_BT = self._uniforms(prompts, limit)
        ids_BT = torch.full((num_rows, limit), self._pad_id, device=self.device)
        logprobs_BT = torch.zeros((num_rows, limit), device=self.device)
        length_B = torch.full((num_rows,), limit, device=self.device)
        stopped_B = torch.zeros(num_rows, dtype=torch.bool, device=self.device)

        row = torch.arange(num_rows, device=self.device)  # rows of the result still in the batch
        done = torch.zeros(num_rows, dtype=torch.bool, device=self.device)
        for t in range(limit):
            token, logprob = _draw(logits_BV, uniform_BT[row, t], sampling.temperature)
            live = row[~done]
            ids_BT[live, t] = token[~done]
            logprobs_BT[live, t] = logprob[~done]
            ended = torch.isin(token, self._stop) & ~done
            length_B[row[ended]] = t + 1
            stopped_B[row[ended]] = True
            done = done | ended
            num_done = int(done.sum())
            if num_done == len(row) or t + 1 == limit:
                break
            if num_done >= _SHRINK_AT * len(row):
                keep = (~done).nonzero().squeeze(1)
                cache.batch_select_indices(keep)
                row, token, mask, position_B = row[keep], token[keep], mask[keep], position_B[keep]
                done = done[keep]
            used = ids_PL.shape[1] + t + 1
            logits_BV = self._forward(token[:, None], mask[:, :used], position_B[:, None] + t, cache)
        return ids_BT, logprobs_BT, length_B, stopped_B

    def _forward(
        self, ids: torch.Tensor, mask: torch.Tensor, position: torch.Tensor, cache: DynamicCache
    ) -> torch.Tensor:
        """Next-token logits [rows, V] in float32 after the last of `ids` [rows, n]."""
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1].float()

    def _left_pad(self, prompts: Sequence[Prompt]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(len(prompt.ids) for prompt in prompts)
        ids = torch.full((len(prompts), width), self._pad_id)
        mask = torch.zeros((len(prompts), width), dtype=torch.long)
        for p, prompt in enumerate(prompts):
            ids[p, width - len(prompt.ids) :] = torch.tensor(prompt.ids)
            mask[p, width - len(prompt.ids) :] = 1
        return ids.to(self.device), mask.to(self.device)

    def _uniforms(self, prompts: Sequence[Prompt], limit: int) -> torch.Tensor:
        """Numbers in [0, 1), float64 [B, T]: position t of a row depends on its seed and t alone."""
        rows = [np.random.Generator(np.random.Philox(key=s)).random(limit) for p in prompts for s in p.seeds]
        return torch.from_numpy(np.stack(rows)).to(self.device)

    def _make_cache(self, capacity: int) -> DynamicCache:
        config: Any = self.model.config
        cache = DynamicCache(config=config.get_text_config())
        cache.layers = [
            _PreallocatedLayer(capacity) if type(layer) is DynamicLayer else layer for layer in cache.layers
        ]
        return cache


class _PreallocatedLayer(DynamicLayer):
    """Keys and values of full attention, written in place into buffers [rows, heads, capacity, head dim].

    Other kinds of layer (sliding window, linear attention) keep the library's own cache.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys = key_states.new_empty((*key_states.shape[:2], self.capacity, key_states.shape[-1]))
        self.values = value_states.new_empty((*value_states.shape[:2], self.capacity, value_states.shape[-1]))
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        end = self.length + key_states.shape[2]
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        return self.length

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        assert self.keys is not None and self.values is not None
        self.keys, self.values = self._select(self.keys, indices), self._select(self.values, indices)

    def _select(self, tensor: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        """Pick rows, copying only the part in use."""
        picked = tensor.new_empty((len(indices), *tensor.shape[1:]))
        picked[:, :, : self.length] = tensor[indices, :, : self.length]
        return picked


def _draw(
    logits_BV: torch.Tensor, uniform_B: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token a row and its log-probability."""
    logprobs_BV = torch.log_softmax(logits_BV / temperature if temperature > 0 else logits_BV, dim=-1)
    if temperature == 0:
        token_B = logits_BV.argmax(dim=-1)
    else:
        cumulative_BV = logprobs_BV.double().exp().cumsum(dim=-1)
        target_B1 = (uniform_B * cumulative_BV[:, -1])[:, None]
        token_B = torch.searchsorted(cumulative_BV, target_B1, right=True).squeeze(1)
        token_B = token_B.clamp(max=logits_BV.shape[1] - 1)
    return token_B, logprobs_BV.gather(1, token_B[:, None]).squeeze(1)


@contextmanager
def _thread_count(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if threads is not None and threads != before:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
