"""Oracles: independent judges for tasks where an edited answer or step can still be right.

In: a problem and a trace whose answer or steps were edited. Out: whether the trace is right after all.
`contract.py` asks an oracle when an environment accepts a near miss. No oracle uses the environment's grader.
"""

from __future__ import annotations

import ast
import cmath
import math
import operator
import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

from envs.problem import Problem
from envs.trace import Trace

_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+", re.ASCII)
_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
Oracle = Callable[[Problem, Trace], bool]
"""Returns True if an edited trace is right after all."""


def same_number(problem: Problem, trace: Trace) -> bool:
    """Whether the answer is the number of the gold answer: signs, spaces, zeros and commas may differ."""
    plain = (trace.answer or "").strip().replace(",", "")
    gold = problem.answer.replace(",", "")
    if not (_NUMBER.fullmatch(plain) and _NUMBER.fullmatch(gold)):
        return False
    return Fraction(plain) == Fraction(gold)


def another_shortest_path(problem: Problem, trace: Trace) -> bool:
    """Whether the answer is another shortest path in the graph of the question."""
    answer = trace.answer or ""
    length = answer.count(",")
    return length == problem.answer.count(",") == shortest_length(problem) and another_path(problem, trace)


def another_path(problem: Problem, trace: Trace) -> bool:
    """Whether the answer is a path without repeated nodes other than the gold answer."""
    answer = trace.answer or ""
    nodes = answer.split(",")
    return answer != problem.answer and is_path(problem, answer) and len(set(nodes)) == len(nodes)


def is_path(problem: Problem, answer: str) -> bool:
    """Whether an answer follows edges from the question's start to its target."""
    nodes, ends = answer.split(","), problem.question.split("/")[1].split(",")
    return [nodes[0], nodes[-1]] == ends and set(pairwise(nodes)) <= edges_of(problem)


def edges_of(problem: Problem) -> set[tuple[str, ...]]:
    """The edges of a graph question, parsed independently of the environment."""
    return {tuple(edge.split(",")) for edge in problem.question.split("/")[0].split("|")}


def shortest_length(problem: Problem) -> int:
    """Number of edges of a shortest path, by the Bellman-Ford algorithm."""
    start, target = problem.question.split("/")[1].split(",")
    lengths = {start: 0}
    for _ in range(200):
        for u, v in edges_of(problem):
            if u in lengths:
                lengths[v] = min(lengths.get(v, 999), lengths[u] + 1)
    return lengths[target]


def another_near_decimal(problem: Problem, trace: Trace) -> bool:
    """Whether the answer is another decimal within one unit of its last place of the exact radius or angle."""
    answer, gold = trace.answer or "", problem.answer
    if answer == gold or not re.fullmatch(r"(0|[1-9][0-9]{0,3})\.[0-9]{2,3}", answer):
        return False
    places = len(answer.partition(".")[2])
    if "orthocentre" in problem.question or places != len(gold.partition(".")[2]):
        return False
    unit: float = 10.0**-places
    return abs(float(answer) - by_floats(problem)) < unit + 1e-9


def by_floats(problem: Problem) -> float:
    """The radius or angle a geometry question asks for, computed with complex numbers."""
    x_a, y_a, x_b, y_b, x_c, y_c = (int(number) for number in re.findall(r"-?[0-9]+", problem.question))
    a, b, c = complex(x_a, y_a), complex(x_b, y_b), complex(x_c, y_c)
    if problem.question.endswith("incircle"):
        area = abs(((b - a).conjugate() * (c - a)).imag) / 2
        return 2 * area / (abs(a - b) + abs(b - c) + abs(c - a))
    turn = {"A": (b - a) / (c - a), "B": (a - b) / (c - b), "C": (a - c) / (b - c)}[problem.question[-1]]
    return abs(math.degrees(cmath.phase(turn)))


def same_target(problem: Problem, trace: Trace) -> bool:
    """Whether the answer and the steps each reach the target with every number of the question used once."""
    *given, target = [int(number) for number in re.findall(r"[0-9]+", problem.question)]
    left = list(given)
    used: list[int] = []
    try:
        if _value(ast.parse(trace.answer or "", mode="eval").body, used) != target:
            return False
        for step in trace.steps:
            one, _, two, _, result = step.text.split(" ")
            left.remove(int(one))
            left.remove(int(two))
            left.append(int(result))
            made = _value(ast.parse(step.text.partition(" = ")[0], mode="eval").body, [])
            if made != int(result) or int(result) < 1:
                return False
    except (SyntaxError, ValueError, KeyError, ZeroDivisionError):
        return False
    return sorted(used) == sorted(given) and left == [target]


def _value(node: ast.expr, used: list[int]) -> Fraction:
    if isinstance(node, ast.BinOp):
        made: Fraction = _OPERATORS[type(node.op)](_value(node.left, used), _value(node.right, used))
        return made
    if not isinstance(node, ast.Constant) or type(node.value) is not int:
        raise ValueError("not a number")
    used.append(node.value)
    return Fraction(node.value)


ORACLES: dict[str, Oracle] = {
    "countdown": same_target,
    "geometry": another_near_decimal,
    "graph_search": another_shortest_path,
    "math": same_number,
}
"""The oracle of each environment that needs one, by name."""
