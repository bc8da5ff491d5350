"""The lines of `graph_search`, and one step by each of its two grammars.

In: a state and a line a model wrote. Out: the state after it, or a `StepError` that names one of the
categories of `graph_errors.py`. Lines are read by bounded expressions that are linear in their length; beyond
them only numbers of up to three digits are read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from envs.tasks.graph_search.digraph import Graph, breadth_first, move_line
from envs.tasks.graph_search.errors import GraphError, refusal

MAX_NODES = 100
_NODE = r"(?:0|[1-9][0-9]{0,2})"
_EXPANSION = re.compile(rf"({_NODE}),\(((?:{_NODE}(?:, {_NODE}){{0,{MAX_NODES}}})?)\)")
_PATH = re.compile(rf"{_NODE}(?:,{_NODE}){{0,{MAX_NODES}}}")
_MOVE = re.compile(rf"({_NODE}) > ({_NODE})")
_TRACE_BACK = "- "


class Grammar(StrEnum):
    """Which lines are valid."""

    EITHER = "either"
    """A path may begin with one of either, and goes on with its like."""
    BREADTH_FIRST = "breadth_first"
    """Expansions and the trace-back."""
    DEPTH_FIRST = "depth_first"
    """Moves."""


@dataclass(frozen=True, slots=True)
class GraphState:
    """How far a search has come. Breadth first there is one right search, so the lines of it are counted.

    Attributes:
        graph: The graph and what is asked.
        order: The nodes a breadth-first search expands, in order. The first `num_lines` are expanded; what
            those have listed and is not among them is the queue.
        shortest: The path it traces back, from the start.
        num_lines: Breadth-first lines written; one more than `order` is long when the path is traced back.
        path: Nodes of the depth-first path, from the start to where it stands.
    """

    graph: Graph
    order: tuple[int, ...]
    shortest: tuple[int, ...]
    num_lines: int
    path: tuple[int, ...]


def start(graph: Graph) -> GraphState:
    """Nothing searched yet, by either grammar.

    Raises:
        ValueError: No path leads to the target.
    """
    return GraphState(graph, *breadth_first(graph), 0, (graph.start,))


def advance(state: GraphState, line: str, grammar: Grammar = Grammar.EITHER) -> GraphState:
    """Expand the head of the queue, trace the path back, or move along an edge.

    Args:
        state: How far the search has come.
        line: What a model wrote.
        grammar: Which lines are valid.

    Raises:
        StepError: The line does none of these from this state.
    """
    if move := _MOVE.fullmatch(line):
        if state.num_lines or grammar is Grammar.BREADTH_FIRST:
            raise refusal(GraphError.MALFORMED, "a move in a breadth-first search")
        return _move(state, int(move[1]), int(move[2]))
    expansion = _EXPANSION.fullmatch(line)
    if not expansion and not (line.startswith(_TRACE_BACK) and _PATH.fullmatch(line, len(_TRACE_BACK))):
        raise refusal(GraphError.MALFORMED, "not an expansion, a trace-back or a move")
    if len(state.path) > 1 or grammar is Grammar.DEPTH_FIRST:
        raise refusal(GraphError.MALFORMED, "a breadth-first line in a depth-first search")
    if expansion:
        _check_expansion(state, int(expansion[1]), expansion[2])
    else:
        _check_trace_back(state, line)
    return replace(state, num_lines=state.num_lines + 1)


# ---- lines ----


def write_path(path: Sequence[int]) -> str:
    """A path as answers state it."""
    return ",".join(map(str, path))


def read_path(text: str) -> tuple[int, ...] | None:
    """The nodes of a path a model wrote; None for another text."""
    return tuple(map(int, text.split(","))) if _PATH.fullmatch(text) else None


def expansion_line(graph: Graph, node: int) -> str:
    """The one right line that expands a node."""
    return f"{node},({_neighbours(graph, node)})"


def trace_back_line(state: GraphState) -> str:
    """The one right line that traces the shortest path back."""
    return f"{_TRACE_BACK}{write_path(state.shortest[::-1])}"


def move_lines(path: Sequence[int]) -> tuple[str, ...]:
    """The moves along a path."""
    return tuple([move_line(u, v) for u, v in pairwise(path)])


def _neighbours(graph: Graph, node: int) -> str:
    return ", ".join(map(str, graph.neighbours[node]))


# ---- breadth first ----


def _check_expansion(state: GraphState, node: int, listed: str) -> None:
    done = state.order[: state.num_lines]
    if node in done:
        raise refusal(GraphError.REVISIT, f"{node} is expanded already")
    if state.num_lines >= len(state.order):
        raise refusal(GraphError.QUEUE, "the target is listed, nothing more is expanded")
    head = state.order[state.num_lines]
    if node != head:
        queued = any(node in state.graph.neighbours[earlier] for earlier in done)
        where = "not at the head of" if queued else "not in"
        raise refusal(GraphError.QUEUE, f"{node} is {where} the queue, next is {head}")
    if listed != (right := _neighbours(state.graph, node)):
        raise refusal(GraphError.NEIGHBOURS, f"the neighbours of {node} are ({right})")


def _check_trace_back(state: GraphState, line: str) -> None:
    if state.num_lines != len(state.order):
        early = state.num_lines < len(state.order)
        why = "the target is not listed yet" if early else "the path is traced back already"
        raise refusal(GraphError.TRACE_BACK, why)
    if line != (right := trace_back_line(state)):
        raise refusal(GraphError.TRACE_BACK, f"should be '{right}'")


# ---- depth first ----


def _move(state: GraphState, node: int, neighbour: int) -> GraphState:
    stands_at = state.path[-1]
    if stands_at == state.graph.target:
        raise refusal(GraphError.QUEUE, "the target is reached, no move follows")
    if node != stands_at:
        raise refusal(GraphError.QUEUE, f"the path has led to {stands_at}, not to {node}")
    if neighbour not in state.graph.neighbours[node]:
        raise refusal(GraphError.NEIGHBOURS, f"no edge from {node} to {neighbour}")
    if neighbour in state.path:
        raise refusal(GraphError.REVISIT, f"{neighbour} is on the path already")
    return replace(state, path=(*state.path, neighbour))


def next_states(state: GraphState) -> list[GraphState]:
    """The state after each move there is; for depth-first states."""
    after = [v for v in state.graph.neighbours[state.path[-1]] if v not in state.path]
    return [replace(state, path=(*state.path, neighbour)) for neighbour in after]
