"""What of reasoning-gym runs on behalf of its environment, in processes that may be killed at any time.

In: a task, its generator settings and a seed, or an entry and an answer. Out: JSON values. `envs.sandbox` loads
this file by its path; nothing else of the trainer imports it, and it imports nothing of the trainer.

An entry leaves as *plain data*: JSON in which ``{"#": "tuple", "values": …}`` is a tuple and ``{"#": "dict",
"values": …}`` a dictionary whose keys are not all text. It comes back with each answer, so scoring needs no
generator and no memory, and every call has an entry of its own.
"""

from __future__ import annotations

import json
import math
import random
from functools import lru_cache
from typing import Any

import numpy as np
import reasoning_gym
from reasoning_gym.factory import DATASETS

# Their scorers evaluate the answer as code (reasoning-gym 0.1.25).
_EVALUATES = frozenset(
    (
        "binary_matrix",
        "countdown",
        "intermediate_integration",
        "n_queens",
        "polynomial_multiplication",
        "puzzle24",
        "simple_integration",
        "spiral_matrix",
        "string_insertion",
    )
)
_TAG = "#"


def warm_up() -> None:
    """Make and score something once, before any worker is forked."""
    made = make("chain_sum", {}, 0)
    score("chain_sum", {}, made["entry"], made["answer"])


def tasks() -> list[str]:
    """The names of all tasks."""
    return sorted(DATASETS)


def settings_of(task: str) -> list[str]:
    """What can be set of a task's generator."""
    return sorted(DATASETS[task][1].__dataclass_fields__.keys() - {"seed", "size"})


def why_not(task: str, config: dict[str, Any]) -> str:
    """What is wrong with generator settings; empty if nothing is."""
    try:
        _dataset(task, config, 0)
    except Exception as error:  # whatever their validation raises
        return _describe(error)
    return ""


def make(task: str, config: dict[str, Any], seed: int, facts: list[str] | None = None) -> dict[str, Any]:
    """Make the one entry of a seed.

    Some generators also draw from the global generators, which are therefore set.

    Args:
        task: Its name.
        config: Settings of its generator.
        seed: From 0 to 2**32 - 1.
        facts: What a scorer of our own needs of the entry's metadata or the settings, in place of the entry.

    Returns:
        `question`, `answer` and `entry` or `facts`; or `error`, where this seed gives nothing.
    """
    random.seed(seed)
    np.random.seed(seed)
    dataset = _dataset(task, config, seed)
    try:
        entry = dataset[0]
        question, answer = entry["question"], entry["answer"]
        if not isinstance(question, str) or not isinstance(answer, str):
            return {"error": "it has no answer written down"}
        made = {"question": _plain(question), "answer": _plain(answer)}
        if facts is None:
            return {**made, "entry": _plain(entry)}
        metadata = entry["metadata"]
        found = {name: metadata[name] if name in metadata else getattr(dataset.config, name) for name in facts}
        return {**made, "facts": json.loads(json.dumps(found))}
    except Exception as error:  # a generator may give up on a seed
        return {"error": _describe(error)}


def score(task: str, config: dict[str, Any], entry: Any, answer: str) -> float | None:
    """What reasoning-gym's scorer says of an answer, or None where it raises.

    Raises:
        ValueError: The scorer would evaluate the answer, or says something else than a number from 0 to 1.
    """
    if task in _EVALUATES:
        raise ValueError(f"the scorer of {task} evaluates its answer")
    judge = _judge(task, json.dumps(config, sort_keys=True))
    original = _restored(entry)
    try:
        found = judge.score_answer(answer, original)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # no text it can read
        return None
    if isinstance(found, (bool, np.bool_)) or not isinstance(found, (int, float, np.number)):
        raise ValueError(f"a score of type {type(found).__name__}")
    if not math.isfinite(found) or not 0 <= found <= 1:
        raise ValueError(f"a score of {float(found)}")
    return float(found)


@lru_cache(maxsize=4)
def _judge(task: str, config: str) -> Any:
    return _dataset(task, json.loads(config), 0)


def _dataset(task: str, config: dict[str, Any], seed: int) -> Any:
    fields = DATASETS[task][1].__dataclass_fields__
    given = {
        name: tuple(value) if isinstance(value, list) and isinstance(fields[name].default, tuple) else value
        for name, value in config.items()
    }
    return reasoning_gym.create_dataset(task, **given, seed=seed, size=1)


def _plain(value: Any) -> Any:
    """Plain data.

    Raises:
        TypeError: There is something in it that is none.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str.__str__(value)  # of a subclass too
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, tuple):
        return {_TAG: "tuple", "values": [_plain(one) for one in value]}
    if isinstance(value, dict):
        if all(type(key) is str for key in value) and _TAG not in value:
            return {key: _plain(one) for key, one in value.items()}
        return {_TAG: "dict", "values": [[_plain(key), _plain(one)] for key, one in value.items()]}
    raise TypeError(f"its metadata holds a {type(value).__name__}")


def _restored(data: Any) -> Any:
    if isinstance(data, list):
        return [_restored(one) for one in data]
    if not isinstance(data, dict):
        return data
    if _TAG not in data:
        return {key: _restored(one) for key, one in data.items()}
    values = [_restored(one) for one in data["values"]]
    return tuple(values) if data[_TAG] == "tuple" else dict(values)


def _describe(error: Exception) -> str:
    return f"{error}"[:300] or type(error).__name__
