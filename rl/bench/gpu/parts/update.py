"""Whole GRPO updates of a model of 0.5 B parameters: seconds, agreement of sampler and learner, peak memory.

Sampling, reward, loss, backward, optimiser and new weights for the sampler, all through the trainer of a run.
Weights are float32; the learner computes in float32, in bfloat16 (autocast), and then with checkpointing too.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

import torch

from rl.bench.gpu.figure import Figure, Setting
from rl.bench.trainers import train_stride
from rl.bench.workload import Case
from rl.grpo.logprob_check import BFLOAT16_LIMIT
from rl.precision import Passes

_UPDATES = 3  # the first one warms up
_LOGPROB_BOUND = {False: 1e-3, True: BFLOAT16_LIMIT}  # by whether the learner computes in bfloat16
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
    for passes in (
        Passes(cpu=setting.device == "cpu"),
        Passes(cpu=setting.device == "cpu", mixed_precision=True),
        Passes(cpu=setting.device == "cpu", mixed_precision=True, checkpointing=True),
    ):
        yield from _measure(case, passes)


def _measure(case: Case, passes: Passes) -> Iterator[Figure]:
    name = "autocast" if passes.mixed_precision else "float32"
    name += ", checkpointing" if passes.checkpointing else ""
    workload, model = case.make_workload(), case.make_model()
    if case.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    training = train_stride(model, workload, updates=_UPDATES, passes=passes)
    timed = training.logs[1:]
    seconds = fmean(training.seconds)
    yield Figure(name=f"{name}: an update", value=seconds, unit="s")
    yield Figure(name=f"{name}: tokens", value=workload.tokens / seconds, unit="tokens/s")
    for phase in _PHASES:
        yield Figure(name=f"{name}: {phase}", value=fmean(row[phase] for row in timed), unit="s")
    if case.device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**30
        yield Figure(name=f"{name}: peak memory", value=peak, unit="GiB")
    yield Figure(
        name=f"{name}: largest difference of log-probabilities, sampler to learner",
        value=max(row["logprob_diff/max"] for row in training.logs),
        at_most=_LOGPROB_BOUND[passes.mixed_precision],
    )
