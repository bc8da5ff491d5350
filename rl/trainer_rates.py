"""A Trainer that goes on with the learning rate, decay and betas of its config, not with those of a checkpoint.

A checkpoint's optimizer and schedule hold the values that they had. Where the config is the same, these are
equal; where a run was resumed with others (`--allow-change grpo.learning_rate`), the config decides.
"""

from __future__ import annotations

from typing import Any

from transformers import Trainer


class ConfiguredRates(Trainer):
    """A base class to the left of TRL's trainer."""

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
