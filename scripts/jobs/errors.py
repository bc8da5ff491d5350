"""What can go wrong with a job before it runs, or with the way to it."""

from __future__ import annotations

from typing import ClassVar

from scripts.exits import TRY_AGAIN, USER_ERROR


class SubmitError(ValueError):
    """A job that cannot be submitted, followed or stopped with these arguments."""

    exit_code: ClassVar[int] = USER_ERROR


class HeadLostError(RuntimeError):
    """A head that answered before and does not any more; the job may go on."""

    exit_code: ClassVar[int] = TRY_AGAIN
