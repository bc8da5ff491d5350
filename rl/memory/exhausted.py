"""Memory that runs out in the learner all the same: one line with the keys that help.

What a run takes is stated before it starts (`fit.py`), but other processes take memory too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from configs import Config
from rl.memory.fit import Fit, what_helps
from rl.runs.record import Stage
from rollout.out_of_memory import first_line, is_out_of_memory


class LearnerMemoryError(RuntimeError):
    """The learner ran out of memory."""

    exit_code: ClassVar[int] = 1


@contextmanager
def memory_errors(config: Config, fit: Fit, stage: Stage) -> Iterator[None]:
    """Raise what the learner raises for want of memory as one line; an engine's errors name its own keys.

    Raises:
        LearnerMemoryError: Names the stage and the keys.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if hasattr(error, "exit_code") or not is_out_of_memory(error):
            raise
        raise LearnerMemoryError(
            f"the learner ran out of memory in {stage.label} ({first_line(error)}); "
            f"{what_helps(config, fit, stage)}"
        ) from error
