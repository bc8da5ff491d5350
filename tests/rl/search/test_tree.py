"""Searches of a policy that a table describes: what is rolled back to, visited, merged and counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from configs.schema.search import SearchConfig
from envs import Problem, Split, make_env
from rewards import RewardSum, Term
from rl.models.tiny import make_tokenizer
from rl.search.record import ProblemRow, in_order
from rl.search.solve import Plan, Solver
from rl.search.summary import arms
from rollout.encoder import make_encoder
from rollout.pools.local import LocalPool
from rollout.types import Completion, FinishReason, Prompt, Sampling
from rollout.worker import RolloutWorker

ENV = make_env("countdown", {"train": ["3"], "ood_easy": ["3_new"], "ood_hard": ["4"]})
ENCODER = make_encoder(make_tokenizer(ENV, number_digits=2))
QUESTION, ANSWER = "Numbers: 2, 3, 5. Target: 16", "(3 + 5) * 2"
RIGHT = f"3 + 5 = 8\n2 * 8 = 16\nThus, the answer is {ANSWER}."
OTHER = "2 + 3 = 5\n5 + 5 = 10\nThus, the answer is 2 + 3 + 5."
STOPS = "3 + 5 = 8\n8 + 2 = 11\n<backtrack>"  # a wrong result, and a way on from 8
AT_ONCE = "2 + 3 = 6\n<backtrack>"
NAMED = "3 + 5 = 8\n8 - 2 = 6\n<backtrack> 1"
TWICE = "3 + 5 = 8\n8 + 2 = 11\n<backtrack>\n2 * 8 = 16\nThus, the answer is 8 * 2."
DEAD = "2 + 3 = 5\n5 + 5 = 10\n<backtrack>"  # valid lines, into a dead end


class OneProblem(type(ENV)):  # type: ignore[misc]
    """The same question under every index."""

    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        return replace(super().problem(split, index), question=QUESTION, answer=ANSWER)


@dataclass
class TableEngine:
    """Sample n from a prefix is text n of its row, the last one over and over; each token has -0.5, -1 or so.

    Attributes:
        table: Texts by prefix.
        scores: Log-probability of each sampled token by text; -1 where not given.
        calls: The prompts of each call.
        drawn: How the tokens of each call were to be drawn.
    """

    table: dict[str, Sequence[str]]
    scores: dict[str, float]
    calls: list[list[Prompt]]
    drawn: list[Sampling] = field(default_factory=list)
    weight_version: int = 0

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        self.calls.append(list(prompts))
        self.drawn.append(sampling)
        return [[self._sample(prompt, at) for at in range(len(prompt.seeds))] for prompt in prompts]

    def _sample(self, prompt: Prompt, at: int) -> Completion:
        given = ENCODER.show(prompt.prefix_ids)
        texts = self.table[given]
        text = texts[min(at, len(texts) - 1)]
        ids = ENCODER.encode_completion(text)
        num = len(prompt.prefix_ids)
        assert ids[:num] == prompt.prefix_ids, "a prefix keeps its tokens"
        return Completion(
            ids=ids,
            logprobs=(self.scores.get(text, -1.0),) * (len(ids) - num),
            finish_reason=FinishReason.STOP,
            weight_version=0,
            num_given=num,
        )

    def close(self) -> None: ...


def solver(engine: TableEngine, *, num_problems: int = 1, **search: Any) -> Solver:
    env = OneProblem(ENV.settings)
    worker = RolloutWorker(
        engine=engine,  # type: ignore[arg-type]
        encoder=ENCODER,
        env=env,
        rewards=RewardSum([Term(name="correct", weight=1.0)]),
        sampling=Sampling(temperature=1.0, max_new_tokens=64),
        max_prompt_tokens=64,
    )
    plan = Plan(
        splits={Split.ID: 64, Split.OOD_EASY: 64},
        num_problems=num_problems,
        problems_per_batch=2,
        together=1,
        seed=0,
        search=SearchConfig(**{"breadth": [4], "depth": 1, **search}),
    )
    return Solver(LocalPool(worker), env, ENCODER, plan, max_ungraded=0)


def solve(
    table: dict[str, Sequence[str]], scores: dict[str, float] | None = None, **search: Any
) -> tuple[ProblemRow, TableEngine]:
    """The row of the first problem, and the engine."""
    engine = TableEngine(table=table, scores=scores or {}, calls=[])
    rows: list[ProblemRow] = []
    solver(engine, **search).run((), rows.extend)
    assert len(rows) == 2
    return rows[0], engine


def texts(row: ProblemRow, number: int) -> list[str]:
    """The texts of a round of the first search."""
    return [row.responses[d.response].text for d in row.searches[0].draws if d.round == number]


def test_a_completion_is_rolled_back_to_the_line_before_the_wrong_one() -> None:
    row, _ = solve({"": [STOPS, AT_ONCE, OTHER], "3 + 5 = 8\n": [RIGHT]})
    search = row.searches[0]
    # The root of 4 is 2 states. STOPS gives "3 + 5 = 8"; AT_ONCE goes back to the start, which was visited.
    assert search.states == ("", "3 + 5 = 8")
    assert texts(row, 0) == [STOPS, AT_ONCE, OTHER, OTHER] and texts(row, 1) == [RIGHT] * 4
    # A continuation costs its own tokens alone, and is scored as a whole.
    prefix, whole = len(ENCODER.encode_completion("3 + 5 = 8\n")) - 1, len(ENCODER.encode_completion(RIGHT))
    assert {draw.tokens for draw in search.draws if draw.round == 1} == {whole - prefix}
    assert {draw.state for draw in search.draws if draw.round == 1} == {1}


def test_completions_are_drawn_as_the_section_says() -> None:
    _, engine = solve({"": [STOPS], "3 + 5 = 8\n": [RIGHT]}, temperature=0.5, top_p=0.9, top_k=3)
    greedy = Sampling(temperature=0.0, max_new_tokens=64)
    drawn = Sampling(temperature=0.5, max_new_tokens=64, top_p=0.9, top_k=3)
    assert engine.drawn[:3] == [greedy, drawn, drawn] and set(engine.drawn) == {greedy, drawn}


def test_scores_are_means_over_all_tokens_prefix_included() -> None:
    row, _ = solve({"": [STOPS], "3 + 5 = 8\n": [RIGHT]}, {STOPS: -0.5, RIGHT: -2.0})
    prefix, whole = len(ENCODER.encode_completion("3 + 5 = 8\n")) - 1, len(ENCODER.encode_completion(RIGHT))
    draw = row.searches[0].draws[-1]
    assert draw.score == pytest.approx((prefix * -0.5 + (whole - prefix) * -2.0) / whole)


def test_a_backtrack_that_names_a_step_goes_there() -> None:
    row, _ = solve({"": [NAMED], "3 + 5 = 8\n": [RIGHT]})
    assert row.searches[0].states == ("", "3 + 5 = 8")


def test_a_completion_that_goes_back_and_finishes_is_a_candidate_and_is_rolled_back() -> None:
    row, _ = solve({"": [TWICE], "3 + 5 = 8\n": [OTHER_FROM_8]})
    assert row.searches[0].states == ("", "3 + 5 = 8")
    assert [response.complete for response in row.responses] == [True, True]


OTHER_FROM_8 = "3 + 5 = 8\n8 + 2 = 10\nThus, the answer is 3 + 5 + 2."


@pytest.mark.parametrize(("states", "expanded"), [(None, 2), (1, 1), (3, 3)])
def test_states_are_visited_once_and_few_are_expanded(states: int | None, expanded: int) -> None:
    others = ["2 * 5 = 10\n3 + 10 = 12\n<backtrack>", "5 - 2 = 3\n3 + 3 = 7\n<backtrack>"]
    table = {
        "": [STOPS, STOPS, *others],
        "3 + 5 = 8\n": [STOPS],
        "2 * 5 = 10\n": [STOPS.replace("3 + 5 = 8", "2 * 5 = 10").replace("8 + 2", "3 + 10")],
        "5 - 2 = 3\n": [others[1]],
    }
    row, _ = solve(table, depth=5, states=states)
    # Every later round only comes back to states that were visited, so the search ends.
    assert row.searches[0].states == ("", "3 + 5 = 8", "2 * 5 = 10", "5 - 2 = 3")[: 1 + expanded]
    assert {draw.round for draw in row.searches[0].draws} == {0, 1}


def test_depth_0_samples_once_and_smaller_depths_come_with_larger_ones() -> None:
    table = {"": [STOPS, OTHER, OTHER, OTHER], "3 + 5 = 8\n": [RIGHT]}
    row, engine = solve(table, depth=0)
    assert {draw.round for draw in row.searches[0].draws} == {0}
    assert len(engine.calls) == 4  # greedy and samples, of two splits
    deep, _ = solve(table, {RIGHT: -0.1})
    found = {(arm.method, arm.depth): arm.accuracy for arm in arms([deep], "mean", depth=1)}
    assert found["self_backtracking", 0] == 0.0 and found["self_backtracking", 1] == 1.0


def test_a_budget_ends_a_search_at_the_completion_that_would_go_beyond_it() -> None:
    table = {"": [STOPS], "3 + 5 = 8\n": [RIGHT]}
    cost = len(ENCODER.encode_completion(STOPS))
    more = len(ENCODER.encode_completion(RIGHT)) - (len(ENCODER.encode_completion("3 + 5 = 8\n")) - 1)
    for budget, counted, num_calls in (
        (4 * cost, [4, 0], 1),  # nothing is left for a further round
        (4 * cost - 1, [3, 0], 1),
        (4 * cost + 1, [4, 0], 2),
        (4 * cost + 2 * more, [4, 2], 2),
    ):
        row, engine = solve(table, max_tokens=budget)
        draws = row.searches[0].draws
        assert [sum(draw.round == number for draw in draws) for number in (0, 1)] == counted
        assert sum(draw.tokens for draw in draws) <= budget
        assert sum(bool(call[0].prefix_ids) for call in engine.calls) == 2 * (num_calls - 1)  # of two splits


def test_verified_states_drop_dead_ends_and_merge_equal_states() -> None:
    # 2 + 3 = 5 leaves 5 and 5: no way to 16. 3 + 5 = 8 and 5 + 3 = 8 leave the same numbers.
    again = "5 + 3 = 8\n8 + 2 = 11\n<backtrack>"
    table = {"": [DEAD, STOPS, again, OTHER], "3 + 5 = 8\n": [OTHER_FROM_8, RIGHT]}
    row, _ = solve(table, depth=3, strategies=["verified_states"])
    search = row.searches[0]
    assert search.states == ("", "3 + 5 = 8")
    # The first completion that verifies ends it, whatever its score.
    assert texts(row, 1) == [OTHER_FROM_8, RIGHT, RIGHT, RIGHT]
    (arm,) = [arm for arm in arms([row], "mean", depth=3) if (arm.method, arm.depth) == ("verified_states", 3)]
    assert arm.accuracy == 1.0
    # The learnt backtrack goes back into the dead end.
    assert solve(table | {"2 + 3 = 5\n": [DEAD]})[0].searches[0].states == ("", "2 + 3 = 5", "3 + 5 = 8")


def test_verified_states_with_fewer_lines_left_come_first() -> None:
    # After both lines of `ends` nothing is left but the answer, which it states wrong; after STOPS a line is.
    ends = "3 + 5 = 8\n2 * 8 = 16\nThus, the answer is 8 * 2."
    right = {"3 + 5 = 8\n": [RIGHT], "3 + 5 = 8\n2 * 8 = 16\n": [OTHER_END]}
    row, _ = solve({"": [STOPS, ends]} | right, strategies=["verified_states"], states=1)
    assert row.searches[0].states == ("", "3 + 5 = 8\n2 * 8 = 16")


@pytest.mark.parametrize(
    "text", ["", "Thus, the answer is 1.", "3 + 5 = 9\nThus, the answer is 9.", "<backtrack>"]
)
def test_texts_without_a_line_that_holds_lead_nowhere(text: str) -> None:
    for strategy in ("self_backtracking", "verified_states"):
        row, _ = solve({"": [text]}, strategies=[strategy])
        assert row.searches[0].states == ("",) and len(row.searches[0].draws) == 4


OTHER_END = "3 + 5 = 8\n2 * 8 = 16\nThus, the answer is 8 + 8."


def test_samples_without_a_search_have_as_many_tokens_as_the_longest_search() -> None:
    row, _ = solve({"": [STOPS], "3 + 5 = 8\n": [RIGHT]}, breadth=[1, 4])
    longest = max(sum(draw.tokens for draw in search.draws) for search in row.searches)
    assert sum(draw.tokens for draw in row.samples) >= longest
    assert sum(draw.tokens for draw in row.samples[:-4]) < longest
    # The first N completions of every search are the first samples.
    for search in row.searches:
        assert search.draws[: search.breadth] == row.samples[: search.breadth]


def test_the_symbolic_search_counts_the_tokens_of_its_text() -> None:
    row, _ = solve({"": [RIGHT]})
    assert row.symbolic_tokens is not None and row.symbolic_steps is not None
    assert row.symbolic_tokens > 4 * row.symbolic_steps >= 8


def test_a_search_goes_on_where_it_was() -> None:
    """Batches that are done are not sampled again, and the others come out as they would have."""
    table = {"": [STOPS, OTHER], "3 + 5 = 8\n": [RIGHT]}
    rows: list[ProblemRow] = []
    whole = solver(TableEngine(table=table, scores={}, calls=[]), num_problems=3)
    whole.run((), rows.extend)
    assert [row.key for row in in_order(rows)] == [(s, i) for s in ("id", "ood_easy") for i in range(3)]
    assert whole.num_problems == 6
    for kept, left in ((1, 6), (2, 4), (3, 3), (5, 1), (6, 0)):  # batches of 2 and 1 problems
        engine = TableEngine(table=table, scores={}, calls=[])
        again = solver(engine, num_problems=3)
        done = again.whole(rows[:kept])
        new: list[ProblemRow] = []
        again.run({row.key for row in done}, new.extend)
        assert len(new) == left
        assert in_order([*done, *new]) == in_order(rows)


def test_rows_survive_their_file() -> None:
    row, _ = solve({"": [STOPS, OTHER], "3 + 5 = 8\n": [RIGHT]})
    assert ProblemRow.from_json(json.loads(json.dumps(row.to_json()))) == row
