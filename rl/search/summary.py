"""The figures of a search: accuracy and tokens of every method, with intervals over problems.

In: the rows of the problems. Out: an `Arm` for each method and setting of a split. Methods without going back
are measured at the tokens that a search took on each problem, so both had the same budget, problem by problem.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, NamedTuple, get_args

import pandas as pd

from configs.schema.search import Merge
from rl.search.choose import best_merged, best_of_n, best_verified, majority, spent, within
from rl.search.record import VERIFIED_STATES, Draw, ProblemRow, SearchRow
from rl.stats.intervals import wilson_interval
from rl.stats.paired import paired_difference

MERGES: tuple[Merge, ...] = get_args(Merge)
GREEDY, BEST_OF_N, MAJORITY, SYMBOLIC = "greedy", "best_of_n", "majority_vote", "symbolic_search"
NO_SEARCH = (GREEDY, BEST_OF_N, MAJORITY, SYMBOLIC)
"""Methods that stand beside the searches."""
LABELS = {
    GREEDY: "greedy",
    "self_backtracking": "self-backtracking",
    "verified_states": "verified states",
    BEST_OF_N: "best of N by log-probability",
    MAJORITY: "majority vote",
    SYMBOLIC: "symbolic search",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a method did on a problem.

    Attributes:
        index: The problem.
        correct: Whether the answer chosen is right.
        verified: Whether every line of it holds too; None where the task checks no steps.
        covered: Whether any completion that it saw is right.
        answered: Whether it chose an answer.
        tokens: Tokens that it took.
    """

    index: int
    correct: bool
    verified: bool | None
    covered: bool
    answered: bool
    tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """A method with its setting, on a split.

    Attributes:
        split: The split.
        method: Its name, a key of `LABELS`.
        breadth: N of the search, or of the search whose tokens it had; None for greedy decoding.
        depth: b likewise.
        merge: Merge rule; empty where there is none.
        problems: Problems.
        accuracy: Share of right answers.
        low: Lower end of its 95 % interval (Wilson).
        high: Upper end.
        verified: Share with every line valid too; None where the task checks no steps.
        covered: Share with any right completion: what the best choice among them would reach.
        answered: Share with an answer.
        tokens: Mean tokens a problem.
        gain: Accuracy less that of best-of-N at the same tokens; None for methods that are no search, and where
            nothing was sampled for best-of-N.
        gain_low: Lower end of its 95 % interval, paired over problems; NaN for one problem.
        gain_high: Upper end.
    """

    split: str
    method: str
    breadth: int | None = None
    depth: int | None = None
    merge: str = ""
    problems: int
    accuracy: float
    low: float
    high: float
    verified: float | None
    covered: float
    answered: float
    tokens: float
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None


class Method(NamedTuple):
    """A method with its setting, on a split.

    Attributes:
        split: The split.
        name: A key of `LABELS`.
        search: The search itself, or the one whose tokens it had; empty for greedy decoding.
        breadth: N of that search.
        depth: b of it.
    """

    split: str
    name: str
    search: str = ""
    breadth: int | None = None
    depth: int | None = None

    @property
    def is_search(self) -> bool:
        """Whether it is a search and not beside one."""
        return self.name == self.search

    def beside(self, name: str) -> Method:
        """Another method, with the tokens that this search takes on each problem."""
        return self._replace(name=name)


def arms(rows: Sequence[ProblemRow], merge: Merge, *, depth: int) -> list[Arm]:
    """Every method and setting, split by split.

    Args:
        rows: The problems.
        merge: The merge rule of the searches.
        depth: The largest b.
    """
    found = results_of(rows, merge, depth=depth)
    made = []
    for method, results in found.items():
        setting: dict[str, Any] = {"breadth": method.breadth, "depth": method.depth}
        if method.is_search:
            best = found.get(method.beside(BEST_OF_N))
            setting |= {"merge": merge, **(_gain(results, best) if best else {})}
        made.append(_arm(method.split, method.name, results, **setting))
    return made


def results_of(rows: Sequence[ProblemRow], merge: Merge, *, depth: int) -> dict[Method, list[Result]]:
    """What every method and setting did on each problem, split by split; the arguments are those of `arms`."""
    found: dict[Method, list[Result]] = {}
    for split in dict.fromkeys(row.split for row in rows):
        ours = [row for row in rows if row.split == split]
        greedy = [row for row in ours if row.greedy is not None]
        if greedy:
            found[Method(split, GREEDY)] = [greedy_result(row) for row in greedy]
        for place, search in enumerate(ours[0].searches):
            for b in range(depth + 1):
                method = Method(split, search.strategy, search.strategy, search.breadth, b)
                found |= _at_equal_tokens(method, ours, place, merge)
    return found


def _at_equal_tokens(
    method: Method, rows: Sequence[ProblemRow], place: int, merge: Merge
) -> dict[Method, list[Result]]:
    """A search up to a depth, and the other methods with the tokens that it took."""
    budgets = {row.index: spent(up_to(row.searches[place], method.depth)) for row in rows}
    found = {method: [searched_by(row, row.searches[place], merge, depth=method.depth) for row in rows]}
    if any(row.samples for row in rows):  # none where baselines are not sampled
        for name in (BEST_OF_N, MAJORITY):
            found[method.beside(name)] = [chosen(row, budgets[row.index], name) for row in rows]
    if any(row.symbolic_tokens is not None for row in rows):
        found[method.beside(SYMBOLIC)] = [symbolic(row, budgets[row.index]) for row in rows]
    return found


def beside(found: Sequence[Arm]) -> list[tuple[Arm, dict[str, Arm]]]:
    """Each arm of greedy decoding or of a search, with the methods at its tokens by name."""
    settings: list[tuple[Arm, dict[str, Arm]]] = []
    for arm in found:
        if arm.method in (BEST_OF_N, MAJORITY, SYMBOLIC):
            settings[-1][1][arm.method] = arm
        else:
            settings.append((arm, {}))
    return settings


def by_merge(rows: Sequence[ProblemRow], *, depth: int) -> list[Arm]:
    """Every search at its full depth, with each merge rule."""
    found = []
    for split in dict.fromkeys(row.split for row in rows):
        ours = [row for row in rows if row.split == split]
        for place, search in enumerate(ours[0].searches):
            for rule in MERGES:
                results = [searched_by(row, row.searches[place], rule, depth=depth) for row in ours]
                setting: dict[str, Any] = {"breadth": search.breadth, "depth": depth, "merge": rule}
                found.append(_arm(split, search.strategy, results, **setting))
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Accuracy of a method within budgets of tokens.

    Attributes:
        method: A key of `LABELS`.
        breadth: N; None where there is none.
        budgets: Tokens a problem, rising.
        arms: The figures within each.
    """

    method: str
    breadth: int | None
    budgets: tuple[int, ...]
    arms: tuple[Arm, ...]


def curves(rows: Sequence[ProblemRow], merge: Merge) -> dict[str, list[Curve]]:
    """By split, accuracy against the budget of tokens of every method that has one."""
    found: dict[str, list[Curve]] = {}
    for split in dict.fromkeys(row.split for row in rows):
        ours = [row for row in rows if row.split == split]
        budgets = _budgets(ours)
        made = []
        for place, search in enumerate(ours[0].searches):
            results = [
                [searched_by(row, row.searches[place], merge, max_tokens=budget) for row in ours]
                for budget in budgets
            ]
            made.append(_curve(split, search.strategy, search.breadth, budgets, results))
        if any(row.samples for row in ours):
            for method in (BEST_OF_N, MAJORITY):
                results = [[chosen(row, budget, method) for row in ours] for budget in budgets]
                made.append(_curve(split, method, None, budgets, results))
        if any(row.symbolic_tokens is not None for row in ours):
            results = [[symbolic(row, budget) for row in ours] for budget in budgets]
            made.append(_curve(split, SYMBOLIC, None, budgets, results))
        found[split] = made
    return found


def table(found: Sequence[Arm]) -> pd.DataFrame:
    """The arms as a flat table."""
    return _whole_numbers(pd.DataFrame([asdict(arm) for arm in found]))


def curve_table(found: dict[str, list[Curve]]) -> pd.DataFrame:
    """The curves as a flat table."""
    rows = [
        {"budget": budget, **asdict(arm)}
        for made in found.values()
        for curve in made
        for budget, arm in zip(curve.budgets, curve.arms, strict=True)
    ]
    return _whole_numbers(pd.DataFrame(rows))


def _whole_numbers(found: pd.DataFrame) -> pd.DataFrame:
    """The table with N and b as whole numbers where they are missing in some rows."""
    return found.astype({name: "Int64" for name in ("breadth", "depth") if name in found})


def up_to(search: SearchRow, depth: int | None) -> Sequence[Draw]:
    """The completions of a search of this depth: those of its first rounds."""
    return [draw for draw in search.draws if depth is None or draw.round <= depth]


def answer_of(
    row: ProblemRow,
    search: SearchRow,
    merge: Merge,
    *,
    depth: int | None = None,
    max_tokens: int | None = None,
) -> int | None:
    """Place of the response that a search answers with, up to a depth and within a budget; None without one."""
    choose = best_verified if search.strategy == VERIFIED_STATES else best_merged
    return choose(within(up_to(search, depth), max_tokens), row.responses, merge)


def searched_by(row: ProblemRow, search: SearchRow, merge: Merge, **limits: int | None) -> Result:
    """What a search answers; the limits are those of `answer_of`."""
    draws = within(up_to(search, limits.get("depth")), limits.get("max_tokens"))
    return _result(row, draws, answer_of(row, search, merge, **limits))


def chosen(row: ProblemRow, max_tokens: int, method: str) -> Result:
    """What best-of-N or the majority answers within a budget, of samples from the prompt alone."""
    draws = within(row.samples, max_tokens)
    choose: Callable[..., int | None] = best_of_n if method == BEST_OF_N else majority
    return _result(row, draws, choose(draws, row.responses))


def symbolic(row: ProblemRow, max_tokens: int) -> Result:
    """Whether the task's own search, written down, finds the solution within a budget."""
    need = row.symbolic_tokens
    found = need is not None and need <= max_tokens
    return Result(
        index=row.index,
        correct=found,
        verified=found,
        covered=found,
        answered=found,
        tokens=min(max_tokens, max_tokens if need is None else need),
    )


def greedy_result(row: ProblemRow) -> Result:
    """What greedy decoding answers; the completion must be there."""
    assert row.greedy is not None
    complete = row.responses[row.greedy.response].complete
    return _result(row, [row.greedy], row.greedy.response if complete else None)


def _result(row: ProblemRow, draws: Sequence[Draw], place: int | None) -> Result:
    answer = None if place is None else row.responses[place]
    checked = any(one.verified is not None for one in row.responses)
    return Result(
        index=row.index,
        correct=answer is not None and answer.correct,
        verified=None if not checked else answer is not None and bool(answer.verified),
        covered=any(row.responses[draw.response].correct for draw in draws),
        answered=answer is not None,
        tokens=spent(draws),
    )


def _arm(split: str, method: str, results: Sequence[Result], **setting: Any) -> Arm:
    num, right = len(results), sum(one.correct for one in results)
    low, high = wilson_interval(right, num)
    checked = [one.verified for one in results if one.verified is not None]
    return Arm(
        split=split,
        method=method,
        problems=num,
        accuracy=right / num,
        low=low,
        high=high,
        verified=fmean(checked) if checked else None,
        covered=fmean(one.covered for one in results),
        answered=fmean(one.answered for one in results),
        tokens=fmean(one.tokens for one in results),
        **setting,
    )


def _gain(ours: Sequence[Result], theirs: Sequence[Result]) -> dict[str, float]:
    found = paired_difference(
        {0: {one.index: float(one.correct) for one in ours}},
        {0: {one.index: float(one.correct) for one in theirs}},
        is_share=True,
    )
    assert found is not None
    return {"gain": found.mean, "gain_low": found.low, "gain_high": found.high}


def _curve(
    split: str, method: str, breadth: int | None, budgets: Sequence[int], results: Sequence[Sequence[Result]]
) -> Curve:
    made = tuple([_arm(split, method, one, breadth=breadth) for one in results])
    return Curve(method=method, breadth=breadth, budgets=tuple(budgets), arms=made)


def _budgets(rows: Sequence[ProblemRow]) -> list[int]:
    """Budgets for a curve: each half as much again as the one before, up to the longest search.

    They begin where half of the problems have a completion.
    """
    first = sorted(row.searches[0].draws[0].tokens for row in rows if row.searches[0].draws)
    most = max(spent(search.draws) for row in rows for search in row.searches)
    budgets = [first[len(first) // 2] if first else 1]
    while budgets[-1] < most:
        budgets.append(min(most, math.ceil(budgets[-1] * 1.5)))
    return budgets
