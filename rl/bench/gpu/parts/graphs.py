"""Decode steps replayed as CUDA graphs against the same steps launched kernel by kernel.

Both engines get the same weights, prompts, seeds and lengths. A captured step has rounded-up sizes, for which a
GPU may choose other kernels, so in bfloat16 tokens may part at near ties and log-probabilities are compared up
to there. On a CPU a stand-in captures: it runs the step again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch

from rl.bench.gpu.figure import Figure, Setting
from rl.bench.models import NO_STOP, PAD
from rl.bench.workload import Workload, make_bench_model, make_workload
from rollout.engines.cuda_graphs import Capture, CudaGraphs, Step
from rollout.engines.embedded import TorchEngine
from rollout.engines.precision import cast_weights
from rollout.types import Completion, Sampling

_LOGPROB_BOUND = {torch.float32: 1e-3, torch.bfloat16: 0.1}
_SAME_TOKENS = 0.95  # of the completions; among thousands of tokens, rounding decides a near tie or two


def measure(setting: Setting) -> Iterator[Figure]:
    """Compare in both precisions, sampled and greedy."""
    name, samples, mean = ("tiny", 16, 12) if setting.tiny else ("0.5b", 64, 64)
    workload = make_workload("skewed", samples=samples, mean=mean, prompt_tokens=mean)
    model = make_bench_model(name, setting.device)
    for dtype in (torch.float32, torch.bfloat16):
        cast_weights(model, dtype)
        plain, replayed = (
            TorchEngine(copy.deepcopy(model), stop_ids=[NO_STOP], pad_id=PAD, make_capture=capture)
            for capture in (None, CudaGraphs if setting.device == "cuda" else _rerun)
        )
        for temperature in (1.0, 0.0):
            pairs = list(
                zip(
                    _sample(plain, workload, temperature),
                    _sample(replayed, workload, temperature),
                    strict=True,
                )
            )
            where = f"{str(dtype).removeprefix('torch.')}, temperature {temperature:g}"
            yield Figure(
                name=f"completions with the same tokens, {where}",
                value=sum(one.ids == other.ids for one, other in pairs) / len(pairs),
                at_least=_SAME_TOKENS if dtype == torch.float32 else None,
            )
            yield Figure(
                name=f"largest difference of log-probabilities, {where}",
                value=max(_largest_difference(one, other) for one, other in pairs),
                at_most=_LOGPROB_BOUND[dtype],
            )


def _sample(engine: TorchEngine, workload: Workload, temperature: float) -> list[Completion]:
    sampling = Sampling(temperature=temperature, max_new_tokens=max(workload.lengths))
    return [completion for group in engine.generate(workload.requests, sampling) for completion in group]


def _largest_difference(one: Completion, other: Completion) -> float:
    """Of the log-probabilities, up to the first different token."""
    largest = 0.0
    for a, b, p, q in zip(one.ids, other.ids, one.logprobs, other.logprobs, strict=True):
        if a != b:
            break
        largest = max(largest, abs(p - q))
    return largest


def _rerun() -> Capture:
    def capture(step: Step) -> Step:
        return step

    return capture
