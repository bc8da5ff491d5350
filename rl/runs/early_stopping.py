"""When early stopping ends GRPO."""

from __future__ import annotations

from configs.schema.config import EvalConfig
from rl.runs.record import BestModel


def is_over(settings: EvalConfig, best: BestModel | None, update: int) -> bool:
    """Whether early stopping ends GRPO after an update."""
    if settings.patience is None or settings.every is None or best is None:
        return False
    return update // settings.every - best.update // settings.every >= settings.patience
