"""Path-star graphs of `graph_search`: their shape, what searches of them cost, and what backtracks are."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from pydantic import ValidationError

from envs import Split, make_env
from envs.base import Env
from envs.check.contract import check_env
from envs.line_facts import LineUse, line_facts
from envs.seeding import derive_random
from envs.tasks.graph_search.digraph import Graph, read_graph
from envs.tasks.graph_search.path_star import draw_path_star, num_nodes, path_length, read_path_star

LABELS = 99


def star_env(bucket: str, **settings: Any) -> Env[Any]:
    return make_env(
        "graph_search",
        {"train": [bucket], "num_labels": LABELS, "grammar": "depth_first", **settings},
    )


def ways_to_end(graph: Graph, node: int) -> Counter[tuple[int, int]]:
    """How many walks lead from a node to each end, by end and length."""
    if not graph.neighbours[node]:
        return Counter({(node, 0): 1})
    found: Counter[tuple[int, int]] = Counter()
    for after in graph.neighbours[node]:
        for (end, length), num in ways_to_end(graph, after).items():
            found[end, length + 1] += num
    return found


@pytest.mark.parametrize(("arms", "ways", "stages"), [(2, 1, 1), (3, 1, 4), (2, 2, 1), (4, 3, 2), (5, 2, 3)])
def test_the_shape(arms: int, ways: int, stages: int) -> None:
    """All W arms have the same length, each end is reached by L**K walks, and one end is the target."""
    rng = random.Random(0)
    targets = Counter[int]()
    for _ in range(30):
        question, graph = draw_path_star(arms=arms, ways=ways, stages=stages, num_labels=LABELS, rng=rng)
        assert read_graph(question).neighbours == graph.neighbours[: len(read_graph(question).neighbours)]
        assert len(graph.nodes) == num_nodes(arms, ways, stages)
        found = ways_to_end(graph, graph.start)
        assert len(found) == arms and set(found.values()) == {ways**stages}
        assert {length for _, length in found} == {path_length(ways, stages)}
        assert graph.target in {end for end, _ in found}
        assert read_path_star(read_graph(question)) == (arms, ways, stages)
        firsts = [next(iter(ways_to_end(graph, first)))[0] for first in graph.neighbours[graph.start]]
        targets[firsts.index(graph.target)] += 1
    assert len(targets) == arms  # every place of the right arm occurs


def test_random_graphs_are_no_stars() -> None:
    env = make_env("graph_search", {"train": ["8_2-4", "2x2_1-1"], "num_labels": 20, "degree": 1.5})
    buckets = Counter(env.bucket(env.problem(Split.TRAIN, index)) for index in range(200))
    assert set(buckets) == {"8_2-4", "2x2_1-1"} and min(buckets.values()) > 60


@pytest.mark.parametrize(("arms", "ways", "stages"), [(4, 1, 3), (3, 2, 2), (4, 3, 2), (2, 4, 3)])
def test_a_search_that_tries_every_way_and_one_that_goes_back_to_the_fork(
    arms: int, ways: int, stages: int
) -> None:
    """Lines of a wrong arm: 2KL + 2 stage by stage (with one way K + 2), 2K + 2 to the fork at once."""
    env = star_env(f"{arms}x{ways}_{stages}-{stages}")
    length = path_length(ways, stages)
    seen = set()
    for index in range(20):
        problem = env.problem(Split.TRAIN, index)
        assert problem.num_full_steps == problem.difficulty == length
        graph = read_graph(problem.question)
        rng = derive_random("star", index)
        right = int(problem.answer.split(",")[1])
        wrong_before = graph.neighbours[graph.start].index(right)
        seen.add(wrong_before)
        search = env.search_trace(problem, rng)
        assert search is not None
        a_wrong_arm = 2 * stages * ways + 2 if ways > 1 else stages + 2
        assert len(search.lines) == wrong_before * a_wrong_arm + length
        for num in range(arms):
            detour = env.detour_trace(problem, ["branch"] * num, rng)
            assert detour is not None and len(detour.lines) == num * (length + 1) + length
            trace = env.check_demonstration(problem, detour.lines)
            assert trace.verified and trace.real_backtracks == num and trace.needless_backtracks == 0
            uses = Counter(fact.use for fact in line_facts(env, problem, trace))
            assert uses == Counter(
                {LineUse.NEEDED: num + length, **({LineUse.WASTED: num * length} if num else {})}
            )
        assert env.detour_trace(problem, ["branch"] * arms, rng) is None
    assert seen == set(range(arms))


def test_going_back_inside_of_a_wrong_arm_is_needed_but_leads_to_no_branch_that_helps() -> None:
    env = star_env("2x2_1-1")
    problems = [env.problem(Split.TRAIN, index) for index in range(20)]
    found = [(problem, env.search_trace(problem, random.Random(0))) for problem in problems]
    problem, search = next((problem, one) for problem, one in found if one is not None and len(one.lines) > 3)
    trace = env.check_demonstration(problem, search.lines)
    facts = line_facts(env, problem, trace)
    # Three moves into the wrong arm, back to its stage, the other way, back to the fork, and three right moves.
    assert [step.text for step in trace.steps][3] == "<backtrack> 1"
    assert [fact.use for fact in facts] == [
        *(LineUse.WASTED,) * 3,
        LineUse.NEEDED,
        LineUse.WASTED,
        LineUse.NEEDED,
        *(LineUse.NEEDED,) * 3,
    ]
    # It leaves one dead end and stays in another: no progress, unlike going back to the fork.
    assert [fact.progress for fact in facts][3:6] == [0, 0, float("inf")]


@pytest.mark.slow
@pytest.mark.parametrize("grammar", ["breadth_first", "depth_first"])
def test_the_contract_holds(grammar: str) -> None:
    settings = {
        "train": ["3x1_2-4", "3x2_1-2"],
        "ood_easy": ["3x1_5-6"],
        "ood_hard": ["5x3_1-2"],
        "num_labels": 60,
        "grammar": grammar,
    }
    check_env(make_env("graph_search", settings), num_problems=4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": ["1x2_1-3"]}, "or a path-star graph: arms (at least 2) x ways"),
        ({"train": ["3x2_3-1"]}, "or a path-star graph"),
        ({"train": ["3x2_1-3"]}, "num_labels is 20; the bucket '3x2_1-3' needs at least 31"),
        ({"train": ["20x5_1-1"], "num_labels": 500}, "has 141 nodes, at most 100 are possible"),
        ({"train": ["3x2_1-2", "3x2_2-3"], "num_labels": 40}, "overlap"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        make_env("graph_search", settings)
    assert message in str(refused.value)
