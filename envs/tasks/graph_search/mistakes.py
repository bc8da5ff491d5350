"""Searches with one mistake that nothing takes back, and the wrong paths they lead to.

In: the start of a search. Out: a written search that is right up to one line and goes on from there, with the
path that it traces back. Breadth first, a wrong list of neighbours is searched on as it stands, as if the graph
had those edges.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from envs.base import Demonstration
from envs.tasks.graph_search.digraph import Graph
from envs.tasks.graph_search.steps import GraphState, expansion_line, start, trace_back_line, write_path

NEIGHBOURS, TRACE_BACK, BRANCH = MISTAKE_KINDS = ("neighbours", "trace_back", "branch")


def write_neighbours(
    state: GraphState, is_wrong: Callable[[str], bool], rng: random.Random
) -> Demonstration | None:
    """A breadth-first search in which one list lacks a neighbour or has one too many.

    Args:
        state: The start of the search.
        is_wrong: Whether an answer is wrong; many mistakes leave the path as it is.
        rng: Draws the mistake.

    Returns:
        The search; None if no such mistake leads to a wrong path.
    """
    slips = list(_wrong_graphs(state))
    rng.shuffle(slips)
    for at, graph in slips:
        try:
            found = start(graph)
        except ValueError:  # the target is no longer reached
            continue
        if is_wrong(answer := write_path(found.shortest)):
            lines = [expansion_line(graph, node) for node in found.order]
            return Demonstration(lines=(*lines, trace_back_line(found)), wrong=frozenset([at]), answer=answer)
    return None


def _wrong_graphs(state: GraphState) -> Iterator[tuple[int, Graph]]:
    """The graph with one edge less or more at a node that the search expands, and that node's place."""
    graph = state.graph
    for at, node in enumerate(state.order):
        right = graph.neighbours[node]
        lists = [tuple([v for v in right if v != lost]) for lost in right]
        lists += [tuple(sorted([*right, more])) for more in sorted(graph.nodes - {node, *right})]
        for wrong in lists:
            neighbours = list(graph.neighbours)
            neighbours[node] = wrong
            yield at, replace(graph, neighbours=tuple(neighbours))


def write_trace_back(
    state: GraphState, is_wrong: Callable[[str], bool], rng: random.Random
) -> Demonstration | None:
    """A right breadth-first search that traces back a wrong path: a node is lost, or another one in its place.

    The arguments are those of `write_neighbours`. None if there is no such path.
    """
    path = state.shortest
    inner = range(1, len(path) - 1)
    others = [node for node in state.order if node not in path]
    slips = [path[:at] + path[at + 1 :] for at in inner]
    slips += [(*path[:at], node, *path[at + 1 :]) for at in inner for node in others]
    rng.shuffle(slips)
    wrong = next((slip for slip in slips if is_wrong(write_path(slip))), None)
    if wrong is None:
        return None
    lines = [expansion_line(state.graph, node) for node in state.order]
    last = trace_back_line(replace(state, shortest=wrong))
    return Demonstration(lines=(*lines, last), wrong=frozenset([len(lines)]), answer=write_path(wrong))
