"""Whole GRPO updates of a model of 0.5 B parameters: seconds, agreement of sampler and learner, peak memory.

Sampling, reward, loss, backward, optimiser and new weights for the sampler, all through the trainer of a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

import torch

from rl.bench.gpu.figure import Figure, Setting
from rl.bench.trainers import train_stride
from rl.bench.workload import Case

_UPDATES = 3  # the first one warms up
_LOGPROB_BOUND = 1e-3
_PHASES = ("seconds/rollout", "seconds/publish", "seconds/update")


def measure(setting: Setting) -> Iterator[Figure]:
    """Train a few updates and read off what they took."""
    case = Case(
        model="tiny" if setting.tiny else "0.5b",
        kind="skewed",
        samples=16 if setting.tiny else 256,
        mean=4 if setting.tiny else 128,
        prompt_tokens=8 if setting.tiny else 128,
        threads=1,
        device=setting.device,
    )
    workload = case.make_workload()
    model = case.make_model()
    if setting.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    training = train_stride(model, workload, updates=_UPDATES)
    timed = training.logs[1:]
    seconds = fmean(training.seconds)
    yield Figure(name="float32: an update", value=seconds, unit="s")
    yield Figure(name="float32: tokens", value=workload.tokens / seconds, unit="tokens/s")
    for phase in _PHASES:
        yield Figure(name=f"float32: {phase}", value=fmean(row[phase] for row in timed), unit="s")
    if setting.device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**30
        yield Figure(name="float32: peak memory", value=peak, unit="GiB")
    yield Figure(
        name="float32: largest difference of log-probabilities, sampler to learner",
        value=max(row["logprob_diff/max"] for row in training.logs),
        at_most=_LOGPROB_BOUND,
    )
