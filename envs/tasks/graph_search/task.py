"""Shortest paths in directed graphs, found by writing down a search.

A problem (edges, then start and target) and its full trace, a breadth-first search::

    1,3|2,4|1,2|0,1|0,2|3,4/0,4
    Answer:
    0,(1, 2)
    1,(2, 3)
    2,(4)
    - 4,2,0
    Thus, the answer is 0,2,4.

Steps follow one of two grammars. The settings may allow only one of them; otherwise the first line of the path
decides, and lines of the other grammar are invalid after it.

Breadth first: each line expands the node at the head of the queue and lists the nodes its edges lead to in
ascending order. A node joins the queue when it is listed for the first time. Once the target has been listed,
one line traces the path back from the target, from each node to the one whose expansion first listed it.

Depth first: each line moves along an edge from the current node to one that is not on the path, and backtracks
leave dead ends. The setting `path` decides which paths may end the search::

    0 > 1
    1 > 2
    <backtrack> 0
    0 > 2
    2 > 4
    Thus, the answer is 0,2,4.

`remaining`: in a breadth-first search, the expansions left and the trace-back. In a depth-first one, the moves
of the shortest way on that enters no node of the path; infinite where none makes it a right path. Where both
grammars are valid, the start has the smaller number of the two, that of the moves: there a breadth-first trace
is not the shortest, and its first line leads away from the end. Where any path is right, the reference trace
of moves is not always the shortest either.

There are no hand-skip rules, since every line does one thing, and no padded traces, since no line does nothing.

Buckets: a bucket is "NODES_LOW-HIGH", the number of nodes and the range of lengths of the shortest path in
edges ("15_2-4"). "ARMSxWAYS_LOW-HIGH" is a path-star graph (`path_star.py`): the numbers of its arms and of the
ways through a stage, and the range of the number of stages ("4x2_1-3"). Lengths and stages are drawn uniformly.

Wrong turns (`error_kinds`):
    branch: A move after which the path cannot be completed, followed by random moves to a dead end.

Mistakes (`mistake_kinds`); nothing takes them back, and the answer is the wrong path:
    neighbours: A list of neighbours lacks one or has one too many; breadth first only.
    trace_back: The path traced back lacks a node or has another one in its place; breadth first only.
    branch: As above; depth first only.

Source: "Learning to search" (H. N. Nguyen's blog, 14 September 2025). Task, question, breadth-first trace and
error categories follow it. Differences: the post writes a trace as one line between < and >, here each step has
its own line; the depth-first grammar is ours; and so is the generator (`digraph.py`), since the post gives
neither its own nor its density. With 2 edges per node, 96 of 100 random graphs of 15 nodes have a path of
length 5 and 76 one of length 6, and a search expands 2.6 nodes on average for a path of length 2 and 10.4 for
one of length 6. Sparser graphs have too few nodes to list, denser ones too few long paths.
"""

from __future__ import annotations

import math
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
from envs.requests import ask_for_answer
from envs.tasks.graph_search.digraph import breadth_first, depth_first, distance, draw_graph, read_graph
from envs.tasks.graph_search.errors import first_error
from envs.tasks.graph_search.mistakes import (
    BRANCH,
    MISTAKE_KINDS,
    NEIGHBOURS,
    write_neighbours,
    write_trace_back,
)
from envs.tasks.graph_search.path_star import draw_path_star, num_nodes, path_length, read_path_star
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
_STAR = re.compile(r"([2-9]|[1-9][0-9])x([1-9][0-9]?)_([1-9][0-9]?)-([1-9][0-9]?)")


class PathKind(StrEnum):
    """The paths from start to target that are right."""

    SHORTEST = "shortest"
    ANY = "any"


class GraphSearchSettings(RangeSettings):
    """Settings of `graph_search`; buckets are sizes and path lengths, the defaults those of the post.

    Attributes:
        max_merge: Fixed at 1, since each line does one thing.
        degree: Mean number of edges that leave a node of a random graph.
        num_labels: Nodes have distinct labels from 0 to `num_labels` - 1, drawn uniformly. With the default,
            small graphs use the same labels as large ones, so a model tested on more nodes than in training has
            seen all labels. The post does not specify this.
        path: Whether only a shortest path is right, or any path without repeated nodes.
        grammar: Which lines are valid. If both are and the reward penalises steps, a policy replaces the
            breadth-first search by guessed moves, which need fewer lines.
        straight_back: Probability that a written search goes straight back at a dead end: to the last node of
            its path from which the target can be reached, instead of the last one with an edge left to try.
    """

    max_merge: int = Field(default=1, ge=1, le=1)
    degree: float = Field(default=2.0, ge=1.0, le=10.0)
    num_labels: int = Field(default=20, ge=2, le=1000)
    path: PathKind = PathKind.SHORTEST
    grammar: Grammar = Grammar.EITHER
    straight_back: float = Field(default=0.0, ge=0.0, le=1.0)
    train: dict[str, float] = {"15_2-4": 1.0}
    ood_easy: dict[str, float] = {"17_2-4": 1.0, "20_2-4": 1.0}
    ood_hard: dict[str, float] = {"15_5-6": 1.0, "17_5-6": 1.0, "20_5-6": 1.0}

    @field_validator("train", "ood_easy", "ood_hard")
    @classmethod
    def _sizes_and_lengths(cls, value: dict[str, float]) -> dict[str, float]:
        for bucket in value:
            if (star := _STAR.fullmatch(bucket)) and int(star[3]) <= int(star[4]):
                continue
            match = _BUCKET.fullmatch(bucket)
            if match is None or not int(match[2]) <= int(match[3]) < int(match[1]) <= MAX_NODES:
                raise ValueError(
                    f"got the bucket {bucket!r}; a bucket is a number of nodes up to {MAX_NODES} and "
                    "a range of path lengths below it, such as '15_2-4', or a path-star graph: arms (at least "
                    "2) x ways, and a range of stages, such as '4x2_1-3'"
                )
        return value

    @model_validator(mode="after")
    def _fits(self) -> GraphSearchSettings:
        buckets = [*self.train, *self.ood_easy, *self.ood_hard]
        for bucket in buckets:
            nodes = _num_nodes(bucket)
            if nodes > MAX_NODES:
                raise ValueError(f"the bucket '{bucket}' has {nodes} nodes, at most {MAX_NODES} are possible")
            if nodes > self.num_labels:
                raise ValueError(
                    f"num_labels is {self.num_labels}; the bucket '{bucket}' needs at least {nodes}"
                )
            if not is_star(bucket) and 2 * self.degree > nodes - 1:
                raise ValueError(
                    f"degree is {self.degree}; the bucket '{bucket}' allows at most {(nodes - 1) / 2}"
                )
        return self


def is_star(bucket: str) -> bool:
    """Whether a bucket is of path-star graphs."""
    return "x" in bucket


def _num_nodes(bucket: str) -> int:
    """The number of nodes of the largest graphs in a bucket."""
    kind, _, most = read_range(bucket)
    if not is_star(bucket):
        return int(kind)
    arms, ways = map(int, kind.split("x"))
    return num_nodes(arms, ways, most)


class GraphSearch(GeneratedEnv[GraphState]):
    """Find a path from one node to another."""

    name = "graph_search"
    Settings = GraphSearchSettings
    settings: GraphSearchSettings
    error_kinds = (BRANCH,)
    mistake_kinds = MISTAKE_KINDS
    instruction = (
        "A directed graph is given as its edges, separated by |, where 1,3 is an edge from node 1 to node 3. "
        "After the / come the start and the target. Find a shortest path."
    )
    format_request = (
        'Search breadth first. Each line expands the next node of the queue, such as "0,(1, 2)": the node, and '
        "the nodes its edges lead to in ascending order. Once the target is listed, one line traces the path "
        'back from it, such as "- 4,2,0". '
        f"{ask_for_answer('the path from start to target, such as 0,2,4')}"
    )

    def draw(self, bucket: str, rng: random.Random) -> Draw:
        """Draw a length from the bucket's range and a graph with a shortest path of this length."""
        kind, length = draw_from_range(bucket, rng)
        num_labels = self.settings.num_labels
        if is_star(bucket):
            arms, ways = map(int, kind.split("x"))
            question, graph = draw_path_star(
                arms=arms, ways=ways, stages=length, num_labels=num_labels, rng=rng
            )
            length = path_length(ways, length)
        else:
            question, graph = draw_graph(
                num_nodes=int(kind),
                num_edges=round(self.settings.degree * int(kind)),
                length=length,
                num_labels=num_labels,
                rng=rng,
            )
        order, path = breadth_first(graph)
        if self._moves:
            _, path = depth_first(graph, None if self._any else length)
        num_steps = len(path) - 1 if self._moves else len(order) + 1
        return Draw(question=question, answer=write_path(path), num_full_steps=num_steps, difficulty=length)

    def bucket(self, problem: Problem) -> str:
        """The bucket of its size and shortest path, or of its arms; see `RangeSettings.bucket_of`."""
        state = self.start(problem)
        has_stars = any(map(is_star, self.settings.buckets(problem.split)))
        if has_stars and (star := read_path_star(state.graph)):
            arms, ways, stages = star
            return self.settings.bucket_of(f"{arms}x{ways}", stages)
        return self.settings.bucket_of(str(len(state.graph.nodes)), len(state.shortest) - 1)

    def start(self, problem: Problem) -> GraphState:
        """The start of the search, for both grammars."""
        return start(read_graph(problem.question))

    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        """The breadth-first search, or the moves of the depth-first search without its dead ends.

        It is the latter if only moves are valid, or if both grammars are valid and any path is right.
        """
        state = self.start(problem)
        if self._moves:
            return move_lines(self._depth_first(state)[1])
        expansions = [expansion_line(state.graph, node) for node in state.order]
        return (*expansions, trace_back_line(state))

    def search_trace(self, problem: Problem, rng: random.Random) -> Demonstration | None:
        """The depth-first search for the problem's answer, with neighbours in ascending order.

        At a dead end it goes back as the setting `straight_back` says. If only a shortest path is right, the
        search goes no deeper than its length, which the question does not state. None if moves are not valid.
        """
        if self.settings.grammar is Grammar.BREADTH_FIRST:
            return None
        state, frac = self.start(problem), self.settings.straight_back
        lines, _ = depth_first(
            state.graph, self._longest(state), straight_back=lambda: frac > 0 and rng.random() < frac
        )
        return Demonstration(lines=lines)

    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        """The moves to the problem's answer, with a wrong branch for each of `errors`.

        A wrong branch starts with a move after which the path cannot be completed. Random moves follow until
        none is possible or, if only a shortest path is right, until the path has its length. None if moves are
        not valid, or if the path has fewer wrong moves than errors.
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

    def mistaken_trace(self, problem: Problem, kind: str, rng: random.Random) -> Demonstration | None:
        """The full trace with one mistake; None if it is of the other grammar, or leads to no wrong path."""
        if (kind == BRANCH) != self._moves:
            return None
        state = self.start(problem)
        if kind == BRANCH:
            detour = self.detour_trace(problem, [kind], rng)
            if detour is None:
                return None
            (at,) = detour.wrong
            lines = detour.lines[: detour.lines.index(f"{BACKTRACK} {at}")]
            path = (state.graph.start, *[int(line.partition(" > ")[2]) for line in lines])
            return Demonstration(lines=lines, wrong=detour.wrong, answer=write_path(path))
        write = write_neighbours if kind == NEIGHBOURS else write_trace_back
        return write(state, lambda answer: self.grade_answer(problem, answer) is Grade.WRONG, rng)

    def advance(self, state: GraphState, line: str) -> GraphState:
        """Take one line of an allowed grammar, the one the path has started with; see `steps.py`."""
        return advance(state, line, self.settings.grammar)

    def finished(self, state: GraphState) -> bool:
        """Whether the path has been traced back, or the moves have reached the target by a right path."""
        if len(state.path) == 1:
            return state.num_lines > len(state.order)
        return state.path[-1] == state.graph.target and (self._any or len(state.path) == len(state.shortest))

    def remaining(self, state: GraphState) -> float:
        """The lines of the search that has begun, or of the shorter one at the start; see the module."""
        breadth_first_lines = len(state.order) + 1 - state.num_lines
        if state.num_lines or self.settings.grammar is Grammar.BREADTH_FIRST:
            return breadth_first_lines
        moves = distance(state.graph, state.path[-1], avoiding=state.path)
        if moves is None or not (self._any or len(state.path) + moves == len(state.shortest)):
            return math.inf
        either = len(state.path) == 1 and self.settings.grammar is Grammar.EITHER
        return min(moves, breadth_first_lines) if either else moves

    def first_error(self, trace: Trace) -> str | None:
        """One of the post's categories; see `errors.py`."""
        return first_error(trace)

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """Right if it is a path from start to target: a shortest one, or any without repeated nodes.

        Every such path is right, not only the gold answer. A path consists of labels in plain digits, separated
        by commas; any other text is malformed.
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
        """Whether the full trace consists of moves."""
        grammar = self.settings.grammar
        return grammar is Grammar.DEPTH_FIRST or (grammar is Grammar.EITHER and self._any)

    def _depth_first(self, state: GraphState) -> tuple[tuple[str, ...], tuple[int, ...]]:
        return depth_first(state.graph, self._longest(state))

    def _longest(self, state: GraphState) -> int | None:
        """The largest length of a right path."""
        return None if self._any else len(state.shortest) - 1

    def _walk_on(self, state: GraphState, rng: random.Random) -> GraphState:
        """Move at random until no move is possible, or until the path is as long as a shortest one."""
        while (self._any or len(state.path) < len(state.shortest)) and (after := next_states(state)):
            state = rng.choice(after)
        return state
