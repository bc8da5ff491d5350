"""How many completions of a run may go without a grade."""

from __future__ import annotations

from envs import GraderError
from rollout.types import RolloutGroup


class GradingBudget:
    """Counts the completions that graders failed on, and says when there are too many.

    Attributes:
        ungraded: How many so far.
    """

    def __init__(self, max_ungraded: int) -> None:
        """Allow `max_ungraded` of them."""
        self._max_ungraded = max_ungraded
        self.ungraded = 0

    def count(self, group: RolloutGroup) -> None:
        """Take a group into account.

        Raises:
            GraderError: More completions were left out than allowed.
        """
        self.ungraded += group.ungraded
        if self.ungraded > self._max_ungraded:
            problem = group.problem
            raise GraderError(
                f"{self.ungraded} completions could not be graded, more than rollout.max_ungraded "
                f"({self._max_ungraded}); the last one, of {problem.env}/{problem.split}/{problem.index}: "
                f"{group.failure}"
            )
