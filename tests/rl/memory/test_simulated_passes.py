"""Passes without numbers against passes with numbers: the same bytes, and a whole update within them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trl.trainer.utils
from trl.trainer.utils import add_fused_lm_head

from rl.grpo.evaluation_mode import switch_to_evaluation
from rl.memory.learner import bytes_of
from rl.memory.passes import PassMemory, PassSimulation, _Alive
from rollout.column_positions import ColumnPositions
from tests.kit.causal_models import make
from tests.kit.model_families import make_family
from tests.kit.update_memory import Case

SMALL = Case(hidden=64, layers=3, heads=4, kv_heads=2, mlp=128, vocabulary=500, rows=2, width=48)
CASES = {
    "all weights": SMALL,
    "untied": replace(SMALL, tied=False),
    "checkpointing": replace(SMALL, checkpointing=True),
    "mixed precision": replace(SMALL, mixed_precision=True),
    "both": replace(SMALL, checkpointing=True, mixed_precision=True),
    "LoRA": replace(SMALL, lora=True, checkpointing=True),
    "LoRA on bfloat16": replace(SMALL, lora=True, mixed_precision=True),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_whole_update_takes_what_is_stated(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that any operation allocates is counted; beside the pass that is the rows and figures of an
    update, and what a step takes."""
    monkeypatch.setattr(trl.trainer.utils, "_CHUNKED_LOGPROB_CHUNK_SIZE", case.vocabulary)
    model = case.model()
    alive = _Alive()
    for tensor in (*model.parameters(), *model.buffers()):
        alive.leave_out(tensor)
    with alive:
        case.train(model, tmp_path)
    measured = bytes_of(model) + alive.peak
    assert case.stated(model).peak == pytest.approx(measured, rel=0.05)


def test_checkpointing_keeps_the_input_of_each_layer() -> None:
    """2 * 48 tokens, 64 wide, in float32: 24 KiB for each of 3 layers, under a third of all that is made."""
    model = SMALL.model()
    none, each = (
        PassSimulation(model, mixed_precision=False, checkpointing=on, on_gpu=False).measure(2, 48)
        for on in (False, True)
    )
    assert 3 * 24 * 1024 < each.kept < none.kept / 3


def test_nothing_of_the_model_is_changed() -> None:
    model = SMALL.model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    PassSimulation(model, mixed_precision=True, checkpointing=True, on_gpu=True).measure(2, 16)
    assert not model.is_gradient_checkpointing and "forward" not in vars(model)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_gpu_folds_logits_in_place_and_keeps_scores_in_float32() -> None:
    """The head has one tile of logits [95, 32768] there, and a CPU several. With grouped heads and float32,
    attention keeps scores [2, 4, 48, 48] in every layer."""
    model = replace(SMALL, vocabulary=33_000).model()

    def measure(*, on_gpu: bool, mixed: bool) -> PassMemory:
        simulation = PassSimulation(model, mixed_precision=mixed, checkpointing=False, on_gpu=on_gpu)
        return simulation.measure(2, 48)

    assert measure(on_gpu=True, mixed=True).peak < measure(on_gpu=False, mixed=True).peak
    scores = measure(on_gpu=True, mixed=False).kept - measure(on_gpu=False, mixed=False).kept
    assert scores > 3 * 2 * 4 * 48 * 48 * 4


def test_a_padded_pass_has_a_mask() -> None:
    simulation = PassSimulation(SMALL.model(), mixed_precision=False, checkpointing=False, on_gpu=False)
    assert simulation.measure(2, 48, padded=True).kept > simulation.measure(2, 48).kept


def test_positions_that_follow_from_the_text_are_not_found_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take a minute for long rows, and they take no memory worth counting."""
    monkeypatch.delattr(ColumnPositions, "read")
    own, plain = (
        PassSimulation(make(family), mixed_precision=False, checkpointing=False, on_gpu=False)
        for family in ("llama-columns", "llama")
    )
    measured = own.measure(2, 24, padded=True)
    assert not measured.estimated
    assert measured.kept == pytest.approx(plain.measure(2, 24, padded=True).kept, rel=0.05)


@pytest.mark.parametrize("family", ["gemma2", "gpt2", "qwen3", "mixtral", "mamba2", "falcon_h1"])
def test_families_are_simulated_or_estimated_from_above(family: str) -> None:
    model = make_family(family)
    stated = PassSimulation(model, mixed_precision=False, checkpointing=False, on_gpu=False).measure(2, 24)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    ids_BW = torch.zeros(2, 24, dtype=torch.long)
    alive = _Alive()
    for tensor in (*model.parameters(), *model.buffers()):
        alive.leave_out(tensor)
    switch_to_evaluation(model.train())
    with alive:
        outputs = model(input_ids=ids_BW, labels=ids_BW, fused_lm_head=True)
    assert outputs.log_probs.requires_grad
    if stated.estimated:
        assert stated.kept >= alive.bytes
    else:
        assert stated.kept == pytest.approx(alive.bytes, rel=0.05)


def test_the_common_families_are_not_estimated() -> None:
    for family in ("llama", "mistral", "qwen2", "qwen3", "gemma2"):
        simulation = PassSimulation(make_family(family), mixed_precision=False, checkpointing=True, on_gpu=True)
        assert not simulation.measure(2, 24).estimated, family
