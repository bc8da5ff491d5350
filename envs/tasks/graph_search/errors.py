"""Categories of errors in traces of `graph_search`.

In: checked traces. Out: one of the four categories of "Learning to search" (H. N. Nguyen's blog, 14 September
2025), or a fifth one for lines outside the grammar. Each trace counts once, by its first error, since after one
mistake most later lines of a search are invalid too.
"""

from __future__ import annotations

from enum import StrEnum

from envs.grading import Grade
from envs.path import StepError
from envs.trace import Status, Step, Trace, Verdict


class GraphError(StrEnum):
    """The category of an invalid step; the reason shown beside the step starts with this word."""

    NEIGHBOURS = "neighbours"
    """The listed neighbours are not those of the node, or a move follows an edge that does not exist."""
    QUEUE = "queue"
    """The node is not at the head of the queue, or a move does not start at the current node."""
    REVISIT = "revisit"
    """A node is expanded for the second time, or a move leads to a node on the path."""
    TRACE_BACK = "trace_back"
    """The path traced back is not the one that the search found."""
    MALFORMED = "malformed"
    """The line is in neither grammar, or in the one that is not allowed here."""


_WORDS = frozenset(GraphError)


def refusal(error: GraphError, why: str) -> StepError:
    """The `StepError` to raise for an invalid step."""
    return StepError(f"{error}: {why}")


def error_category(step: Step | str) -> GraphError | None:
    """The category of an invalid step, or of the reason it was refused; None for a step without a fault.

    A backtrack that names no earlier step is malformed.
    """
    reason = step if isinstance(step, str) else step.reason
    if not reason:
        return None
    word = reason.partition(":")[0]
    return GraphError(word) if word in _WORDS else GraphError.MALFORMED


def first_error(trace: Trace) -> GraphError | None:
    """The category of the first invalid step that was not taken back; None for a verified trace.

    If every step is valid, a missing or wrong path is a trace-back error, and a text that does not end with one
    closing line is malformed.

    Raises:
        ValueError: The trace has not been checked.
    """
    if trace.grade is None:
        raise ValueError("the trace has not been checked; call env.check(problem, trace) first")
    for step in trace.steps:
        if step.verdict is Verdict.INVALID and not step.undone:
            return error_category(step)
    if trace.verified:
        return None
    stated = trace.status is Status.COMPLETE and trace.grade in (Grade.CORRECT, Grade.WRONG)
    return GraphError.TRACE_BACK if stated else GraphError.MALFORMED
