"""The `grpo` and `rollout` sections as TRL's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trl import GRPOConfig

from configs.schema.config import GrpoConfig, RolloutConfig
from rl.precision import Passes
from rl.trainer_arguments import pin_one_device, trainer_arguments


def grpo_arguments(
    config: GrpoConfig, rollout: RolloutConfig, *, folder: Path, seed: int, passes: Passes, report_to: list[str]
) -> GRPOConfig:
    """Settings of a `StrideTrainer`.

    Args:
        config: The `grpo` section.
        rollout: The `rollout` section.
        folder: Checkpoints go here.
        seed: Run seed.
        passes: How forward and backward passes run.
        report_to: Metric backends.
    """
    loss_args: dict[str, Any] = dict(config.loss_args)
    constant = config.lr_schedule == "constant"
    arguments = GRPOConfig(
        **trainer_arguments(config, folder=folder, seed=seed, passes=passes, report_to=report_to),
        per_device_train_batch_size=config.problems_per_update * rollout.samples_per_problem,
        gradient_accumulation_steps=1,  # micro-batches are made by `update.py`
        num_generations=rollout.samples_per_problem,
        num_iterations=config.num_iterations,
        max_completion_length=rollout.max_new_tokens,
        temperature=rollout.temperature,
        lr_scheduler_type="constant_with_warmup" if constant else config.lr_schedule,
        warmup_steps=config.warmup_updates,
        max_grad_norm=config.max_grad_norm,
        beta=config.beta,  # so that there is a reference model; the KL itself is in `regularisation.py`
        epsilon=config.epsilon,
        epsilon_high=config.clip_high,
        delta=config.delta,
        loss_type=config.loss_type,
        importance_sampling_level=config.ratio_level,
        **loss_args,
        router_aux_loss_coef=0.0,  # a load-balancing loss of experts would depend on how the batch is split
        save_total_limit=config.keep_checkpoints,
        shuffle_dataset=False,
    )
    pin_one_device(arguments)
    return arguments
