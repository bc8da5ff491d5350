"""The error at the first number that is not finite.

A loss or a gradient that is NaN or infinite makes the weights NaN in the next optimiser step, and training
would go on without an error. Losses, gradients and weights are checked by `StopIfNotFinite`
(`rl/trainer_callback.py`), log-probabilities in `rl/grpo/logprob_check.py`.
"""

from __future__ import annotations

from typing import ClassVar


class NotFiniteError(RuntimeError):
    """A loss, a gradient norm, a log-probability or a weight is NaN or infinite."""

    exit_code: ClassVar[int] = 1

    @classmethod
    def at(cls, update: int, what: str) -> NotFiniteError:
        """The error, with what to do.

        Args:
            update: Number of the update, from 1.
            what: As "the loss is nan".
        """
        return cls(
            f"at update {update} {what}: training has diverged and stops, and nothing of this update is saved; "
            "start again with a lower learning_rate or a longer warm-up"
        )
