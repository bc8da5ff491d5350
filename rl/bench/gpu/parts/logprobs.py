"""Log-probabilities of sampler and learner at positions up to 4,000, in float32 and bfloat16.

A model is saved, loaded as a run loads its policy, and sampled from with the embedded engine. The learner's are
those of a forward pass over the same tokens. In bfloat16 both are held to the library: neither may be further
from the float32 model than the model that `from_pretrained(dtype=bfloat16)` gives, up to noise. A rotary
embedding that is cast with the weights shows at late positions.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from configs.schema.config import PolicyConfig
from envs import make_env
from rl.bench.checksum_task import make_tokenizer
from rl.bench.gpu.figure import Figure, Setting
from rl.bench.models import NO_STOP, PAD, Shape
from rl.bench.workload import make_llama, make_workload
from rl.models.policy import load_policy
from rl.runs.quiet import quiet_libraries
from rollout.engines.spec import EngineSpec
from rollout.types import Sampling

_SHAPE = Shape(4, 896, 14, 2, 4864)  # Qwen2.5-0.5B's, with 4 of its layers and a small vocabulary
_TINY_SHAPE = Shape(4, 64, 2, 2, 128)
_SPREAD = 60.0  # matrices times 60 / sqrt(width): else attention is near uniform and blind to positions
_NOISE = 1.25
_FLOAT32_BOUND = 1e-4


def measure(setting: Setting) -> Iterator[Figure]:
    """Compare in float32, then in bfloat16 by bands of positions."""
    quiet_libraries()
    total = 512 if setting.tiny else 4000
    workload = make_workload("equal", samples=8, mean=total - 32, prompt_tokens=24)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _save_model(folder, setting)
        sampled = {}
        for dtype in ("float32", "bfloat16"):
            config = PolicyConfig.model_validate({"model": str(folder), "dtype": dtype})
            learner: Any = load_policy(config, make_env("addition"), seed=0).model
            engine = EngineSpec(
                model=learner,
                stop_ids=(NO_STOP,),
                pad_id=PAD,
                dtype=getattr(torch, dtype),
                device=setting.device,
                threads=1,
                max_rows=None,
                cuda_graphs=True,
            ).build()
            (group,) = engine.generate(workload.requests, Sampling(temperature=1.0, max_new_tokens=total))
            rows = [(*workload.prompts[0], *completion.ids) for completion in group]
            sampler_BT = torch.tensor([completion.logprobs for completion in group])
            learner_BT = _forward(learner.to(setting.device), rows, sampler_BT.shape[1])
            sampled[dtype] = (rows, sampler_BT, learner_BT)
            del engine, learner
        yield Figure(
            name=f"float32: largest difference, sampler to learner, {total:,} positions",
            value=float((sampled["float32"][1] - sampled["float32"][2]).abs().max()),
            at_most=_FLOAT32_BOUND,
        )
        rows, sampler_BT, learner_BT = sampled["bfloat16"]
        exact_BT, library_BT = (
            _forward(_from_library(folder, dtype, setting.device), rows, sampler_BT.shape[1])
            for dtype in (torch.float32, torch.bfloat16)
        )
    first = total - sampler_BT.shape[1]
    for start, end in zip(edges := [0, total // 8, total // 4, total // 2, total], edges[1:], strict=False):
        band = slice(max(start - first, 0), end - first)
        where = f"bfloat16, positions {start:,} to {end:,}: mean difference"

        def mean(one_BT: torch.Tensor, other_BT: torch.Tensor, band: slice = band) -> float:
            return float((one_BT - other_BT)[:, band].abs().mean())

        library = mean(library_BT, exact_BT)
        bound = _NOISE * library if end == total else None  # the most positions, and the latest
        yield Figure(name=f"{where}, library to float32", value=library)
        yield Figure(name=f"{where}, learner to float32", value=mean(learner_BT, exact_BT), at_most=bound)
        yield Figure(name=f"{where}, sampler to float32", value=mean(sampler_BT, exact_BT), at_most=bound)
        yield Figure(name=f"{where}, sampler to learner", value=mean(sampler_BT, learner_BT))


def _save_model(folder: Path, setting: Setting) -> None:
    shape = _TINY_SHAPE if setting.tiny else _SHAPE
    model = make_llama(shape)
    for parameter in model.parameters():
        parameter.data.mul_(_SPREAD / math.sqrt(shape.width) if parameter.dim() > 1 else 1.0)
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)


def _from_library(folder: Path, dtype: torch.dtype, device: str) -> torch.nn.Module:
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    moved: torch.nn.Module = model.to(device).eval()
    return moved


def _forward(model: torch.nn.Module, rows: list[tuple[int, ...]], new_tokens: int) -> torch.Tensor:
    """Log-probabilities [B, T] of the last tokens of each row, one row at a time, on the CPU."""
    device = next(model.parameters()).device
    logps = []
    with torch.no_grad():
        for row in rows:
            ids_1W = torch.tensor([row], device=device)
            logits_TV = model(input_ids=ids_1W).logits[0, -new_tokens - 1 : -1].float()
            new_T1 = ids_1W[0, -new_tokens:, None]
            logps.append(torch.log_softmax(logits_TV, dim=-1).gather(1, new_T1).squeeze(1).cpu())
    return torch.stack(logps)
