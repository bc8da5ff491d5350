"""Where the vocabulary of the tiny model comes from: worked solutions, which some data do not have.

In: a task. Out: nothing, or the one line that says so. Torch is not imported, so that it comes at once.
"""

from __future__ import annotations

from typing import Any

from envs import Env, Split
from rl.models.files import PolicyError


def check_tiny_words(env: Env[Any]) -> None:
    """Refuse a tiny model for data whose first training problem has no worked solution.

    Raises:
        PolicyError: It has none.
    """
    for part in env.parts.values():
        if part.has_solutions:
            try:
                part.full_trace(part.problem(Split.TRAIN, 0))
            except ValueError as error:
                raise without_words(error) from None


def without_words(error: ValueError) -> PolicyError:
    """The mistake, from the task's error on a problem without a solution."""
    reason = str(error).partition(";")[0]
    return PolicyError(
        f"policy.model is 'tiny', whose vocabulary is that of the worked solutions, but {reason}; set "
        "policy.model to a pretrained model"
    )
