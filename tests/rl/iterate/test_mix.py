"""What a round learns from: which answers are kept, and what the mixes are made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configs import Config, check_config
from envs import Problem, make_env
from rewards import Outcome
from rl.iterate.mix import (
    NothingKeptError,
    initial_mix,
    is_kept,
    round_mix,
    train_problems,
)
from rl.iterate.record import AnswerRow
from rl.sft.examples import Example
from rollout.encoder import Encoder, make_encoder
from tests.kit.answers import make_answer
from tests.kit.byte_tokenizer import byte_tokenizer

ENV = make_env("addition", {"train": ["1_1", "2_2", "3_3"]})


def config(**iterate: Any) -> Config:
    return check_config(
        {
            "env": {"name": "addition", "settings": {"train": ["1_1", "2_2", "3_3"]}},
            "warm_start": {"num_problems": 40},
            "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
            "iterate": iterate,
        }
    )


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return make_encoder(byte_tokenizer())


def kept_answers(problems: Sequence[Problem]) -> list[AnswerRow]:
    """The hand-skipped trace of each problem that has one, as an answer of the model."""
    found = []
    for example in initial_mix(ENV, config(), problems).examples[len(problems) :]:
        problem = example.problem
        row = make_answer(
            cell="train",
            index=problem.index,
            asked=problem.budget,
            full_steps=problem.num_full_steps,
            steps=problem.budget,
            text=example.text,
            stated=problem.answer,
            kept=True,
        )
        found.append(row)
    return found


def test_the_filter_is_the_papers() -> None:
    loop = config().iterate
    assert loop is not None
    assert is_kept(make_answer(), loop)
    assert is_kept(make_answer(outcome=Outcome.CORRECT, invalid=1), loop)  # reads no line
    assert not is_kept(make_answer(outcome=Outcome.WRONG), loop)
    assert not is_kept(make_answer(steps=3), loop)  # not the steps asked for
    assert not is_kept(make_answer(asked=3, steps=3), loop)  # the full number
    assert not is_kept(make_answer(asked=4, steps=4), loop)
    assert not is_kept(make_answer(outcome=None), loop)


def test_the_verified_filter_also_reads_the_lines() -> None:
    loop = config(keep="verified").iterate
    assert loop is not None
    assert is_kept(make_answer(), loop)
    assert not is_kept(make_answer(outcome=Outcome.CORRECT, invalid=1), loop)


def test_round_0_has_all_full_traces_and_one_skipped_trace_for_each_problem_that_has_one() -> None:
    problems = train_problems(ENV, config())
    assert [problem.index for problem in problems] == list(range(40))
    mix = initial_mix(ENV, config(), problems)
    full, skipped = mix.examples[: mix.num_full], mix.examples[mix.num_full :]
    assert [one.problem.index for one in full] == list(range(40))
    assert all(one.problem.budget == one.problem.num_full_steps for one in full)
    assert [one.problem.index for one in skipped] == [p.index for p in problems if ENV.bucket(p) != "1_1"]
    assert all(one.problem.budget == one.problem.num_full_steps - 1 for one in skipped)
    assert f"{skipped[0].problem.budget} step" in skipped[0].problem.prompt
    assert all(ENV.check(one.problem, ENV.parse(one.text)).verified for one in mix.examples)
    cold = initial_mix(ENV, config(init="cold"), problems)
    assert (cold.examples, cold.num_skipped) == (full, 0)


def test_the_standard_model_learns_the_same_without_step_counts() -> None:
    mix = initial_mix(ENV, config(), train_problems(ENV, config()))
    plain = mix.without_budgets(ENV)
    assert [one.text for one in plain] == [one.text for one in mix.examples]
    assert all(one.problem.budget is None and "step" not in one.problem.prompt for one in plain)


def texts(examples: Sequence[Example]) -> list[tuple[int, int | None, str]]:
    return [(one.problem.index, one.problem.budget, one.text) for one in examples]


def test_new_is_all_kept_and_all_full(encoder: Encoder) -> None:
    problems = train_problems(ENV, config())
    answers = kept_answers(problems)
    lost = make_answer(cell="train", index=2, kept=False)
    mix = round_mix(ENV, config(), problems, [*answers, lost], encoder, number=1)
    initial = initial_mix(ENV, config(), problems)
    assert texts(mix.examples) == texts(initial.examples)  # the answers are those demonstrations
    assert (mix.num_full, mix.num_skipped) == (40, len(answers))


def test_a_problem_kept_at_two_lengths_gives_two_demonstrations(encoder: Encoder) -> None:
    problems = train_problems(ENV, config())
    longer = next(row for row in kept_answers(problems) if row.asked == 2)
    shorter = replace(
        longer, fewer=2, asked=1, steps=1, text=f"all at once\nThus, the answer is {longer.stated}."
    )
    mix = round_mix(ENV, config(mix="skipped_only"), problems, [longer, shorter], encoder, number=1)
    assert (mix.num_full, mix.num_skipped) == (0, 2)
    assert texts(mix.examples) == [(row.index, row.asked, row.text) for row in (longer, shorter)]


@pytest.mark.parametrize("num", [3, 200])
def test_equal_has_as_many_of_each(encoder: Encoder, num: int) -> None:
    problems = train_problems(ENV, config())
    answers = (kept_answers(problems) * 10)[:num]
    mix = round_mix(ENV, config(mix="equal"), problems, answers, encoder, number=1)
    assert mix.num_full == mix.num_skipped == min(num, 40)
    again = round_mix(ENV, config(mix="equal"), problems, answers, encoder, number=1)
    assert texts(mix.examples) == texts(again.examples)
    other = round_mix(ENV, config(mix="equal"), problems, answers, encoder, number=2)
    assert texts(mix.examples) != texts(other.examples)


def test_nothing_kept_leaves_the_full_traces_or_nothing(encoder: Encoder) -> None:
    problems = train_problems(ENV, config())
    mix = round_mix(ENV, config(), problems, [make_answer(cell="train")], encoder, number=1)
    assert (mix.num_full, mix.num_skipped) == (40, 0)
    for name in ("equal", "skipped_only"):
        with pytest.raises(NothingKeptError, match=f"round 1 kept none of the 1 answers.*{name}"):
            round_mix(ENV, config(mix=name), problems, [make_answer(cell="train")], encoder, number=1)


def test_a_finite_task_gives_each_problem_once(tmp_path: Path) -> None:
    for name, numbers in (("train", range(3)), ("id", range(7, 9))):
        rows = [
            {"question": f"What is {n} + 2?", "answer": f"{n + 2}", "solution": f"{n} + 2 = {n + 2}"}
            for n in numbers
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    env = make_env("math", {name: str(tmp_path / f"{name}.jsonl") for name in ("train", "id")})
    assert sorted(problem.question for problem in train_problems(env, config())) == [
        f"What is {n} + 2?" for n in range(3)
    ]
