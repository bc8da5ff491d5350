"""The warm start and prompts with budgets on a user's own file, whatever counts as a step there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from configs.schema.config import WarmStartConfig
from envs import Split, StepKind, make_env
from envs.tasks.math.task import MathProblems
from rewards import find_reward
from rl.sft.encode import IGNORED, encode_examples
from rl.sft.examples import Example, TraceKind, describe_mix, make_examples
from rollout.encoder import make_encoder
from rollout.source import GroupSource
from rollout.types import GroupRequest, RolloutGroup
from tests.kit.byte_tokenizer import byte_tokenizer
from tests.kit.pens import write_pens
from tests.kit.rollouts import make_group, make_sample, make_score
from tests.kit.scripted_pool import ScriptedPool

STEPS: list[dict[str, Any]] = [
    {"steps": "lines"},
    {"steps": "content"},
    {"steps": "paragraphs"},
    {"steps": "content", "check_steps": "arithmetic"},
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_pens(tmp_path_factory.mktemp("data") / "pens.jsonl", 48)


def task(data: str, settings: Mapping[str, Any]) -> MathProblems:
    return MathProblems({"train": data, **settings})


def mix(env: MathProblems, **settings: Any) -> list[Example]:
    config = WarmStartConfig(**{"skipped_frac": 0.0, **settings})
    return make_examples(env, config, num_problems=100, seed=0)


def steps_of(env: MathProblems, example: Example) -> int:
    return env.check(example.problem, env.parse(example.text)).num_steps


@pytest.mark.parametrize("settings", STEPS)
def test_a_cold_start_has_full_traces_alone(settings: dict[str, Any], data: str) -> None:
    env = task(data, settings)
    examples = mix(env)
    assert {example.written for example in examples} == {TraceKind.FULL}
    assert {steps_of(env, example) for example in examples} == {3}
    assert all(env.check(one.problem, env.parse(one.text)).passed for one in examples)


@pytest.mark.parametrize("settings", STEPS)
def test_a_warm_start_has_skipped_traces_where_the_row_has_one(settings: dict[str, Any], data: str) -> None:
    env = task(data, settings)
    examples = mix(env, skipped_frac=0.6)
    drawn = Counter(example.drawn for example in examples)
    assert abs(drawn[TraceKind.SKIPPED] - 60) < 25
    written = {example.written: steps_of(env, example) for example in examples}
    assert written == {TraceKind.FULL: 3, TraceKind.SKIPPED: 2}
    for example in examples:
        number = (int(example.problem.answer) - 7) // 4
        has_skipped = example.drawn is TraceKind.SKIPPED and number % 4 != 0
        assert (example.written is TraceKind.SKIPPED) is has_skipped
        trace = env.check(example.problem, env.parse(example.text))
        assert trace.passed and trace.verified is env.checks_steps
    lacking = drawn[TraceKind.SKIPPED] - sum(one.written is TraceKind.SKIPPED for one in examples)
    assert lacking > 0
    assert f"; {lacking} of {drawn[TraceKind.SKIPPED]} with a step skipped did not fit" in describe_mix(
        examples
    )


@pytest.mark.parametrize("settings", STEPS)
def test_wrong_lines_of_a_detour_are_read_and_not_learnt(settings: dict[str, Any], data: str) -> None:
    env = task(data, settings)
    examples = [one for one in mix(env, detour_frac=1.0) if one.written is TraceKind.DETOUR]
    assert examples
    encoder = make_encoder(byte_tokenizer(chat_template=None))
    encoded = encode_examples(examples, encoder)
    for example, row in zip(examples, encoded, strict=True):
        number = (int(example.problem.answer) - 7) // 4
        wrong = [f"She has {number} + 4 = {number + 4} pens.", f"Then {number + 4} + 9 = {number + 13} pens."]
        assert [example.text[start:end] for start, end in example.ignored] == wrong
        learnt = encoder.decode([label for label in row["labels"] if label != IGNORED])
        kept = example.text
        for line in wrong:
            kept = kept.replace(line, "", 1)
        assert learnt == kept and "Wait, these are boxes of pens." in learnt
        kinds = {step.kind for step in env.parse(example.text).steps}
        assert kinds == {StepKind.FORWARD, StepKind.MARKER}


@pytest.mark.parametrize("settings", STEPS)
def test_the_budget_in_a_prompt_is_the_number_of_steps_that_are_counted(
    settings: dict[str, Any], data: str
) -> None:
    env = task(data, settings)
    for example in mix(env, skipped_frac=0.4, detour_frac=0.3, budget_frac=1.0):
        count = steps_of(env, example)
        assert example.problem.budget == count
        assert f"\nLet's solve it in {count} steps.\n" in example.problem.prompt


def test_training_asks_for_half_to_all_steps_of_the_files_solution(data: str) -> None:
    """And the score of LM_skip pays for as many steps as asked for, if they are checked and valid."""
    env = make_env("math", {"train": data, "check_steps": "arithmetic"})

    def group(request: GroupRequest) -> RolloutGroup:
        samples = [make_sample(make_score(total)) for total in (0.0, 1.0)]
        return make_group(env.problem(request.split, request.index), samples, number=request.group_id)

    pool = ScriptedPool(group)
    source = GroupSource(
        pool,
        env,
        seed=0,
        num_samples=2,
        problems_per_batch=8,
        dynamic_sampling=False,
        max_resamples=0,
        max_ungraded=0,
        budget_frac=1.0,
    )
    source.next_update(60)
    budgets = Counter(request.budget for request in pool.requests)
    assert set(budgets) == {2, 3} and min(budgets.values()) > 10  # of 3 steps
    problem = env.problem(Split.TRAIN, 0)
    number = (int(problem.answer) - 7) // 4
    end = f"\n\nThus, the answer is \\boxed{{{problem.answer}}}."
    full = "\n\n".join(env.full_trace(problem)) + end
    short = f"{number} * 4 + 9 = {4 * number + 9}\n\n{4 * number + 9} - 2 = {problem.answer}{end}"
    asked = env.with_budget(problem, 2)
    traces = [env.check(asked, env.parse(text)) for text in (full, short, end.strip())]
    assert find_reward("skip_score")(asked, traces) == [0.8, 1.0, 0.8]


def test_a_row_has_a_right_and_a_wrong_way_to_its_answer(data: str) -> None:
    """What a loss on pairs of right and wrong traces needs: both, and where they part."""
    env = task(data, {"check_steps": "arithmetic"})
    example = next(one for one in mix(env, detour_frac=1.0) if one.written is TraceKind.DETOUR)
    *lines, _ = example.text.split("\n\n")
    right, wrong = env.full_trace(example.problem), lines[:2]
    assert tuple(lines[-3:]) == right and not set(wrong) & set(right)
    assert env.check_demonstration(example.problem, right).verified
    assert not env.check_demonstration(example.problem, wrong).verified
