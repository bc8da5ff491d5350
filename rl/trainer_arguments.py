"""The arguments that all stages give transformers' Trainer in the same way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from configs.schema.config import GrpoConfig, WarmStartConfig
from configs.schema.key_steps import KeyStepsConfig
from configs.schema.section import Optim
from rl.precision import Passes

_RENAMED = "activation_checkpointing" in TrainingArguments.__dataclass_fields__  # from transformers 5.24 on
_CHECKPOINTING = "activation_checkpointing" if _RENAMED else "gradient_checkpointing"
NO_CHECKPOINTING: dict[str, Any] = {_CHECKPOINTING: False}
MUON = "matrices=muon"  # as `optim_args`, beside AdamW


def trainer_arguments(
    config: WarmStartConfig | KeyStepsConfig | GrpoConfig,
    *,
    folder: Path,
    seed: int,
    passes: Passes,
    report_to: list[str],
) -> dict[str, Any]:
    """Keyword arguments of a `TrainingArguments`: length, optimizer, passes, checkpoints and logging.

    Weights keep the dtype they were loaded with, and every update is logged. The progress line is Stride's own.
    TF32 is set for the whole process (`rollout.engines.precision.set_tf32`).

    Args:
        config: The section of the stage.
        folder: Checkpoints go here.
        seed: Seed of the Trainer.
        passes: How forward and backward passes run.
        report_to: Metric backends.
    """
    return {
        "output_dir": str(folder),
        "max_steps": config.updates,
        "learning_rate": config.learning_rate,
        **_optimizer(config.optim),
        "weight_decay": config.weight_decay,
        "adam_beta1": config.adam_beta1,
        "adam_beta2": config.adam_beta2,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would hide a loss that is not finite
        "save_strategy": "steps",  # also saves after the last update
        "save_steps": config.save_every or config.updates,
        "seed": seed,
        "use_cpu": passes.cpu,
        "bf16": passes.mixed_precision,
        _CHECKPOINTING: passes.checkpointing,
        f"{_CHECKPOINTING}_kwargs": {"use_reentrant": False},  # works with autocast and frozen layers
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
        "report_to": report_to,
    }


def _optimizer(name: Optim) -> dict[str, Any]:
    """What names the optimizer: transformers' own names, or an AdamW that `ConfiguredRates` makes Muon of."""
    return {"optim": "adamw_torch_fused", "optim_args": MUON} if name == "muon" else {"optim": name}


@contextmanager
def adapter_kept(model: torch.nn.Module) -> Iterator[None]:
    """Keep trained weights as they are while TRL makes a trainer.

    TRL rounds the adapter of a base in 4 bits to bfloat16, in which small updates are lost.
    """
    trained = [(weight, weight.data) for weight in model.parameters() if weight.requires_grad]
    yield
    for weight, data in trained:
        if weight.dtype != data.dtype:
            weight.data = data.to(weight.device)


def pin_one_device(arguments: TrainingArguments) -> None:
    """Keep the Trainer from splitting batches over all GPUs of the host (`nn.DataParallel`)."""
    on_gpu = arguments.n_gpu > 0  # setting up the devices, it counts all
    arguments._n_gpu = int(on_gpu)
