"""Writes the table of docs/recipes/memory.md: what fits on which GPU, by the stated memory.

python docs/memory_table.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from configs import Config, ConfigError, check_config
from rl.build import fit_model
from rl.memory.devices import Devices
from rl.memory.fit import check_fit
from rl.memory.learner import Model
from rl.models.adapter import add_adapter

PAGE = Path(__file__).parent / "recipes" / "memory.md"
GIB = 2**30
_QWEN2 = {"model_type": "qwen2", "num_hidden_layers": 28, "vocab_size": 151_936}
SHAPES: dict[str, dict[str, Any]] = {
    "Qwen2.5-1.5B": _QWEN2
    | {"hidden_size": 1536, "num_attention_heads": 12, "num_key_value_heads": 2, "intermediate_size": 8960}
    | {"tie_word_embeddings": True},
    "Qwen3-4B": {"model_type": "qwen3", "num_hidden_layers": 36, "vocab_size": 151_936, "head_dim": 128}
    | {"hidden_size": 2560, "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 9728}
    | {"tie_word_embeddings": True},
    "Qwen2.5-7B": _QWEN2
    | {"hidden_size": 3584, "num_attention_heads": 28, "num_key_value_heads": 4, "intermediate_size": 18_944}
    | {"tie_word_embeddings": False, "vocab_size": 152_064},
}
TRAINED: dict[str, dict[str, Any]] = {
    "all weights": {},
    "all weights, `adamw_8bit`": {"grpo": {"optim": "adamw_8bit"}},
    "LoRA": {"policy": {"lora": {}}},
}


def make_config(new_tokens: int, changes: dict[str, Any]) -> Config:
    """GRPO alone with 8 groups of 8 samples in a batch, other keys as they are on a GPU."""
    lora = bool(changes.get("policy"))
    policy = {"model": "shape", "mixed_precision": "bf16", "gradient_checkpointing": True}
    policy |= {"dtype": "bfloat16" if lora else "float32"} | changes.get("policy", {})
    return check_config(
        {
            "env": {"name": "addition"},
            "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
            "warm_start": None,
            "rollout": {"max_prompt_tokens": 512, "max_new_tokens": new_tokens},
            "policy": policy,
            "grpo": changes.get("grpo", {}),
        }
    )


def make_shape(name: str, config: Config) -> Model:
    """The model on the `meta` device."""
    settings = dict(SHAPES[name])
    shape = AutoConfig.for_model(settings.pop("model_type"), **settings)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(
            shape, dtype=torch.bfloat16 if config.policy.lora else torch.float32
        )
        return add_adapter(model, config.policy.lora, 0) if config.policy.lora else model


def row(name: str, trained: str, new_tokens: int) -> str:
    """One line of the table."""
    config = make_config(new_tokens, TRAINED[trained])
    model, cells = make_shape(name, config), list[str]()
    for size in (24, 80):
        devices = Devices(size=size * GIB, on_gpu=True, engines_here=1)
        fit = fit_model(config, model, devices)
        learner = fit.learner["GRPO"]
        if not cells:
            state = (learner.weights, learner.gradients + learner.optimizer, fit.engine.weights)
            cells = [f"{part / GIB:.1f}" for part in state]
        try:
            check_fit(config, fit)
        except ConfigError:
            cells.append(f"no, {fit.peak / GIB:.0f} at least")
        else:
            cells.append(
                f"{fit.peak / GIB:.0f}: cache {fit.engine.cache / GIB:.1f}, "
                f"passes of {learner.tokens:,} tokens {learner.activations / GIB:.1f}"
            )
    return f"| {name}, {trained} | {' | '.join(cells)} |"


def table(new_tokens: int) -> str:
    """The table for completions of up to this many tokens."""
    head = "| model and what is trained | weights | gradients, optimizer | engine's weights | 24 GiB | 80 GiB |"
    rows = [row(name, trained, new_tokens) for name in SHAPES for trained in TRAINED]
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def main() -> None:
    """Replace the table in the page."""
    text = re.sub(r"(?s)\| model and what.*?\n\n", f"{table(8192)}\n\n", PAGE.read_text())
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
