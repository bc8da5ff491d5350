"""How benchmarks compare contestants: rounds, ratios, memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rl.bench.race import Lap, Memory, peak_memory, race
from rl.bench.rollout import rollout
from rl.bench.workload import Case

CASE = Case(model="tiny", kind="equal", samples=8, mean=2, prompt_tokens=8, threads=1)


@pytest.mark.slow
def test_contestants_take_turns_and_ratios_are_taken_within_a_round() -> None:
    order: list[str] = []
    speeds = {"a": iter([10.0, 20.0, 60.0]), "b": iter([5.0, 5.0, 20.0])}

    def work(name: str) -> Lap:
        order.append(name)
        return Lap(per_s=next(speeds[name]))

    lines: list[str] = []
    a, b = race({"a": lambda: work("a"), "b": lambda: work("b")}, rounds=3, unit="laps/s", report=lines.append)
    assert order == ["a", "b"] * 3
    assert lines[:2] == ["round 1/3  a: 10 laps/s", "round 1/3  b: 5 laps/s"]
    assert (a.name, a.per_s, a.median, a.spread) == ("a", (10.0, 20.0, 60.0), 20.0, 2.5)
    assert a.ratios(b) == [2.0, 4.0, 3.0]
    assert b.ratios(a) == [0.5, 0.25, pytest.approx(1 / 3)]


@pytest.mark.slow
def test_memory_of_the_work_is_separate_from_memory_before_it() -> None:
    assert Memory(before=300, peak=450).grown == 150
    gibibyte = 1 << 30
    torch.ones(gibibyte, dtype=torch.uint8)  # this process's peak is no child's
    few, many = (
        peak_memory(rollout, replace(CASE, samples=samples, prompt_tokens=512), "generate")
        for samples in (8, 64)
    )
    # Keys and values of 56 more prompts of 384 tokens or more: 2 layers of 64 numbers, twice, of 4 bytes.
    assert many.grown - few.grown > 56 * 384 * 2 * 64 * 2 * 4
    assert few.before < few.peak < many.peak < gibibyte
    assert few.before == pytest.approx(many.before, rel=0.1)
