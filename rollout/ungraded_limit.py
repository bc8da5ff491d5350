"""The limit on completions that a run may leave ungraded."""

from __future__ import annotations

from envs import GraderError
from rollout.types import RolloutGroup


class UngradedLimit:
    """Counts the completions left ungraded and ends the run when there are too many.

    Attributes:
        count: Ungraded completions so far.
    """

    def __init__(self, most: int) -> None:
        """Start at 0.

        Args:
            most: Ungraded completions allowed over the whole run (`rollout.max_ungraded`).
        """
        self._most = most
        self.count = 0

    def add(self, group: RolloutGroup) -> None:
        """Count the ungraded completions of a group.

        Raises:
            GraderError: There are more than allowed.
        """
        self.count += group.ungraded
        if self.count > self._most:
            problem = group.problem
            raise GraderError(
                f"{self.count} completions could not be graded, more than rollout.max_ungraded "
                f"({self._most}); the last one, of {problem.env}/{problem.split}/{problem.index}: "
                f"{group.failure}"
            )
