"""The parts of the learner's memory, worked by hand on a model of 2 layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM

from rl.memory.learner import LearnerMemory, learner_memory
from rl.memory.passes import PassMemory

# Embeddings 100 * 8, tied; a layer: q and o 2 * 64 + 8, k and v 2 * (8 * 4 + 4), MLP 3 * 128, 2 norms of 8.
EMBEDDINGS, LAYER, NORM = 800, 2 * 64 + 8 + 2 * 36 + 3 * 128 + 16, 8
MATRICES = 2 * 64 + 2 * 32 + 3 * 128  # of a layer
PARAMETERS = EMBEDDINGS + 2 * LAYER + NORM
ROTARY = 2 * 2 * 4  # two buffers of 2 frequencies in float32


def model() -> Any:
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    config = Qwen2Config(**sizes, intermediate_size=16, vocab_size=100, tie_word_embeddings=True)
    with torch.device("meta"):
        return Qwen2ForCausalLM(config)


def memory(made: Any, **changed: Any) -> LearnerMemory:
    settings: dict[str, Any] = {
        "optim": "adamw_torch_fused",
        "passes": PassMemory(kept=100, peak=1000),
        "tokens": 64,
        "reference": False,
        "four_bit": False,
        "on_gpu": True,
    }
    return learner_memory(made, **{**settings, **changed})


def test_all_weights_in_float32() -> None:
    found = memory(model(), reference=True)
    assert found.weights == found.reference == 4 * PARAMETERS + ROTARY
    assert found.gradients == 4 * PARAMETERS and found.optimizer == 8 * PARAMETERS
    assert found.lasting == 20 * PARAMETERS + 2 * ROTARY
    assert found.peak == found.lasting + 1000


def test_an_adapter_on_bfloat16() -> None:
    """Rank 2 on the 7 linear layers of a layer: 2 * (16 + 12 + 12 + 16 + 24 + 24 + 24) float32 numbers."""
    made = get_peft_model(
        model().to(torch.bfloat16), LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    adapter = 2 * 2 * (16 + 12 + 12 + 16 + 24 + 24 + 24)
    found = memory(made)
    assert found.gradients == 4 * adapter and found.optimizer == 8 * adapter
    assert found.weights - found.gradients == pytest.approx(2 * PARAMETERS, abs=ROTARY)
    linear = 2 * (2 * 64 + 2 * 32 + 3 * 128)
    four = memory(made, four_bit=True)
    assert found.weights - four.weights == pytest.approx((2 - 0.516) * linear, rel=0.001)
    assert four.activations == 1000 + 2 * 128  # the largest matrix in bfloat16


@pytest.mark.parametrize(
    ("optim", "state", "step"),
    [
        ("adamw_torch", 8 * PARAMETERS, 4 * PARAMETERS),  # all square roots at once
        ("paged_adamw_32bit", 0, 0),
        ("paged_adamw_8bit", 0, 0),
        ("adamw_8bit", 8 * PARAMETERS, 0),  # tensors under 4,096 numbers stay in float32
        ("sgd", 0, 0),
        # Momentum of the matrices; for the largest, its update, and in bfloat16 two copies and two squares.
        ("muon", 8 * PARAMETERS - 4 * 2 * MATRICES, 4 * 128 + 2 * 2 * (128 + 64)),
        # Rows and columns of each matrix, and vectors whole.
        ("adafactor", 4 * (108 + 8 + 2 * (16 + 12 + 12 + 16 + 3 * 24 + 8 + 4 + 4 + 16)), 3 * 4 * 800),
    ],
)
def test_optimizers(optim: str, state: int, step: int) -> None:
    found = memory(model(), optim=optim, passes=PassMemory(kept=0, peak=0))
    assert (found.optimizer, found.step) == (state, step)
    assert found.peak == found.lasting + step


def test_8_bit_states_of_large_tensors() -> None:
    """Two bytes a weight and 8 bytes for each 256 of them; embeddings, 6,400 numbers, keep float32."""
    sizes = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    with torch.device("meta"):
        large = Qwen2ForCausalLM(Qwen2Config(**sizes, intermediate_size=64, vocab_size=100))
    small = 3 * 64 + 3 * 64  # biases of queries, keys and values, and three norms
    matrices = 7 * 64 * 64 + 6400  # the output layer is not tied
    found = memory(large, optim="adamw_8bit")
    assert found.optimizer == 8 * small + 8 * 6400 + 2 * matrices + 8 * matrices // 256


def test_one_line() -> None:
    shown = LearnerMemory(
        weights=6 << 30,
        gradients=6 << 30,
        optimizer=12 << 30,
        reference=0,
        step=0,
        activations=1 << 29,
        tokens=16384,
        estimated=True,
    )
    assert str(shown) == (
        "24.5 GiB (weights 6.0 GiB, gradients 6.0 GiB, optimizer 12.0 GiB, passes of 16,384 tokens (estimated) "
        "512 MiB)"
    )
