"""The lines of `graph_search`, and the steps of its two grammars.

In: a state and a line a model wrote. Out: the state after it, or a `StepError` that names one of the categories
of `errors.py`. Bounded regular expressions match lines in linear time; the only text converted to numbers has
up to three digits.
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
    """The lines that are valid."""

    EITHER = "either"
    """Both kinds; the first line of a path decides which kind may follow."""
    BREADTH_FIRST = "breadth_first"
    """Only expansions and the trace-back."""
    DEPTH_FIRST = "depth_first"
    """Only moves."""


@dataclass(frozen=True, slots=True)
class GraphState:
    """The progress of a search. There is only one correct breadth-first search, so its lines are counted.

    Attributes:
        graph: The graph, start and target.
        order: The nodes that the breadth-first search expands, in order. The first `num_lines` have been
            expanded; the queue holds the nodes they have listed that are not expanded yet.
        shortest: The path that the breadth-first search traces back, from start to target.
        num_lines: Number of breadth-first lines written: `len(order)` + 1 after the trace-back.
        path: The nodes of the depth-first path, from the start to the current node.
    """

    graph: Graph
    order: tuple[int, ...]
    shortest: tuple[int, ...]
    num_lines: int
    path: tuple[int, ...]


def start(graph: Graph) -> GraphState:
    """The start of the search, for both grammars.

    Raises:
        ValueError: No path leads to the target.
    """
    return GraphState(graph, *breadth_first(graph), 0, (graph.start,))


def advance(state: GraphState, line: str, grammar: Grammar = Grammar.EITHER) -> GraphState:
    """Expand the head of the queue, trace the path back, or move along an edge.

    Args:
        state: The progress of the search.
        line: The line a model wrote.
        grammar: The lines that are valid.

    Raises:
        StepError: The line is not a valid step from this state.
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
    """A path as an answer states it."""
    return ",".join(map(str, path))


def read_path(text: str) -> tuple[int, ...] | None:
    """The nodes of a path that a model wrote; None for any other text."""
    return tuple(map(int, text.split(","))) if _PATH.fullmatch(text) else None


def expansion_line(graph: Graph, node: int) -> str:
    """The only correct line that expands a node."""
    return f"{node},({_neighbours(graph, node)})"


def trace_back_line(state: GraphState) -> str:
    """The only correct line that traces the shortest path back."""
    return f"{_TRACE_BACK}{write_path(state.shortest[::-1])}"


def move_lines(path: Sequence[int]) -> tuple[str, ...]:
    """The lines of the moves along a path."""
    return tuple([move_line(u, v) for u, v in pairwise(path)])


def _neighbours(graph: Graph, node: int) -> str:
    return ", ".join(map(str, graph.neighbours[node]))


# ---- breadth first ----


def _check_expansion(state: GraphState, node: int, listed: str) -> None:
    done = state.order[: state.num_lines]
    if node in done:
        raise refusal(GraphError.REVISIT, f"{node} is already expanded")
    if state.num_lines >= len(state.order):
        raise refusal(GraphError.QUEUE, "the target is already listed, no expansion may follow")
    head = state.order[state.num_lines]
    if node != head:
        queued = any(node in state.graph.neighbours[earlier] for earlier in done)
        where = "not at the head of" if queued else "not in"
        raise refusal(GraphError.QUEUE, f"{node} is {where} the queue, the head is {head}")
    if listed != (right := _neighbours(state.graph, node)):
        raise refusal(GraphError.NEIGHBOURS, f"the neighbours of {node} are ({right})")


def _check_trace_back(state: GraphState, line: str) -> None:
    if state.num_lines != len(state.order):
        early = state.num_lines < len(state.order)
        why = "the target is not listed yet" if early else "the path is already traced back"
        raise refusal(GraphError.TRACE_BACK, why)
    if line != (right := trace_back_line(state)):
        raise refusal(GraphError.TRACE_BACK, f"the line should be '{right}'")


# ---- depth first ----


def _move(state: GraphState, node: int, neighbour: int) -> GraphState:
    current = state.path[-1]
    if current == state.graph.target:
        raise refusal(GraphError.QUEUE, "the target is already reached, no move may follow")
    if node != current:
        raise refusal(GraphError.QUEUE, f"the current node is {current}, not {node}")
    if neighbour not in state.graph.neighbours[node]:
        raise refusal(GraphError.NEIGHBOURS, f"no edge from {node} to {neighbour}")
    if neighbour in state.path:
        raise refusal(GraphError.REVISIT, f"{neighbour} is already on the path")
    return replace(state, path=(*state.path, neighbour))


def next_states(state: GraphState) -> list[GraphState]:
    """The states after each possible move of a depth-first search."""
    after = [v for v in state.graph.neighbours[state.path[-1]] if v not in state.path]
    return [replace(state, path=(*state.path, neighbour)) for neighbour in after]
