"""Thoughts between marks: what is a step, what is the answer, and texts that try to blur the two."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import Status, StepKind, Thinking, make_env, make_example
from envs.thinking import check_marks

THINK = Thinking()
MATH = make_example("math", steps="lines")
ADDITION = make_env("addition")
Q1 = "Thus, the answer is 1."


def read(text: str, *, opened: bool = False, truncated: bool = False) -> tuple[list[str], str | None]:
    trace = THINK.parse(MATH, text, opened=opened, truncated=truncated)
    assert all(text[start:end].startswith(step.text) for step in trace.steps for start, end in [step.span])
    return [step.text for step in trace.steps], trace.answer


@pytest.mark.parametrize(
    ("text", "opened", "steps", "answer"),
    [
        # Opened by the model (Qwen3), or by the template (DeepSeek-R1, QwQ).
        (f"<think>\na\nb\n</think>\n\n{Q1}", False, ["a", "b"], "1"),
        (f"a\nb\n</think>\n\n{Q1}", True, ["a", "b"], "1"),
        (f"a\n</think>\n\n{Q1}", False, ["a"], "1"),  # the opening mark was not sampled
        (f"<think>a</think>{Q1}", False, ["a"], "1"),
        ("<think>\na\n</think>\n\nSo it is \\boxed{1}.", False, ["a"], "1"),
        # The repetition of the solution after the thought is not counted in free text.
        (f"<think>\na\nb\n</think>\nFirst a.\nThen b.\n{Q1}", False, ["a", "b"], "1"),
        # ... unless the thought is empty, which would hide all steps.
        (f"<think>\n\n</think>\n\nFirst a.\nThen b.\n{Q1}", False, ["First a.", "Then b."], "1"),
        # What is stated in the thought is a step, and not the answer.
        (f"<think>\n{Q1}\nNo.\n</think>\nThus, the answer is 2.", False, [Q1, "No."], "2"),
        ("<think>\n\\boxed{1}\n</think>\n", False, ["\\boxed{1}"], None),
        # Open at the end of the text: no answer.
        (f"<think>\na\n{Q1}", False, ["a", Q1], None),
        (f"a\n{Q1}", True, ["a", Q1], None),
        ("a \\boxed{1}", True, ["a \\boxed{1}"], None),
        (f"<think>\na\n</think>\n<think>\n{Q1}", False, ["a", Q1], None),
        # Several thoughts, nested marks, marks that the text mentions: the last closing mark ends the thought.
        (f"<think>a</think>\nb\n<think>c</think>\n{Q1}", False, ["a", "b", "c"], "1"),
        (f"<think><think>a</think></think>{Q1}", False, ["a"], "1"),
        (f"<think>\na\n</think>\n{Q1}\n</think>\nThus, the answer is 2.", False, ["a", Q1], "2"),
        # No thought at all.
        (f"a\n{Q1}", False, ["a"], "1"),
        ("", True, [], None),
    ],
)
def test_steps_and_answer(text: str, opened: bool, steps: list[str], answer: str | None) -> None:
    assert read(text, opened=opened) == (steps, answer)


def test_an_unfinished_thought_is_malformed_or_truncated() -> None:
    text = f"<think>\n{Q1}"
    assert THINK.parse(MATH, text).status is Status.MALFORMED
    assert THINK.parse(MATH, text, truncated=True).status is Status.TRUNCATED
    assert THINK.parse(MATH, f"<think></think>{Q1}", truncated=True).status is Status.TRUNCATED


def test_a_mark_ends_a_paragraph() -> None:
    env = make_example("math", steps="paragraphs")
    text = f"<think>\na\nb\n\nc\n</think>\nd\n{Q1}"
    assert [step.text for step in THINK.parse(env, text).steps] == ["a\nb", "c"]
    assert [step.text for step in THINK.parse(env, f"a<think>b</think>{Q1}").steps] == ["a", "b"]


def test_backtracks_are_counted_in_the_thought() -> None:
    kinds = [s.kind for s in THINK.parse(MATH, f"<think>\na\nWait, no.\n</think>\nWait, b.\n{Q1}").steps]
    assert kinds == [StepKind.FORWARD, StepKind.MARKER]


def test_a_checked_task_reads_its_steps_in_the_thought_and_hides_none_after_it() -> None:
    problem = ADDITION.problem("train", 0)
    lines, closing = ADDITION.full_trace(problem), f"Thus, the answer is {problem.answer}."
    taught = THINK.wrap(ADDITION.demonstrate(lines, problem.answer))
    assert taught == "<think>\n" + "\n".join(lines) + "\n</think>\n\n" + closing
    assert ADDITION.check(problem, THINK.parse(ADDITION, taught)).verified
    after = "<think>\n" + "\n".join(lines[:1]) + "\n</think>\n" + "\n".join([*lines[1:], closing])
    trace = ADDITION.check(problem, THINK.parse(ADDITION, after))
    assert trace.verified and trace.num_steps == len(lines)
    wrong = ADDITION.check(problem, THINK.parse(ADDITION, taught.replace("</think>", "</think>\n1 + 1 = 3")))
    assert not wrong.verified


def test_any_pair_of_marks() -> None:
    marks = Thinking(open="[THINK]", close="[/THINK]")
    trace = marks.parse(MATH, f"[THINK]a\n<think>b[/THINK]{Q1}")
    assert [step.text for step in trace.steps] == ["a", "<think>b"] and trace.answer == "1"


@pytest.mark.parametrize(
    ("first", "last"), [("", "x"), (" ", "x"), ("a\n", "b"), ("<t>", "<t>"), ("t>", "<t>")]
)
def test_marks_that_cannot_be_told_apart_are_refused(first: str, last: str) -> None:
    with pytest.raises(ValueError, match="cannot mark a thought"):
        check_marks(first, last)


PIECES = st.sampled_from(
    ["<think>", "</think>", "\n", "a", "Wait, ", "\\boxed{1}", Q1, " ", "<backtrack> 0", "é"]
)


@given(st.lists(PIECES, max_size=30).map("".join), st.booleans(), st.booleans())
def test_steps_lie_in_the_text_in_order(text: str, opened: bool, truncated: bool) -> None:
    for env in (MATH, ADDITION):
        trace = THINK.parse(env, text, opened=opened, truncated=truncated)
        end = 0
        for step in trace.steps:
            assert end <= step.span[0] < step.span[1] <= len(text)
            assert text[step.span[0] :].startswith(step.text)
            end = step.span[1]
        if trace.answer is not None and (opened or "<think>" in text):
            assert trace.answer in text[text.rindex("</think>") :]


@pytest.mark.parametrize("unit", ["<think>", "</think>", "<think></think>", "<think>\n", "a</think>\n"])
def test_many_marks_take_linear_time(unit: str) -> None:
    def seconds(num: int) -> float:
        started = time.process_time()
        THINK.parse(MATH, unit * num, opened=True)
        return time.process_time() - started

    small = min(seconds(2_000) for _ in range(3))
    assert (
        min(seconds(20_000) for _ in range(3)) < 40 * small + 0.05
    )  # tenfold; quadratic would be a hundredfold
