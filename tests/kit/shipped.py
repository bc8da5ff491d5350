"""The reward weights this repository ships: of every config, and of every case of every ablation."""

from __future__ import annotations

import functools
from pathlib import Path

from configs import Config, load_config
from configs.schema.ablation import load_ablation
from rewards import Term
from rl.parts import build_rewards

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@functools.cache
def shipped_terms() -> dict[str, tuple[Term, ...]]:
    """The terms by their source; of an ablation, those of its cases that no config has.

    Those that allow a wrong answer above a right one, in so many words, are left out.
    """
    found: dict[str, Config] = {path.stem: load_config(path) for path in sorted(CONFIGS.glob("*.yaml"))}
    for path in sorted((CONFIGS / "ablations").glob("*.yaml")):
        for trial in load_ablation(path).trials:
            if trial.config.rewards not in [config.rewards for config in found.values()]:
                found[f"{path.stem}: {trial.case}"] = trial.config
    return {
        name: build_rewards(config).terms
        for name, config in found.items()
        if not config.rewards.allow_wrong_above_right
    }
