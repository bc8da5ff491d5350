"""The reward weights this repository ships: of every config, and of every case of every ablation."""

from __future__ import annotations

from pathlib import Path

from configs import load_config
from configs.ablation import load_ablation
from rewards import Term

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def shipped_terms() -> dict[str, list[Term]]:
    """The terms by where they come from; of an ablation those of its cases that no config has."""
    found = {path.stem: load_config(path).rewards for path in sorted(CONFIGS.glob("*.yaml"))}
    for path in sorted((CONFIGS / "ablations").glob("*.yaml")):
        for trial in load_ablation(path).trials:
            if trial.config.rewards not in found.values():
                found[f"{path.stem}: {trial.case}"] = trial.config.rewards
    return {
        name: [Term(name=t.name, weight=t.weight, gate=t.gate, args=t.args) for t in rewards.terms]
        for name, rewards in found.items()
    }
