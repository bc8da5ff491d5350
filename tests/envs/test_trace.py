"""Reading and writing traces, and the judgement of backtracks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.base import checked_step
from envs.problem import Problem, Split
from envs.tasks.directional import Directional
from envs.trace import CLOSING, Status, StepKind, Verdict, parse_trace, render_trace
from tests.kit.problems import make_problem

quick = settings(max_examples=300, deadline=None, derandomize=True, database=None)


def is_closing(line: str) -> bool:
    return line.startswith(CLOSING) and line.endswith(".")


one_line = st.text(st.characters(exclude_characters="\n"), max_size=30)
step_line = one_line.filter(lambda line: line.strip() and not is_closing(line))
pieces = st.sampled_from(
    [
        "Thus, the answer is ",
        "<backtrack>",
        " ",
        "0",
        "12345",
        ".",
        "\n",
        "\n\n",
        "\r",
        "west",
        "\x00",
        "\ud800",
    ]
)
wild_text = st.one_of(st.text(max_size=60), st.lists(pieces, max_size=25).map("".join))


@quick
@given(lines=st.lists(step_line, max_size=6), answer=one_line)
def test_parse_is_the_inverse_of_render(lines: list[str], answer: str) -> None:
    trace = parse_trace(render_trace(lines, answer))
    assert [step.text for step in trace.steps] == lines
    assert trace.answer == answer
    assert trace.status is Status.COMPLETE
    assert trace.num_steps + trace.num_backtracks == len(lines)


@quick
@given(text=wild_text, truncated=st.booleans())
def test_any_text_parses_and_its_spans_index_it(text: str, truncated: bool) -> None:
    trace = parse_trace(text, truncated=truncated)
    assert [text[slice(*step.span)] for step in trace.steps] == [step.text for step in trace.steps]
    written = [line for line in text.split("\n") if line.strip()]
    closings = sum(is_closing(line) for line in written)
    assert (trace.answer is not None) == (closings == 1)
    assert (trace.status is Status.TRUNCATED) == truncated
    if not truncated:
        complete = closings == 1 and is_closing(written[-1])
        assert (trace.status is Status.COMPLETE) == complete


@quick
@given(text=wild_text)
def test_any_text_can_be_checked(text: str) -> None:
    problem = Directional().problem(Split.TRAIN, 0)
    trace = Directional().check(problem, parse_trace(text))
    stated = trace.answer if trace.status is Status.COMPLETE else None
    assert trace.correct == (stated is not None and stated.lower() == problem.answer)
    assert all(step.verdict is not Verdict.UNCHECKED for step in trace.steps)


def test_spans_include_empty_lines_between_steps() -> None:
    text = "west. left\n\n  \nsouth\nThus, the answer is south."
    assert [step.span for step in parse_trace(text).steps] == [(0, 10), (15, 20)]


@pytest.mark.parametrize(
    ("text", "status", "answer", "num_steps"),
    [
        ("a\nThus, the answer is 7.", Status.COMPLETE, "7", 1),
        ("Thus, the answer is 7.", Status.COMPLETE, "7", 0),
        ("Thus, the answer is 7.\n\n \n", Status.COMPLETE, "7", 0),
        ("Thus, the answer is 1.5.", Status.COMPLETE, "1.5", 0),
        ("Thus, the answer is .", Status.COMPLETE, "", 0),
        ("", Status.MALFORMED, None, 0),
        ("a", Status.MALFORMED, None, 1),
        ("Thus, the answer is 7", Status.MALFORMED, None, 1),  # no full stop: a step
        (" Thus, the answer is 7.", Status.MALFORMED, None, 1),
        ("thus, the answer is 7.", Status.MALFORMED, None, 1),
        ("Thus, the answer is 7. Really", Status.MALFORMED, None, 1),
        ("Thus, the answer is 7.\r\n", Status.MALFORMED, None, 1),
        ("Thus, the answer is 7.\na", Status.MALFORMED, "7", 0),  # continues after the closing line
        ("Thus, the answer is 7.\n<backtrack>", Status.MALFORMED, "7", 0),
        ("Thus, the answer is 7.\nThus, the answer is 8.", Status.MALFORMED, None, 0),  # hedging
        ("Thus, the answer is 7.\nThus, the answer is 7.", Status.MALFORMED, None, 0),
    ],
)
def test_status_and_answer(text: str, status: Status, answer: str | None, num_steps: int) -> None:
    trace = parse_trace(text)
    assert (trace.status, trace.answer, trace.num_steps) == (status, answer, num_steps)


def test_a_truncated_text_is_never_complete() -> None:
    assert parse_trace("Thus, the answer is 7.", truncated=True).status is Status.TRUNCATED


@pytest.mark.parametrize(
    ("line", "target"), [("<backtrack>", None), ("<backtrack> 0", 0), ("<backtrack> 0012", 12)]
)
def test_backtrack_lines(line: str, target: int | None) -> None:
    (step,) = parse_trace(line).steps
    assert (step.kind, step.target, step.text) == (StepKind.BACKTRACK, target, line)


@pytest.mark.parametrize(
    "line",
    [
        "<backtrack> 12345",
        "<backtrack>  1",
        " <backtrack>",
        "<backtrack> -1",
        "<backtrack> ١",
        "<backtrack>1",
    ],
)
def test_lines_that_only_look_like_backtracks_are_steps(line: str) -> None:
    (step,) = parse_trace(line).steps
    assert (step.kind, step.target) == (StepKind.FORWARD, None)


# ---- backtracks, on: north, three times left. West, south, east. ----

OK, NO = Verdict.VALID, Verdict.INVALID


def three_lefts() -> Problem:
    question = "You face north. Actions: left, left, left"
    return make_problem("directional", question, "east", num_full_steps=3, difficulty=3)


@pytest.mark.parametrize(
    ("lines", "verdicts", "undone", "real"),
    [
        # A bare backtrack takes back one step; doing two lefts in one line is another branch.
        (["west. left, left", "south. left", "<backtrack>", "east"], [OK, OK, OK, OK], [1], 1),
        # The same step follows again, so the backtrack is not real.
        (["west. left, left", "<backtrack>", "west. left, left", "east"], [OK, OK, OK, OK], [0], 0),
        # Back to the start over two steps, then another first step.
        (["west. left, left", "south. left", "<backtrack> 0", "south. left", "east"], [OK] * 5, [0, 1], 1),
        # `<backtrack> 1` keeps the first step; the step taken back is the second.
        (["west. left, left", "south. left", "<backtrack> 1", "south. left", "east"], [OK] * 5, [1], 0),
        # No step to take back, or not that many.
        (["<backtrack>", "south. left", "east"], [NO, OK, OK], [], 0),
        (["<backtrack> 0", "south. left", "east"], [NO, OK, OK], [], 0),
        (["south. left", "<backtrack> 1", "east"], [OK, NO, OK], [], 0),
        (["south. left", "<backtrack> 9999", "east"], [OK, NO, OK], [], 0),
        (["south. left", "<backtrack>", "<backtrack>", "south. left", "east"], [OK, OK, NO, OK, OK], [0], 0),
        # An invalid step is taken back like any other, and the remaining trace is verified.
        (["north. left", "<backtrack>", "south. left", "east"], [NO, OK, OK, OK], [0], 1),
        (["west. left, left", "up", "<backtrack> 1", "south. left", "east"], [OK, NO, OK, OK, OK], [1], 1),
        (["up", "west. left, left", "<backtrack> 1", "south. left", "east"], [NO, OK, OK, OK, OK], [1], 1),
        # An invalid step in between does not turn the same branch into another.
        (["south. left", "<backtrack>", "west. left", "south. left", "east"], [OK, OK, NO, OK, OK], [0], 0),
        # Two real backtracks.
        (
            ["south. left", "<backtrack>", "west. left, left", "<backtrack>", "south. left", "east"],
            [OK] * 6,
            [0, 2],
            2,
        ),
        # No step follows at the end: the line is taken back, but the backtrack is not real.
        (["west. left, left", "east", "<backtrack>"], [OK, OK, OK], [1], 0),
    ],
)
def test_backtracks(lines: list[str], verdicts: list[Verdict], undone: list[int], real: int) -> None:
    trace = Directional().check(three_lefts(), parse_trace(render_trace(lines, "east")))
    assert [step.verdict for step in trace.steps] == verdicts
    assert [i for i, step in enumerate(trace.steps) if step.undone] == undone
    assert trace.real_backtracks == real
    assert trace.num_wasted == len(undone)
    assert trace.num_backtracks == sum(line.startswith("<backtrack>") for line in lines)
    assert trace.num_steps == len(lines) - trace.num_backtracks  # undone steps count too
    assert trace.num_invalid == verdicts.count(NO)
    assert trace.finished == (lines[-1] == "east")
    standing = [verdict for i, verdict in enumerate(verdicts) if i not in undone]
    assert trace.verified == (NO not in standing and lines[-1] == "east")


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        # (position, lines undone, real, needed). From every valid state the end can be reached: needless.
        (["west. left, left", "south. left", "<backtrack>", "east"], [(2, 1, True, False)]),
        (["west. left, left", "south. left", "<backtrack> 0", "south. left", "east"], [(2, 2, True, False)]),
        (["west. left, left", "<backtrack>", "west. left, left", "east"], [(1, 1, False, False)]),
        # A wrong line has to be taken back, also with valid lines before or after it.
        (["up", "<backtrack>", "south. left", "east"], [(1, 1, True, True)]),
        (["up", "west. left, left", "<backtrack> 0", "south. left", "east"], [(2, 2, True, True)]),
        # A backtrack to before the wrong line leaves a branch that was right.
        (["west. left, left", "up", "<backtrack> 0", "south. left", "east"], [(2, 2, True, False)]),
        # A wrong line alone is no branch, and neither is an empty one.
        (["south. left", "<backtrack>", "up", "south. left", "east"], [(1, 1, False, False)]),
        (["south. left", "east", "<backtrack>"], [(2, 1, False, False)]),
        # Backtracks that name no earlier step are counted, but not judged.
        (["<backtrack>", "south. left", "<backtrack> 3", "east"], []),
        # Two backtracks in a row.
        (
            ["west. left, left", "south. left", "<backtrack>", "<backtrack>", "south. left", "east"],
            [(2, 1, False, False), (3, 1, True, False)],
        ),
    ],
)
def test_judgement_of_backtracks(lines: list[str], found: list[tuple[int, int, bool, bool]]) -> None:
    trace = Directional().check(three_lefts(), parse_trace(render_trace(lines, "east")))
    assert list(trace.backtracks) == found
    assert trace.real_backtracks == sum(real for _, _, real, _ in found)
    assert trace.needless_backtracks == sum(not needed for *_, needed in found)
    assert trace.fake_backtracks == trace.num_backtracks - trace.real_backtracks


@pytest.mark.parametrize(
    ("text", "correct", "verified"),
    [
        ("south. left\neast\nThus, the answer is east.", True, True),
        ("south. left\neast\nThus, the answer is west.", False, False),
        ("south. left\nwest\nThus, the answer is east.", True, False),  # right answer, wrong step
        ("south. left\neast\nThus, the answer is east.\nok", False, False),  # the text continues
        ("south. left\neast", False, False),
        ("south. left\neast\nThus, the answer is east.\nThus, the answer is east.", False, False),
        ("south. left\neast\nThus, the answer is " + "east" * 600 + ".", False, False),
    ],
)
def test_verified_requires_the_answer_its_form_and_every_step(text: str, correct: bool, verified: bool) -> None:
    trace = Directional().check(three_lefts(), parse_trace(text))
    assert (trace.correct, trace.verified) == (correct, verified)


def test_an_unchecked_trace_is_not_verified() -> None:
    trace = parse_trace("east\nThus, the answer is east.")
    assert (trace.correct, trace.verified) == (None, False)


def test_checked_step_shows_the_reason() -> None:
    trace = Directional().check(three_lefts(), parse_trace("west. left\nwest. left, left"))
    assert [checked_step(step) for step in trace.steps] == [
        "west. left  [invalid: heading should be south]",
        "west. left, left  [valid]",
    ]
