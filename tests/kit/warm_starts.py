"""A warm start of a few updates, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from configs.schema.config import WarmStartConfig
from envs import Env
from rl.models.policy import Policy
from rl.precision import Passes
from rl.sft.examples import make_phases
from rl.sft.trainer import warm_start


def run_warm_start(
    policy: Policy,
    env: Env[Any],
    config: WarmStartConfig,
    folder: Path,
    *,
    callbacks: list[TrainerCallback] | None = None,
    pass_tokens: int | None = None,
    resume_from: Path | None = None,
) -> None:
    """Train `policy` on demonstrations of `env`, seed 0, in float32 on the CPU."""
    warm_start(
        policy,
        make_phases(env, [], config, seed=0),
        config,
        folder=folder,
        seed=0,
        passes=Passes(cpu=True, mixed_precision=False, checkpointing=False),
        report_to=[],
        callbacks=callbacks or [],
        pass_tokens=pass_tokens,
        resume_from=resume_from,
    )
