"""Loading a model takes its size in host memory, in the precision asked for."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from configs.schema.config import PolicyConfig
from rl.models.policy import load_policy
from tests.kit.byte_tokenizer import FAMILIES
from tests.kit.one_update import ENV

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def status(key: str) -> int:
    """Bytes of a line of the process's status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024


def test_a_bfloat16_model_never_takes_the_memory_of_a_float32_one(tmp_path: Path) -> None:
    tokenizer = FAMILIES["qwen"].tokenizer()
    size = {"hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8, "intermediate_size": 2048}
    config = LlamaConfig(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, **size)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    given = PolicyConfig(model=str(tmp_path), dtype="bfloat16")
    load_policy(given, ENV, seed=0)  # what is imported on the first call
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    model = load_policy(given, ENV, seed=0).model
    # Every page of the mapped file is read.
    touched = sum(weight.detach().float().sum().item() for weight in model.parameters())
    taken = status("VmHWM") - before
    size_in_memory = sum(weight.numel() * 2 for weight in model.parameters())
    assert math.isfinite(touched) and size_in_memory > 48 << 20
    assert taken < 1.3 * size_in_memory
