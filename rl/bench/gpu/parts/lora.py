"""Sampling from a model with a LoRA adapter of rank 16: tokens per second beside the same model without one.

The adapter is merged into a plain model, so both take the same decode steps. Also how long a publication takes,
how far sampler and learner are apart after it, and the memory of the engine beside the base that it shares. The
shape is Qwen2.5-0.5B's with random weights, in bfloat16.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from rl.bench.gpu.figure import Figure, Setting
from rl.bench.models import NO_STOP, PAD
from rl.bench.workload import Workload, make_bench_model, make_workload
from rl.models.policy import trainable_weights
from rollout.engines.base import Engine
from rollout.engines.precision import cast_weights
from rollout.engines.spec import EngineSpec
from rollout.types import Completion, Sampling

_LAPS = 3
_DELTA = 0.02  # standard deviation of the adapter's matrices
_LEAST_SPEED = 0.8  # of that without adapter
_LOGPROB_BOUND = 0.1  # mean difference in bfloat16


def measure(setting: Setting) -> Iterator[Figure]:
    """Time both models, then publish an adapter and compare."""
    name, samples, mean = ("tiny", 16, 12) if setting.tiny else ("0.5b", 256, 96)
    workload = make_workload("equal", samples=samples, mean=mean, prompt_tokens=mean)
    model: Any = make_bench_model(name, setting.device)
    cast_weights(model, torch.bfloat16)
    plain = _tokens_per_s(_engine(model, setting), workload)
    yield Figure(name="without adapter", value=plain, unit="tokens/s")
    learner: Any = get_peft_model(
        model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    before = _allocated(setting)
    engine = _engine(learner, setting)
    if setting.device == "cuda":
        yield Figure(name="memory of the engine", value=(_allocated(setting) - before) / 2**20, unit="MiB")
        base = sum(p.nbytes for p in learner.parameters()) / 2**20
        yield Figure(name="memory of the base and the adapter", value=base, unit="MiB")
    with_adapter = _tokens_per_s(engine, workload)
    yield Figure(name="with adapter", value=with_adapter, unit="tokens/s")
    yield Figure(
        name="with adapter to without",
        value=with_adapter / plain,
        unit="x",
        at_least=None if setting.tiny else _LEAST_SPEED,
    )
    torch.manual_seed(0)
    for weight in trainable_weights(learner).values():
        weight.normal_(0, _DELTA)
    started = time.perf_counter()
    engine.load_weights(trainable_weights(learner), version=1)
    if setting.device == "cuda":
        torch.cuda.synchronize()
    yield Figure(name="a publication", value=time.perf_counter() - started, unit="s")
    rows = _sample(engine, workload)[:: max(1, samples // 8)]
    prompts = workload.repeated[:: max(1, samples // 8)]
    differences = [_difference(learner, ids, row) for ids, row in zip(prompts, rows, strict=True)]
    yield Figure(
        name="mean difference of log-probabilities, sampler to learner",
        value=float(torch.cat(differences).mean()),
        at_most=_LOGPROB_BOUND,
    )


def _engine(model: Any, setting: Setting) -> Engine:
    return EngineSpec(
        model=model,
        stop_ids=(NO_STOP,),
        pad_id=PAD,
        dtype=torch.bfloat16,
        device=setting.device,
        threads=1,
        max_rows=None,
        cuda_graphs=True,
    ).build()


def _tokens_per_s(engine: Engine, workload: Workload) -> float:
    _sample(engine, workload)
    figures = []
    for _ in range(_LAPS):
        started = time.perf_counter()
        _sample(engine, workload)
        figures.append(workload.tokens / (time.perf_counter() - started))
    return median(figures)


def _sample(engine: Engine, workload: Workload) -> list[Completion]:
    sampling = Sampling(temperature=1.0, max_new_tokens=max(workload.lengths))
    return [completion for group in engine.generate(workload.requests, sampling) for completion in group]


@torch.no_grad()
def _difference(learner: Any, prompt: list[int], completion: Completion) -> torch.Tensor:
    """Absolute differences [T] to the learner's full pass, in the precision of its weights."""
    ids_1W = torch.tensor([[*prompt, *completion.ids]], device=learner.device)
    logits_TV = learner(input_ids=ids_1W).logits[0, len(prompt) - 1 : -1].float()
    logps_T = torch.log_softmax(logits_TV, dim=-1).gather(1, ids_1W[0, len(prompt) :, None]).squeeze(1).cpu()
    return (logps_T - torch.tensor(completion.logprobs)).abs()


def _allocated(setting: Setting) -> int:
    return int(torch.cuda.memory_allocated()) if setting.device == "cuda" else 0
