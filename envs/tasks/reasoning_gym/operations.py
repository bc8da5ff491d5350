"""The operations that use reasoning-gym; they run in processes that may be killed at any time.

In: a task, its generator settings and a seed; or an entry and an answer. Out: JSON values. `envs.sandbox` loads
this file by its path; no other module imports it, and it imports no other module of Stride.

An entry is returned as *plain data*: JSON in which ``{"#": "tuple", "values": …}`` is a tuple and ``{"#":
"dict", "values": …}`` a dictionary whose keys are not all text. Each answer is sent together with its entry, so
scoring needs no generator and no memory, and every call has its own copy of the entry.
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

# Tasks whose scorers evaluate the answer as code (reasoning-gym 0.1.25).
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
    """Generate and score one entry, before any worker is forked."""
    made = make("chain_sum", {}, 0)
    score("chain_sum", {}, made["entry"], made["answer"])


def tasks() -> list[str]:
    """The names of all tasks."""
    return sorted(DATASETS)


def settings_of(task: str) -> list[str]:
    """The settings of a task's generator."""
    return sorted(DATASETS[task][1].__dataclass_fields__.keys() - {"seed", "size"})


def why_not(task: str, config: dict[str, Any]) -> str:
    """The reason why a generator refuses its settings; empty if it does not."""
    try:
        _dataset(task, config, 0)
    except Exception as error:  # whatever their validation raises
        return _describe(error)
    return ""


def make(task: str, config: dict[str, Any], seed: int, facts: list[str] | None = None) -> dict[str, Any]:
    """Generate the only entry of a seed.

    Some generators also use the global random generators, so these are seeded too.

    Args:
        task: Name of the task.
        config: Settings of its generator.
        seed: From 0 to 2**32 - 1.
        facts: Names of metadata or settings that a replacement scorer needs; they are returned in place of the
            entry.

    Returns:
        `question`, `answer`, and `entry` or `facts`; or `error`, if this seed gives no usable entry.
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
    """The score of an answer by reasoning-gym's scorer, or None if the scorer raises.

    Raises:
        ValueError: The scorer would evaluate the answer as code, or returns no number from 0 to 1.
    """
    if task in _EVALUATES:
        raise ValueError(f"the scorer of {task} evaluates answers as code")
    judge = _judge(task, json.dumps(config, sort_keys=True))
    original = _restored(entry)
    try:
        found = judge.score_answer(answer, original)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # it cannot read the answer
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
    """The value as plain data.

    Raises:
        TypeError: Some part of it is not plain data.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str.__str__(value)  # also for a subclass
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
