"""Rows from the forms in which people have their data, and every fault with its row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from envs import Split
from envs.data import Detour, FaultKind, Preset, Reading, Row, describe_faults, read_rows

# Rows of GSM8K (openai/grade-school-math) and of MATH's layout.
GSM8K = {
    "question": "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in "
    "May. How many clips did Natalia sell altogether in April and May?",
    "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nNatalia sold 48+24 = <<48+24=72>>72 clips "
    "altogether in April and May.\n#### 72",
}
MATH = {
    "problem": "What is $\\frac{1}{2} + \\frac{1}{4}$?",
    "solution": "Over 4 it is $2/4 + 1/4$.\n\nSo it is $\\boxed{\\frac{3}{4}}$.",
    "level": "Level 3",
}
PENS = {"question": "Ann has 3 boxes of 4 pens and loses 2. How many are left?", "answer": "10"}
FULL = ("She has 3 * 4 = 12 pens.", "Then 12 - 2 = 10 are left.")
SHORT = ("3 * 4 - 2 = 10",)


def read(path: Path, *rows: Any, preset: Preset | None = None, **names: Any) -> Reading:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_rows(str(path), preset=preset, names=names, steps="lines")


def read_one(path: Path, row: Any, preset: Preset | None = None, **names: Any) -> Row:
    reading = read(path, row, preset=preset, **names)
    assert not reading.faults, describe_faults(reading.faults)
    return reading.rows[0]


def fault(path: Path, row: Any, preset: Preset | None = None, **names: Any) -> tuple[FaultKind, str]:
    """The fault of a row that stands between two sound ones."""
    sound = {"question": "1 + 1?", "answer": "2", "solution": "1 + 1 = 2", **dict.fromkeys(names, "2")}
    (found,) = read(path, sound, row, sound, preset=preset, **names).faults
    assert (found.source, found.number) == (str(path), 2)
    return found.kind, found.reason


# ---- layouts ----


def test_gsm8k_has_its_answer_after_the_solution(tmp_path: Path) -> None:
    row = read_one(tmp_path / "a.jsonl", GSM8K, "gsm8k")
    assert (row.question, row.answer) == (GSM8K["question"], "72")
    assert row.solution == (
        "Natalia sold 48/2 = 24 clips in May.",
        "Natalia sold 48+24 = 72 clips altogether in April and May.",
    )


def test_math_takes_the_answer_from_the_box_unless_there_is_a_column(tmp_path: Path) -> None:
    row = read_one(tmp_path / "a.jsonl", MATH, "math")
    assert (row.answer, row.level) == ("\\frac{3}{4}", 3)
    assert row.solution == ("Over 4 it is $2/4 + 1/4$.", "So it is $\\boxed{\\frac{3}{4}}$.")
    row = read_one(tmp_path / "a.jsonl", {**MATH, "answer": "0.75", "level": 2}, "math")
    assert (row.answer, row.level, row.stated) == ("0.75", 2, (("solution", "\\frac{3}{4}"),))


CHAT = [{"role": "user", "content": PENS["question"]}]
REPLY = [{"role": "assistant", "content": "\n".join((*FULL, "The answer is 10."))}]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": PENS["question"], "completion": "\n".join((*FULL, "#### 10"))},
        {"prompt": PENS["question"], "completion": "\n".join((*FULL, "Thus, the answer is \\boxed{10}."))},
        {"prompt": CHAT, "completion": REPLY},
        {"messages": [{"role": "system", "content": "Be brief."}, *CHAT, *REPLY]},
        {
            "messages": [
                {"from": "human", "value": PENS["question"]},
                {"from": "gpt", "value": REPLY[0]["content"]},
            ]
        },
        {"messages": [{"role": "user", "content": [{"type": "text", "text": PENS["question"]}]}, *REPLY]},
    ],
)
def test_trl_forms_are_taken_as_they_are(row: Any, tmp_path: Path) -> None:
    found = read_one(tmp_path / "a.jsonl", row)
    assert (found.question, found.answer, found.solution) == (PENS["question"], "10", FULL)


@pytest.mark.parametrize(
    ("preset", "row", "question", "answer"),
    [
        (
            "svamp",
            {"Body": "Ann has 3 pens.", "Question": "How many?", "Answer": 3.0},
            "Ann has 3 pens. How many?",
            "3",
        ),
        (
            "aqua",
            {"question": "1 + 1?", "options": ["A)3", "B)2"], "rationale": "It is 2.", "correct": "B"},
            "1 + 1?\nA. 3\nB. 2",
            "B",
        ),
        (
            "arc",
            {"question": "1 + 1?", "choices": {"text": ["3", "2"], "label": ["1", "2"]}, "answerKey": "2"},
            "1 + 1?\nA. 3\nB. 2",
            "B",
        ),
        ("metamath", {"query": "1 + 1?", "response": "1 + 1 = 2\nThe answer is: 2"}, "1 + 1?", "2"),
    ],
)
def test_presets(preset: Preset, row: Any, question: str, answer: str, tmp_path: Path) -> None:
    found = read_one(tmp_path / "a.jsonl", row, preset)
    assert (found.question, found.answer) == (question, answer)


@pytest.mark.parametrize("preset", ["gsm8k", "svamp", "metamath"])
@pytest.mark.parametrize("more", [{"solution": ["1 + 1 = 2"], "skipped": [["2"]]}, {"equation": "1 + 1"}])
def test_plain_names_need_no_preset(preset: Preset, more: Any, tmp_path: Path) -> None:
    """A file of `stride data skip` beside the data set that it was made from."""
    row = {"question": "1 + 1?", "answer": "2", **more}
    reading = read(tmp_path / "a.jsonl", row, preset=preset)
    assert [(r.question, r.answer) for r in reading.rows] == [("1 + 1?", "2")]
    assert reading.notes == (f"{tmp_path}/a.jsonl has columns with plain names and is read by those",)


def test_columns_can_be_named_fields_of_objects_included(tmp_path: Path) -> None:
    row = {"q": ["1 + 1?"], "more": "In words.", "reward_model": {"ground_truth": "two"}}
    found = read_one(tmp_path / "a.jsonl", row, question=("q", "more"), answer="reward_model.ground_truth")
    assert (found.question, found.answer) == ("1 + 1? In words.", "two")


# ---- traces written by hand ----


@pytest.mark.parametrize("solution", ["\n".join(FULL), list(FULL), ["\n".join(FULL)]])
def test_a_solution_is_a_text_or_a_list_of_steps(solution: Any, tmp_path: Path) -> None:
    assert read_one(tmp_path / "a.jsonl", {**PENS, "solution": solution}).solution == FULL


@pytest.mark.parametrize(
    ("skipped", "expected"),
    [
        (SHORT[0], (SHORT,)),
        ([SHORT[0], "Twelve less 2\nis 10"], (SHORT, ("Twelve less 2", "is 10"))),
        ([list(SHORT), ["a", "b = 10"]], (SHORT, ("a", "b = 10"))),
        (json.dumps([list(SHORT)]), (SHORT,)),
        (None, ()),
        ([], ()),
    ],
)
def test_skipped_solutions(skipped: Any, expected: Any, tmp_path: Path) -> None:
    row = {**PENS, "solution": list(FULL), "skipped": skipped}
    assert read_one(tmp_path / "a.jsonl", row).skipped == expected


@pytest.mark.parametrize("many", [False, True])
def test_detours(many: bool, tmp_path: Path) -> None:
    detour: dict[str, Any] = {"lines": ["3 + 4 = 7", "Wait, these are boxes.", *FULL], "wrong": [0]}
    found = read_one(tmp_path / "a.jsonl", {**PENS, "detours": [detour, detour] if many else detour})
    assert found.detours == (Detour(lines=tuple(detour["lines"]), wrong=frozenset({0})),) * (1 + many)


def test_what_traces_state_is_kept_for_grading(tmp_path: Path) -> None:
    row = {**PENS, "solution": "a\n#### 10", "skipped": ["b\nAnswer: 11"]}
    found = read_one(tmp_path / "a.jsonl", row)
    assert found.stated == (("solution", "10"), ("skipped solution 1", "11"))
    assert (found.solution, found.skipped) == (("a",), (("b",),))


def test_a_row_can_name_its_split(tmp_path: Path) -> None:
    splits = ["train", "test", "ood_hard", "Validation", None]
    reading = read(tmp_path / "a.jsonl", *[{**PENS, "split": split} for split in splits])
    assert [row.split for row in reading.rows] == [Split.TRAIN, Split.ID, Split.OOD_HARD, Split.ID, None]


@pytest.mark.parametrize(
    "ending",
    [
        "#### 10",
        "Answer: 10",
        "**Final Answer:** 10",
        "A: 10",
        "Therefore, the answer is $10$.",
        "<answer>10</answer>",
    ],
)
def test_a_statement_of_the_answer_is_no_step(ending: str, tmp_path: Path) -> None:
    row = {"question": PENS["question"], "solution": "\n".join((*FULL, ending))}
    found = read_one(tmp_path / "a.jsonl", row)
    assert (found.answer.strip("$"), found.solution) == ("10", FULL)


# ---- choices ----


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("B", "B"), ("b", "B"), ("(B)", "B"), ("B) 4", "B"), ("4", "B"), (1, "B"), ("5 ", "C"), ("0", "A")],
)
def test_the_right_choice_by_letter_text_or_position(answer: Any, letter: str, tmp_path: Path) -> None:
    row = {"question": "2 + 2?", "choices": ["3", "4", "5"], "answer": answer}
    found = read_one(tmp_path / "a.jsonl", row)
    assert (found.question, found.answer) == ("2 + 2?\nA. 3\nB. 4\nC. 5", letter)


@pytest.mark.parametrize(
    "choices",
    [{"A": "3", "B": "4"}, "a ) 3 , b ) 4", "['a ) 3', 'b ) 4']", '["3", "4"]', ["(a) 3", "(b) 4"], [3, 4.0]],
)
def test_forms_of_choices(choices: Any, tmp_path: Path) -> None:
    row = {"question": "2 + 2?", "options": choices, "answer": "b"}
    if isinstance(choices, str) and choices.startswith("['"):
        assert "write lists in cells as JSON" in fault(tmp_path / "a.jsonl", row, choices="options")[1]
    else:
        found = read_one(tmp_path / "a.jsonl", row, choices="options")
        assert (found.question, found.answer) == ("2 + 2?\nA. 3\nB. 4", "B")


# ---- faults are values, with their rows ----


@pytest.mark.parametrize(
    ("row", "kind", "reason"),
    [
        ([1, 2], FaultKind.RECORD, "a list, not an object with columns"),
        ({"ask": "a", "answer": "1"}, FaultKind.COLUMN, "no column 'question', but ask, answer"),
        ({"question": "", "answer": "1"}, FaultKind.VALUE, "'question' is ''; it must be a number or text"),
        ({"question": "a", "answer": True}, FaultKind.VALUE, "'answer' is True; it must be a number or text"),
        ({"question": "a", "answer": ["1", "2"]}, FaultKind.VALUE, "'answer' is ['1', '2']; it must be"),
        ({"question": "a", "answer": "so\n#### 1"}, FaultKind.VALUE, "set preset: gsm8k"),
        ({"question": "a", "solution": "so 1"}, FaultKind.VALUE, "'solution' states no answer ('#### 5', "),
        ({**PENS, "solution": {"a": 1}}, FaultKind.VALUE, "it must be text, a list of steps, or chat"),
        ({**PENS, "solution": "['a', 'b']"}, FaultKind.VALUE, "looks like a list, but is not JSON"),
        ({**PENS, "skipped": [1]}, FaultKind.VALUE, "is no solution, list of solutions, or list of lists"),
        ({**PENS, "detours": {"lines": ["a"]}}, FaultKind.VALUE, 'is an object with "lines" and "wrong"'),
        (
            {**PENS, "detours": {"lines": ["a", "b"], "wrong": [2]}},
            FaultKind.VALUE,
            "some positions from 0 to 1",
        ),
        ({**PENS, "detours": {"lines": ["a"], "wrong": [0]}}, FaultKind.VALUE, "some positions from 0 to 0"),
        ({**PENS, "choices": ["9"]}, FaultKind.VALUE, "1 choices with 0 labels; give 2 to 26 texts"),
        ({**PENS, "choices": ["9", "8"]}, FaultKind.VALUE, "'10' is none of the 2 choices"),
        ({**PENS, "split": "training"}, FaultKind.VALUE, "the split is 'training'; known: train, id, "),
    ],
)
def test_a_fault_has_its_row_kind_and_reason(row: Any, kind: FaultKind, reason: str, tmp_path: Path) -> None:
    found = fault(tmp_path / "a.jsonl", row)
    assert found[0] is kind and reason in found[1] and "\n" not in found[1]


def test_a_chat_of_several_turns_is_a_fault(tmp_path: Path) -> None:
    sound = {"messages": [*CHAT, *REPLY]}
    reading = read(
        tmp_path / "a.jsonl", sound, {"messages": [*CHAT, *REPLY, *CHAT, *REPLY]}, {"messages": REPLY}
    )
    assert [(fault.number, fault.reason) for fault in reading.faults] == [
        (2, "the chat has 2 turns of the user; a problem is one question and one solution"),
        (3, "'messages' has no message of the user"),
    ]


def test_all_faults_are_counted_and_the_first_listed(tmp_path: Path) -> None:
    rows = [{"question": "a", "answer": True}] * 11 + [{"ask": "b", "answer": "1"}] + [PENS]
    text = describe_faults(read(tmp_path / "a.jsonl", *rows).faults)
    counts = "a column is missing (1), a value cannot be read (11)"
    assert text.startswith(f"{counts}: {tmp_path}/a.jsonl row 1: 'answer' is True")
    assert " row 10: " in text and " row 11: " not in text and text.endswith("; and 2 more")


# ---- what a user should know ----


def test_an_equation_that_leads_elsewhere_is_left_out(tmp_path: Path) -> None:
    """Row 352 of SVAMP's train set (arkilpatel/SVAMP, MIT) has another answer than its equation."""
    rows = [{"question": "a?", "answer": "1", "equation": "( ( 4.0 - 2.0 ) + 3.0 )"}]
    rows.append({"question": "b?", "answer": "5.0", "equation": "( ( 4.0 - 2.0 ) + 3.0 )"})
    reading = read(tmp_path / "a.jsonl", *rows)
    assert [len(row.solution) for row in reading.rows] == [0, 2] and not reading.rows[0].skipped
    text = "equations that lead to another number than the answer are not used"
    assert reading.notes == (f"{tmp_path}/a.jsonl: {text} (rows: 1)",)


def test_columns_that_are_not_used_are_named(tmp_path: Path) -> None:
    reading = read(tmp_path / "a.jsonl", {**PENS, "id": 1, "type": "pens"})
    assert reading.notes == (f"{tmp_path}/a.jsonl has columns that are not used: id, type",)


def test_what_is_left_out_of_rows_is_counted(tmp_path: Path) -> None:
    chat = {"messages": [{"role": "system", "content": "Be brief."}, *CHAT, *REPLY], "level": "hard"}
    assert read(tmp_path / "a.jsonl", chat, chat).notes == (
        f"{tmp_path}/a.jsonl is read by the preset messages",
        f"{tmp_path}/a.jsonl: system messages are left out; set prompt.system (rows: 2)",
        f"{tmp_path}/a.jsonl: no level is read from 'level', which is no number (rows: 2)",
    )


@pytest.mark.parametrize(
    ("row", "names", "message"),
    [
        (
            {"ask": "a", "answer": "1"},
            {},
            "row 1 has no column 'question', but ask, answer; name the column of the",
        ),
        ({"question": "a"}, {}, "row 1 has no column 'answer', but question; name the column of the answer in"),
        (
            PENS,
            {"skipped": "short"},
            "row 1 has no column 'short', but question, answer; name the column of the skipped",
        ),
    ],
)
def test_a_layout_that_fits_no_row_is_one_error(row: Any, names: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        read(tmp_path / "a.jsonl", row, row, **names)
    assert message in str(caught.value)
