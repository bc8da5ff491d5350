"""What a chat model is asked for is what the task reads: examples in requests are steps that it accepts."""

from __future__ import annotations

import inspect
import re

import pytest

from envs import ENVS, Grade, Split, Status, make_env, make_example
from envs.requests import ask_for_answer, ask_for_steps
from envs.trace import CLOSING
from tests.kit.problems import check_text, make_problem

CHECKED = sorted(name for name, env in ENVS.items() if env.checks_steps)


def worked_problem(name: str) -> tuple[str, str, str]:
    """Docstring of a task's module, and the question and the trace of the first problem in it."""
    about = inspect.getdoc(inspect.getmodule(ENVS[name])) or ""
    block = re.search(r"::\n\n((?:    .*\n|\n)+)", about)
    assert block is not None
    text = inspect.cleandoc(block[1])
    question, _, trace = text.partition("\nAnswer:\n")
    return about, question.rpartition("Question: ")[2], trace


@pytest.mark.parametrize("name", CHECKED)
def test_lines_quoted_in_a_request_are_steps_that_the_task_accepts(name: str) -> None:
    about, question, trace = worked_problem(name)
    answer = trace.rpartition(CLOSING)[2].removesuffix(".")
    judged = check_text(make_problem(name, question, answer), trace)
    assert judged.verified
    *quoted, closing = re.findall(r'"([^"]+)"', ENVS[name].format_request)
    assert closing == f"{CLOSING}X."
    accepted = {step.text for step in judged.steps}
    for line in quoted:
        assert line in accepted or f"``{line}``" in about  # a line of another problem, such as a final carry
    assert not quoted or accepted & {*quoted}


def test_the_form_asked_for_in_free_text_is_read() -> None:
    env = make_example("math")
    assert "\\boxed{}" in env.format_request
    problem = env.problem(Split.TRAIN, 0)
    # What the warm start teaches and few-shot examples show has the form that the prompt asks for.
    taught = env.demonstrate(env.full_trace(problem), problem.answer)
    assert taught.endswith(f"\n{CLOSING}\\boxed{{{problem.answer}}}.")
    assert env.check(problem, env.parse(taught)).answer == problem.answer
    text = f"First this.\nSo the final answer is \\boxed{{{problem.answer}}}."
    assert env.check(problem, env.parse(text)).grade is Grade.CORRECT
    rows = make_env("reasoning_gym", {"preset": "color_cube_rotation"})
    assert "<answer> and </answer>" in rows.format_request
    asked = rows.parse("First this.\n<answer>red</answer>")
    assert (asked.answer, asked.status) == ("red", Status.COMPLETE)


def test_requests() -> None:
    assert [ask_for_steps("Use {steps}.", number) for number in (1, 2)] == ["Use 1 step.", "Use 2 steps."]
    assert ask_for_answer("the sum") == 'End with the line "Thus, the answer is X.", where X is the sum.'
