"""A Trainer with the optimizer, learning rate, decay and betas of its config, resumed or not.

A checkpoint's optimizer and schedule hold the values that they had. Where the config is the same, these are
equal; where a run was resumed with others (`--allow-change grpo.learning_rate`), the config decides.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import Trainer

from configs.schema.yaml_text import ConfigError
from rl.muon import MuonWithAdamW, hidden_matrices
from rl.runs.record import SECTIONS, Stage
from rl.trainer_arguments import MUON


class ConfiguredRates(Trainer):
    """A base class to the left of TRL's trainer.

    Attributes:
        stage: What is trained.
    """

    stage: Stage

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """See `Trainer.create_optimizer`.

        Raises:
            ConfigError: Muon is asked for, and no hidden matrix is trained.
        """
        if self.optimizer is None and self.args.optim_args == MUON:
            policy: Any = self.model
            matrices = list(hidden_matrices(policy))
            if not matrices:
                raise ConfigError(
                    f"{SECTIONS[self.stage]}.optim is 'muon', which is for hidden matrices, but "
                    "policy.lora.target_modules leaves none to train; add modules with matrices, or set it to "
                    "'adamw_torch_fused'"
                )
            adamw: Any = super().create_optimizer(model)
            self.optimizer = MuonWithAdamW(adamw, matrices)
        return super().create_optimizer(model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        optimizer: Any = self.optimizer
        schedule: Any = self.lr_scheduler
        configured = [
            {name: value for name, value in group.items() if name not in ("params", "lr")}
            for group in optimizer.param_groups
        ]
        rates = list(schedule.base_lrs)
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        for group, values in zip(optimizer.param_groups, configured, strict=True):
            group.update(values)
        schedule.base_lrs = rates
        now = [
            rate * factor(schedule.last_epoch) for rate, factor in zip(rates, schedule.lr_lambdas, strict=True)
        ]
        for group, rate in zip(optimizer.param_groups, now, strict=True):
            group["lr"] = rate
        schedule._last_lr = now
