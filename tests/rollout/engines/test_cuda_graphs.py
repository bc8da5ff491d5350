"""Captured decode steps against ordinary ones; without a GPU, a stand-in takes the place of the capture."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from types import SimpleNamespace

import pytest
import torch

from rollout.engines import cuda_graphs as graphs
from rollout.engines.cache import Window, round_up
from rollout.engines.cache_size import CacheNeeds, CachePlan, CallSize, make_plan
from rollout.engines.cuda_graphs import Capture, CudaGraphs, DecodeGraphs, Step
from rollout.engines.embedded import TorchEngine
from rollout.engines.rows import Request, WindowRows
from rollout.types import Prompt, Sampling
from tests.kit.causal_models import PAD, STOP, WRITTEN_OUT, V, ids, make, mixed_prompts


class Counting:
    """Captures a step by keeping it: a replay runs it again on the current content of its memory.

    Attributes:
        captured: Steps captured.
        replayed: Replays of them.
        cleared: Times that all graphs were dropped.
    """

    def __init__(self) -> None:
        self.captured = self.replayed = 0
        self.cleared = -1

    def __call__(self) -> Capture:
        """Make a capture."""
        self.cleared += 1
        return self._capture

    def _capture(self, step: Step) -> Step:
        self.captured += 1
        step()  # the warm-up of a GPU; it must have no effect

        def replay() -> None:
            self.replayed += 1
            step()

        return replay


def engine(
    family: str,
    make_capture: Callable[[], Capture] | None = None,
    *,
    max_rows: int | None = None,
    check_every: int = 1,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> TorchEngine:
    model = make(family).to(device=device, dtype=dtype)
    return TorchEngine(
        model,
        stop_ids=[STOP],
        pad_id=PAD,
        threads=1,
        max_rows=max_rows,
        check_every=check_every,
        make_capture=make_capture,
    )


@pytest.mark.parametrize("family", WRITTEN_OUT)
@pytest.mark.parametrize("max_rows", [None, 6])
def test_replayed_steps_sample_the_same_tokens(family: str, max_rows: int | None) -> None:
    capture = Counting()
    replayed = engine(family, capture, max_rows=max_rows)
    for sampling in (
        Sampling(temperature=1.0, max_new_tokens=40),
        Sampling(temperature=0.0, max_new_tokens=70),
    ):
        expected = engine(family, max_rows=max_rows).generate(mixed_prompts(family), sampling)
        got = replayed.generate(mixed_prompts(family), sampling)
        assert ids(got) == ids(expected)
        for ours, theirs in zip(got, expected, strict=True):
            for a, b in zip(ours, theirs, strict=True):
                assert a.logprobs == pytest.approx(b.logprobs, abs=2e-5)
    assert 1 < capture.captured < capture.replayed / 4 and capture.cleared > 0


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("check_every", [2, 7, 64])
def test_checking_rarely_changes_no_sample(seed: int, check_every: int) -> None:
    """For any mix of prompts, limits and rows, for models of both kinds, with and without replay."""
    rng = random.Random(seed)
    prompts = []
    for p in range(rng.randint(1, 25)):
        samples = rng.randint(1, 6)
        own = tuple(rng.randint(1, 35) for _ in range(samples)) if rng.random() < 0.5 else ()
        prompt_ids = tuple(rng.randrange(2, V) for _ in range(rng.randint(1, 20)))
        prompts.append(Prompt(ids=prompt_ids, seeds=tuple(range(10 * p, 10 * p + samples)), limits=own))
    sampling = Sampling(temperature=1.0, max_new_tokens=rng.choice([1, 5, 30]))
    for family, capture in (("gpt2", None), ("mistral", None), ("llama", None), ("llama", Counting())):
        expected = engine(family).generate(prompts, sampling)
        for max_rows in (None, rng.randint(1, 40)):
            rarely = engine(family, capture, max_rows=max_rows, check_every=check_every)
            got = rarely.generate(prompts, sampling)
            assert ids(got) == ids(expected)
            assert [[c.finish_reason for c in g] for g in got] == [
                [c.finish_reason for c in g] for g in expected
            ]


def test_later_calls_and_new_weights_replay_the_same_graphs() -> None:
    capture = Counting()
    replayed, plain = engine("llama", capture), engine("llama")
    sampling = Sampling(temperature=1.0, max_new_tokens=30)
    replayed.generate(mixed_prompts(), sampling)
    captured = capture.captured
    weights = {name: tensor * 0.9 for name, tensor in plain.model.state_dict().items()}
    for sampler in (replayed, plain):
        sampler.load_weights(weights, version=1)
    assert ids(replayed.generate(mixed_prompts(), sampling)) == ids(plain.generate(mixed_prompts(), sampling))
    assert captured <= capture.captured <= captured + 3  # sizes that only the new weights reach


def test_a_step_is_captured_again_when_its_memory_has_moved() -> None:
    """Longer completions than before, longer prompts, and after a diverged policy."""
    capture = Counting()
    replayed, plain = engine("llama", capture), engine("llama")
    short, long = Sampling(temperature=1.0, max_new_tokens=10), Sampling(temperature=1.0, max_new_tokens=60)
    longer = [Prompt(ids=tuple(range(2, 19)) * 3, seeds=(1, 2, 3))]
    good = {name: tensor.clone() for name, tensor in plain.model.state_dict().items()}
    for prompts, sampling in ((mixed_prompts(), short), (mixed_prompts(), long), (longer, long)):
        before = capture.captured
        assert ids(replayed.generate(prompts, sampling)) == ids(plain.generate(prompts, sampling))
        assert capture.captured > before
    replayed.load_weights({name: tensor * float("nan") for name, tensor in good.items()}, version=1)
    replayed.generate(mixed_prompts(), long)
    replayed.load_weights(good, version=2)
    assert ids(replayed.generate(mixed_prompts(), long)) == ids(plain.generate(mixed_prompts(), long))


def test_old_memory_is_freed_before_new_memory_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs hold views of buffers; they are dropped before larger buffers are allocated."""
    sampler = engine("llama", Counting())
    sampler.generate(mixed_prompts(), Sampling(temperature=1.0, max_new_tokens=10))
    kept, buffers = sampler._graphs, sampler._buffers
    assert kept is not None and kept._steps
    buffers.positions *= 2
    like = torch.zeros(1, 2, 1, 8)  # keys of the model
    left: list[tuple[int, bool]] = []
    new_zeros = torch.Tensor.new_zeros

    def watch(self: torch.Tensor, *shape: int) -> torch.Tensor:
        left.append((len(kept._steps), "keys 0" in buffers._flat))
        return new_zeros(self, *shape)

    with monkeypatch.context() as patched:
        patched.setattr(torch.Tensor, "new_zeros", watch)
        buffers.take("keys 0", like)
    assert left == [(0, False)]


def test_the_number_of_graphs_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "_MAX_GRAPHS", 3)
    capture, sampling = Counting(), Sampling(temperature=1.0, max_new_tokens=40)
    replayed = engine("llama", capture)
    assert ids(replayed.generate(mixed_prompts(), sampling)) == ids(
        engine("llama").generate(mixed_prompts(), sampling)
    )
    assert capture.captured > 3 and replayed._graphs is not None and len(replayed._graphs._steps) == 3


@pytest.mark.parametrize(
    ("calls", "limit", "mean", "max_rows", "share"),
    [
        pytest.param(200, 2048, 900, None, 1.0, marks=pytest.mark.slow),
        (40, 1024, 300, None, 0.15),
        (40, 1024, 300, 128, 1.0),
    ],
)
def test_a_run_of_many_calls_captures_few_steps(
    calls: int, limit: int, mean: int, max_rows: int | None, share: float
) -> None:
    """Calls of 64 groups of 8 samples with skewed lengths, by the sizes of their decode steps.

    `share` is the memory as a part of the worst case. Prompts take columns of their own, as many as the longest
    of the run, so their lengths change no size.
    """
    rng, call = random.Random(0), CallSize(64, 8, limit)
    needs = CacheNeeds(position=1, row=0, stores_prompts=True, can_grow=True)
    worst = make_plan(call, needs, prompt_tokens=512, max_rows=max_rows)
    plan = make_plan(call, needs, prompt_tokens=512, max_rows=max_rows, bound=int(share * worst.positions))
    captured: set[graphs.StepSizes] = set()
    for _ in range(calls):
        lengths = [min(limit, max(5, int(rng.lognormvariate(math.log(mean), 0.7)))) for _ in range(512)]
        captured |= steps_of_a_call(plan, lengths)
    assert len(captured) <= 40


def test_prompts_of_any_length_replay_the_graphs_of_the_largest_call() -> None:
    """A training run: fewer groups than planned, prompts of other lengths, and evaluation in between."""
    capture, rng = Counting(), random.Random(0)
    training, evaluation = CallSize(6, 4, 30), CallSize(20, 1, 50)
    calls = {"calls": (training, evaluation), "prompt_tokens": 20}
    model = make("llama")
    sampler = TorchEngine(
        model, stop_ids=[STOP], pad_id=PAD, threads=1, check_every=4, make_capture=capture, **calls
    )
    plain, seen = engine("llama"), []
    for call in range(24):
        size = evaluation if call % 6 == 5 else training
        prompts = [
            Prompt(
                ids=tuple(rng.randrange(2, V) for _ in range(rng.randint(1, 20))),
                seeds=tuple(rng.randrange(1000) for _ in range(size.samples)),
            )
            for _ in range(rng.randint(1, size.num_prompts))
        ]
        sampling = Sampling(temperature=1.0, max_new_tokens=size.new_tokens)
        assert ids(sampler.generate(prompts, sampling)) == ids(plain.generate(prompts, sampling))
        seen.append(capture.captured)
    assert seen[-1] <= 10 and seen[-1] == seen[11] and capture.cleared == 0


class WindowOnly(WindowRows):
    """Rows without keys and values: where they would be."""

    def __init__(self, plan: CachePlan) -> None:
        window = Window(slots=plan.slots, columns=plan.columns, positions=plan.row_positions)
        super().__init__(make("llama"), pad_id=PAD, window=window)

    def _num_columns(self, request: Request) -> int:
        return len(request.sampled)

    def _admit(self, requests: Sequence[Request]) -> torch.Tensor:
        self._add(requests, self._texts(requests), self._owners(requests))
        return torch.empty(0)


def steps_of_a_call(plan: CachePlan, lengths: list[int]) -> set[graphs.StepSizes]:
    """The sizes of the decode steps of samples with these lengths, inspected every 16 tokens."""
    rows = WindowOnly(plan)
    window, prefix = (
        rows._window,
        SimpleNamespace(slots=plan.groups, start=plan.row_positions, samples=8, length=plan.prompt_columns),
    )
    sizes: set[graphs.StepSizes] = set()
    waiting = deque((tokens, 0) for tokens in lengths)  # length, and tokens sampled already
    batch: list[tuple[int, int]] = []
    while waiting or batch:
        coming: list[Request] = []
        while waiting:
            sampled = waiting[0][1]
            alike = sum(1 for _ in takewhile(lambda other: other[1] == sampled, waiting))  # noqa: B023
            request = Request(group=0, ids=(2,), samples=(0,) * alike, sampled=(2,) * sampled)
            if not (room := rows.room(request, coming)):
                break
            coming.append(replace(request, samples=(0,) * room))
            batch += [waiting.popleft() for _ in range(room)]
        if coming:
            rows.admit(coming)
        while surplus := rows.make_way(16):
            youngest = sorted(range(len(batch)), key=lambda row: batch[row][1])[:surplus]
            waiting.extendleft(batch[row] for row in youngest)
            batch = [batch[row] for row in rows.leave(youngest)]
        for steps in (15, 1):  # the first and the last step until the next inspection
            sizes.add(DecodeGraphs.sizes(window, prefix))  # type: ignore[arg-type]
            window.end += steps
        batch = [(length, sampled + 16) for length, sampled in batch]
        if leaving := [row for row, (length, sampled) in enumerate(batch) if sampled >= length]:
            batch = [batch[row] for row in rows.leave(leaving)]
    return sizes


def test_sizes_are_rounded_up_to_a_few() -> None:
    sizes = [round_up(n, 1000) for n in range(1, 513)]
    assert all(n <= size <= max(n + 1, n * 1.5) for n, size in enumerate(sizes, 1))
    assert len(set(sizes)) == 18
    assert round_up(200, 210) == 210


@pytest.mark.gpu
@pytest.mark.parametrize("family", WRITTEN_OUT)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("max_rows", [None, 6])
def test_cuda_graphs_sample_the_same_tokens(family: str, dtype: torch.dtype, max_rows: int | None) -> None:
    """In calls of growing size with other work between them; log-probabilities agree up to the first different
    token, because other sizes round differently."""
    plain = engine(family, device="cuda", dtype=dtype, max_rows=max_rows)
    replayed = engine(family, CudaGraphs, device="cuda", dtype=dtype, max_rows=max_rows, check_every=16)
    tolerance = 1e-3 if dtype == torch.float32 else 0.05
    weights = {name: tensor.clone() for name, tensor in plain.model.state_dict().items()}
    for version, limit in enumerate([20, 20, 50], 1):
        for sampler in (plain, replayed):
            sampler.load_weights({name: tensor * 0.98**version for name, tensor in weights.items()}, version)
        sampling = Sampling(temperature=0.0, max_new_tokens=limit)
        expected = plain.generate(mixed_prompts(family), sampling)
        got = replayed.generate(mixed_prompts(family), sampling)
        torch.randn(1 << 22, device="cuda").sort()
        torch.cuda.empty_cache()
        for ours, theirs in zip(got, expected, strict=True):
            for a, b in zip(ours, theirs, strict=True):
                same = [x == y for x, y in zip(a.ids, b.ids, strict=False)]
                until = same.index(False) if False in same else len(same)
                assert until > 0
                assert a.logprobs[:until] == pytest.approx(b.logprobs[:until], abs=tolerance)
    assert replayed._graphs is not None and len(replayed._graphs._steps) > 1
