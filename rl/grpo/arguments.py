"""The `grpo` and `rollout` sections as TRL's settings."""

from __future__ import annotations

from pathlib import Path

from trl import GRPOConfig

from configs.schema.config import GrpoConfig, RolloutConfig
from rl.trainer_arguments import trainer_arguments


def grpo_arguments(
    config: GrpoConfig, rollout: RolloutConfig, *, folder: Path, seed: int, cpu: bool, report_to: list[str]
) -> GRPOConfig:
    """Settings of a `StrideTrainer`.

    Args:
        config: The `grpo` section.
        rollout: The `rollout` section.
        folder: Checkpoints go here.
        seed: Run seed.
        cpu: Train on the CPU even where there is a GPU.
        report_to: Metric backends.
    """
    constant = config.lr_schedule == "constant"
    return GRPOConfig(
        **trainer_arguments(config, folder=folder, seed=seed, cpu=cpu, report_to=report_to),
        per_device_train_batch_size=config.problems_per_update * rollout.samples_per_problem,
        gradient_accumulation_steps=1,  # micro-batches are made by `update.py`
        num_generations=rollout.samples_per_problem,
        num_iterations=config.num_iterations,
        max_completion_length=rollout.max_new_tokens,
        temperature=rollout.temperature,
        lr_scheduler_type="constant_with_warmup" if constant else config.lr_schedule,
        warmup_steps=config.warmup_updates,
        max_grad_norm=config.max_grad_norm,
        beta=config.beta,
        epsilon=config.epsilon,
        epsilon_high=config.epsilon_high,
        loss_type=config.loss_type,
        save_total_limit=config.keep_checkpoints,
        shuffle_dataset=False,
    )
