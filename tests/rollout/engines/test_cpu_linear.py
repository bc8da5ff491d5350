"""The faster library computes the same linear maps, gradients and completions."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rollout.engines import cpu_linear
from rollout.engines.cpu_linear import Matrix, prefers_onednn, speed_up_linears
from rollout.engines.embedded import TorchEngine
from rollout.types import Prompt, Sampling
from tests.kit.causal_models import PAD, STOP, WRITTEN_OUT, full_forward, make


@pytest.fixture
def onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor where oneDNN is faster, whatever this one is, and for products of any size."""
    monkeypatch.setattr(cpu_linear, "prefers_onednn", lambda: True)
    monkeypatch.setattr(cpu_linear, "_LEAST", 0)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 40])
def test_a_matrix_of_the_decoder(rows: int, has_bias: bool) -> None:
    by_input = random(24, 40).t()  # [O, I], as the decoder stores it
    bias = random(40) if has_bias else None
    x, total = random(rows, 24), random(rows, 40)
    matrix = Matrix(by_input, bias)
    torch.testing.assert_close(matrix(x), F.linear(x, by_input, bias))
    torch.testing.assert_close(matrix.add_to(total, x), total + F.linear(x, by_input, bias))


@pytest.mark.usefixtures("onednn")
def test_a_matrix_follows_its_weight() -> None:
    weight, x = random(40, 24), random(3, 24)
    matrix = Matrix(weight, None)
    weight.copy_(random(24, 40).t())
    matrix.refresh()
    torch.testing.assert_close(matrix(x), F.linear(x, weight))


def test_small_products_stay_with_mkl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_linear, "prefers_onednn", lambda: True)
    called = []
    monkeypatch.setattr(cpu_linear, "_onednn", lambda x, *rest: called.append(len(x)) or F.linear(x, weight))
    weight = random(300, 100)
    matrix = Matrix(weight, None)
    for rows in (1, 19, 20, 64):
        matrix(random(rows, 100))
    assert called == [20, 64]


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("frozen", ["nothing", "weight", "input"])
def test_gradients_of_a_layer(frozen: str) -> None:
    plain = nn.Linear(24, 40)
    x = random(2, 5, 24).requires_grad_(frozen != "input")
    plain.weight.requires_grad_(frozen != "weight")
    fast = copy.deepcopy(plain)
    speed_up_linears(fast)
    gradients = []
    for layer in (plain, fast):
        x.grad = None
        out = layer(x)
        out.backward(random(2, 5, 40))
        assert layer.bias is not None and layer.bias.grad is not None
        gradients.append((out.detach(), x.grad, layer.weight.grad, layer.bias.grad))
    for expected, got in zip(*gradients, strict=True):
        assert (expected is None) == (got is None)
        if expected is not None and got is not None:
            torch.testing.assert_close(got, expected)


@pytest.mark.usefixtures("onednn")
def test_gradients_of_views() -> None:
    """An input whose rows lie apart, and a gradient that is one number for all outputs."""
    plain = nn.Linear(24, 40)
    fast = copy.deepcopy(plain)
    speed_up_linears(fast)
    wide = random(2, 5, 48).requires_grad_()
    plain(wide[..., :24]).sum().backward()
    expected, wide.grad = wide.grad, None
    fast(wide[..., :24]).sum().backward()
    torch.testing.assert_close(wide.grad, expected)
    torch.testing.assert_close(fast.weight.grad, plain.weight.grad)


def test_parts_of_a_matrix_stay_with_mkl(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder joins the matrices of layers that read the same; oneDNN is slow on what is left of each."""
    monkeypatch.setattr(cpu_linear, "prefers_onednn", lambda: True)
    monkeypatch.setattr(cpu_linear, "_LEAST", 0)
    called = []
    monkeypatch.setattr(cpu_linear, "_onednn", lambda x, *rest: called.append(rest) or F.linear(x, *rest))
    joined, x = random(24, 80).t(), random(3, 24)
    layer = nn.Linear(24, 40, bias=False).requires_grad_(False)
    speed_up_linears(layer)
    for weight, expected in ((joined[:40], 0), (joined[:40].contiguous(), 1), (random(24, 40).t(), 2)):
        layer.weight.data = weight
        torch.testing.assert_close(layer(x), F.linear(x, weight))
        assert len(called) == expected


@pytest.mark.usefixtures("onednn")
def test_a_copy_of_a_layer_has_its_own_weight() -> None:
    layer = nn.Linear(24, 40)
    speed_up_linears(layer)
    other = copy.deepcopy(layer)
    with torch.no_grad():
        other.weight.zero_()
        other.bias.zero_()
    x = random(3, 24)
    assert not other(x).any()
    assert layer(x).any()


@pytest.mark.usefixtures("onednn")
def test_other_precisions_are_left_to_torch() -> None:
    layer = nn.Linear(24, 40).to(torch.bfloat16)
    speed_up_linears(layer)
    assert layer(random(3, 24).to(torch.bfloat16)).dtype == torch.bfloat16
    whole = nn.Linear(24, 40)
    speed_up_linears(whole)
    with torch.autocast("cpu", torch.bfloat16):
        assert whole(random(3, 24)).dtype == torch.bfloat16


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("family", WRITTEN_OUT)
def test_the_engine_agrees_with_a_full_forward_before_and_after_new_weights(family: str) -> None:
    model, plain = make(family), make(family)  # the engine changes how its model computes
    engine = TorchEngine(model, stop_ids=[STOP], pad_id=PAD, threads=1)
    prompt = Prompt(ids=(3, 4, 5), seeds=(11, 12))
    for version in range(2):
        (group,) = engine.generate([prompt], Sampling(temperature=1.0, max_new_tokens=12))
        for completion in group:
            with torch.no_grad():
                expected = full_forward(plain, prompt.ids, completion.ids, 1.0)
            assert (expected - torch.tensor(completion.logprobs)).abs().max() < 1e-5
        with torch.no_grad():
            for weight in plain.parameters():
                weight.mul_(1.1)
        engine.load_weights(dict(plain.named_parameters()), version + 1)


@pytest.mark.parametrize(
    ("vendor", "capability", "expected"),
    [
        ("AuthenticAMD", "AVX512", True),
        ("AuthenticAMD", "AVX2", False),
        ("GenuineIntel", "AVX512", False),
        (None, "AVX512", False),
    ],
)
def test_the_processor_decides(
    vendor: str | None, capability: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(cpu_linear, "_vendor", lambda: vendor)
    assert prefers_onednn.__wrapped__() is expected
