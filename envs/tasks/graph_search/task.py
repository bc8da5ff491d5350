"""Shortest paths in directed graphs, found by writing down a search.

Task, question and breadth-first trace follow "Learning to search" (H. N. Nguyen's blog, 14 September 2025);
there the trace is one line between < and >, here it is one line a step::

    1,3|2,4|1,2|0,1|0,2|3,4/0,4
    Answer:
    0,(1, 2)
    1,(2, 3)
    2,(4)
    - 4,2,0
    Thus, the answer is 0,2,4.

Two grammars; unless the settings allow one only, the first line of the path decides which, and the other one's
lines are refused after it.

Breadth first: each line expands the node at the head of the queue and lists where its edges lead, ascending; a
node joins the queue when it is first listed. Once the target is listed, one line traces the path back through
the nodes that first listed each.

Depth first (ours): each line moves along an edge from the node the path has led to, to one not on it, and
backtracks leave dead ends. What ends the search is set by `path`::

    0 > 1
    1 > 2
    <backtrack> 0
    0 > 2
    2 > 4
    Thus, the answer is 0,2,4.

A bucket is "NODES_LOW-HIGH", the number of nodes and the range of lengths of the shortest path in edges, each
length alike. The post gives neither the generator nor its density; ours is in `digraph.py`. With 2 edges a
node, 96 of 100 random graphs of 15 nodes have a path of 5 and 76 have one of 6, and a search expands 2.6 nodes
on average for a path of 2 and 10.4 for one of 6; sparser graphs lack nodes to list, denser ones long paths.

There are no hand-skip rules, as every line does one thing, and no padded traces, as none does nothing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from itertools import pairwise

from pydantic import Field, field_validator, model_validator

from envs.base import Demonstration
from envs.generated import Draw, GeneratedEnv
from envs.grading import Grade
from envs.problem import Problem
from envs.ranges import RangeSettings, draw_from_range, read_range
from envs.tasks.graph_search.digraph import breadth_first, depth_first, distance, draw_graph, read_graph
from envs.tasks.graph_search.errors import first_error
from envs.tasks.graph_search.steps import (
    MAX_NODES,
    Grammar,
    GraphState,
    advance,
    expansion_line,
    move_lines,
    next_states,
    read_path,
    start,
    trace_back_line,
    write_path,
)
from envs.trace import BACKTRACK, Trace

_BUCKET = re.compile(r"([1-9][0-9]{0,2})_([1-9][0-9]{0,2})-([1-9][0-9]{0,2})")


class PathKind(StrEnum):
    """Which paths from start to target are right."""

    SHORTEST = "shortest"
    ANY = "any"


class GraphSearchSettings(RangeSettings):
    """Sizes and path lengths per split; the defaults are the post's.

    Attributes:
        max_merge: One line does one thing, so 1.
        degree: Mean number of edges that leave a node.
        num_labels: The nodes of every graph have different labels from 0 to `num_labels` - 1, drawn alike.
            With the default, smaller graphs use every label that larger ones do, so a model tested on more
            nodes than it was trained on has seen all their names; the post does not say.
        path: Whether only a shortest path is right, or any without repeated nodes.
        grammar: Which lines are valid. Where steps have a price, a policy that may choose leaves the
            breadth-first search for guessed moves, which are fewer.
    """

    max_merge: int = Field(default=1, ge=1, le=1)
    degree: float = Field(default=2.0, ge=1.0, le=10.0)
    num_labels: int = Field(default=20, ge=2, le=1000)
    path: PathKind = PathKind.SHORTEST
    grammar: Grammar = Grammar.EITHER
    train: dict[str, float] = {"15_2-4": 1.0}
    ood_easy: dict[str, float] = {"17_2-4": 1.0, "20_2-4": 1.0}
    ood_hard: dict[str, float] = {"15_5-6": 1.0, "17_5-6": 1.0, "20_5-6": 1.0}

    @field_validator("train", "ood_easy", "ood_hard")
    @classmethod
    def _sizes_and_lengths(cls, value: dict[str, float]) -> dict[str, float]:
        for bucket in value:
            match = _BUCKET.fullmatch(bucket)
            if match is None or not int(match[2]) <= int(match[3]) < int(match[1]) <= MAX_NODES:
                raise ValueError(
                    f"a bucket is a number of nodes up to {MAX_NODES} and a range of path lengths below it, "
                    f"such as '15_2-4', got {bucket!r}"
                )
        return value

    @model_validator(mode="after")
    def _fits(self) -> GraphSearchSettings:
        buckets = [*self.train, *self.ood_easy, *self.ood_hard]
        for bucket in buckets:
            nodes = int(read_range(bucket)[0])
            if nodes > self.num_labels:
                raise ValueError(f"num_labels is {self.num_labels}; the bucket '{bucket}' needs {nodes}")
            if 2 * self.degree > nodes - 1:
                raise ValueError(
                    f"degree is {self.degree}; the bucket '{bucket}' allows {(nodes - 1) / 2} at most"
                )
        return self


class GraphSearch(GeneratedEnv[GraphState]):
    """Find a path from one node to another."""

    name = "graph_search"
    Settings = GraphSearchSettings
    settings: GraphSearchSettings
    error_kinds = ("branch",)

    def draw(self, bucket: str, rng: random.Random) -> Draw:
        """Draw a length of the bucket's range and a graph with a shortest path of it."""
        nodes, length = draw_from_range(bucket, rng)
        num_nodes = int(nodes)
        question, graph = draw_graph(
            num_nodes=num_nodes,
            num_edges=round(self.settings.degree * num_nodes),
            length=length,
            num_labels=self.settings.num_labels,
            rng=rng,
        )
        order, path = breadth_first(graph)
        if self._moves:
            _, path = depth_first(graph, None if self._any else length)
        num_steps = len(path) - 1 if self._moves else len(order) + 1
        return Draw(question=question, answer=write_path(path), num_full_steps=num_steps, difficulty=length)

    def bucket(self, problem: Problem) -> str:
        """The bucket of the settings with its number of nodes and shortest path; for others one of its own."""
        state = self.start(problem)
        return self.settings.bucket_of(str(len(state.graph.nodes)), len(state.shortest) - 1)

    def start(self, problem: Problem) -> GraphState:
        """Nothing searched yet, by either grammar."""
        return start(read_graph(problem.question))

    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        """The breadth-first search or the moves of the depth-first one that last.

        The latter where moves alone are valid, or where both grammars are and any path is right.
        """
        state = self.start(problem)
        if self._moves:
            return move_lines(self._depth_first(state)[1])
        expansions = [expansion_line(state.graph, node) for node in state.order]
        return (*expansions, trace_back_line(state))

    def search_trace(self, problem: Problem, rng: random.Random) -> Demonstration | None:
        """The depth-first search for the problem's answer, neighbours ascending.

        Where the path must be a shortest one, the search turns back at the length of that, which the question
        does not tell. None where moves are not valid.
        """
        if self.settings.grammar is Grammar.BREADTH_FIRST:
            return None
        return Demonstration(lines=self._depth_first(self.start(problem))[0])

    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        """The moves to the problem's answer, with a wrong branch for each of `errors`.

        A wrong branch starts with a move after which the path cannot be completed. It goes on at random until
        no move is left or, where the path must be a shortest one, until it is as long as that. None where moves
        are not valid.
        """
        if self.settings.grammar is Grammar.BREADTH_FIRST:
            return None
        state = self.start(problem)
        path = self._depth_first(state)[1]
        prefixes = [replace(state, path=path[: j + 1]) for j in range(len(path) - 1)]
        wrong_moves = [
            (j, after)
            for j, prefix in enumerate(prefixes)
            for after in next_states(prefix)
            if not self.solvable(after)
        ]
        if len(errors) > len(wrong_moves):
            return None
        detours = rng.sample(wrong_moves, len(errors))
        lines: list[str] = []
        wrong: set[int] = set()
        for j, move in enumerate(move_lines(path)):
            for after in [after for at, after in detours if at == j]:
                wrong.add(len(lines))
                lines += move_lines(self._walk_on(after, rng).path[j:])
                lines.append(f"{BACKTRACK} {j}")
            lines.append(move)
        return Demonstration(lines=tuple(lines), wrong=frozenset(wrong))

    def advance(self, state: GraphState, line: str) -> GraphState:
        """One line of a grammar that is allowed and that the path has begun with; see `graph_steps.py`."""
        return advance(state, line, self.settings.grammar)

    def finished(self, state: GraphState) -> bool:
        """The path is traced back, or the moves have led to the target by a path that is right."""
        if len(state.path) == 1:
            return state.num_lines > len(state.order)
        return state.path[-1] == state.graph.target and (self._any or len(state.path) == len(state.shortest))

    def solvable(self, state: GraphState) -> bool:
        """Whether the path can still be completed to one that is right; a breadth-first search always can."""
        left = distance(state.graph, state.path[-1], avoiding=state.path)
        if self._any or left is None:
            return left is not None
        return len(state.path) + left == len(state.shortest)

    def first_error(self, trace: Trace) -> str | None:
        """One of the post's categories; see `graph_errors`."""
        return first_error(trace)

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """A path from start to target along edges: a shortest one, or any without repeated nodes.

        Every such path is right, not only the problem's own. Labels in plain digits with a comma between them
        and nothing else; other texts are malformed.
        """
        path = read_path(answer)
        if path is None:
            return Grade.MALFORMED
        if answer == problem.answer:
            return Grade.CORRECT
        state = self.start(problem)
        if path[0] != state.graph.start or path[-1] != state.graph.target:
            return Grade.WRONG
        if any(v not in state.graph.neighbours[u] for u, v in pairwise(path)):
            return Grade.WRONG
        right = len(set(path)) == len(path) if self._any else len(path) == len(state.shortest)
        return Grade.CORRECT if right else Grade.WRONG

    @property
    def _any(self) -> bool:
        return self.settings.path is PathKind.ANY

    @property
    def _moves(self) -> bool:
        """Whether the full trace is moves."""
        grammar = self.settings.grammar
        return grammar is Grammar.DEPTH_FIRST or (grammar is Grammar.EITHER and self._any)

    def _depth_first(self, state: GraphState) -> tuple[tuple[str, ...], tuple[int, ...]]:
        return depth_first(state.graph, None if self._any else len(state.shortest) - 1)

    def _walk_on(self, state: GraphState, rng: random.Random) -> GraphState:
        """Move at random until no move is left, or none that could be part of a right path by its length."""
        while (self._any or len(state.path) < len(state.shortest)) and (after := next_states(state)):
            state = rng.choice(after)
        return state
