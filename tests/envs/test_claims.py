"""Steps by content: hand-worked texts, layouts that change nothing on real solutions, and hostile texts."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import StepKind, parse_trace
from envs.claims import WORDS
from envs.segments import read_steps
from envs.trace import Step, parse_steps

# GSM8K train (Cobbe et al., MIT), its calculator annotations left in.
SOLUTIONS = [
    json.loads(line)["answer"].partition("####")[0].strip()
    for line in (Path(__file__).parents[1] / "data" / "gsm8k_excerpt.jsonl").read_text().split("\n")
    if line
]
# As reasoning and chat models write.
MODELS = [
    "Okay, so I need to find the number of eggs. First, she eats 3 of the 16 eggs.\nThat leaves 16 - 3 = 13.\n"
    "Wait, she also bakes with 4, so it is 13 - 4 = 9.\nLet me check: 9 + 4 + 3 = 16. Yes.\n"
    "So she earns 9 * 2 = 18.",
    "Alice is a knight. If Bob were a knight too, his statement would be true.\nThat can't be right, because "
    "they differ.\nSo Bob is a knave. Is Carol a knight?\nShe agrees with Alice, so she is one.",
    "We have the system x + y = 10 and x - y = 4. Adding them gives 2x = 14, so x = 7.\nThen y = 3.\n"
    "Alternatively, we can substitute. No, that is longer.",
]


def steps(text: str) -> tuple[Step, ...]:
    return read_steps(text, "content", parse_steps(text))


def texts(text: str) -> list[str]:
    return [step.text for step in steps(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Let's add. 5 + 3 = 8, so 8 * 2 = 16.", ["Let's add. 5 + 3 = 8, so", "8 * 2 = 16."]),
        ("2 * 3 = 6 = 12 / 2", ["2 * 3 = 6", "= 12 / 2"]),
        ("Tom has 5. He eats two. What is left?", ["Tom has 5.", "He eats two. What is left?"]),
        ("So 24. Then 18. Then 12.", ["So 24. Then 18. Then 12."]),
        ("Tom has 5 pens. What is left of them?", ["Tom has 5 pens. What is left of them?"]),
        ("## A sum\n\n$$5 = 5.$$\n\n---\n\nThat is all.", ["## A sum\n\n$$5 = 5.$$", "---\n\nThat is all."]),
        ("a \\leq b and $c \\equiv 1 \\pmod 3$", ["a \\leq b and", "$c \\equiv 1 \\pmod 3$"]),
        ("\\begin{align}a &= b\\\\&= c\\end{align}", ["\\begin{align}a &= b\\\\", "&= c\\end{align}"]),
        ("$\\sum_{i=1}^{n} i = 10$", ["$\\sum_{i=1}^{n} i = 10$"]),
        ("He has 48/2 = <<48/2=24>>24 clips", ["He has 48/2 = <<48/2=24>>24 clips"]),
        ("x < 3 and y > z", ["x < 3 and", "y > z"]),
        ("<b>It is red</b> -> it => that", ["<b>It is red</b> -> it => that"]),
        ("It is 3.5 oz. of tea, e.g. green. No more.", ["It is 3.5 oz. of tea, e.g. green. No more."]),
        ("He sums 1 + 2 + ... + 9. Next comes ten.", ["He sums 1 + 2 + ... + 9.", "Next comes ten."]),
        ("x = 3\n#### 3", ["x = 3\n#### 3"]),
        ("It has 5 sides. **Final Answer:** \\boxed{5}", ["It has 5 sides. **Final Answer:** \\boxed{5}"]),
        ("我们有五个苹果。他吃了两个。", ["我们有五个苹果。", "他吃了两个。"]),
        ("So x = 3. \\boxed{x = \\frac{3}{1}, y = 4}", ["So x = 3. \\boxed{x = \\frac{3}{1}, y = 4}"]),
        ("\\boxed{x = 3} \\boxed{3}", ["\\boxed{x = 3} \\boxed{3}"]),
        ("Okay. Hmm.", []),
        ("18", []),
        ("The answer is 18.", []),
        ("", []),
    ],
)  # fmt: skip
def test_claims(text: str, found: list[str]) -> None:
    assert texts(text) == found


def test_a_marker_begins_a_step_and_its_claim_is_part_of_it() -> None:
    found = steps("So x = 3. Wait, no. Let me redo this: x = 4, so y = 5.")
    assert [(step.text, step.kind is StepKind.MARKER) for step in found] == [
        ("So x = 3.", False),
        ("Wait, no.", True),
        ("Let me redo this: x = 4, so", True),
        ("y = 5.", False),
    ]


def test_backtrack_lines_stand_alone() -> None:
    found = read_steps("a = 1\n<backtrack>\nb = 2", "content", parse_trace("a = 1\n<backtrack>\nb = 2").steps)
    assert [step.kind for step in found] == [StepKind.FORWARD, StepKind.BACKTRACK, StepKind.FORWARD]


@pytest.mark.parametrize("text", ["so that ", "Let's see and then find ", "why is it? ", "the answer is: "])
def test_words_that_claim_nothing_are_not_free(text: str) -> None:
    num_words = 1000 * len(text.split())
    assert num_words // (WORDS + 3) <= len(steps(text * 1000)) <= 1000


Layout = Callable[[str], str]
LAYOUTS: dict[str, Layout] = {
    "one line": lambda text: " ".join(text.split("\n")),
    "blank lines": lambda text: text.replace("\n", "\n\n"),
    "spaces": lambda text: text.replace("\n", "  \r\n\t"),
    "bullets": lambda text: "\n".join(f"- {line}" for line in text.split("\n")),
    "stars": lambda text: "\n\n".join(f"* {line}" for line in text.split("\n")),
    "bullets on one line": lambda text: " ".join(f"- {line}" for line in text.split("\n")),
    "headings": lambda text: "\n".join(f"### Step {i}\n{line}" for i, line in enumerate(text.split("\n"))),
    "titles": lambda text: "\n\n".join(f"## Working it out\n\n{line}" for line in text.split("\n")),
    "rules": lambda text: "\n---\n".join(text.split("\n")),
    "fence": lambda text: f"```\n{text}\n```",
    "fences": lambda text: "\n".join(f"```text\n{line}\n```" for line in text.split("\n")),
    "bold lines": lambda text: "\n".join(f"**{line}**" for line in text.split("\n")),
    "bold numbers": lambda text: re.sub(r"(?<!\w)(\d+)(?!\w)", r"**\1**", text),
    "quote": lambda text: "\n".join(f"> {line}" for line in text.split("\n")),
    "table": lambda text: "| |\n|---|\n" + "\n".join(f"| {line} |" for line in text.split("\n")),
    "display": lambda text: re.sub(r"([\d.]+ ?[-+*/] ?[\d.]+ ?= ?[\d.]*\d)(?![\d>])", r"\\[ \1 \\]", text),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_changes_no_number_of_steps(name: str) -> None:
    assert len(SOLUTIONS) >= 40
    for text in (*SOLUTIONS, *MODELS):
        changed = LAYOUTS[name](text)
        before, after = steps(text), steps(changed)
        assert len(after) == len(before) > 0, (text, changed)
        assert [step.kind for step in after] == [step.kind for step in before], (text, changed)


STACKED = [
    "one line",
    "blank lines",
    "spaces",
    "bullets",
    "stars",
    "rules",
    "fence",
    "fences",
    "bold lines",
    "display",
]


@pytest.mark.parametrize("first", STACKED)
def test_layouts_on_top_of_each_other_change_nothing(first: str) -> None:
    for second in STACKED:
        for text in (*SOLUTIONS, *MODELS):
            assert len(steps(LAYOUTS[second](LAYOUTS[first](text)))) == len(steps(text)), (second, text)


def test_most_solutions_of_gsm8k_have_a_step_on_each_line() -> None:
    same = sum(len(steps(text)) == len(text.split("\n")) for text in SOLUTIONS)
    assert same >= 0.85 * len(SOLUTIONS)  # 91 % of all 7,473


PIECES = [
    *("Tom has 5. ", "x = 3", " = ", "<", ">", "...", ". ", "? ", "e.g. ", "oz. ", "\n", "  ", "<<", ">>"),
    *("\\sum_{i=", "}", "# ", "```", "Let's ", "wait, ", "Wait, no. ", "the answer is ", "\\boxed{"),
    *("- ", "| ", "**", "\\\\", "，", "。", "한"),
    *("\u2028", "\ud800", "\x00", "_", "1. ", "A", "a", " ", ",", ";"),
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join) | st.text(max_size=80))
def test_spans_are_in_order_and_hold_the_texts(text: str) -> None:
    at = 0
    for step in steps(text):
        start, end = step.span
        assert at <= start < end <= len(text)
        assert step.text and text[start:end].rstrip() == step.text
        at = end


def test_hostile_text_takes_linear_time() -> None:
    rng = random.Random(0)
    mixed = ["".join(rng.choice(PIECES) for _ in range(20_000)) for _ in range(3)]
    for text in [*mixed, *(piece * (60_000 // len(piece)) for piece in PIECES)]:
        start = time.process_time()
        steps(text)
        assert time.process_time() - start < 1.5, text[:40]  # at most 0.2 s on an idle machine
