"""The embedded engine: a Hugging Face causal LM, sampled with plain torch.

The prompt of a group is prefilled once for its G samples. Finished rows leave the batch at once and waiting
ones take their places (continuous batching). The log-probability of each token is kept when it is sampled. A
token is sampled by inverting the cumulative distribution at a uniform number that belongs to (seed, position),
so a sample has no generator state. A given prefix of a completion is read with the prompt; positions count from
the first token of the completion, so a prefix of a sample, continued with its seed, gives the same sample.

Shapes: N samples, B rows in the batch, T new tokens, V vocabulary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from rollout.engines.adapter import MergedAdapter
from rollout.engines.base import Weights, copy_weights
from rollout.engines.batch import SampleBatch
from rollout.engines.cache import Buffers, round_up
from rollout.engines.cache_size import CacheError, CacheNeeds, CachePlan, CallSize, make_plan
from rollout.engines.cpu_linear import speed_up_linears
from rollout.engines.cuda_graphs import Capture, DecodeGraphs
from rollout.engines.decoder import make_decoder
from rollout.engines.decoder_rows import DecoderRows
from rollout.engines.draw import draw
from rollout.engines.library_rows import LibraryRows
from rollout.engines.rows import Request, Rows
from rollout.types import Completion, FinishReason, Prompt, Sampling

_CHECK_EVERY = 16  # tokens


class TorchEngine:
    """Samples from a model in this process.

    Attributes:
        num_preempted: Times that a row had to wait because the KV cache was full.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        stop_ids: Sequence[int],
        pad_id: int,
        threads: int | None = None,
        max_rows: int | None = None,
        cache_bytes: int | None = None,
        calls: Sequence[CallSize] = (),
        prompt_tokens: int = 0,
        check_every: int | None = None,
        make_capture: Callable[[], Capture] | None = None,
        adapter: MergedAdapter | None = None,
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
            cache_bytes: Most memory for keys, values and states. A call that could need more begins with as
                many rows as get some columns; when columns run out, the rows with the fewest tokens are
                preempted: they wait, and are prefilled again with the tokens they have. None: no bound.
            calls: Sizes of calls to come. Decode steps captured for one of them serve all calls within it.
            prompt_tokens: Longest prompt of those calls, in tokens.
            check_every: Tokens between two checks for stop tokens. None: 1 on a CPU, elsewhere 16, because a
                check waits for the device.
            make_capture: Makes what captures decode steps for replay; None: no step is captured.
            adapter: What merges the published weights of an adapter into the model; None: they are the model's.
        """
        self.model = model.eval().requires_grad_(False)
        self.device = next(model.parameters()).device
        self.weight_version = 0
        self._adapter = adapter
        self.num_preempted = 0
        self._stop = torch.tensor(list(stop_ids), device=self.device)
        self._pad_id = pad_id
        self._threads = threads
        self._max_rows = max_rows
        self._check_every = check_every or (1 if self.device.type == "cpu" else _CHECK_EVERY)
        self._cache_bytes = cache_bytes
        self._needs = CacheNeeds.of(model, next(model.parameters()).dtype)
        self._decoder = make_decoder(model)
        speed_up_linears(model)
        self._graphs = DecodeGraphs(self._decoder, make_capture) if self._decoder and make_capture else None
        self._buffers = Buffers() if self._graphs is None else Buffers(on_move=self._graphs.clear)
        self._calls = list(calls) if self._graphs else []  # other steps have the sizes of their call
        self._prompt_tokens = prompt_tokens
        for call in self._calls:
            self._reserve(self._make_plan(call, prompt_tokens))

    def load_weights(self, weights: Weights, version: int) -> None:
        """See `Engine.load_weights`."""
        if self._adapter is None:
            copy_weights(weights, version, to=self.model.state_dict(keep_vars=True))
        else:
            self._adapter.load(weights, version)
        if self._decoder is not None:
            self._decoder.refresh()
        self.weight_version = version

    def sleep(self) -> bool:
        """See `Engine.sleep`. It keeps all of its memory."""
        return False

    def close(self) -> None:
        """See `Engine.close`."""

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        """See `Engine.generate`."""
        if not prompts:
            return []
        for prompt in prompts:
            prompt.new_limits(sampling.max_new_tokens)  # before anything is sampled
        if len(apart := self._apart(prompts, sampling.max_new_tokens)) > 1:
            groups_of = {given: iter(self.generate(part, sampling)) for given, part in apart.items()}
            return [next(groups_of[len(prompt.prefix_ids)]) for prompt in prompts]
        with _thread_count(self._threads), torch.inference_mode():
            ids_BT, logprobs_BT, length_B, stopped_B = self._sample(prompts, sampling)
        if not bool(logprobs_BT.isfinite().all()):
            self._buffers.clear()  # later calls would read a NaN in them
        prefixes = [prompt.prefix_ids for prompt in prompts for _ in prompt.seeds]
        rows = [
            Completion(
                ids=(*prefix, *ids[:length]),
                logprobs=tuple(logprobs[:length]),
                finish_reason=FinishReason.STOP if stopped else FinishReason.LENGTH,
                weight_version=self.weight_version,
                num_given=len(prefix),
            )
            for prefix, ids, logprobs, length, stopped in zip(
                prefixes,
                ids_BT.tolist(),
                logprobs_BT.tolist(),
                length_B.tolist(),
                stopped_B.tolist(),
                strict=True,
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
            Token ids [N, T] and log-probabilities [N, T] with T the most new tokens, lengths [N], stopped [N];
            one row per sample, in the order of prompts and seeds.
        """
        num_samples = sum(len(prompt.seeds) for prompt in prompts)
        limits = [new for prompt in prompts for new in prompt.new_limits(sampling.max_new_tokens)]
        limit = _most_new(prompts, sampling.max_new_tokens)
        rows = self._make_rows(prompts, sampling.max_new_tokens)
        uniform_NT = self._uniforms(prompts, limit)
        ids_NT = torch.full((num_samples, limit), self._pad_id, device=self.device)
        logprobs_NT = torch.zeros((num_samples, limit), device=self.device)

        waiting = deque(_requests(prompts))
        prompt_of = [request.group for request in waiting for _ in request.samples]
        batch = SampleBatch(rows, limits, self.device)
        token_B = batch.sample_B  # the last token of each row
        logits_BV = torch.empty(0, device=self.device)
        while waiting or batch.left:
            if coming := self._next(waiting, rows):
                first_BV = rows.admit(coming)
                logits_BV = torch.cat([logits_BV, first_BV]) if batch.left else first_BV
                batch.add(coming)
            unchecked = min(self._check_every, *batch.left)
            while surplus := rows.make_way(unchecked):
                self.num_preempted += surplus
                preempted = batch.youngest(surplus)
                for row in preempted:
                    sample = batch.samples[row]
                    p, sampled = prompt_of[sample], ids_NT[sample, : batch.num_sampled(row)].tolist()
                    read = prompts[p].read_ids
                    request = Request(group=p, ids=read, samples=(sample,), sampled=tuple(sampled))
                    waiting.appendleft(request)
                logits_BV = logits_BV[batch.leave(preempted)]
            stop_B: torch.Tensor | None = None
            for drawn in range(unchecked):
                if drawn:
                    logits_BV = rows.decode_step(token_B)
                at_B = batch.sample_B, batch.t_B
                token_B, logprob_B = draw(logits_BV, uniform_NT[at_B], sampling)
                ids_NT[at_B], logprobs_NT[at_B] = token_B, logprob_B
                batch.t_B = batch.t_B + 1
                is_stop_B = torch.isin(token_B, self._stop)
                stop_B = is_stop_B if stop_B is None else stop_B | is_stop_B
            assert stop_B is not None
            batch.left = [tokens - unchecked for tokens in batch.left]
            if leaving := [row for row, stop in enumerate(stop_B.tolist()) if stop or not batch.left[row]]:
                token_B = token_B[batch.leave(leaving)]
            if batch.left:
                logits_BV = rows.decode_step(token_B)
        return ids_NT, logprobs_NT, *self._ends(ids_NT, torch.tensor(limits, device=self.device))

    def _ends(self, ids_NT: torch.Tensor, limit_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Length of each sample, and whether a stop token ends it; later tokens do not count."""
        within_NT = torch.arange(ids_NT.shape[1], device=self.device) < limit_N[:, None]
        stop_NT = torch.isin(ids_NT, self._stop) & within_NT
        stopped_N = stop_NT.any(dim=1)
        return torch.where(stopped_N, stop_NT.int().argmax(dim=1) + 1, limit_N), stopped_N

    def _apart(self, prompts: Sequence[Prompt], limit: int) -> dict[int, list[Prompt]]:
        """The prompts of each engine call: all, or those with prefixes of the same length.

        They are sampled apart where the KV cache does not hold one sample of the longest prefix and the most
        new tokens, which are of different prompts.

        Args:
            prompts: Those of a call.
            limit: Length limit of whole completions.
        """
        apart: dict[int, list[Prompt]] = {}
        for prompt in prompts:
            apart.setdefault(len(prompt.prefix_ids), []).append(prompt)
        if len(apart) > 1:
            try:
                self._make_plan(*self._call(prompts, limit))
            except CacheError:
                return apart
        return {0: list(prompts)}

    def _call(self, prompts: Sequence[Prompt], limit: int) -> tuple[CallSize, int, int | None]:
        """The size that a call is planned for: its own, its longest prompt and its samples, or an expected one.

        Args:
            prompts: Those of the call.
            limit: Length limit of whole completions.
        """
        new = _most_new(prompts, limit)
        call = CallSize(len(prompts), max(len(prompt.seeds) for prompt in prompts), new)
        longest = max(len(prompt.read_ids) for prompt in prompts)
        for expected in self._calls:
            if expected.holds(call) and longest <= self._prompt_tokens:
                return expected, self._prompt_tokens, None
        if self._graphs is not None and any(prompt.prefix_ids for prompt in prompts):
            # Each layout of the memory captures its own steps, so prefixes of any length have few.
            wide, bound = round_up(longest, longest + limit), self._cache_bytes
            if bound is None or self._needs.bytes(wide + limit, 1) <= bound:
                call, longest = call._replace(new_tokens=limit), wide
        return call, longest, sum(len(prompt.seeds) for prompt in prompts)

    def _make_rows(self, prompts: Sequence[Prompt], limit: int) -> Rows:
        call, longest, num_samples = self._call(prompts, limit)
        plan = self._make_plan(call, longest, num_samples)
        self._reserve(plan)
        if self._decoder is None:
            return LibraryRows(self.model, buffers=self._buffers, pad_id=self._pad_id, plan=plan)
        return DecoderRows(
            self.model,
            self._decoder,
            buffers=self._buffers,
            pad_id=self._pad_id,
            plan=plan,
            samples=call.samples,
            graphs=self._graphs,
        )

    def _make_plan(self, call: CallSize, prompt_tokens: int, num_samples: int | None = None) -> CachePlan:
        return make_plan(
            call,
            self._needs,
            num_samples=num_samples,
            prompt_tokens=prompt_tokens,
            max_rows=self._max_rows,
            bound=self._cache_bytes,
        )

    def _reserve(self, plan: CachePlan) -> None:
        """Size what calls share for a call with this plan."""
        positions = max(self._buffers.positions, plan.positions)
        if self._cache_bytes is not None and self._needs.bytes(positions, plan.slots) > self._cache_bytes:
            self._buffers.clear()  # an earlier call had fewer rows, and thus fewer states
            positions = plan.positions
        self._buffers.positions = positions
        if self._decoder is not None:
            new = self._decoder.reserve(plan.prompt_columns + plan.columns)
            if self._graphs is not None:
                self._graphs.reserve(plan.slots, new_tables=new)

    @staticmethod
    def _next(waiting: deque[Request], rows: Rows) -> list[Request]:
        """The requests to admit now, or parts of them, removed from those waiting."""
        coming: list[Request] = []
        while waiting and (room := rows.room(waiting[0], coming)):
            request = waiting.popleft()
            if room < len(request.samples):
                waiting.appendleft(replace(request, samples=request.samples[room:]))
            coming.append(replace(request, samples=request.samples[:room]))
        return coming

    def _uniforms(self, prompts: Sequence[Prompt], limit: int) -> torch.Tensor:
        """Uniform numbers in [0, 1), float64 [N, T].

        Each depends on the seed of its sample and its position in the completion alone, prefix included.
        """
        rows = [
            np.random.Generator(np.random.Philox(key=seed)).random(given + limit)[given:]
            for prompt in prompts
            for given in [len(prompt.prefix_ids)]
            for seed in prompt.seeds
        ]
        return torch.from_numpy(np.stack(rows)).to(self.device)


def _most_new(prompts: Sequence[Prompt], limit: int) -> int:
    """Most tokens that a sample of a call may get, under a limit of whole completions."""
    return limit - min(len(prompt.prefix_ids) for prompt in prompts)


def _requests(prompts: Sequence[Prompt]) -> list[Request]:
    """All samples of a call, numbered in the order of prompts and seeds."""
    requests, start = [], 0
    for p, prompt in enumerate(prompts):
        end = start + len(prompt.seeds)
        requests.append(Request(group=p, ids=prompt.read_ids, samples=tuple(range(start, end))))
        start = end
    return requests


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
