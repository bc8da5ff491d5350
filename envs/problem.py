"""The problem record: what an environment makes and everyone downstream reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Split(StrEnum):
    """Where a problem is drawn from; no problem is in two splits."""

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
        question: The task text with neither step request nor answer cue.
        prompt: What the model is given, rendered from `question` (and `budget`) by the environment.
        answer: The gold answer as the closing line states it.
        num_full_steps: Lines in the full reference trace.
        difficulty: The environment's own measure, an integer that grows with hardness.
        budget: The step count the prompt asks for, or None where it asks for none.
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
