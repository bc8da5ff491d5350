r"""Steps of free text: rules that follow layout on hand-worked texts, laws of spans, and linear time."""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import Env, Split, StepKind, make_example, parse_trace
from envs.answers import read_stated
from envs.data.worked import read_worked
from envs.segments import GAPS, Segmentation, find_blocks, segment
from envs.tasks.math.task import MathProblems

RULES: tuple[Segmentation, ...] = ("lines", "paragraphs", "sentences")


def steps_of(text: str, rule: Segmentation) -> list[str]:
    return [step.text for step in segment(text, parse_trace(text).steps, find_blocks(text), rule)]


DISPLAY = "\\[\nx = 3\n\n+ 4\n\\]"
ALIGN = "\\begin{align*}\na &= 1\\\\[2pt]\n\nb &= 2\n\\end{align*}"
CODE = "```python\nx = 1\n\nprint(x)\n```"


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("One. Two.\nThree.\n\n \t\nFour.", ["One. Two.\nThree.", "Four."]),
        ("- a\n- b\n\n1. c\n2. d", ["- a\n- b", "1. c\n2. d"]),
        ("1. c\n\n2. d", ["1. c", "2. d"]),
        (f"We get\n{DISPLAY}\nso 7.\n\nDone.", [f"We get\n{DISPLAY}\nso 7.", "Done."]),
        (f"We get\n\n{DISPLAY}\n\nso 7.", ["We get", DISPLAY, "so 7."]),
        (f"{ALIGN}\n\nDone.", [ALIGN, "Done."]),
        ("$$\na\n\nb\n$$\n\nc", ["$$\na\n\nb\n$$", "c"]),
        ("[asy]\na;\n\nb;\n[/asy]\n\nc", ["[asy]\na;\n\nb;\n[/asy]", "c"]),
        (f"{CODE}\n\nDone.", [CODE, "Done."]),
        ("~~~\na\n\n```\n\nb\n~~~\n\nc", ["~~~\na\n\n```\n\nb\n~~~", "c"]),
        ("````\na\n\n```\n\nb\n````\n\nc", ["````\na\n\n```\n\nb\n````", "c"]),
        # What nothing closes is ordinary text.
        ("```\na\n\nb", ["```\na", "b"]),
        ("\\[ a\n\nb\n\n\\( c \\)", ["\\[ a", "b", "\\( c \\)"]),
        ("\\begin{align}\na\n\n\\end{align*}", ["\\begin{align}\na", "\\end{align*}"]),
        ("a \\\\[2pt] b\n\nc \\]", ["a \\\\[2pt] b", "c \\]"]),
        ("use ```x``` here\n\n```", ["use ```x``` here", "```"]),
        # Backtracks and the closing line stand alone.
        ("a\n<backtrack>\nb\nThus, the answer is 1.", ["a", "<backtrack>", "b"]),
        ("```\na\n<backtrack>\n\nb\n```", ["```\na", "<backtrack>", "b\n```"]),
        ("", []),
    ],
)
def test_paragraphs(text: str, steps: list[str]) -> None:
    assert steps_of(text, "paragraphs") == steps


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("One. Two!\nThree", ["One.", "Two!", "Three"]),
        (
            "It is 3.5 m, e.g. Two. Dr. No said 12. Then 5.",
            ["It is 3.5 m, e.g. Two.", "Dr. No said 12.", "Then 5."],
        ),
        ("1. First. Next.\n2. Second.", ["1. First.", "Next.", "2. Second."]),
        ('He said "No." Then (so.) Yes.', ['He said "No."', "Then (so.)", "Yes."]),
        ("So $x$. $y$ too. and z.", ["So $x$.", "$y$ too. and z."]),
        (f"We get\n{DISPLAY}\nSo. Then.", ["We get", DISPLAY, "So.", "Then."]),
        ("```\nA. B.\nC.\n```\nD. E.", ["```\nA. B.\nC.\n```", "D.", "E."]),
    ],
)
def test_sentences(text: str, steps: list[str]) -> None:
    assert steps_of(text, "sentences") == steps


def test_lines_are_lines() -> None:
    assert steps_of(f"We get\n{DISPLAY}", "lines") == ["We get", "\\[", "x = 3", "+ 4", "\\]"]


PIECES = st.lists(
    st.sampled_from(
        [
            *("a", "So 1. Two! ", "\n", "\n\n", " ", "\t", "\r", "- ", "1. ", "\u2028", "é", "\ud800"),
            *("```", "````", "~~~", "$$", "\\[", "\\]", "\\begin{align}", "\\end{align}", "[asy]", "[/asy]"),
            *("Wait, ", "No, that's right. ", "let me check: no, ", "<backtrack>", "<backtrack> 1"),
            *("Thus, the answer is 5.", "\\boxed{5}"),
        ]
    ),
    max_size=40,
).map("".join)


@functools.cache
def free_text(rule: Segmentation) -> Env:
    """A task whose steps are found by a rule; making one takes longer than reading a text."""
    return make_example("math", steps=rule)


@pytest.mark.parametrize("rule", RULES)
@given(text=PIECES | st.text(max_size=80))
def test_spans_are_in_order_and_cover_what_is_written(rule: Segmentation, text: str) -> None:
    env = free_text(rule)
    trace, stated = env.parse(text), read_stated(text, env.settings.answer_forms, env.same_answer)
    at, covered = 0, {place for span in stated.spans for place in range(*span)}
    for step in trace.steps:
        start, end = step.span
        assert at <= start < end <= len(text)
        assert text[start:end].rstrip(" \n") == step.text.rstrip(" \n") and step.text.strip()
        covered.update(range(start, end))
        at = end
    written = {place for place, character in enumerate(text) if not character.isspace()}
    assert written == {place for place in covered if not text[place].isspace()}


HOSTILE = [
    *(
        "```\n",
        "~~~~\na\n\n",
        "\\[\n",
        "$$",
        "\\begin{align}",
        "[asy]",
        "a\n\n",
        "a\n",
        "So. A",
        ". ",
        "No. A",
        "1. ",
    ),
    *(" ", "\t", "`", "```a", "\\", "$$\n\n", "```\n~~~\n\\[\n$$\n[asy]\n\\begin{split}\n", "\n \n"),
]


@pytest.mark.parametrize("rule", [*RULES, "content"])
def test_hostile_text_takes_linear_time(rule: Segmentation) -> None:
    env = free_text(rule)

    def seconds(text: str) -> float:
        start = time.process_time()
        env.parse(text)
        return time.process_time() - start

    for piece in HOSTILE:
        short = piece * (5_000 // len(piece))
        if seconds(4 * short) < 0.1:
            continue  # below the bound whatever the short one takes
        # Four times the text: linear time is fourfold, quadratic sixteenfold.
        few, many = (min(seconds(text) for _ in range(3)) for text in (short, 4 * short))
        assert many < 9 * few + 0.1, piece


# ---- the setting ----

SOLUTION = "First 1 + 1 = 2.\nThen\n\\[\n2 + 1\n= 3\n\\]\nDone. So 3."


@pytest.mark.parametrize(
    ("rule", "solution", "steps"),
    [
        ("lines", "a\n\n b \n", ("a", "b")),
        ("paragraphs", "a\n b", ("a", "b")),
        ("paragraphs", "a\nb\n\nc", ("a\nb", "c")),
        ("paragraphs", SOLUTION, ("First 1 + 1 = 2.", "Then", "\\[\n2 + 1\n= 3\n\\]", "Done. So 3.")),
        ("sentences", SOLUTION, ("First 1 + 1 = 2.", "Then", "\\[\n2 + 1\n= 3\n\\]", "Done.", "So 3.")),
        ("content", SOLUTION, ("First 1 + 1 = 2.", "Then", "\\[\n2 + 1\n= 3\n\\]", "Done. So 3.")),
        ("paragraphs", "", ()),
    ],
)
def test_steps_of_the_data(rule: Segmentation, solution: str, steps: tuple[str, ...]) -> None:
    assert read_worked(solution, rule).lines == steps


@pytest.mark.parametrize("rule", RULES)
def test_demonstrations_have_the_steps_that_are_counted(rule: Segmentation, tmp_path: Path) -> None:
    rows = [{"question": f"Question {i}?", "answer": "3", "solution": SOLUTION} for i in range(20)]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    env = MathProblems({"train": str(data), "steps": rule})
    problem = env.problem(Split.TRAIN, 0)
    lines = env.full_trace(problem)
    text = env.demonstrate(lines, problem.answer)
    trace = env.check(problem, env.parse(text))
    assert tuple(step.text for step in trace.steps) == lines and GAPS[rule].join(lines) in text
    assert trace.passed and trace.num_steps == problem.num_full_steps
    assert {step.kind for step in trace.steps} == {StepKind.FORWARD}


def test_by_content_hand_written_steps_are_counted_as_those_of_a_model() -> None:
    rows = Path(__file__).parents[1] / "data" / "gsm8k_excerpt.jsonl"
    env = MathProblems({"preset": "gsm8k", "train": str(rows), "steps": "content"})
    for index in range(env.num_problems(Split.TRAIN) or 0):
        problem = env.problem(Split.TRAIN, index)
        lines = env.full_trace(problem)
        written = env.demonstrate(lines, problem.answer)
        assert env.parse(written).num_steps == env.count_steps(lines) == problem.num_full_steps > 0
        body, _, closing = written.rpartition("\n\n")
        on_one_line = f"{' '.join(body.split())}\n{closing}"
        assert env.parse(on_one_line).num_steps == problem.num_full_steps


def test_content_is_the_default_where_answers_are_mathematics() -> None:
    assert make_example("math").settings.steps == "content"
    assert make_example("reasoning_gym").parse("a\nb\n\nc <answer>5</answer>").num_steps == 2
