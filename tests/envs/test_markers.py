"""Markers of free text: what announces going back, what only confirms, what is an ordinary sentence; splits."""

from __future__ import annotations

import random
import time

import pytest

from envs import StepKind, Trace, Verdict, make_example, parse_trace
from envs.markers import find_markers, mark
from envs.segments import find_blocks, segment
from tests.kit.marker_figures import figures

GOES_BACK = """\
Wait, that is 2x.
But wait, it is 4.
- Wait, no.
**Wait**, no.
LET ME TRY AGAIN: 2 + 2
Hmm, that's not right.
Hmm, no.
No, that would give 5.
No, wait, 3.
Actually, we need 3 more.
Alternatively, use the sine rule.
On second thought, divide.
Let's try a different way.
Let me go back to step 2.
Okay, let me reconsider.
Hold on, let me think again.
I made a mistake.
That can't be right.
That doesn’t work.
This approach will not work.
Oh no, that's wrong.
Wait, that's not correct.
Actually, the result is not right.
Wait, that is right-angled.
Wait, is 7 prime?
Let me check: no, it is 5.
Wait, that's right, but I forgot one.
Wait, I should verify, however this fails."""

CONFIRMS = """\
No, that seems right.
No, that's right.
No, this is still correct.
Let me check: yes.
Let me check that.
Let me verify the sum.
Let's double-check.
Wait, that's correct.
Wait, that’s actually right.
Wait. Yes, that is correct.
Wait, yes.
Wait, let me double-check. 2 + 2 = 4.
Hold on, let me verify.
Actually, that is fine.
Wait, is that right? Yes.
Wait, the answer is correct.
Wait, it checks out.
Oh, wait, that makes sense.
Wait, never mind."""

NEITHER = """\
So x = 3.
Hmm.
Hmm, let me see.
They wait for 3 hours.
Waiters earn 12. He is actually 3.
Is it prime? No, 91 = 7 * 13.
But that is not the question.
Thatched roofs work.
<backtrack> 0"""


BEFORE = ["", "So x = 3.\n", "So x = 3. ", "So x = 3.  ", "It is x = 3\n", "\\[ x = 3 \\]\n\n"]


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize(
    ("part", "most_missed", "most_marked"),
    [("tuned", 0.05, 0.03), ("held_out", 0.05, 0.03), ("blind", 0.3, 0.05)],
)
def test_openings_of_going_back_are_told_from_ordinary_sentences(
    part: str, most_missed: float, most_marked: float, before: str
) -> None:
    """The part `blind` was written after the rules, and none was made for it: about what a new text gives."""
    found = figures(part, before)
    assert min(found.num_back, found.num_others) >= 30
    assert len(found.missed) <= most_missed * found.num_back, found.missed
    assert len(found.marked) <= most_marked * found.num_others, found.marked


@pytest.mark.parametrize(
    "text", ["It costs 3.Wait, 4.", "It is 50, i.e. it's 5 — wait, no, 60", "It is 5; hold on, 6."]
)
def test_markers_inside_a_line(text: str) -> None:
    assert len(find_markers(text)) == 1


def kinds(text: str) -> set[StepKind]:
    return {step.kind for step in mark(parse_trace(text).steps)}


@pytest.mark.parametrize("text", GOES_BACK.split("\n"))
def test_announcements_of_going_back_are_markers(text: str) -> None:
    assert kinds(text) == {StepKind.MARKER}
    assert kinds(f"It is 5. {text}") == {StepKind.FORWARD, StepKind.MARKER} or text.startswith("- ")


@pytest.mark.parametrize("text", [*CONFIRMS.split("\n"), *NEITHER.split("\n")])
def test_confirmations_checks_and_other_words_are_none(text: str) -> None:
    assert StepKind.MARKER not in kinds(text)
    assert StepKind.MARKER not in kinds(f"It is 5. {text}")


def marked(text: str) -> list[tuple[str, bool]]:
    return [(step.text, step.kind is StepKind.MARKER) for step in mark(parse_trace(text).steps)]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("So x = 3. Wait, that is 2x.", [("So x = 3.", False), ("Wait, that is 2x.", True)]),
        ("Wait. Wait! Hmm, no.", [("Wait.", True), ("Wait!", True), ("Hmm, no.", True)]),
        ("But wait, it is 4. So 4.", [("But wait, it is 4. So 4.", True)]),
        ("It is 3. Wait, yes. Wait, no.", [("It is 3. Wait, yes.", False), ("Wait, no.", True)]),
        ("", []),
    ],
)
def test_splits_before_markers(text: str, steps: list[tuple[str, bool]]) -> None:
    assert marked(text) == steps


def test_nothing_inside_code_or_formulas_is_a_marker() -> None:
    text = "So:\n```\nwait, n\n```\n$$\n\\text{x}\nActually\n$$\nActually, 4."
    blocks = find_blocks(text)
    steps = mark(segment(text, parse_trace(text).steps, blocks, "paragraphs"), blocks)
    assert [step.text for step in steps] == [text.removesuffix("\nActually, 4."), "Actually, 4."]
    assert [step.kind for step in steps] == [StepKind.FORWARD, StepKind.MARKER]


def test_spans_match_the_text() -> None:
    text = "First. Wait, no.\n\nThen 3. Actually, 4. Hold on."
    steps = mark(parse_trace(text).steps)
    assert [text[slice(*step.span)].rstrip() for step in steps] == [step.text for step in steps]
    assert "".join(text[slice(*step.span)] for step in steps) == text.replace("\n", "")


def checked(text: str) -> Trace:
    env = make_example("math")
    problem = env.problem(env.splits[0], 0)
    return env.check(problem, env.parse(f"{text}\nThus, the answer is {problem.answer}."))


def test_markers_count_as_steps_and_as_backtracks_and_prove_nothing() -> None:
    trace = checked("So it is 5. Wait, I forgot one.\n\nSo it is 6.")
    assert (trace.num_steps, trace.num_backtracks) == (3, 1)
    assert (trace.real_backtracks, trace.fake_backtracks, trace.needless_backtracks) == (0, 0, 0)
    assert trace.num_wasted == 0 and trace.correct and not trace.verified


def test_a_backtrack_line_in_free_text_is_counted_and_not_judged() -> None:
    """Judged, it was a real backtrack whatever stood around it, and one to nowhere an invalid step."""
    for back in ("<backtrack>", "<backtrack> 7"):
        trace = checked(f"It is 5.\n{back}\nIt is 6.")
        assert (trace.num_steps, trace.num_backtracks, trace.num_invalid, trace.num_wasted) == (2, 1, 0, 0)
        assert (trace.real_backtracks, trace.fake_backtracks, trace.needless_backtracks) == (0, 0, 0)
        assert {step.verdict for step in trace.steps} == {Verdict.UNCHECKED} and trace.backtracks == ()


PIECES = [
    *(
        "wait",
        "let me check",
        "that's right",
        "that is",
        "no,",
        "yes",
        "but ",
        "so ",
        "hmm, ",
        "it seems ",
        "really ",
    ),
    *(
        "that can't ",
        "let me ",
        "I ",
        "made the wrong ",
        "another way ",
        "actually ",
        "alternatively, ",
        "- ",
        "; ",
        "( ",
    ),
    *(". ", "! ", "… ", '." ', ".", " ", ", ", "\n", "- ", "*"),
]


def test_hostile_text_takes_linear_time() -> None:
    rng = random.Random(0)
    texts = ["".join(rng.choice(PIECES) for _ in range(20_000)) for _ in range(5)]
    texts += [f"wait{piece * 20_000}" for piece in PIECES] + [f"{piece}wait, yes" * 10_000 for piece in PIECES]
    for text in texts:
        start = time.process_time()
        find_markers(text)
        assert time.process_time() - start < 1.0  # at most 0.1 s on an idle machine
