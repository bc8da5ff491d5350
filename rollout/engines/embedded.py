"""The embedded engine: a Hugging Face causal LM, sampled with plain torch.

The prompt of a group is prefilled once for its G samples. Finished rows leave the batch at once and waiting
ones take their places (continuous batching). The log-probability of each token is kept when it is sampled. A
token is sampled by inverting the cumulative distribution at a uniform number that belongs to (seed, position),
so a sample has no generator state.

Shapes: N samples, B rows in the batch, T new tokens, V vocabulary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from rollout.engines.base import Weights, copy_weights
from rollout.engines.cache import Buffers
from rollout.engines.cuda_graphs import Capture, DecodeGraphs
from rollout.engines.decoder import has_decoder, make_decoder
from rollout.engines.rows import DecoderRows, LibraryRows, Rows
from rollout.engines.states import num_attention_layers, state_bytes
from rollout.types import Completion, FinishReason, Prompt, Sampling

_DRAWN_AT_ONCE = 1 << 17  # logits
_CHECK_EVERY = 16  # tokens
_PROMPT_COLUMNS = 16  # columns for prompts are a multiple of this


class TorchEngine:
    """Samples from a model in this process."""

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        stop_ids: Sequence[int],
        pad_id: int,
        threads: int | None = None,
        max_rows: int | None = None,
        check_every: int | None = None,
        make_capture: Callable[[], Capture] | None = None,
    ) -> None:
        """Take over a model.

        Args:
            model: A causal LM on its device. It is put in evaluation mode and `load_weights` overwrites its
                weights, so it must not be the trained copy.
            stop_ids: Tokens that end a completion.
            pad_id: Token that pads prompts on the left; masked out.
            threads: CPU threads while sampling; None keeps the setting of the process.
            max_rows: Most rows in the batch at the same time, or the size of the largest group if that is
                larger; others wait. None: all.
            check_every: Tokens between two checks for stop tokens. None: 1 on a CPU, elsewhere 16, because a
                check waits for the device.
            make_capture: Makes what captures decode steps for replay; None: no step is captured.
        """
        self.model = model.eval().requires_grad_(False)
        self.device = next(model.parameters()).device
        self.weight_version = 0
        self._stop = torch.tensor(list(stop_ids), device=self.device)
        self._pad_id = pad_id
        self._threads = threads
        self._max_rows = max_rows
        self._check_every = check_every or (1 if self.device.type == "cpu" else _CHECK_EVERY)
        self._decoder = make_decoder(model)
        self._graphs = DecodeGraphs(self._decoder, make_capture) if self._decoder and make_capture else None
        self._buffers = Buffers() if self._graphs is None else Buffers(on_move=self._graphs.clear)

    def load_weights(self, weights: Weights, version: int) -> None:
        """See `Engine.load_weights`."""
        copy_weights(weights, version, to=self.model.state_dict(keep_vars=True))
        self.weight_version = version

    def close(self) -> None:
        """See `Engine.close`."""

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        """See `Engine.generate`."""
        if not prompts:
            return []
        with _thread_count(self._threads), torch.inference_mode():
            ids_BT, logprobs_BT, length_B, stopped_B = self._sample(prompts, sampling)
        if not bool(logprobs_BT.isfinite().all()):
            self._buffers.clear()  # later calls would read a NaN in them
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
            Token ids [N, T] and log-probabilities [N, T] with T the length limit, lengths [N], stopped [N]; one
            row per sample, in the order of prompts and seeds.
        """
        limit, num_samples = sampling.max_new_tokens, sum(len(prompt.seeds) for prompt in prompts)
        rows = self._make_rows(prompts, limit)
        uniform_NT = self._uniforms(prompts, limit)
        limits = [own for prompt in prompts for own in prompt.limits_within(limit)]
        ids_NT = torch.full((num_samples, limit), self._pad_id, device=self.device)
        logprobs_NT = torch.zeros((num_samples, limit), device=self.device)

        waiting = deque(prompts)
        admitted = 0  # samples admitted to the batch so far
        left: list[int] = []  # tokens left to each row before its length limit
        sample_B = torch.empty(0, dtype=torch.long, device=self.device)  # sample of each row
        t_B = torch.empty(0, dtype=torch.long, device=self.device)  # tokens sampled so far
        token_B = torch.empty(0, dtype=torch.long, device=self.device)  # the last one
        logits_BV: torch.Tensor | None = None
        while waiting or left:
            if coming := self._next(waiting, rows):
                first_BV = rows.admit(coming)
                logits_BV = first_BV if logits_BV is None else torch.cat([logits_BV, first_BV])
                end = admitted + len(first_BV)
                sample_B = torch.cat([sample_B, torch.arange(admitted, end, device=self.device)])
                t_B = torch.cat([t_B, t_B.new_zeros(end - admitted)])
                left += limits[admitted:end]
                admitted = end
            stop_B: torch.Tensor | None = None
            unchecked = min(self._check_every, *left)
            for drawn in range(unchecked):
                if drawn:
                    logits_BV = rows.decode_step(token_B)
                assert logits_BV is not None
                token_B, logprob_B = _draw(logits_BV, uniform_NT[sample_B, t_B], sampling)
                ids_NT[sample_B, t_B], logprobs_NT[sample_B, t_B] = token_B, logprob_B
                t_B = t_B + 1
                is_stop_B = torch.isin(token_B, self._stop)
                stop_B = is_stop_B if stop_B is None else stop_B | is_stop_B
            assert stop_B is not None
            left = [tokens - unchecked for tokens in left]
            if leaving := [row for row, stop in enumerate(stop_B.tolist()) if stop or not left[row]]:
                order = rows.leave(leaving)
                left = [left[row] for row in order]
                order_B = torch.tensor(order, dtype=torch.long, device=self.device)
                sample_B, t_B, token_B = sample_B[order_B], t_B[order_B], token_B[order_B]
            logits_BV = rows.decode_step(token_B) if left else None
        return ids_NT, logprobs_NT, *self._ends(ids_NT, torch.tensor(limits, device=self.device))

    def _ends(self, ids_NT: torch.Tensor, limit_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Length of each sample, and whether a stop token ends it; later tokens do not count."""
        within_NT = torch.arange(ids_NT.shape[1], device=self.device) < limit_N[:, None]
        stop_NT = torch.isin(ids_NT, self._stop) & within_NT
        stopped_N = stop_NT.any(dim=1)
        return torch.where(stopped_N, stop_NT.int().argmax(dim=1) + 1, limit_N), stopped_N

    def _make_rows(self, prompts: Sequence[Prompt], limit: int) -> Rows:
        largest_group = max(len(prompt.seeds) for prompt in prompts)
        num_samples = sum(len(prompt.seeds) for prompt in prompts)
        slots, columns = _cache_size(num_samples, largest_group, limit, self._max_rows)
        make: Any = LibraryRows
        if self._decoder is not None:
            make = partial(
                DecoderRows,
                decoder=self._decoder,
                groups=min(slots, len(prompts)),
                samples=largest_group,
                graphs=self._graphs,
            )
        rows: Rows = make(
            self.model,
            buffers=self._buffers,
            pad_id=self._pad_id,
            slots=slots,
            longest_prompt=_prompt_columns(max(len(prompt.ids) for prompt in prompts)),
            columns=columns,
        )
        return rows

    @staticmethod
    def _next(waiting: deque[Prompt], rows: Rows) -> list[Prompt]:
        """The prompts to admit now, removed from those waiting."""
        coming: list[Prompt] = []
        while waiting and rows.fits(waiting[0], coming):
            coming.append(waiting.popleft())
        return coming

    def _uniforms(self, prompts: Sequence[Prompt], limit: int) -> torch.Tensor:
        """Uniform numbers in [0, 1), float64 [N, T]: number t of a sample depends on its seed and t alone."""
        rows = [np.random.Generator(np.random.Philox(key=s)).random(limit) for p in prompts for s in p.seeds]
        return torch.from_numpy(np.stack(rows)).to(self.device)


class CallSize(NamedTuple):
    """The size of an engine call: prompts, samples per prompt, length limit in tokens."""

    num_prompts: int
    samples: int
    new_tokens: int


def cache_bytes(
    model: torch.nn.Module,
    calls: Sequence[CallSize],
    *,
    prompt_tokens: int,
    max_rows: int | None,
    dtype: torch.dtype,
) -> int:
    """Upper bound of the KV cache of one engine, and of its states where layers keep states, in bytes.

    Args:
        model: The causal LM.
        calls: All sizes of calls; buffers are kept from one call to the next.
        prompt_tokens: Longest prompt in tokens.
        max_rows: As the engine's.
        dtype: Precision of the engine's weights.
    """
    of_rows = of_prompts = most_rows = 0  # cached positions, and rows
    prompt_tokens = _prompt_columns(prompt_tokens)
    for call in calls:
        slots, columns = _cache_size(call.num_prompts * call.samples, call.samples, call.new_tokens, max_rows)
        if has_decoder(model):
            of_prompts = max(of_prompts, min(slots, call.num_prompts) * prompt_tokens)
        else:  # each row has its own copy of the prompt
            columns += prompt_tokens
        of_rows = max(of_rows, slots * columns)
        most_rows = max(most_rows, slots)
    config: Any = model.config
    text = config.get_text_config()
    in_states = most_rows * state_bytes(model)
    if not getattr(text, "num_attention_heads", None):
        return in_states  # a model without attention has no KV cache
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    layers = num_attention_layers(text)
    per_position = 2 * layers * heads * dim * dtype.itemsize
    return int((of_rows + of_prompts) * per_position) + in_states


def _prompt_columns(tokens: int) -> int:
    """Columns for prompts of up to this many tokens, rounded up: a captured step serves one size only."""
    return -(-tokens // _PROMPT_COLUMNS) * _PROMPT_COLUMNS


def _cache_size(num_samples: int, largest_group: int, limit: int, max_rows: int | None) -> tuple[int, int]:
    """Rows of the KV cache, and columns for new tokens, for this many samples of up to `limit` tokens."""
    slots = min(num_samples, max(max_rows or num_samples, largest_group))
    # Rows admitted later begin at later columns. With more columns, they move to the front less often.
    return slots, limit if slots == num_samples else limit + limit // 2


def _draw(
    logits_BV: torch.Tensor, uniform_B: torch.Tensor, sampling: Sampling
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token per row and its log-probability."""
    rows = len(logits_BV)
    if logits_BV.device.type == "cpu":  # few enough for the processor's cache
        rows = max(1, _DRAWN_AT_ONCE // logits_BV.shape[1])
    parts = [
        _draw_rows(logits, uniform, sampling)
        for logits, uniform in zip(torch.split(logits_BV, rows), torch.split(uniform_B, rows), strict=True)
    ]
    if len(parts) == 1:
        return parts[0]
    tokens, logprobs = zip(*parts, strict=True)
    return torch.cat(tokens), torch.cat(logprobs)


def _draw_rows(
    logits_BV: torch.Tensor, uniform_B: torch.Tensor, sampling: Sampling
) -> tuple[torch.Tensor, torch.Tensor]:
    if sampling.temperature not in (0, 1):
        logits_BV = logits_BV / sampling.temperature
    logprobs_BV = torch.log_softmax(logits_BV, dim=-1)
    if sampling.top_k is not None:
        logprobs_BV = likeliest(logprobs_BV, sampling.top_k)
    if sampling.top_p < 1:
        logprobs_BV = nucleus(logprobs_BV, sampling.top_p)
    if sampling.temperature == 0:
        token_B = logits_BV.argmax(dim=-1)
    else:
        cumulative_BV = logprobs_BV.double().exp().cumsum(dim=-1)
        target_B1 = (uniform_B * cumulative_BV[:, -1])[:, None]
        token_B = torch.searchsorted(cumulative_BV, target_B1, right=True).squeeze(1)
        token_B = token_B.clamp(max=logits_BV.shape[1] - 1)
    return token_B, logprobs_BV.gather(1, token_B[:, None]).squeeze(1)


def likeliest(logprobs_BV: torch.Tensor, top_k: int) -> torch.Tensor:
    """Log-probabilities within the `top_k` likeliest tokens, else minus infinity.

    Of tokens with equal probability at the border, those with the lower ids stay.
    """
    index_BV = logprobs_BV.argsort(dim=-1, descending=True, stable=True)[:, top_k:]
    return torch.log_softmax(logprobs_BV.scatter(1, index_BV, -torch.inf), dim=-1)


def nucleus(logprobs_BV: torch.Tensor, top_p: float) -> torch.Tensor:
    """Log-probabilities within the fewest likeliest tokens that have `top_p` together, else minus infinity."""
    sorted_BV, index_BV = logprobs_BV.double().exp().sort(dim=-1, descending=True, stable=True)
    before_BV = sorted_BV.cumsum(dim=-1) - sorted_BV
    out_BV = torch.zeros_like(before_BV, dtype=torch.bool).scatter(1, index_BV, before_BV >= top_p)
    return torch.log_softmax(logprobs_BV.masked_fill(out_BV, -torch.inf), dim=-1)


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
