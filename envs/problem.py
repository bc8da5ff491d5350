"""The problem record: environments generate it, and everything downstream reads it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256


class Split(StrEnum):
    """The split a problem belongs to; no problem is in two splits."""

    TRAIN = "train"
    ID = "id"
    OOD_EASY = "ood_easy"
    OOD_HARD = "ood_hard"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    r"""One problem, addressed by (env, split, index).

    Example::

        Problem(env="directional", split=Split.TRAIN, index=3,
                prompt="You face north. Actions: left, right\nAnswer:\n",
                question="You face north. Actions: left, right",
                answer="north", num_full_steps=2, difficulty=2, budget=None)

    Attributes:
        env: Name of the environment.
        split: The split.
        index: Position in the split, from 0.
        question: The task text without step request and answer cue.
        prompt: The task's own prompt, rendered by the environment from `question` and `budget`. What the model
            gets depends on the run's prompt format too (`rollout/prompt_format.py`).
        answer: The gold answer, as the closing line states it.
        num_full_steps: Number of lines in the full reference trace.
        difficulty: The environment's own measure; larger is harder.
        budget: Number of steps the prompt asks for, or None if it asks for none.
        part: The part of a mixture that it is from; empty elsewhere.
    """

    env: str
    split: Split
    index: int
    question: str
    prompt: str
    answer: str
    num_full_steps: int
    difficulty: int
    budget: int | None = None
    part: str = ""


def hash_rows(rows: Iterable[tuple[object, ...]]) -> str:
    """SHA-256 of rows of plain values, in hexadecimal."""
    found = sha256()
    for row in rows:
        found.update(ascii(row).encode())
    return found.hexdigest()
