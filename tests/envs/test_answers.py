r"""Answers in a model's own words: forms that are taken, and texts that state none or more than one."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import Grade, Split, Status, Thinking, make_env, make_example
from envs.answers import DISAGREE, GOES_BACK, GOES_ON, NOTHING_STATED, UNPAIRED, read_stated
from envs.statements import find_answer
from envs.trace import AnswerForm, Trace

MATH = make_example("math", steps="paragraphs")
CLOSING, SENTENCE, LABEL, HASHES, TAGS, BOX, BARE, LAST = AnswerForm


def read(text: str, *forms: AnswerForm) -> Trace:
    return (make_example("math", answer_forms=forms) if forms else MATH).parse(text)


@pytest.mark.parametrize(
    ("text", "form", "answer"),
    [
        ("Thus, the answer is 72.", CLOSING, "72"),
        ("Thus, the answer is \\boxed{72}.", CLOSING, "72"),
        ("Thus, the answer is 72", SENTENCE, "72"),
        ("We add.\nTherefore, the answer is 72.", SENTENCE, "72"),
        ("**The answer is 72.**", SENTENCE, "72"),
        ("The answer is **72**.", SENTENCE, "72"),
        ("The answer is $18.", SENTENCE, "$18"),
        ("The answer is 1.5.", SENTENCE, "1.5"),
        ("the answer is `72`", SENTENCE, "72"),
        ("So the correct answer to this question is \\(72\\).", SENTENCE, "72"),
        ("She makes 9*2=18, so the answer is 18 dollars.", SENTENCE, "18 dollars"),
        ("She makes 9*2=18 so the final answer is: 18", SENTENCE, "18"),
        ("It follows that our answer is 5 or 6.", SENTENCE, "5 or 6"),  # for the grader to refuse
        ("The answer is:\n\n$$18$$", SENTENCE, "18"),
        ("The answer is:\n\\[\n18\n\\]\n", SENTENCE, "18"),
        ("The answer is <<9*2=18>>18.", SENTENCE, "18"),
        ("Final Answer: The final answer is $18$. I hope it is correct.", SENTENCE, "18"),  # Minerva's prompt
        ("Answer: 72", LABEL, "72"),
        ("Ans: 72", LABEL, "72"),
        ("THE ANSWER IS 72!", SENTENCE, "72"),
        ("**Final Answer:** 18", LABEL, "18"),
        ("**Answer: $72**", LABEL, "$72"),
        ("1 + 1 = 2.\n\n**Final Answer**\n\n5", LABEL, "5"),
        ("## Final answer:\n5", LABEL, "5"),
        ("16 - 3 = 13\nA: 18", LABEL, "18"),  # fine-tuned models of the GSM8K paper
        ("9*8 = <<9*8=72>>72\n#### 72", HASHES, "72"),
        ("#### Step 1: add\n3 + 4 = 7\n#### 7", HASHES, "7"),
        ("So <answer>72</answer>", TAGS, "72"),
        ("<answer>\n72\n</answer>", TAGS, "72"),
        ("<answer>The answer is 72.</answer>", SENTENCE, "72"),
        ("which is $\\boxed{72}$.", BOX, "72"),
        ("The final answer is: $\\boxed{18}$", BOX, "18"),
        ("**Final Answer**\n\\boxed{5}", BOX, "5"),
        ("### Answer\n\n\\[\n\\boxed{5}\n\\]", BOX, "5"),
        ("We see it is so. Thus, the answer is $\\boxed{5}$.", BOX, "5"),
        ("Thus, the answer is 5.\n\n**Final Answer** \\boxed{5}", BOX, "5"),
        ("Thus, the answer is $5.00.\n\n\\boxed{5}", BOX, "5"),
        ("Thus, the answer is 1/2.\n\n\\boxed{\\frac{1}{2}}", BOX, "\\frac{1}{2}"),
        ("Step 1 gives \\boxed{3}.\nStep 2 gives \\boxed{7}.", BOX, "7"),
        ("It is \\boxed{7}.\nThe answer is within \\boxed{}.", BOX, "7"),  # SmolLM2 repeats the request
        ("18", BARE, "18"),
        ("99 days", BARE, "99 days"),
        # More than once, and remarks and checks after it.
        ("The answer is 7.\n\nThe answer is 7.", SENTENCE, "7"),
        ("The answer is 18. So Janet makes $18 every day.", SENTENCE, "18"),
        ("The answer is 18.\n\nCheck: 16 - 3 - 4 = 9 and 9 * 2 = 18. Correct!", SENTENCE, "18"),
        ("\\boxed{18}\n\nLet me know if you have 2 more questions!", BOX, "18"),
        ("The answer is 1,000 eggs.\n#### 1000", HASHES, "1000"),
        # An answer that was taken back first.
        ("The answer is 5. Wait, I forgot one. The answer is 6.", SENTENCE, "6"),
        ("The answer is 5.\n\nWait, let me redo it: 2 + 4 = 6.\n\nThus, the answer is 6.", CLOSING, "6"),
        ("Thus, the answer is 5.\nNo, that's wrong.\nThus, the answer is 6.", SENTENCE, "6"),
    ],
)
def test_a_form_that_is_taken(text: str, form: AnswerForm, answer: str) -> None:
    trace = read(text)
    assert (trace.form, trace.answer, trace.why_malformed) == (form, answer, "")
    assert trace.status is Status.COMPLETE
    # Only the forms in the setting are taken, and the closing line.
    others = [one for one in AnswerForm if one not in (form, LAST)]
    if form is not CLOSING:
        assert read(text, *others).form is not form


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", NOTHING_STATED),
        ("Therefore, Janet makes $18 every day.", NOTHING_STATED),
        ("It is 18.", NOTHING_STATED),
        ("The answer is not 5.", NOTHING_STATED),
        ("The answer isn't 5.", NOTHING_STATED),
        ("I doubt that the answer is 5.", NOTHING_STATED),
        ("If the answer is 5, we are done.", NOTHING_STATED),
        ("The answer might be 5.", NOTHING_STATED),
        ("The answer is 5?", NOTHING_STATED),
        ("\\boxed{5", NOTHING_STATED),
        ("Answer: what is asked?", NOTHING_STATED),
        ("<answer>5", UNPAIRED),
        ("<answer><answer>5</answer>", UNPAIRED),
        ("<answer>5</answer></answer>", UNPAIRED),
        ("The answer is 5. The answer is 6.", DISAGREE),
        ("The answer is 5.\nThus, the answer is 6.", DISAGREE),
        ("Thus, the answer is 7.\nThus, the answer is 8.", DISAGREE),
        ("Thus, the answer is 5.\n\n**Final Answer** \\boxed{6}", DISAGREE),
        ("\\boxed{6}\nThus, the answer is 5.", DISAGREE),
        ("Thus, the answer is \\boxed{5} or \\boxed{6}.", DISAGREE),
        ("It is \\boxed{5} or \\boxed{6}.", DISAGREE),
        ("\\boxed{5}\n\n\\boxed{6}", DISAGREE),
        ("It is 5 or \\boxed{6}.", DISAGREE),
        ("It is not \\boxed{6}.", DISAGREE),
        ("It cannot be \\boxed{6}.", DISAGREE),
        ("The answer is 5; the answer is 6.", DISAGREE),
        ("\\boxed{5}. Alternatively, \\boxed{6}.", DISAGREE),
        ("<answer>5</answer><answer>6</answer>", DISAGREE),
        ("The answer is -5.\n#### 5", DISAGREE),
        ("The answer is \\sqrt{2}.\n#### 2", DISAGREE),
        ("The answer is 5. Wait, that is wrong.", GOES_BACK),
        ("The answer is 5. Wait, the answer could be 6.", GOES_BACK),
        ("Thus, the answer is 5.\nHold on, 2 + 4 is 6.", GOES_BACK),
        ("\\boxed{5}. On second thought, it is 6.", GOES_BACK),
        ("The answer is 5. This answer is wrong.", GOES_BACK),
        ("\\boxed{5} or 6", GOES_ON),
        ("The answer is 5. Maybe six.", GOES_ON),
        ("The answer is yes. Or no.", GOES_ON),
        ("The answer is 5. But 2 + 4 = 6.", GOES_ON),
        ("The answer is 5. As 2 + 4 = 6, it must be 6.", GOES_ON),
        ("The answer is 8.\n\nQ: 2 + 3?\nThat makes 5 apples.", GOES_ON),  # a base model goes on
        ("The answer is 8.\n\nQ: 2 + 3?\nA: 5", DISAGREE),
    ],
)
def test_a_text_that_states_no_single_answer(text: str, why: str) -> None:
    trace = read(text)
    assert (trace.status, trace.answer, trace.form) == (Status.MALFORMED, None, None)
    assert trace.why_malformed == why


def test_what_a_statement_holds_is_graded_as_it_stands() -> None:
    problem = MATH.problem(Split.TRAIN, 0)
    right = problem.answer
    for stated, grade in {
        right: Grade.CORRECT,
        f"${right}": Grade.CORRECT,
        f"{right} or 1": Grade.WRONG,
        f"{right}, not 1": Grade.MALFORMED,
        f"probably {right}": Grade.MALFORMED,
    }.items():
        trace = MATH.check(problem, MATH.parse(f"One step.\nSo the answer is {stated}."))
        assert trace.grade is grade, stated
        assert not trace.strictly_correct
    strict = MATH.check(problem, MATH.parse(f"One step.\nThus, the answer is {right}."))
    assert strict.correct and strict.strictly_correct
    wrong = MATH.check(problem, MATH.parse(f"One step.\nThus, the answer is {right}1."))
    assert not wrong.strictly_correct


def test_the_last_number_is_taken_only_where_it_is_asked_for() -> None:
    text = "Therefore, Janet makes $1,018.50 every day."
    assert read(text).answer is None
    assert (read(text, LAST).answer, read(text, LAST).form) == ("1,018.50", LAST)
    assert read("The answer is 5. It was 6.", SENTENCE, LAST).answer is None  # a spoiled statement stays one


def test_only_the_closing_line_is_always_taken() -> None:
    assert read("Thus, the answer is 5.", BOX).form is CLOSING
    for text in ("The answer is 5.", "#### 5", "Answer: 5", "<answer>5</answer>", "5"):
        assert read(text, BOX).answer is None
    assert read("The answer is 6.\nThus, the answer is 5.", BOX).answer == "5"  # ordinary text there


def test_statements_at_the_end_are_no_steps() -> None:
    for text, steps in {
        "Two eggs.\n\nTherefore, the answer is 2.": ["Two eggs."],
        "Two eggs. Therefore, the answer is 2. I hope so.": ["Two eggs.", "I hope so."],
        "Two eggs.\n\nThus, the answer is 2.\n\n**Final Answer**\n\\boxed{2}": ["Two eggs."],
        "Two eggs.\n\n\\[\n\\boxed{2}\n\\]\n": ["Two eggs."],
        "Two eggs.\n\nThat is \\boxed{2}.": ["Two eggs.", "That is \\boxed{2}."],
        "The answer is 2.\n\nCheck: 1 + 1 = 2.\n\n#### 2": ["The answer is 2.", "Check: 1 + 1 = 2."],
        "So the answer is 1 + 1 = 2.": ["So the answer is 1 + 1 = 2."],
        "The answer is 1 + 1 = \\boxed{2}.": ["The answer is 1 + 1 = \\boxed{2}."],  # a step in the statement
    }.items():
        assert [step.text for step in read(text).steps] == steps
        assert all(text[slice(*step.span)] == step.text for step in read(text).steps)


def test_a_thought_states_nothing() -> None:
    think = Thinking()
    assert think.parse(MATH, "<think>\nThe answer is 5.\n</think>\nSo.").answer is None
    assert think.parse(MATH, "<think>\nThe answer is 5.\n</think>\nThe answer is 6.").answer == "6"
    assert think.parse(MATH, "The answer is 5.\n</think>\n\n#### 6", opened=True).answer == "6"
    assert think.parse(MATH, "<think>\n\\boxed{5}").answer is None


def test_a_truncated_text_stays_truncated() -> None:
    assert MATH.parse("The answer is 5.", truncated=True).status is Status.TRUNCATED


def test_rows_are_joined_by_the_task() -> None:
    grid = make_env("reasoning_gym", {"task": "mini_sudoku"})
    for text in (
        *("Answer:\n1 2\n3 4", "<answer>1 2\n3 4</answer>", "1 2\n3 4", "\\boxed{\n 1 2\n3 4 \n}"),
        "So the answer is:\n1 2\n3 4",
    ):
        assert grid.parse(text).answer == "1 2 / 3 4"
    assert MATH.parse("\\boxed{\n  1,\n 2 }").answer == "1, 2"


PIECES = st.lists(
    st.sampled_from(
        [
            *(
                "The answer is ",
                "so the answer is ",
                "Thus, the answer is ",
                "Answer:",
                "**Final Answer**",
                "A: ",
            ),
            *(
                "5",
                "6",
                " or ",
                "not ",
                ".",
                "\n",
                "\n\n",
                " ",
                "$",
                "$$",
                "\\[",
                "\\]",
                "**",
                "#### ",
                "é",
                "\ud800",
            ),
            *("<answer>", "</answer>", "\\boxed{", "}", "\\boxed{5}", "Wait, ", "That's wrong. ", "?", "\x1c"),
        ]
    ),
    max_size=30,
).map("".join)


@given(text=PIECES | st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    trace = MATH.parse(text)
    assert (trace.answer is None) == (trace.form is None) == (trace.status is Status.MALFORMED)
    assert (trace.answer is None) == bool(trace.why_malformed)
    spans = read_stated(text, MATH.settings.answer_forms, MATH.same_answer).spans
    ends = [0, *(place for span in spans for place in span), len(text)]
    assert ends == sorted(ends)


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "</answer>",
            "<answer>5</answer>",
            "The answer is 5. ",
            "The answer is ",
            "Answer:\n\n",
            "**Answer**\n",
        ),
        *(
            "#### 5\n",
            "\\boxed{5} ",
            "\\boxed{",
            "so the ",
            "so, that ",
            "Wait, the answer is 5. ",
            "A: 5\n",
            "$$",
        ),
    ],
)
def test_reading_takes_time_linear_in_the_text(piece: str) -> None:
    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        start = time.process_time()
        read_stated(text, MATH.settings.answer_forms, MATH.same_answer)
        return time.process_time() - start

    small, large = (min(seconds(size) for _ in range(3)) for size in (50_000, 400_000))
    assert large < 0.3 + 24 * small  # 8 times the text; 64 times the seconds if quadratic


def test_boxes_are_found_from_the_end() -> None:
    assert find_answer("so \\boxed{1} or \\boxed{\\frac{1}{2}}") == "\\frac{1}{2}"
    assert find_answer("\\boxed{\n 1,\n 2 }") == "1, 2"
