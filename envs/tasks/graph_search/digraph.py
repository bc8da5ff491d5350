"""Directed graphs with a start and a target: drawing, reading and searching them.

In: a size and a distance, or the text of a question. Out: a `Graph`, its question, and the results of
breadth-first and depth-first search. The text format is that of "Learning to search" (H. N. Nguyen's blog, 14
September 2025): edges ``u,v`` in any order, separated by ``|``, then ``/``, then start and target::

    1,3|2,4|1,2|0,1|0,2|3,4/0,4
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from envs.trace import BACKTRACK

_MAX_GRAPHS = 5000  # draws before a size and a distance are rejected as incompatible; half a second


@dataclass(frozen=True, slots=True)
class Graph:
    """A directed graph, with the start and target of the path to find.

    Example: `read_graph("1,2|0,2|0,1/0,2")` is `Graph(neighbours=((1, 2), (2,), ()), start=0, target=2)`.

    Attributes:
        neighbours: For each label, the nodes its edges lead to, ascending; empty for labels that are no node.
        start: First node of the path.
        target: Last node of the path.
    """

    neighbours: tuple[tuple[int, ...], ...]
    start: int
    target: int

    @property
    def nodes(self) -> frozenset[int]:
        """All nodes with an edge."""
        return frozenset([u for u, out in enumerate(self.neighbours) if out]).union(*self.neighbours)


def read_graph(question: str) -> Graph:
    """Read the text of a question; not safe for text from a model."""
    edges, _, ends = question.partition("/")
    start, _, target = ends.partition(",")
    pairs = [(int(u), int(v)) for u, _, v in [edge.partition(",") for edge in edges.split("|")]]
    neighbours: list[list[int]] = [[] for _ in range(max(map(max, pairs)) + 1)]
    for u, v in sorted(pairs):
        neighbours[u].append(v)
    return Graph(tuple(map(tuple, neighbours)), int(start), int(target))


# ---- searching ----


def breadth_first(graph: Graph) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Search breadth first, with neighbours in ascending order, until the target is listed.

    Returns:
        The expanded nodes, in order, and the shortest path found, which is the lexicographically first one.

    Raises:
        ValueError: No path leads to the target.
    """
    parents = {graph.start: graph.start}
    queue = [graph.start]
    for num_before, node in enumerate(queue):
        for neighbour in graph.neighbours[node]:
            if neighbour not in parents:
                parents[neighbour] = node
                queue.append(neighbour)
        if graph.target in parents:
            path = [graph.target]
            while path[-1] != graph.start:
                path.append(parents[path[-1]])
            return tuple(queue[: num_before + 1]), tuple(reversed(path))
    raise ValueError(f"no path from {graph.start} to {graph.target}")


def distance(graph: Graph, node: int, *, avoiding: Collection[int] = ()) -> int | None:
    """Length of a shortest path from `node` to the target that enters no node of `avoiding`, or None."""
    seen = {node, *avoiding}
    layer = [node]
    length = 0
    while layer:
        if graph.target in layer:
            return length
        layer = list({v for u in layer for v in graph.neighbours[u]} - seen)
        seen.update(layer)
        length += 1
    return None


def depth_first(
    graph: Graph, max_length: int | None = None, *, straight_back: Callable[[], bool] = lambda: False
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Search depth first, with neighbours in ascending order and one backtrack per dead end.

    Every branch it leaves is a dead end. Without a limit each node is entered once, since from an exhausted
    node the target can only be reached through nodes on the path. With a limit a node is entered again if fewer
    edges lead to it than before.

    Args:
        graph: The graph.
        max_length: Largest length of a path, in edges; None for no limit.
        straight_back: Asked at each dead end. If true, the search goes back to the last node of the path from
            which the target can be reached, otherwise to the last one with a neighbour that it has not tried.
            The path found is the same.

    Returns:
        The lines (moves and backtracks), and the path found.

    Raises:
        ValueError: There is no such path.
    """
    path = [graph.start]
    untried = [iter(graph.neighbours[graph.start])]
    entered = {graph.start: 0}  # number of edges by which it was entered
    lines: list[str] = []
    left_branch = False
    while path[-1] != graph.target:
        neighbour = None
        if max_length is None:
            neighbour = next((v for v in untried[-1] if v not in entered), None)
        elif len(path) <= max_length:
            neighbour = next((v for v in untried[-1] if entered.get(v, max_length + 1) > len(path)), None)
        if neighbour is None:
            to_hope = not left_branch and straight_back()
            while True:
                path.pop()
                untried.pop()
                if not path or not to_hope or _can_reach(graph, path, max_length):
                    break
            if not path:
                raise ValueError(f"no path from {graph.start} to {graph.target} within the allowed length")
            left_branch = True
            continue
        if left_branch:
            lines.append(f"{BACKTRACK} {len(path) - 1}")
            left_branch = False
        lines.append(move_line(path[-1], neighbour))
        entered[neighbour] = len(path)
        path.append(neighbour)
        untried.append(iter(graph.neighbours[neighbour]))
    return tuple(lines), tuple(path)


def _can_reach(graph: Graph, path: Sequence[int], max_length: int | None) -> bool:
    """Whether a path can be completed, within a length if one is given."""
    moves = distance(graph, path[-1], avoiding=path)
    return moves is not None and (max_length is None or len(path) - 1 + moves <= max_length)


def move_line(node: int, neighbour: int) -> str:
    """The line for one move along an edge."""
    return f"{node} > {neighbour}"


# ---- drawing ----


def draw_graph(
    *, num_nodes: int, num_edges: int, length: int, num_labels: int, rng: random.Random
) -> tuple[str, Graph]:
    """Draw a graph with a shortest path of a given length.

    A set of `num_edges` edges is drawn uniformly, again until every node has an edge and some pair of nodes has
    the distance `length`. Start and target are drawn uniformly from these pairs. The labels are a uniform
    choice of `num_nodes` numbers from 0 to `num_labels` - 1.

    Returns:
        The question and the graph.

    Raises:
        ValueError: No such graph was found in `_MAX_GRAPHS` draws.
    """
    table = _edge_table(num_nodes)
    num_slots, everywhere = len(table), (1 << num_nodes) - 1
    draw = rng.random
    for _ in range(_MAX_GRAPHS):
        edges: dict[int, None] = {}  # an ordered set; edges are written in the order drawn
        while len(edges) < num_edges:
            edges[int(draw() * num_slots)] = None
        outgoing: list[list[int]] = [[] for _ in range(num_nodes)]
        touched = 0
        for edge in edges:
            u, v, ends = table[edge]
            outgoing[u].append(v)
            touched |= ends
        if touched != everywhere:
            continue
        ends_at = _nodes_at(outgoing, length)
        num_pairs = sum([nodes.bit_count() for nodes in ends_at])
        if num_pairs:
            break
    else:
        raise ValueError(
            f"no graph of {num_nodes} nodes and {num_edges} edges with a shortest path of {length} in "
            f"{_MAX_GRAPHS} draws; change the length or the degree"
        )
    start, target = _pick(ends_at, int(draw() * num_pairs))
    labels = sorted(rng.sample(range(num_labels), num_nodes)) if num_nodes < num_labels else range(num_nodes)
    neighbours: list[tuple[int, ...]] = [()] * num_labels
    for u, out in enumerate(outgoing):
        neighbours[labels[u]] = tuple([labels[v] for v in sorted(out)])
    names = [str(label) for label in labels]
    text = "|".join([f"{names[u]},{names[v]}" for u, v, _ in [table[edge] for edge in edges]])
    return f"{text}/{names[start]},{names[target]}", Graph(tuple(neighbours), labels[start], labels[target])


@lru_cache(maxsize=64)
def _edge_table(num_nodes: int) -> tuple[tuple[int, int, int], ...]:
    """All possible edges, each with the bits of its two ends."""
    return tuple((u, v, 1 << u | 1 << v) for u in range(num_nodes) for v in range(num_nodes) if u != v)


def _nodes_at(outgoing: Sequence[Sequence[int]], length: int) -> list[int]:
    """For each node, the set of nodes at distance `length` from it, as bits."""
    before: list[int] = []
    within = [1 << u for u in range(len(outgoing))]  # nodes within the distances so far
    for _ in range(length):
        before, within = within, within.copy()
        for u, out in enumerate(outgoing):
            for v in out:
                within[u] |= before[v]
    return [now & ~earlier for now, earlier in zip(within, before, strict=True)]


def _pick(ends_at: Sequence[int], rank: int) -> tuple[int, int]:
    """The pair of nodes of this rank, from 0."""
    for u, nodes in enumerate(ends_at):
        if rank < nodes.bit_count():
            for _ in range(rank):
                nodes &= nodes - 1
            return u, (nodes & -nodes).bit_length() - 1
        rank -= nodes.bit_count()
    raise AssertionError("the rank exceeds the number of pairs")
