"""Markers of free text: where lines are split, what is counted, and that markers prove nothing."""

from __future__ import annotations

import random
import time

import pytest

from envs import StepKind, Trace, make_example, parse_trace
from envs.markers import MARKERS, mark


def marked(text: str) -> list[tuple[str, bool]]:
    return [(step.text, step.kind is StepKind.MARKER) for step in mark(parse_trace(text).steps)]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("So x = 3.", [("So x = 3.", False)]),
        ("So x = 3. Wait, that is 2x.", [("So x = 3.", False), ("Wait, that is 2x.", True)]),
        ("Wait. Wait! Hmm, no.", [("Wait.", True), ("Wait!", True), ("Hmm, no.", True)]),
        ("But wait, it is 4. So 4.", [("But wait, it is 4. So 4.", True)]),
        ("LET ME CHECK: 2 + 2", [("LET ME CHECK: 2 + 2", True)]),
        (
            "Oh, that's not right. Let me try again.",
            [("Oh, that's not right.", True), ("Let me try again.", True)],
        ),
        # In the middle of a sentence or as a part of another word it is no marker.
        ("They wait for 3 hours.", [("They wait for 3 hours.", False)]),
        ("Waiters earn 12. He is actually 3.", [("Waiters earn 12. He is actually 3.", False)]),
        ("It costs 3.Wait, 4.", [("It costs 3.Wait, 4.", False)]),
        # A backtrack line is left as it is.
        ("<backtrack> 0", [("<backtrack> 0", False)]),
        ("", []),
    ],
)
def test_splits_before_markers(text: str, steps: list[tuple[str, bool]]) -> None:
    assert marked(text) == steps


def test_every_marker_marks() -> None:
    for marker in MARKERS:
        assert marked(f"It is 5. {marker.capitalize()}, now 6.")[1][1], marker
        assert not marked(f"It is 5. {marker.capitalize()}x 6.")[0][1], marker


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
    trace = checked("It is 5. Wait, I forgot one.\nSo 6.")
    assert (trace.num_steps, trace.num_backtracks) == (3, 1)
    assert (trace.real_backtracks, trace.fake_backtracks, trace.needless_backtracks) == (0, 0, 0)
    assert trace.num_wasted == 0 and trace.verified


def test_a_backtrack_line_in_free_text_is_judged_as_one() -> None:
    trace = checked("It is 5.\n<backtrack>\nIt is 6.")
    assert (trace.num_backtracks, trace.real_backtracks, trace.needless_backtracks) == (1, 1, 0)
    assert trace.backtracks[0].needed is None


def test_hostile_lines_take_linear_time() -> None:
    rng = random.Random(0)
    pieces = [*MARKERS, ". ", "! ", "but ", "so ", " ", ".", "wait", "no, "]
    for _ in range(20):
        text = "".join(rng.choice(pieces) for _ in range(20_000))
        start = time.process_time()
        mark(parse_trace(text).steps)
        assert time.process_time() - start < 1.0  # at most 0.1 s on an idle machine
