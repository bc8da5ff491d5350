"""Path-star graphs: several arms of equal length leave one node, and the target is at the end of one of them.

In: numbers of arms, stages and ways. Out: a question with the graph. Each of the W *arms* is a first node and K
*stages*. A stage leads from a node to the next one by L *ways*: by an edge if L is 1, else through one of L
nodes. Two arms of one stage with two ways::

        1 > 2, 3 > 4    the end of this arm is the target
    0 >
        5 > 6, 7 > 8    a dead end

All ways through a stage are equal, so what a search costs is decided at the end of a wrong arm. A depth-first
search that goes back stage by stage to try the other ways writes 2KL + 2 lines for a wrong arm (L > 1); one
that goes back to the fork at once writes 2K + 2. In all that is Θ(WLK) or Θ(WK).

Source: "Provable Benefits of RLVR over SFT for Reasoning Models: Learning to Backtrack Efficiently" (S. Wei
and J. Kim, arXiv 2606.22938). Its multigraph has a fork, W branches, K diamonds in each and L parallel edges
in a diamond; where no state is searched twice, a model trained on shortest paths alone takes Θ(WLK) steps and
one trained by reward Θ(WK) (Corollary 1). Differences: a parallel edge is a node with two edges, since our
moves name nodes; a backtrack goes to any earlier point in one line, where the paper walks back edge by edge;
the edge from its source to the fork is left out. With one way this is the path-star graph of "The Pitfalls of
Next-Token Prediction" (arXiv 2403.06963).
"""

from __future__ import annotations

import random

from envs.tasks.graph_search.digraph import Graph


def num_nodes(arms: int, ways: int, stages: int) -> int:
    """The number of nodes, the fork included."""
    return 1 + arms * (1 + stages * (1 if ways == 1 else ways + 1))


def path_length(ways: int, stages: int) -> int:
    """The number of edges from the fork to the end of an arm."""
    return 1 + stages * (1 if ways == 1 else 2)


def draw_path_star(
    *, arms: int, ways: int, stages: int, num_labels: int, rng: random.Random
) -> tuple[str, Graph]:
    """Draw labels, the order of edges and the target; all of them uniformly.

    Args:
        arms: W, at least 2.
        ways: L, at least 1.
        stages: K, at least 1.
        num_labels: Labels are drawn from 0 to `num_labels` - 1; at least `num_nodes`.
        rng: Draws.

    Returns:
        The question and the graph.
    """
    labels = iter(rng.sample(range(num_labels), num_nodes(arms, ways, stages)))
    fork = next(labels)
    edges: list[tuple[int, int]] = []
    ends = []
    for _ in range(arms):
        node = next(labels)
        edges.append((fork, node))
        for _ in range(stages):
            between = [next(labels) for _ in range(ways)] if ways > 1 else []
            after = next(labels)
            edges += [edge for one in between for edge in ((node, one), (one, after))] or [(node, after)]
            node = after
        ends.append(node)
    target = ends[int(rng.random() * arms)]
    rng.shuffle(edges)
    neighbours: list[list[int]] = [[] for _ in range(num_labels)]
    for u, v in sorted(edges):
        neighbours[u].append(v)
    question = f"{'|'.join([f'{u},{v}' for u, v in edges])}/{fork},{target}"
    return question, Graph(tuple(map(tuple, neighbours)), fork, target)


def read_path_star(graph: Graph) -> tuple[int, int, int] | None:
    """Arms, ways and stages of a path-star graph; None if it does not have their numbers of nodes and edges."""
    first, *_ = firsts = graph.neighbours[graph.start]
    ways, stages, node = len(graph.neighbours[first]), 0, first
    nodes, num_edges = graph.nodes, sum(map(len, graph.neighbours))
    while (after := graph.neighbours[node]) and stages < len(nodes):
        node = after[0] if ways == 1 else next(iter(graph.neighbours[after[0]]), node)
        stages += 1
    num = (num_nodes(len(firsts), ways, stages), len(firsts) * (1 + stages * (1 if ways == 1 else 2 * ways)))
    return (len(firsts), ways, stages) if ways and num == (len(nodes), num_edges) else None
