"""`Env.remaining` against a search over all lines that a task's grammar has, and what holds for every task."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import permutations, product
from pathlib import Path
from typing import Any

import pytest

from envs import ENVS, Split, StepError, StepKind, Verdict, make_env, make_example
from envs.base import Env
from envs.line_facts import line_facts
from envs.operations import SYMBOLS, outcome
from envs.released.env import ReleasedEnv
from envs.released.write import FILES, write_files
from envs.seeding import derive_random
from envs.tasks.addition import AdditionState
from envs.tasks.algebra.equation import ARROW, MINUS, OVER, PLUS, TIMES, ZERO, X
from envs.tasks.algebra.task import COMMON, AlgebraState
from envs.tasks.arc_1d.rules import RULES
from envs.tasks.arc_1d.steps import ArcState
from envs.tasks.countdown.task import CountdownState
from envs.tasks.directional import HEADINGS, DirectionalState
from envs.tasks.geometry.steps import GeometryState, sub_results
from envs.tasks.graph_search.steps import GraphState
from envs.tasks.multistep_arithmetic.expressions import Tree, write
from envs.tasks.sudoku.steps import SudokuState, look_line, place_line
from tests.kit.problems import make_problem

Lines = Callable[[Env[Any], Any], Iterator[str]]


def addition_lines(env: Env[Any], state: AdditionState) -> Iterator[str]:
    """Every line of one column, right or wrong, and the final carry."""
    yield f"{state.number}. carry 1, write 1"
    for a in range(10):
        for b in range(10):
            for carry in range(2):
                total = a + b + carry
                yield f"{state.number}. {a} + {b} + {carry} = {total}, write {total % 10}, carry {total // 10}"


def directional_lines(env: Env[Any], state: DirectionalState) -> Iterator[str]:
    """Every heading, with the end of the list from each place on."""
    for heading in HEADINGS:
        yield heading
        for done in range(len(state.actions)):
            yield f"{heading}. {', '.join(state.actions[done:])}"


@cache
def equations(constants: str) -> tuple[str, ...]:
    """Every equation without parentheses with the unknown and each constant once; zero beside them."""
    written = []
    for order in permutations((X, *constants, ARROW)):
        at = order.index(ARROW)
        sides = [order[:at] or (ZERO,), order[at + 1 :] or (ZERO,)]
        for left in _sides(sides[0]):
            written += [f"{left} {ARROW} {right}" for right in _sides(sides[1])]
    return tuple(written)


def _sides(symbols: Sequence[str]) -> list[str]:
    signs = [f"{MINUS} {symbols[0]}", symbols[0]]
    for symbol in symbols[1:]:
        signs = [f"{begun} {op} {symbol}" for begun in signs for op in (PLUS, MINUS, TIMES, OVER)]
    return signs


def algebra_lines(env: Env[Any], state: AlgebraState) -> Iterator[str]:
    """Every equation of the problem's symbols, and the fixed procedure's lines, which may have parentheses."""
    yield from equations("".join(sorted({*state.question} & {*COMMON})))
    problem = make_problem("algebra", state.question, "")
    yield from env.full_trace(problem)


def graph_lines(env: Env[Any], state: GraphState) -> Iterator[str]:
    """Every move, every expansion with the right neighbours and with none, and every path traced back."""
    nodes = sorted(state.graph.nodes)
    for u, v in product(nodes, nodes):
        yield f"{u} > {v}"
    for node in nodes:
        yield f"{node},({', '.join(map(str, state.graph.neighbours[node]))})"
        yield f"{node},()"
    lengths = range(2, len(nodes) + 1) if env.settings.grammar != "depth_first" else ()
    for length in lengths:
        for path in permutations(nodes, length):
            yield f"- {','.join(map(str, path))}"


def countdown_lines(env: Env[Any], state: CountdownState) -> Iterator[str]:
    """Every operation on two numbers in either order, with any result that may be meant, and the note."""
    yield f"left: {', '.join(map(str, state.numbers))}"
    for a, b in permutations(state.numbers, 2):
        for symbol, result in (("+", a + b), ("-", a - b), ("-", b - a), ("*", a * b), ("/", a // b), ("/", 1)):
            yield f"{a} {symbol} {b} = {result}"


def arithmetic_lines(env: Env[Any], state: Tree) -> Iterator[str]:
    """Every operation on two numbers of the expression, in either order and in place or not, and the note."""
    yield f"left: {write(state)}"
    for a, b in permutations(re.findall("[0-9]+", write(state)), 2):
        for symbol in SYMBOLS:
            yield f"{a} {symbol} {b} = {outcome(int(a), symbol, int(b)) or 0}"


def sudoku_lines(env: Env[Any], state: SudokuState) -> Iterator[str]:
    """Every digit in every empty cell, a look at it, and the line of a cell without candidates."""
    for cell in [place for place, digit in enumerate(state.cells) if not digit]:
        placed = place_line(state, cell, "1")
        yield look_line(state, cell)
        yield placed.partition(" > ")[0]
        for digit in range(1, state.puzzle.side + 1):
            yield f"{placed[:-1]}{digit}"


def arc_lines(env: Env[Any], state: ArcState) -> Iterator[str]:
    """Every rule, and what each of them makes of every row, right or not."""
    puzzle = state.puzzle
    yield "see input 1: " + puzzle.examples[0][0]
    for name in env.settings.rules:
        yield f"rule: {name}"
        for number, (row, given) in enumerate(puzzle.examples, 1):
            made = RULES[name](row)
            yield f"{number}: {row} > {made}, as given"
            yield f"{number}: {row} > {made}, given {given}"
        yield f"test: {puzzle.test} > {RULES[name](puzzle.test)}"


def geometry_lines(env: Env[Any], state: GeometryState) -> Iterator[str]:
    """The line of every sub-result, and a note of it."""
    for found in sub_results(state.figure).values():
        yield found.line
        yield f"note: {found.line}"


# A task, settings for small problems, the number of problems, and the lines of its grammar.
_GRAPHS = {"train": ["5_2-3", "6_2-4"]}
SEARCHED: dict[str, tuple[str, dict[str, Any], int, Lines]] = {
    "addition": ("addition", {"train": ["1_1", "2_1", "2_2", "3_2"]}, 40, addition_lines),
    "algebra": ("algebra", {"train": ["3_1", "3_2", "3_3", "4_3"]}, 8, algebra_lines),
    "arc_1d": ("arc_1d", {"train": ["6-8"], "ood_easy": ["21-25"]}, 20, arc_lines),
    "countdown": ("countdown", {"train": ["3", "4"], "max_number": 12, "max_target": 30}, 12, countdown_lines),
    "directional": ("directional", {"train": [1, 2, 3, 4, 5]}, 20, directional_lines),
    "geometry": ("geometry", {}, 12, geometry_lines),
    "graph_search, breadth first": ("graph_search", {**_GRAPHS, "grammar": "breadth_first"}, 8, graph_lines),
    "graph_search, depth first": ("graph_search", {**_GRAPHS, "grammar": "depth_first"}, 8, graph_lines),
    "graph_search, any path": (
        "graph_search",
        {**_GRAPHS, "grammar": "depth_first", "path": "any"},
        8,
        graph_lines,
    ),
    "graph_search, path star": (
        "graph_search",
        {"train": ["2x1_1-2", "2x2_1-1"], "grammar": "depth_first"},
        8,
        graph_lines,
    ),
    "graph_search, either": ("graph_search", _GRAPHS, 8, graph_lines),
    "multistep_arithmetic": ("multistep_arithmetic", {"train": ["2", "4", "5"]}, 12, arithmetic_lines),
    "sudoku": ("sudoku", {"train": ["4_4-7"]}, 12, sudoku_lines),
}


def reachable(env: Env[Any], start: Any, lines: Lines, limit: int = 20_000) -> dict[Any, set[Any]]:
    """Every state that can be reached in elementary lines, with the states one line after it."""
    found: dict[Any, set[Any]] = {}
    waiting = [start]
    while waiting:
        state = waiting.pop()
        if state in found:
            continue
        after = set()
        for line in lines(env, state):
            try:
                after.add(env.advance(state, line))
            except StepError:
                continue
        found[state] = after - {state}
        waiting += after
        assert len(found) < limit, "too many states for a search"
    return found


def distances(env: Env[Any], graph: dict[Any, set[Any]]) -> dict[Any, float]:
    """Fewest lines from each state to a finished one, by breadth-first search backwards."""
    before: dict[Any, set[Any]] = {state: set() for state in graph}
    for state, after in graph.items():
        for one in after:
            before[one].add(state)
    layer = {state for state in graph if env.finished(state)}
    found: dict[Any, float] = dict.fromkeys(graph, math.inf)
    distance = 0
    while layer:
        found.update(dict.fromkeys(layer, distance))
        layer = {one for state in layer for one in before[state] if found[one] == math.inf}
        distance += 1
    return found


@pytest.mark.parametrize("name", sorted(SEARCHED))
def test_it_is_the_distance_that_a_search_over_all_lines_finds(name: str) -> None:
    task, settings, num_problems, lines = SEARCHED[name]
    env = make_env(task, {**settings, "max_merge": 1})
    merging = make_env(task, settings)
    num_states = 0
    for index in range(num_problems):
        graph = reachable(env, env.start(env.problem(Split.TRAIN, index)), lines)
        for state, distance in distances(env, graph).items():
            assert env.remaining(state) == merging.remaining(state) == distance, state
            assert env.solvable(state) is (distance < math.inf)
            num_states += 1
    assert num_states > 2 * num_problems  # the search has left the start


MATH = dict(make_example("math").example)
KNOWING = [name for name in sorted(ENVS) if make_example(name).defines("remaining")]


# Where both grammars of `graph_search` are valid, moves are fewer than the lines of its reference trace.
SHORTEST = {
    **{name: make_example(name) for name in KNOWING if name != "graph_search"},
    "graph_search, breadth first": make_env("graph_search", {"grammar": "breadth_first"}),
    "graph_search, depth first": make_env("graph_search", {"grammar": "depth_first"}),
}


def test_every_task_that_checks_steps_of_its_own_grammar_knows_it() -> None:
    checking = {name for name in ENVS if make_example(name).checks_steps}
    assert {*KNOWING} == checking


@pytest.mark.parametrize("name", sorted(SHORTEST))
def test_a_reference_trace_is_as_long_as_it_says_and_each_line_lowers_it(name: str) -> None:
    env = SHORTEST[name]
    for split in env.splits:
        for index in range(20):
            problem = env.problem(split, index)
            state, left = env.start(problem), env.remaining(env.start(problem))
            assert left == problem.num_full_steps
            for line in env.full_trace(problem):
                state = env.advance(state, line)
                before, left = left, env.remaining(state)
                assert left is not None and before is not None
                assert left == before - 1, f"{problem.question}: {line}"
            assert left == 0 and env.finished(state)


def test_of_a_mixture_it_is_that_of_the_part() -> None:
    env = make_env(
        "mixture", {"parts": [{"name": "addition"}, {"name": "countdown"}, {"name": "math", "settings": MATH}]}
    )
    for index in range(12):
        problem = env.problem(Split.TRAIN, index)
        state = env.start(problem)
        part = env.part_of(problem)
        expected = problem.num_full_steps if part.defines("remaining") else None
        assert env.remaining(state) == part.remaining(state[1]) == expected


@pytest.mark.parametrize("name", ["addition", "directional", "algebra"])
def test_problems_of_released_files_have_it_like_drawn_ones(name: str, tmp_path: Path) -> None:
    drawn = make_env(name)
    assert isinstance(drawn, ReleasedEnv)
    write_files(drawn, tmp_path, num_problems=5, skip_kind=drawn.skip_kinds[0])
    env = make_env(name, {"files": {"train": str(tmp_path / FILES[Split.TRAIN])}})
    for index in range(5):
        problem = env.problem(Split.TRAIN, index)
        assert env.remaining(env.start(problem)) == len(env.full_trace(problem)) == problem.num_full_steps
        skipped = env.skipped_trace(problem, "by_hand", derive_random("skip"))
        if skipped is not None:
            facts = line_facts(env, problem, env.check_demonstration(problem, skipped))
            assert sum(fact.is_merged for fact in facts) == 1 and sum(fact.progress or 0 for fact in facts) == (
                problem.num_full_steps
            )


@pytest.mark.parametrize("name", KNOWING)
def test_what_holds_of_every_state_that_demonstrations_come_through(name: str) -> None:
    env = make_example(name)
    rng = derive_random("remaining", name)
    for index in range(20):
        problem = env.problem(Split.TRAIN, index)
        written = [env.detour_trace(problem, [kind], rng) for kind in env.error_kinds]
        written += [env.search_trace(problem, rng), env.padded_trace(problem, problem.num_full_steps + 2, rng)]
        written += [env.mistaken_trace(problem, kind, rng) for kind in env.mistake_kinds]
        for one in written:
            if one is None:
                continue
            trace = env.check_demonstration(problem, one.lines)
            facts = line_facts(env, problem, trace)
            for step, fact in zip(trace.steps, facts, strict=True):
                assert fact.before is not None and fact.after is not None
                if step.kind is StepKind.FORWARD and fact.before < math.inf:
                    assert fact.progress is not None and fact.progress <= env.settings.max_merge
                if step.verdict is Verdict.INVALID:
                    assert fact.progress == 0
            assert (facts[-1].after == 0) is trace.finished
