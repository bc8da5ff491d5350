"""The analysis of a policy that a table describes: it writes lines with known probabilities."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from envs import Problem, Split, make_env
from envs.seeding import derive_random
from rewards import RewardSum, Term
from rl.importance.analyse import Analysis, Plan
from rl.importance.lines import LineKind
from rl.importance.record import ProblemRow, line_table
from rl.models.tiny import make_tokenizer
from rollout.encoder import make_encoder
from rollout.pools.local import LocalPool
from rollout.types import Completion, FinishReason, Prompt, Sampling
from rollout.worker import RolloutWorker

ENV = make_env("countdown", {"train": ["3"], "ood_easy": ["3_new"], "ood_hard": ["4"]})
ENCODER = make_encoder(make_tokenizer(ENV, number_digits=2))
QUESTION, ANSWER = "Numbers: 2, 3, 5. Target: 16", "(3 + 5) * 2"
SAMPLING = Sampling(temperature=1.0, max_new_tokens=64)
RIGHT = ("3 + 5 = 8", "2 * 8 = 16", f"Thus, the answer is {ANSWER}.")
WRONG = ("2 + 3 = 5", "5 + 5 = 10", "Thus, the answer is 2 + 3 + 5.")


class OneProblem(type(ENV)):  # type: ignore[misc]
    """The same question under every index."""

    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        return replace(super().problem(split, index), question=QUESTION, answer=ANSWER)


@dataclass
class TableEngine:
    """Half of its samples are right: the first line decides. Draws belong to seed and place in the text.

    Attributes:
        calls: The prompts of each call.
    """

    calls: list[list[Prompt]]
    weight_version: int = 0

    def generate(self, prompts: Any, sampling: Sampling) -> list[list[Completion]]:
        self.calls.append(list(prompts))
        return [[self._sample(prompt, seed) for seed in prompt.seeds] for prompt in prompts]

    def _sample(self, prompt: Prompt, seed: int) -> Completion:
        given = ENCODER.show(prompt.prefix_ids)
        begun = given.split("\n")[0]
        goes_right = begun == RIGHT[0] if begun else derive_random(seed, 0).random() < 0.5
        text = "\n".join(RIGHT if goes_right else WRONG)
        assert text.startswith(given)
        ids = ENCODER.encode_completion(text)
        num = len(prompt.prefix_ids)
        assert ids[:num] == prompt.prefix_ids
        return Completion(
            ids=ids,
            logprobs=(0.0,) * (len(ids) - num),
            finish_reason=FinishReason.STOP,
            weight_version=0,
            num_given=num,
        )

    def close(self) -> None: ...


def analysis(engine: TableEngine, **changes: Any) -> Analysis:
    env = OneProblem(ENV.settings)
    worker = RolloutWorker(
        engine=engine,  # type: ignore[arg-type]
        encoder=ENCODER,
        env=env,
        rewards=RewardSum([Term(name="correct", weight=1.0)]),
        sampling=SAMPLING,
        max_prompt_tokens=64,
    )
    plan = Plan(
        split=Split.ID,
        num_problems=3,
        num_candidates=10,
        num_samples=8,
        accuracy=(0.25, 0.75),
        num_continuations=40,
        problems_per_batch=4,
        seed=0,
    )
    return Analysis(LocalPool(worker), env, ENCODER, replace(plan, **changes), SAMPLING, max_ungraded=0)


def run(engine: TableEngine, done: tuple[ProblemRow, ...] = (), **changes: Any) -> list[ProblemRow]:
    rows: list[ProblemRow] = []
    analysis(engine, **changes).run(done, rows.append)
    return rows


@pytest.fixture(scope="module")
def rows() -> list[ProblemRow]:
    return run(TableEngine(calls=[]))


def test_the_first_line_decides_and_the_others_change_nothing(rows: list[ProblemRow]) -> None:
    traces = [row for row in rows if row.lines]
    assert len(traces) == 3 and {row.right for row in traces} == {True, False}
    for row in traces:
        first, second = row.lines
        assert 0.2 < first.accuracy_before < 0.8 and first.accuracy_after == float(row.right)
        assert first.kind is (LineKind.VALID if row.right else LineKind.DEAD_END)
        assert first.importance is not None and first.importance > 0.2
        assert (second.accuracy_before, second.accuracy_after) == (row.right, row.right)
        # Random numbers are shared, so nothing is left to chance either.
        assert (second.divergence, second.chance, second.num_other) == (0.0, 0.0, 0)
        # Half of the continuations write the other first line, and then never end like this trace.
        assert first.counterfactual is not None and second.counterfactual is None
        assert first.counterfactual.accuracy == 1.0 - row.right
        assert first.counterfactual.num == first.num_other == 40 - _same(row)
        assert first.divergence is not None and first.counterfactual.divergence > first.divergence
    table = line_table(rows)
    assert len(table) == 6 and table["importance"].notna().all()
    assert set(table.loc[table["line"] == 1, "change"]) == {0.0}


def _same(row: ProblemRow) -> int:
    """Continuations from the start that go the way of the trace."""
    ends = {answer.right: count for answer, count in row.boundaries[0].answers}
    return ends[row.right]


def test_the_trace_itself_is_no_continuation(rows: list[ProblemRow]) -> None:
    """Continuations from the start have draws of their own, else the first would always be the trace."""
    engine = TableEngine(calls=[])
    run(engine)
    samples, continued = engine.calls[0], engine.calls[1]
    assert len(samples) == 4 and [len(prompt.prefix_ids) > 0 for prompt in continued] == [False, True, True]
    assert not {*samples[0].seeds} & {*continued[0].seeds}
    assert len({prompt.seeds for prompt in continued}) == 1


def test_an_analysis_goes_on_where_it_was(rows: list[ProblemRow]) -> None:
    """Whatever was done before, the rest comes out as it would have."""
    for num in range(len(rows) + 1):
        engine = TableEngine(calls=[])
        new = run(engine, tuple(rows[:num]))
        assert sorted([*rows[:num], *new], key=lambda row: row.index) == sorted(rows, key=lambda row: row.index)
        assert sum(len(call) == 3 for call in engine.calls) == sum(bool(row.lines) for row in new)


def test_rows_survive_their_file(rows: list[ProblemRow]) -> None:
    assert [ProblemRow.from_json(json.loads(json.dumps(row.to_json()))) for row in rows] == rows


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"accuracy": (0.9, 1.0)}, lambda rows: all("band" in row.why_not for row in rows) and len(rows) == 10),
        ({"num_problems": 1}, lambda rows: sum(bool(row.lines) for row in rows) == 1 and len(rows) == 4),
    ],
)
def test_problems_that_are_not_analysed_say_why(
    changes: dict[str, Any], check: Callable[[list[ProblemRow]], bool]
) -> None:
    assert check(run(TableEngine(calls=[]), **changes))
