"""The config of a whole run that takes seconds, from which tests differ by what they are about.

In: YAML of the keys that differ. Out: a whole config, or the file of one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

TINY = """
name: tiny
device: cpu
threads: 1
report_to: []
env: {name: addition, settings: {train: ["1_1"], ood_easy: ["2_1"], ood_hard: ["2_2"]}}
policy: {tiny: {hidden_size: 32, num_layers: 1, num_heads: 2, intermediate_size: 32, max_positions: 128}}
warm_start: null
rollout: {samples_per_problem: 4, max_prompt_tokens: 40, max_new_tokens: 40, threads: 1}
rewards: {terms: [{name: correct, weight: 1.0}, {name: token_count, weight: -0.1}]}
grpo: {problems_per_update: 2, learning_rate: 1.0e-3}
eval: {splits: [id], num_problems: 4, num_samples: 0}
"""


def tiny_config(changes: str = "") -> dict[str, Any]:
    """The tiny config with changes; a section given in part keeps its other keys."""
    return _merged(yaml.safe_load(TINY), yaml.safe_load(changes) or {})


def write_tiny(path: Path, changes: str = "") -> Path:
    """Write it to a file, which is returned."""
    path.write_text(yaml.safe_dump(tiny_config(changes), sort_keys=False))
    return path


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
