"""`stride memory`: whether a config fits, on machines that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import Qwen2Config

from scripts.cli import main

CONFIG = """
env: {name: addition}
rewards: {terms: [{name: correct, weight: 1}]}
warm_start: null
"""


@pytest.fixture
def run(tmp_path: Path) -> list[str]:
    """A run of a folder that holds nothing but a config.json: 4 layers of Qwen2.5-0.5B."""
    Qwen2Config(
        hidden_size=896,
        num_hidden_layers=4,
        num_attention_heads=14,
        num_key_value_heads=2,
        intermediate_size=4864,
        vocab_size=151_936,
        tie_word_embeddings=True,
    ).save_pretrained(tmp_path / "model")
    (tmp_path / "run.yaml").write_text(CONFIG)
    return ["memory", str(tmp_path / "run.yaml"), f"policy.model={tmp_path / 'model'}"]


def test_a_gpu_that_is_not_there(run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Embeddings 151,936 * 896, layers of 14,912,384 and a norm are 195,785,088 parameters, 747 MiB in float32.
    In bfloat16, and with 1,466,368 more for an adapter, 379 MiB."""
    assert main([*run, "--gpu-memory", "24"]) == 0
    full = capsys.readouterr().out
    assert "memory of the learner, GRPO: " in full and "(weights 747 MiB, gradients 747 MiB, " in full
    assert "KV cache up to " in full and "of the 24.0 GiB of the GPU" in full
    assert main([*run, "policy.lora.r=16", "--gpu-memory", "24"]) == 0
    assert "(weights 379 MiB, gradients 6 MiB, " in capsys.readouterr().out


def test_one_that_is_too_small(run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*run, "--gpu-memory", "2"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: the GPU has 2.0 GiB of memory, but the learner takes ")


def test_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.yaml").write_text(CONFIG)
    assert main(["memory", str(tmp_path / "run.yaml"), "device=cpu"]) == 0
    assert "of this machine" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--gpu-memory", "0"], "--gpu-memory is 0; give the GiB of a GPU, for example 24"),
        (["--gpus", "0"], "--gpus is 0; give at least 1"),
        (["policy.model=./nowhere"], "policy.model './nowhere': no such folder"),
        (
            ["--gpu-memory", "24", "device=cpu"],
            "device is 'cpu', and the memory of a GPU is given; set device ",
        ),
    ],
)
def test_mistakes(run: list[str], given: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*run, *given])
    assert ended.value.code == 2 and message in capsys.readouterr().err
