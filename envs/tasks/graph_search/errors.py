"""The kinds of errors in the traces of `graph_search`, and which comes first.

In: checked traces. Out: one of the four categories of "Learning to search" (H. N. Nguyen's blog,
14 September 2025) and a fifth for lines outside the grammar. A trace counts once, by its first error: a search
that has gone wrong once is refused at most of its later lines too.
"""

from __future__ import annotations

from enum import StrEnum

from envs.grading import Grade
from envs.path import StepError
from envs.trace import Status, Step, Trace, Verdict


class GraphError(StrEnum):
    """What is wrong with a step; the reason shown beside it starts with this word."""

    NEIGHBOURS = "neighbours"
    """The neighbours listed are not the node's; a move along an edge there is not."""
    QUEUE = "queue"
    """The node is not at the head of the queue; a move from where the search does not stand."""
    REVISIT = "revisit"
    """An expanded node is expanded again; a move to a node that is on the path."""
    TRACE_BACK = "trace_back"
    """The path traced back is not the one the exploration found."""
    MALFORMED = "malformed"
    """No line of the grammar, or a line of the other grammar."""


_WORDS = frozenset(GraphError)


def refusal(error: GraphError, why: str) -> StepError:
    """The error to raise for a step."""
    return StepError(f"{error}: {why}")


def error_category(step: Step | str) -> GraphError | None:
    """The category of a step, or of the reason it was refused for; None where nothing is wrong.

    A backtrack that names no earlier step is malformed.
    """
    reason = step if isinstance(step, str) else step.reason
    if not reason:
        return None
    word = reason.partition(":")[0]
    return GraphError(word) if word in _WORDS else GraphError.MALFORMED


def first_error(trace: Trace) -> GraphError | None:
    """The category of the first step that is wrong and was not taken back; None for a verified trace.

    Where every step is right, a path that is missing or wrong is a trace-back error, and a text that does not
    end as it should is malformed.

    Raises:
        ValueError: The trace was not checked.
    """
    if trace.grade is None:
        raise ValueError("the trace is not checked; call env.check(problem, trace) first")
    for step in trace.steps:
        if step.verdict is Verdict.INVALID and not step.undone:
            return error_category(step)
    if trace.verified:
        return None
    stated = trace.status is Status.COMPLETE and trace.grade in (Grade.CORRECT, Grade.WRONG)
    return GraphError.TRACE_BACK if stated else GraphError.MALFORMED
