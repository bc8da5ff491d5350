"""Sampling with a model of 0.5 B parameters: tokens per second beside `generate`, vLLM and the roofline.

The shape is Qwen2.5-0.5B's with random weights. Lengths are fixed in advance, equal or skewed, so that all do
the same work. The embedded engine comes first, with several laps; each rival has one.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from rl.bench.floor import floor, memory_floor
from rl.bench.gpu.figure import Figure, Setting
from rl.bench.rollout import CONTESTANTS, rollout
from rl.bench.workload import Case

_KINDS = ("equal", "skewed")
_LAPS = 3
_RIVALS = [name for name in ("generate", "vllm") if name in CONTESTANTS]


def measure(setting: Setting) -> Iterator[Figure]:
    """Time the embedded engine, then its rivals, on both workloads."""
    cases = {kind: _case(kind, setting) for kind in _KINDS}
    own: dict[str, float] = {}
    for kind, case in cases.items():
        stride = rollout(case)["stride"]
        own[kind] = median(stride().per_s for _ in range(_LAPS))
        yield Figure(name=f"{kind}: stride", value=own[kind], unit="tokens/s")
        model, workload = case.make_model(), case.make_workload()
        for name, limit in (("memory", memory_floor), ("memory and arithmetic", floor)):
            per_s = limit(model, workload)
            yield Figure(name=f"{kind}: the limit of {name}", value=per_s, unit="tokens/s")
            yield Figure(name=f"{kind}: stride, share of the limit of {name}", value=own[kind] / per_s)
        del model
    for rival in _RIVALS:
        for kind, case in cases.items():
            per_s = rollout(case)[rival]().per_s
            yield Figure(name=f"{kind}: {rival}", value=per_s, unit="tokens/s")
            yield Figure(name=f"{kind}: stride to {rival}", value=own[kind] / per_s, unit="x")


def _case(kind: str, setting: Setting) -> Case:
    return Case(
        model="tiny" if setting.tiny else "0.5b",
        kind=kind,
        samples=16 if setting.tiny else 256,
        mean=4 if setting.tiny else 96,
        prompt_tokens=8 if setting.tiny else 128,
        threads=1,
        device=setting.device,
        dtype="bfloat16",
    )
