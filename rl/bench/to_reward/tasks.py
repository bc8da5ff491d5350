"""The tasks of the benchmark as configs of runs: a short warm start, then GRPO.

Both contestants take everything from the same config. The quickstart's model and reward; warm starts are short,
so that there is something left to learn.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from configs import Config
from rl.bench.to_reward.word_problems import write_word_problems

_NUM_WORD_PROBLEMS, _TINY_NUM = 12_000, 600


def addition(folder: Path, tiny: bool) -> dict[str, Any]:
    """The quickstart's reward on the operands of the released data, 1 to 7 digits: most have up to 3."""
    short = {"1_1": 26, "2_1": 472, "2_2": 567, "3_1": 571, "3_2": 628, "3_3": 591}
    long = {f"{digits}_{other}": 20 for digits in range(4, 8) for other in range(1, digits + 1)}
    return {
        "env": {
            "name": "addition",
            "settings": {"train": short | long, "ood_easy": ["8_1"], "ood_hard": ["8_8"]},
        },
        "warm_start": {"updates": 900, "skipped_frac": 0.4},
        "rollout": {"max_prompt_tokens": 32},
    }


def word_problems(folder: Path, tiny: bool) -> dict[str, Any]:
    """Word problems in the layout of GSM8K, each equation of a solution checked."""
    data = folder / "word_problems.jsonl"
    write_word_problems(data, num_problems=_TINY_NUM if tiny else _NUM_WORD_PROBLEMS)
    return {
        "env": {
            "name": "math",
            "settings": {"preset": "gsm8k", "train": str(data), "steps": "lines", "check_steps": "arithmetic"},
        },
        "warm_start": {"updates": 2200, "num_problems": 30_000, "skipped_frac": 0.4},
        "rollout": {"max_prompt_tokens": 160},
        "grpo": {"learning_rate": 1.0e-4},
    }


TASKS: dict[str, Callable[[Path, bool], dict[str, Any]]] = {
    "addition": addition,
    "word_problems": word_problems,
}

_SHARED: dict[str, Any] = {
    "device": "cpu",
    "report_to": [],
    "policy": {
        "model": "tiny",
        "tiny": {"hidden_size": 128, "num_layers": 3, "num_heads": 4, "intermediate_size": 256},
    },
    "warm_start": {"num_problems": 20_000, "batch_size": 16, "learning_rate": 3.0e-3},
    "rollout": {"samples_per_problem": 8, "max_new_tokens": 256, "problems_per_batch": 16},
    "grpo": {"updates": 40, "problems_per_update": 16, "learning_rate": 4.0e-4, "max_resamples": 2},
    "rewards": {
        "terms": [
            {"name": "correct", "weight": 1.0},
            {"name": "verified", "weight": 0.2},
            {"name": "step_count", "weight": -0.5, "gate": "correct"},
        ]
    },
    "eval": {"splits": ["id"], "num_problems": 64, "num_samples": 0},
}


def task_config(
    task: str,
    folder: Path,
    *,
    seed: int,
    threads: int,
    updates: int | None = None,
    warm_updates: int | None = None,
    learning_rate: float | None = None,
    tiny: bool = False,
) -> Config:
    """The run of a task.

    Args:
        task: Name in `TASKS`.
        folder: Of the benchmark; the warm start and the data are kept there.
        seed: Seed of everything.
        threads: CPU threads.
        updates: Updates of GRPO; None: those of the task.
        warm_updates: Updates of the warm start; None: those of the task.
        learning_rate: Of GRPO; None: that of the task.
        tiny: Sizes with which a run takes seconds and nothing is learnt, to try the benchmark itself.
    """
    settings = _merged(_SHARED, TASKS[task](folder, tiny))
    given = {"updates": updates, "learning_rate": learning_rate}
    own = {
        "name": f"{task}_{seed}",
        "output_dir": str(folder / f"{task}_{seed}"),
        "seed": seed,
        "threads": threads,
        "rollout": {"threads": threads},
        "warm_start": {} if warm_updates is None else {"updates": warm_updates},
        "grpo": {key: value for key, value in given.items() if value is not None},
    }
    return Config.model_validate(_merged(_merged(settings, _TINY) if tiny else settings, own))


_TINY: dict[str, Any] = {
    "policy": {"tiny": {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "intermediate_size": 32}},
    "warm_start": {"updates": 30, "num_problems": 480, "batch_size": 16},
    "rollout": {"samples_per_problem": 4, "max_new_tokens": 48},
    "rewards": {  # differs between completions of a model that gets nothing right
        "terms": [
            {"name": "correct", "weight": 1.0},
            {"name": "token_count", "weight": -0.2, "args": {"per_tokens": 48}},
        ]
    },
    "grpo": {"problems_per_update": 4},
    "eval": {"num_problems": 8},
}


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Nested settings; those of `other` win."""
    both = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            both[key] = _merged(one[key], other[key])
    return both
