"""Graph search, on graphs worked by hand and with independent checks."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import mean
from typing import Any

import pytest
from pydantic import ValidationError

from envs.base import Demonstration
from envs.check.contract import check_env
from envs.check.oracles import another_path, another_shortest_path, edges_of, is_path, shortest_length
from envs.faults import straight_backs
from envs.grading import Grade
from envs.line_facts import line_facts
from envs.problem import Problem, Split
from envs.tasks.graph_search.digraph import breadth_first, depth_first, distance, draw_graph, read_graph
from envs.tasks.graph_search.errors import GraphError, error_category, first_error
from envs.tasks.graph_search.steps import next_states
from envs.tasks.graph_search.task import GraphSearch
from envs.trace import StepKind, Trace, Verdict, parse_trace, render_trace
from tests.kit.fuzz import mutate
from tests.kit.problems import judge, make_problem, refusal

POST = "1,3|2,4|1,2|0,1|0,2|3,4/0,4"  # the post's example
POST_LINES = ("0,(1, 2)", "1,(2, 3)", "2,(4)", "- 4,2,0")
# 0 → 1, 2, 4; 1 → 3; 2 → 4, 5; 4 → 5; 5 → 6; 3 leads nowhere. Shortest to 6: 0,2,5,6 and 0,4,5,6.
FORK = "2,5|0,4|5,6|1,3|0,1|4,5|2,4|0,2/0,6"
FORK_LINES = ("0,(1, 2, 4)", "1,(3)", "2,(4, 5)", "4,(5)", "3,()", "5,(6)", "- 6,5,2,0")
ANY = {"path": "any"}


def ask(question: str, answer: str) -> Problem:
    return make_problem("graph_search", question, answer)


def straight_path(trace: Trace) -> str:
    """The nodes of the moves that stand."""
    moves = [step.text for step in trace.steps if step.kind is StepKind.FORWARD and not step.undone]
    return ",".join([moves[0].split(" > ")[0], *[move.split(" > ")[1] for move in moves]])


POST_PROBLEM, FORK_PROBLEM = ask(POST, "0,2,4"), ask(FORK, "0,2,5,6")


def judge_fork(
    lines: Sequence[str], answer: str | None = None, settings: dict[str, Any] | None = None
) -> Trace:
    return judge(FORK_PROBLEM, lines, answer, env=GraphSearch(settings))


# ---- the contract ----


@pytest.mark.slow
def test_the_contract_holds() -> None:
    report = check_env(GraphSearch(), num_problems=60)
    assert report.num_traces == report.num_problems == 240
    assert 5 < report.mean_full_steps < 10
    check_env(GraphSearch(ANY), num_problems=30, oracle=another_path)


@pytest.mark.parametrize("path", ["shortest", "any"])
@pytest.mark.parametrize("grammar", ["breadth_first", "depth_first"])
def test_one_grammar_alone(path: str, grammar: str) -> None:
    settings = {"path": path, "grammar": grammar}
    env = GraphSearch(settings)
    check_env(env, num_problems=15, oracle=another_path if path == "any" else None)
    walk = ("0 > 2", "2 > 5", "5 > 6")
    moves = grammar == "depth_first"
    full = env.full_trace(FORK_PROBLEM)
    # If any path is right, the full trace is the search without its dead ends: 1 and 3 fail, 2 and 4 remain.
    found = ("0 > 2", "2 > 4", "4 > 5", "5 > 6") if path == "any" else walk
    assert full == (found if moves else FORK_LINES)
    assert judge_fork(walk, settings=settings).verified is moves
    assert judge_fork(FORK_LINES, settings=settings).verified is not moves
    refused, right = (FORK_LINES, walk) if moves else (walk, FORK_LINES)
    trace = judge_fork(refused, settings=settings)
    assert trace.steps[0].reason.startswith("malformed: a ") and first_error(trace) is GraphError.MALFORMED
    assert first_error(judge_fork(right, settings=settings)) is None
    rng = random.Random(0)
    assert (env.search_trace(FORK_PROBLEM, rng) is not None) is moves
    assert (env.detour_trace(FORK_PROBLEM, ["branch"], rng) is not None) is moves
    problem = env.problem(Split.TRAIN, 0)
    assert problem.num_full_steps == len(env.full_trace(problem))


# ---- graphs ----


def test_reading_a_question() -> None:
    graph = read_graph(POST)
    assert (graph.start, graph.target) == (0, 4)
    assert graph.neighbours == ((1, 2), (2, 3), (4,), (4,), ())
    assert graph.nodes == {0, 1, 2, 3, 4}
    assert read_graph("7,2/7,2").nodes == {2, 7}


def test_distances() -> None:
    graph = read_graph(FORK)
    assert [distance(graph, node) for node in range(7)] == [3, None, 2, None, 2, 1, 0]
    assert distance(graph, 0, avoiding=[2]) == 3  # via 4
    assert distance(graph, 0, avoiding=[2, 4]) is None


def test_an_unreachable_target_is_an_error() -> None:
    graph = read_graph("1,0|1,2/0,2")
    with pytest.raises(ValueError, match=r"^no path from 0 to 2$"):
        breadth_first(graph)
    for limit in (None, 5):
        with pytest.raises(ValueError, match=r"^no path from 0 to 2 within the allowed length$"):
            depth_first(graph, limit)


def test_an_impossible_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="no graph of 5 nodes and 20 edges with a shortest path of 2 in 5000"):
        draw_graph(num_nodes=5, num_edges=20, length=2, num_labels=5, rng=random.Random(0))


def test_pairs_are_drawn_uniformly() -> None:
    """3 of the 6 edges on 3 nodes: all 6 paths of 2 edges with different ends are drawn equally often."""
    rng = random.Random(0)
    ends: Counter[str] = Counter()
    for _ in range(1200):
        question, _ = draw_graph(num_nodes=3, num_edges=3, length=2, num_labels=3, rng=rng)
        ends[question.split("/")[1]] += 1
    assert set(ends) == {f"{u},{v}" for u in range(3) for v in range(3) if u != v}
    assert min(ends.values()) > 150  # 200 expected, standard deviation 13


# ---- breadth first ----


def test_the_worked_example_of_the_post() -> None:
    env = GraphSearch()
    assert env.full_trace(POST_PROBLEM) == POST_LINES
    assert env.full_trace(FORK_PROBLEM) == FORK_LINES
    for problem, lines in ((POST_PROBLEM, POST_LINES), (FORK_PROBLEM, FORK_LINES)):
        trace = judge(problem, lines)
        assert trace.verified
        state = env.start(problem)
        for line in lines:
            assert not env.finished(state)
            assert env.solvable(state)
            state = env.advance(state, line)
        assert env.finished(state)


MALFORMED = "malformed: not an expansion, a trace-back or a move"


@pytest.mark.parametrize(
    ("num_before", "line", "reason"),
    [
        (0, "0,(1, 2)", "neighbours: the neighbours of 0 are (1, 2, 4)"),
        (0, "0,(1, 4, 2)", "neighbours: the neighbours of 0 are (1, 2, 4)"),
        (0, "0,(1, 2, 2, 4)", "neighbours: the neighbours of 0 are (1, 2, 4)"),
        (0, "0,()", "neighbours: the neighbours of 0 are (1, 2, 4)"),
        (2, "2,(5)", "neighbours: the neighbours of 2 are (4, 5)"),  # 4 is queued already, and listed again
        (4, "3,(0)", "neighbours: the neighbours of 3 are ()"),
        (0, "1,(3)", "queue: 1 is not in the queue, the head is 0"),
        (1, "2,(4, 5)", "queue: 2 is not at the head of the queue, the head is 1"),
        (1, "3,()", "queue: 3 is not in the queue, the head is 1"),
        (1, "999,()", "queue: 999 is not in the queue, the head is 1"),
        (6, "6,()", "queue: the target is already listed, no expansion may follow"),
        (7, "6,()", "queue: the target is already listed, no expansion may follow"),
        (1, "0,(1, 2, 4)", "revisit: 0 is already expanded"),
        (4, "2,(4, 5)", "revisit: 2 is already expanded"),
        (7, "5,(6)", "revisit: 5 is already expanded"),
        (2, "0,(9)", "revisit: 0 is already expanded"),  # the node before its neighbours
        (5, "- 6,5,2,0", "trace_back: the target is not listed yet"),
        (6, "- 6,5,4,0", "trace_back: the line should be '- 6,5,2,0'"),  # 2 listed 5 first
        (6, "- 6,5,2", "trace_back: the line should be '- 6,5,2,0'"),  # as in the post: only the last nodes
        (6, "- 0,2,5,6", "trace_back: the line should be '- 6,5,2,0'"),
        (7, "- 6,5,2,0", "trace_back: the path is already traced back"),
        (1, "0 > 1", "malformed: a move in a breadth-first search"),
        (0, "", MALFORMED),
        (0, "0,(1,2,4)", MALFORMED),
        (0, "0, (1, 2, 4)", MALFORMED),
        (0, "0,(1, 2, 4) ", MALFORMED),
        (0, "0,(1, 2, 4)\r", MALFORMED),
        (0, "0,(1, 2, 4", MALFORMED),
        (0, "0,(1, 2, 4,)", MALFORMED),
        (0, "00,(1, 2, 4)", MALFORMED),
        (0, "0,(1, 2, +4)", MALFORMED),
        (0, "0,(1, 2, ٤)", MALFORMED),
        (0, "0,(1, 2, 4),1,(3)", MALFORMED),
        (0, "0,(" + "1, " * 3000 + "1)", MALFORMED),
        (6, "-6,5,2,0", MALFORMED),
        (6, "- 6, 5, 2, 0", MALFORMED),
        (6, "- 6,5,2,0 > 0,2,5,6", MALFORMED),
        (6, "- ", MALFORMED),
        (6, "- " + "6," * 3000 + "6", MALFORMED),
    ],
)
def test_refused_breadth_first_lines(num_before: int, line: str, reason: str) -> None:
    assert refusal(FORK_PROBLEM, [*FORK_LINES[:num_before], line]) == reason
    assert error_category(reason) is GraphError(reason.split(":")[0])


def test_a_backtrack_repairs_a_breadth_first_search_or_restarts_it() -> None:
    mended = judge_fork(["0,(1, 2)", "<backtrack> 0", *FORK_LINES])
    assert mended.verified
    assert [backtrack[1:] for backtrack in mended.backtracks] == [(1, True, True)]
    assert first_error(mended) is None
    other_grammar = judge_fork([FORK_LINES[0], "<backtrack> 0", "0 > 4", "4 > 5", "5 > 6"])
    assert other_grammar.verified
    assert [backtrack[1:] for backtrack in other_grammar.backtracks] == [(1, True, False)]  # needless


# ---- error categories ----


@pytest.mark.parametrize(
    ("lines", "answer", "error"),
    [
        (FORK_LINES, "0,2,5,6", None),
        (FORK_LINES, "0,4,5,6", None),  # another shortest path than the one traced back
        (("0,(1, 2)", "1,(3)", "2,(4, 5)"), "0,2,5,6", GraphError.NEIGHBOURS),  # the queue errors follow
        (("0,(1, 2, 4)", "4,(5)", "5,()"), "0,4,5,6", GraphError.QUEUE),
        (("0,(1, 2, 4)", "1,(3)", "0,()", "2,()"), "0,2,5,6", GraphError.REVISIT),
        ((*FORK_LINES[:6], "- 6,5,2"), "2,5,6", GraphError.TRACE_BACK),
        (("0,(1, 2, 4)", "1: 3", "0,()"), "0,2,5,6", GraphError.MALFORMED),
        (FORK_LINES, "0,5,6", GraphError.TRACE_BACK),
        (FORK_LINES[:6], "0,2,5,6", GraphError.TRACE_BACK),  # nothing traced back
        (FORK_LINES, "0, 2, 5, 6", GraphError.MALFORMED),
        (("0,(1, 2)", "<backtrack>", "1,(3)"), "0,2,5,6", GraphError.QUEUE),  # the first one was taken back
        (("<backtrack> 3", *FORK_LINES), "0,2,5,6", GraphError.MALFORMED),
        (("0 > 3", "0 > 5"), "0,2,5,6", GraphError.NEIGHBOURS),
        (("0 > 1", "0 > 2"), "0,2,5,6", GraphError.QUEUE),
    ],
)
def test_a_trace_counts_once_by_its_first_error(
    lines: tuple[str, ...], answer: str, error: GraphError | None
) -> None:
    trace = judge_fork(lines, answer)
    assert first_error(trace) is error
    assert trace.verified is (error is None)


def test_every_invalid_step_has_a_category() -> None:
    trace = judge_fork(["0,(1, 2)", "1,(3)", "0,(1, 2, 4)", "0,()", "- 6", "x", "<backtrack> 9"])
    assert [error_category(step) for step in trace.steps] == [
        GraphError.NEIGHBOURS,
        GraphError.QUEUE,
        None,
        GraphError.REVISIT,
        GraphError.TRACE_BACK,
        GraphError.MALFORMED,
        GraphError.MALFORMED,
    ]
    with pytest.raises(ValueError, match=r"^the trace has not been checked; call env\.check"):
        first_error(parse_trace("x"))


def test_an_unfinished_text_is_malformed() -> None:
    env = GraphSearch()
    trace = env.check(FORK_PROBLEM, parse_trace("\n".join(FORK_LINES[:3]), truncated=True))
    assert first_error(trace) is GraphError.MALFORMED


# ---- depth first ----


@pytest.mark.parametrize(
    ("lines", "line", "reason"),
    [
        ([], "0 > 3", "neighbours: no edge from 0 to 3"),
        ([], "0 > 0", "neighbours: no edge from 0 to 0"),
        ([], "0 > 999", "neighbours: no edge from 0 to 999"),
        (["0 > 1"], "1 > 0", "neighbours: no edge from 1 to 0"),  # edges have a direction
        ([], "2 > 4", "queue: the current node is 0, not 2"),
        (["0 > 1"], "0 > 2", "queue: the current node is 1, not 0"),
        (["0 > 4", "4 > 5", "5 > 6"], "6 > 5", "queue: the target is already reached, no move may follow"),
        (["0 > 1"], "1,(3)", "malformed: a breadth-first line in a depth-first search"),
        (["0 > 1"], "0,(1, 2, 4)", "malformed: a breadth-first line in a depth-first search"),
        (["0 > 2", "2 > 5", "5 > 6"], "- 6,5,2,0", "malformed: a breadth-first line in a depth-first search"),
        (["0 > 1"], "1 > 3 > 4", MALFORMED),
        ([], "0>1", MALFORMED),
        ([], "0 > 01", MALFORMED),
        ([], " 0 > 1", MALFORMED),
        ([], "0 > 1 ", MALFORMED),
        ([], "0 > ١", MALFORMED),
        ([], "0 > 1111", MALFORMED),
    ],
)
def test_refused_moves(lines: list[str], line: str, reason: str) -> None:
    for settings in (None, ANY):
        assert refusal(FORK_PROBLEM, [*lines, line], env=GraphSearch(settings)) == reason


def test_the_path_does_not_cross_itself() -> None:
    assert refusal(ask("0,1|1,0|1,2/0,2", ""), ["0 > 1", "1 > 0"]) == "revisit: 0 is already on the path"


REAL, FAKE, NEEDED, NEEDLESS = True, False, True, False


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        # 1 leads to 3 only, a dead end.
        (["0 > 1", "1 > 3", "<backtrack> 0", "0 > 2", "2 > 5", "5 > 6"], [(2, REAL, NEEDED)]),
        (["0 > 1", "<backtrack>", "0 > 2", "2 > 5", "5 > 6"], [(1, REAL, NEEDED)]),
        # The same branch follows again.
        (
            ["0 > 1", "<backtrack> 0", "0 > 1", "1 > 3", "<backtrack> 0", "0 > 4", "4 > 5", "5 > 6"],
            [(1, FAKE, NEEDED), (2, REAL, NEEDED)],
        ),
        # 0,2,5,6 is right: leaving 2 or 5 is needless.
        (["0 > 2", "2 > 5", "<backtrack> 0", "0 > 4", "4 > 5", "5 > 6"], [(2, REAL, NEEDLESS)]),
        (["0 > 2", "2 > 5", "<backtrack> 1", "2 > 5", "5 > 6"], [(1, FAKE, NEEDLESS)]),
        # Two backtracks in a row: the first one starts no branch.
        (
            ["0 > 1", "1 > 3", "<backtrack>", "<backtrack>", "0 > 2", "2 > 5", "5 > 6"],
            [(1, FAKE, NEEDED), (1, REAL, NEEDED)],
        ),
        # An invalid line is a branch that cannot lead to the end.
        (["0 > 5", "<backtrack>", "0 > 2", "2 > 5", "5 > 6"], [(1, REAL, NEEDED)]),
    ],
)
@pytest.mark.parametrize("settings", [None, ANY])
def test_backtracks(
    lines: list[str], found: list[tuple[int, bool, bool]], settings: dict[str, Any] | None
) -> None:
    trace = judge_fork(lines, settings=settings)
    assert trace.verified
    assert [tuple(backtrack)[1:] for backtrack in trace.backtracks] == found


def test_leaving_a_longer_path_is_needed_only_if_the_shortest_is_required() -> None:
    lines = ["0 > 2", "2 > 4", "4 > 5", "5 > 6", "<backtrack> 1", "2 > 5", "5 > 6"]
    assert [tuple(backtrack)[1:] for backtrack in judge_fork(lines).backtracks] == [(3, REAL, NEEDED)]
    anywhere = judge_fork(lines, settings=ANY)
    assert [tuple(backtrack)[1:] for backtrack in anywhere.backtracks] == [(3, REAL, NEEDLESS)]
    assert judge_fork(lines[:4], "0,2,4,5,6").finished is False
    assert judge_fork(lines[:4], "0,2,4,5,6").correct is False
    assert judge_fork(lines[:4], "0,2,4,5,6", settings=ANY).verified


def test_any_path_is_solvable_only_around_its_own_nodes() -> None:
    """0 → 1 → 2 → 0 and 0 → 3: from 2 the target 3 is reached only through 0, which is on the path."""
    question = "0,1|1,2|2,0|0,3/0,3"
    env = GraphSearch(ANY)
    state = env.start(ask(question, "0,3"))
    assert env.solvable(state)
    for line in ("0 > 1", "1 > 2"):
        state = env.advance(state, line)
        assert not env.solvable(state)


def paths_on(problem: Problem, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Every extension of a path to the target without repeated nodes."""
    if path[-1] == problem.question.split("/")[1].split(",")[1]:
        return [path]
    after = [v for u, v in edges_of(problem) if u == path[-1] and v not in path]
    return [whole for v in after for whole in paths_on(problem, (*path, v))]


def test_solvable_agrees_with_an_exhaustive_search() -> None:
    """On graphs of 8 nodes, from every state a depth-first search can be in."""
    small = {"train": ["8_2-4"], "ood_easy": ["9_2-4"], "ood_hard": ["10_2-4"]}
    found: Counter[bool] = Counter()
    for env in (GraphSearch(small), GraphSearch({**small, **ANY})):
        for index in range(25):
            problem = env.problem(Split.TRAIN, index)
            right = paths_on(problem, (problem.answer[: problem.answer.index(",")],))
            if env.settings.path == "shortest":
                right = [path for path in right if len(path) == shortest_length(problem) + 1]
            assert problem.answer in {",".join(path) for path in right}
            waiting = [env.start(problem)]
            while waiting:
                state = waiting.pop()
                prefix = tuple(map(str, state.path))
                solvable = env.solvable(state)
                found[solvable] += 1
                assert solvable is any(path[: len(prefix)] == prefix for path in right)
                assert env.finished(state) is (prefix in right)
                waiting += next_states(state) if state.path[-1] != state.graph.target else []
    assert min(found.values()) > 300


@pytest.mark.parametrize(
    ("question", "settings", "lines"),
    [
        (
            FORK,
            {},
            ("0 > 1", "1 > 3", "<backtrack> 0", "0 > 2", "2 > 4", "4 > 5", "<backtrack> 1", "2 > 5", "5 > 6"),
        ),
        (FORK, ANY, ("0 > 1", "1 > 3", "<backtrack> 0", "0 > 2", "2 > 4", "4 > 5", "5 > 6")),
        (POST, {}, ("0 > 1", "1 > 2", "<backtrack> 1", "1 > 3", "<backtrack> 0", "0 > 2", "2 > 4")),
        (POST, ANY, ("0 > 1", "1 > 2", "2 > 4")),
        # 3 fails below 1, and is not entered again from 2; the backtrack skips the node with nothing untried.
        ("0,1|1,3|0,2|2,3|2,4/0,4", ANY, ("0 > 1", "1 > 3", "<backtrack> 0", "0 > 2", "2 > 4")),
        # 2 is entered by two edges first, where 3 is too far, and then by one.
        (
            "0,1|1,2|0,2|2,3|3,4/0,4",
            {},
            ("0 > 1", "1 > 2", "2 > 3", "<backtrack> 0", "0 > 2", "2 > 3", "3 > 4"),
        ),
    ],
)
def test_search_traces(question: str, settings: dict[str, Any], lines: tuple[str, ...]) -> None:
    assert GraphSearch(settings).search_trace(ask(question, ""), random.Random(0)) == Demonstration(lines=lines)


@pytest.mark.parametrize("settings", [{}, ANY])
def test_search_traces_end_at_the_answer_and_every_backtrack_is_needed(settings: dict[str, Any]) -> None:
    env = GraphSearch(settings)
    num_backtracks = 0
    for split in Split:
        for index in range(150):
            problem = env.problem(split, index)
            demonstration = env.search_trace(problem, random.Random(0))
            assert demonstration is not None
            assert demonstration.wrong == frozenset()
            trace = judge(problem, demonstration.lines, env=env)
            assert trace.verified
            assert all(step.verdict is Verdict.VALID for step in trace.steps)
            assert trace.real_backtracks == trace.num_backtracks
            assert all(backtrack.needed for backtrack in trace.backtracks)
            assert straight_path(trace) == problem.answer
            num_backtracks += trace.num_backtracks
    assert num_backtracks > 600


STAR = "0,1|1,2|1,3|2,4|3,4|0,5|5,6|5,7|6,8|7,8/0,8"  # two arms of one stage with two ways each


@pytest.mark.parametrize(
    ("straight_back", "lines"),
    [
        (
            0.0,
            ("0 > 1", "1 > 2", "2 > 4", "<backtrack> 1", "1 > 3", "<backtrack> 0", "0 > 5", "5 > 6", "6 > 8"),
        ),
        (1.0, ("0 > 1", "1 > 2", "2 > 4", "<backtrack> 0", "0 > 5", "5 > 6", "6 > 8")),
    ],
)
def test_a_search_tries_every_way_of_a_wrong_arm_or_goes_straight_back(
    straight_back: float, lines: tuple[str, ...]
) -> None:
    env = GraphSearch({**ANY, "grammar": "depth_first", "straight_back": straight_back})
    assert env.search_trace(ask(STAR, ""), random.Random(0)) == Demonstration(lines=lines)


@pytest.mark.parametrize("settings", [{}, ANY])
def test_going_straight_back_leads_out_of_every_dead_end_to_the_same_path(settings: dict[str, Any]) -> None:
    env = GraphSearch({**settings, "straight_back": 1.0})
    fewer = led_out = 0
    for index in range(200):
        problem = env.problem(Split.OOD_EASY, index)
        straight = env.search_trace(problem, random.Random(0))
        every_way = GraphSearch(settings).search_trace(problem, random.Random(0))
        assert straight is not None and every_way is not None
        trace = judge(problem, straight.lines, env=env)
        assert trace.verified and straight_path(trace) == problem.answer
        out = straight_backs(trace, line_facts(env, problem, trace))
        assert all(out)
        led_out += len(out)
        fewer += len(every_way.lines) - len(straight.lines)
    assert fewer > 100 and led_out > 100


# ---- detours ----


@pytest.mark.parametrize("settings", [{}, ANY])
@pytest.mark.parametrize("num_errors", [0, 1, 2, 3])
def test_detours(settings: dict[str, Any], num_errors: int) -> None:
    env = GraphSearch(settings)
    errors = ["branch"] * num_errors
    num_made = 0
    for split in Split:
        for index in range(60):
            problem = env.problem(split, index)
            demonstration = env.detour_trace(problem, errors, random.Random(index))
            assert demonstration == env.detour_trace(problem, errors, random.Random(index))
            if demonstration is None:
                continue
            num_made += 1
            trace = judge(problem, demonstration.lines, env=env)
            assert trace.verified
            assert all(step.verdict is Verdict.VALID for step in trace.steps)
            assert trace.num_backtracks == trace.real_backtracks == num_errors
            assert all(backtrack.needed for backtrack in trace.backtracks)
            first = {backtrack.step - backtrack.num_undone for backtrack in trace.backtracks}
            assert demonstration.wrong == first
            assert len({demonstration.lines[i] for i in first}) == num_errors
            assert len(trace.steps) - trace.num_wasted - num_errors == problem.answer.count(",")
    # Every problem has room for 0 detours; half to nine tenths of the problems were measured to have room for
    # 3.
    assert num_made == 240 if num_errors == 0 else num_made > 100


def test_a_detour_is_followed_until_it_fails() -> None:
    """The path is 0,2,5,6. Wrong moves are 0 > 1 and 2 > 4, which makes the path longer than a shortest one."""
    env = GraphSearch()
    seen = {env.detour_trace(FORK_PROBLEM, ["branch"], random.Random(seed)) for seed in range(20)}
    assert seen == {
        Demonstration(
            lines=("0 > 1", "1 > 3", "<backtrack> 0", "0 > 2", "2 > 5", "5 > 6"), wrong=frozenset({0})
        ),
        Demonstration(
            lines=("0 > 2", "2 > 4", "4 > 5", "<backtrack> 1", "2 > 5", "5 > 6"), wrong=frozenset({1})
        ),
    }
    both = env.detour_trace(FORK_PROBLEM, ["branch", "branch"], random.Random(0))
    assert both is not None
    assert both.wrong == {0, 4}
    assert env.detour_trace(FORK_PROBLEM, ["branch"] * 3, random.Random(0)) is None


def test_if_any_path_is_right_a_detour_is_a_dead_end() -> None:
    """The depth-first path is 0,2,4,5,6. Only node 1 leads nowhere; 0 > 4 and 2 > 5 reach the target."""
    env = GraphSearch(ANY)
    lines = ("0 > 1", "1 > 3", "<backtrack> 0", "0 > 2", "2 > 4", "4 > 5", "5 > 6")
    seen = {env.detour_trace(FORK_PROBLEM, ["branch"], random.Random(seed)) for seed in range(20)}
    assert seen == {Demonstration(lines=lines, wrong=frozenset({0}))}
    assert env.detour_trace(FORK_PROBLEM, ["branch"] * 2, random.Random(0)) is None


def test_nothing_to_skip_and_nothing_to_pad() -> None:
    env = GraphSearch()
    assert env.skipped_trace(FORK_PROBLEM, "any", random.Random(0)) is None
    assert env.padded_trace(FORK_PROBLEM, 20, random.Random(0)) is None


# ---- answers ----


@pytest.mark.parametrize(
    ("answer", "grade", "grade_any"),
    [
        ("0,2,5,6", Grade.CORRECT, Grade.CORRECT),
        ("0,4,5,6", Grade.CORRECT, Grade.CORRECT),
        ("0,2,4,5,6", Grade.WRONG, Grade.CORRECT),  # a path, one edge too long
        ("0,5,6", Grade.WRONG, Grade.WRONG),  # no edge 0,5
        ("0,6", Grade.WRONG, Grade.WRONG),
        ("6,5,2,0", Grade.WRONG, Grade.WRONG),
        ("2,5,6", Grade.WRONG, Grade.WRONG),  # not from the start
        ("0,2,5", Grade.WRONG, Grade.WRONG),  # not to the target
        ("0,2,2,5,6", Grade.WRONG, Grade.WRONG),
        ("0", Grade.WRONG, Grade.WRONG),
        ("0,2,999,6", Grade.WRONG, Grade.WRONG),
        ("", Grade.MALFORMED, Grade.MALFORMED),
        (",", Grade.MALFORMED, Grade.MALFORMED),
        ("0,2,5,6,", Grade.MALFORMED, Grade.MALFORMED),
        ("0, 2, 5, 6", Grade.MALFORMED, Grade.MALFORMED),
        (" 0,2,5,6", Grade.MALFORMED, Grade.MALFORMED),
        ("0,2,5,6\n", Grade.MALFORMED, Grade.MALFORMED),
        ("0,2,5,06", Grade.MALFORMED, Grade.MALFORMED),
        ("0,+2,5,6", Grade.MALFORMED, Grade.MALFORMED),
        ("0,2,5,٦", Grade.MALFORMED, Grade.MALFORMED),
        ("0,2,5,６", Grade.MALFORMED, Grade.MALFORMED),
        ("0,2,5,6.0", Grade.MALFORMED, Grade.MALFORMED),
        ("0 > 2 > 5 > 6", Grade.MALFORMED, Grade.MALFORMED),
        ("0,2,5,6 or 0,4,5,6", Grade.MALFORMED, Grade.MALFORMED),
        ("0,2,5,1111", Grade.MALFORMED, Grade.MALFORMED),
        ("0," * 900 + "6", Grade.MALFORMED, Grade.MALFORMED),
    ],
)
def test_answers(answer: str, grade: Grade, grade_any: Grade) -> None:
    assert GraphSearch().grade_answer(FORK_PROBLEM, answer) is grade
    assert GraphSearch(ANY).grade_answer(FORK_PROBLEM, answer) is grade_any


def test_a_path_without_repeated_nodes() -> None:
    problem = ask("0,1|1,0|1,2/0,2", "0,1,2")
    assert GraphSearch(ANY).grade_answer(problem, "0,1,2") is Grade.CORRECT
    assert GraphSearch(ANY).grade_answer(problem, "0,1,0,1,2") is Grade.WRONG
    assert GraphSearch().grade_answer(problem, "0,1,0,1,2") is Grade.WRONG


def test_no_text_raises_and_verified_answers_are_right() -> None:
    env = GraphSearch()
    rng = random.Random(0)
    problems = [env.problem(Split.TRAIN, index) for index in range(20)]
    texts = [render_trace(env.full_trace(problem), problem.answer) for problem in problems]
    grades: Counter[bool] = Counter()
    for _ in range(3000):
        at = rng.randrange(20)
        trace = env.check(problems[at], parse_trace(mutate(texts[at], texts, rng)))
        grades[trace.verified] += 1
        assert (first_error(trace) is None) is trace.verified
        if trace.verified and trace.answer != problems[at].answer:
            assert another_shortest_path(problems[at], trace)
    assert grades[True] < 600 < grades[False]


# ---- problems ----


@pytest.mark.parametrize(
    ("split", "nodes", "lengths"),
    [
        (Split.TRAIN, {15}, {2, 3, 4}),
        (Split.ID, {15}, {2, 3, 4}),
        (Split.OOD_EASY, {17, 20}, {2, 3, 4}),
        (Split.OOD_HARD, {15, 17, 20}, {5, 6}),
    ],
)
def test_splits(split: Split, nodes: set[int], lengths: set[int]) -> None:
    env = GraphSearch()
    problems = [env.problem(split, index) for index in range(300)]
    seen: Counter[tuple[int, int]] = Counter()
    for problem in problems:
        pairs = edges_of(problem)
        num_nodes, length = len(set().union(*pairs)), shortest_length(problem)
        assert len(pairs) == problem.question.count("|") + 1 == 2 * num_nodes  # no edge twice
        assert all(u != v for u, v in pairs)
        assert problem.difficulty == problem.answer.count(",") == length
        assert is_path(problem, problem.answer)
        assert env.bucket(problem) in env.settings.buckets(split)
        assert problem.num_full_steps == len(env.full_trace(problem))
        seen[num_nodes, length] += 1
    assert set(seen) == {(n, d) for n in nodes for d in lengths}
    expected = 300 / len(seen)
    assert all(abs(count - expected) < 4 * expected**0.5 for count in seen.values())
    assert len({problem.question for problem in problems}) == 300


def test_labels_are_sampled_from_the_whole_range() -> None:
    env = GraphSearch()
    seen: Counter[str] = Counter()
    for index in range(300):
        seen.update(set().union(*edges_of(env.problem(Split.TRAIN, index))))
    assert set(seen) == {str(label) for label in range(20)}
    assert all(180 < count < 270 for count in seen.values())  # 15 of 20 in 300: 225, standard deviation 7.5
    small = GraphSearch({"num_labels": 15, "ood_easy": ["12_2-4"], "ood_hard": ["15_5-6"]})
    assert set().union(*edges_of(small.problem(Split.TRAIN, 0))) == {str(label) for label in range(15)}


def test_edges_are_in_random_order() -> None:
    env = GraphSearch()
    num_first = num_sorted = 0
    for index in range(200):
        question, _, ends = env.problem(Split.TRAIN, index).question.partition("/")
        edges = [tuple(map(int, edge.split(","))) for edge in question.split("|")]
        num_sorted += sum(a < b for a, b in pairwise(edges))
        num_first += str(edges[0][0]) == ends.split(",")[0]
    assert abs(num_sorted / 200 - 14.5) < 1  # half of the 29 adjacent pairs
    assert num_first < 40  # the first edge leaves the start about as often as any other does


def test_trace_statistics() -> None:
    """Mean lines over 500 problems: 6.0 for 15_2-4; 10.8, 11.6 and 12.5 for 15_5-6, 17_5-6 and 20_5-6."""
    env = GraphSearch()
    for split, low, high in ((Split.TRAIN, 5.5, 6.5), (Split.OOD_EASY, 6.0, 7.2), (Split.OOD_HARD, 11, 12.3)):
        assert low < mean(env.problem(split, index).num_full_steps for index in range(400)) < high


def test_if_any_path_is_right_the_gold_answer_is_the_depth_first_path() -> None:
    env = GraphSearch(ANY)
    for index in range(50):
        problem = env.problem(Split.OOD_HARD, index)
        assert problem.question == GraphSearch().problem(Split.OOD_HARD, index).question
        assert problem.num_full_steps == problem.answer.count(",") >= shortest_length(problem)
        state = env.start(problem)
        for line in env.full_trace(problem):
            assert not env.finished(state)
            state = env.advance(state, line)
        assert env.finished(state)
    assert env.full_trace(FORK_PROBLEM) == ("0 > 2", "2 > 4", "4 > 5", "5 > 6")
    assert judge_fork(FORK_LINES, settings=ANY).verified  # breadth first is still valid


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"train": ["15"]},
            ("got the bucket '15'; a bucket is a number of nodes up to 100 and a range of path lengths"),
        ),
        ({"train": ["15_4-2"]}, "got the bucket '15_4-2'; a bucket is a number of nodes up to 100"),
        ({"train": ["15_0-2"]}, "got the bucket '15_0-2'; a bucket is a number of nodes up to 100"),
        ({"train": ["15_2-15"]}, "got the bucket '15_2-15'; a bucket is a number of nodes up to 100"),
        ({"train": ["101_2-4"]}, "got the bucket '101_2-4'; a bucket is a number of nodes up to 100"),
        ({"train": ["١٥_2-4"]}, "got the bucket '١٥_2-4'; a bucket is a number of nodes up to 100"),
        (
            {"train": ["15_5-6"]},
            ("train and ood_hard share the buckets ['15_5-6']; remove them from one of the two"),
        ),
        (
            {"train": ["15_2-5"]},
            ("the buckets '15_2-5' and '15_5-6' overlap; change their ranges so that no value is in both"),
        ),
        ({"train": ["15_2-3", "15_3-4"]}, "the buckets '15_2-3' and '15_3-4' overlap"),
        ({"num_labels": 19}, "num_labels is 19; the bucket '20_2-4' needs at least 20"),
        ({"num_labels": 1001}, "less than or equal to 1000"),
        ({"degree": 7.5}, "degree is 7.5; the bucket '15_2-4' allows at most 7.0"),
        ({"degree": 0.5}, "greater than or equal to 1"),
        ({"path": "long"}, "Input should be 'shortest' or 'any'"),
        ({"max_merge": 2}, "less than or equal to 1"),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        GraphSearch(settings)
    assert message in str(wrong.value)


def test_large_graphs_work() -> None:
    env = GraphSearch({"train": ["100_6-8"], "num_labels": 1000})
    problem = env.problem(Split.TRAIN, 0)
    assert judge(problem, env.full_trace(problem), env=env).verified
    assert env.bucket(ask(FORK, "")) == "7_3-3"
