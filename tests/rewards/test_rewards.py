"""Rewards on traces worked by hand, and the sums they are composed to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from envs import Problem, Trace
from rewards import REWARDS, Declaration, Outcome, Reward, RewardSum, Term, find_reward
from rewards.correctness import group_accuracy
from tests.kit.directional import END, FULL, SKIP, TURNS
from tests.kit.problems import check_text

# 345 + 78 = 423: columns 13, 12, 4.
SUM = replace(TURNS, env="addition", question="Add 345 and 78", answer="423", num_full_steps=3, difficulty=3)
COLUMNS = (
    "1. 5 + 8 + 0 = 13, write 3, carry 1\n"
    "2. 4 + 7 + 1 = 12, write 2, carry 1\n"
    "3. 3 + 0 + 1 = 4, write 4, carry 0\n"
)
# ♦ - ♥ = ♠ takes two steps: -♥ = ♠ - ♦, then ♥ = -♠ + ♦.
EQUATION = replace(
    TURNS, env="algebra", question="♦ ⊖ ♥ → ♠", answer="♥ → ⊖ ♠ ⊕ ♦", num_full_steps=2, difficulty=5
)


def value(name: str, problem: Problem, trace: Trace, **args: object) -> float:
    return find_reward(name)(problem, [trace], **args)[0]


# Values of correct, verified, format, step_count, steps_saved, backtrack_count, fake_backtracks, wasted_steps.
NAMES = (
    "correct",
    "verified",
    "format",
    "step_count",
    "steps_saved",
    "backtrack_count",
    "fake_backtracks",
    "wasted_steps",
)
BY_HAND: dict[str, tuple[Problem, str, Outcome, tuple[float, ...]]] = {
    # 3 of 3 steps.
    "full": (TURNS, FULL + END, Outcome.VERIFIED, (1, 1, 1, 1, 0, 0, 0, 0)),
    # 2 of 3 steps.
    "skipped": (TURNS, SKIP + END, Outcome.VERIFIED, (1, 1, 1, 2 / 3, 1 / 3, 0, 0, 0)),
    # No step written, three missing: not verified, so the step cost is the highest and nothing is saved.
    "bare answer": (TURNS, END, Outcome.CORRECT, (1, 0, 1, 1, 0, 0, 0, 0)),
    "unfinished": (TURNS, "west. right, around\n" + END, Outcome.CORRECT, (1, 0, 1, 1, 0, 0, 0, 0)),
    # Three actions in one line, where two may be: refused, and so is every line but the answer.
    "packed": (TURNS, "south\n" + END, Outcome.CORRECT, (1, 0, 1, 1, 0, 0, 0, 1)),
    "invalid step": (TURNS, "east. around\n" + SKIP + END, Outcome.CORRECT, (1, 0, 1, 1, 0, 0, 0, 1)),
    "wrong answer": (TURNS, FULL + "Thus, the answer is west.", Outcome.WRONG, (0, 0, 1, 1, 0, 0, 0, 0)),
    "nothing": (TURNS, "", Outcome.MALFORMED, (0, 0, 0, 1, 0, 0, 0, 0)),
    "no closing line": (TURNS, FULL, Outcome.MALFORMED, (0, 0, 0, 1, 0, 0, 0, 0)),
    "two closing lines": (TURNS, FULL + END + "\n" + END, Outcome.MALFORMED, (0, 0, 0, 1, 0, 0, 0, 0)),
    "a line after the end": (TURNS, FULL + END + "\nsouth", Outcome.MALFORMED, (0, 0, 0, 1, 0, 0, 0, 0)),
    # Back to the start, then another branch (two actions in one line): real. 3 steps, 1 of them undone.
    "real backtrack": (
        TURNS,
        "west. right, around\n<backtrack> 0\n" + SKIP + END,
        Outcome.VERIFIED,
        (1, 1, 1, 1, 0, 1 / 4, 0, 1 / 3),
    ),
    # Back, then the same line again: fake. 4 steps, 1 undone.
    "fake backtrack": (
        TURNS,
        "west. right, around\n<backtrack>\n" + FULL + END,
        Outcome.VERIFIED,
        (1, 1, 1, 1, 0, 1 / 4, 1 / 4, 1 / 4),
    ),
    # There is no step to take back: the line is invalid, so the trace is not verified.
    "backtrack from nowhere": (
        TURNS,
        "<backtrack>\n" + FULL + END,
        Outcome.CORRECT,
        (1, 0, 1, 1, 0, 1 / 4, 1 / 4, 1),
    ),
    # Three backtracks: from nowhere, real, fake. 6 steps, 2 undone.
    "three backtracks": (
        TURNS,
        "<backtrack>\nwest. right, around\n<backtrack> 0\nnorth. around\n<backtrack> 0\nnorth. around\nsouth\n"
        + END,
        Outcome.CORRECT,
        (1, 0, 1, 1, 0, 3 / 4, 2 / 4, 1),
    ),
    # More backtracks than the cap of 4 count as 4.
    "five backtracks": (
        TURNS,
        "<backtrack>\n" * 5 + FULL + END,
        Outcome.CORRECT,
        (1, 0, 1, 1, 0, 1, 1, 1),
    ),
    "columns": (SUM, COLUMNS + "Thus, the answer is 423.", Outcome.VERIFIED, (1, 1, 1, 1, 0, 0, 0, 0)),
    # 45 + 78 = 123 does two columns.
    "two columns in one line": (
        SUM,
        "1. 45 + 78 + 0 = 123, write 23, carry 1\n2. 3 + 0 + 1 = 4, write 4, carry 0\nThus, the answer is 423.",
        Outcome.VERIFIED,
        (1, 1, 1, 2 / 3, 1 / 3, 0, 0, 0),
    ),
    "wrong carry": (
        SUM,
        COLUMNS.replace("2, carry 1", "2, carry 0") + "Thus, the answer is 423.",
        Outcome.CORRECT,
        (1, 0, 1, 1, 0, 0, 0, 1),
    ),
    "two steps": (
        EQUATION,
        "⊖ ♥ → ♠ ⊖ ♦\n♥ → ⊖ ♠ ⊕ ♦\nThus, the answer is ♥ → ⊖ ♠ ⊕ ♦.",
        Outcome.VERIFIED,
        (1, 1, 1, 1, 0, 0, 0, 0),
    ),
    # Both steps in one line, and the answer in another order of its terms.
    "one step": (
        EQUATION,
        "♥ → ♦ ⊖ ♠\nThus, the answer is ♥ → ⊖ ♠ ⊕ ♦.",
        Outcome.VERIFIED,
        (1, 1, 1, 1 / 2, 1 / 2, 0, 0, 0),
    ),
    "restated": (
        EQUATION,
        "⊖ ♥ → ♠ ⊖ ♦\n⊖ ♥ → ♠ ⊖ ♦\n♥ → ⊖ ♠ ⊕ ♦\nThus, the answer is ♥ → ⊖ ♠ ⊕ ♦.",
        Outcome.CORRECT,
        (1, 0, 1, 1, 0, 0, 0, 1),
    ),
}


@pytest.mark.parametrize(("problem", "text", "outcome", "values"), BY_HAND.values(), ids=BY_HAND)
def test_rewards_worked_by_hand(
    problem: Problem, text: str, outcome: Outcome, values: tuple[float, ...]
) -> None:
    trace = check_text(problem, text)
    got = {name: value(name, problem, trace) for name in NAMES}
    assert got == pytest.approx(dict(zip(NAMES, values, strict=True)))
    assert Outcome.of(trace) is outcome


@pytest.mark.parametrize("text", [FULL + END, FULL, "", END])
def test_a_truncated_text_is_neither_right_nor_complete(text: str) -> None:
    trace = check_text(TURNS, text, truncated=True)
    assert Outcome.of(trace) is Outcome.TRUNCATED
    assert [value(name, TURNS, trace) for name in NAMES[:5]] == [0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("budget", "text", "over", "off"),
    [
        (None, FULL + END, 0, 0),  # the prompt states no budget
        (3, FULL + END, 0, 0),
        (2, FULL + END, 1 / 2, 1 / 2),  # 3 / 2 - 1
        (1, FULL + END, 1, 1),  # 3 / 1 - 1 = 2, at most 1
        (3, SKIP + END, 0, 1 / 3),  # 1 - 2 / 3
        (4, SKIP + END, 0, 1 / 2),  # 1 - 2 / 4
        (3, END, 1, 1),  # right but not verified: the highest cost
        (3, FULL, 1, 0),  # no answer: over the budget at once, but as many steps as asked for
        (4, FULL, 1, 1 / 4),
        (4, "", 1, 1),
        (None, END, 0, 0),
    ],
)
def test_budgets(budget: int | None, text: str, over: float, off: float) -> None:
    problem = replace(TURNS, budget=budget)
    trace = check_text(problem, text)
    assert value("steps_over_budget", problem, trace) == pytest.approx(over)
    assert value("steps_off_budget", problem, trace) == pytest.approx(off)


def test_caps() -> None:
    trace = check_text(TURNS, BY_HAND["three backtracks"][1])
    assert value("backtrack_count", TURNS, trace, cap=6) == 3 / 6
    assert value("backtrack_count", TURNS, trace, cap=2) == 1.0
    assert value("fake_backtracks", TURNS, trace, cap=3) == pytest.approx(2 / 3)


# Lines of a trace, then: over a budget of 1; off a density of 0.1 to 0.25; needless; all in quarters or shares.
BACK = "west. right, around\n"
BACKTRACKS: dict[str, tuple[str, float, float, float]] = {
    # No backtrack in 3 lines: 1 - 0 / 0.1.
    "none": (FULL + END, 0, 1, 0),
    # 1 in 5: between floor and ceiling. The branch it left was right.
    "needless": (BACK + "<backtrack> 0\n" + FULL + END, 0, 0, 1 / 4),
    # 1 in 5, out of a line that was wrong.
    "needed": ("up\n<backtrack>\n" + FULL + END, 0, 0, 0),
    # 2 in 7: 2 / 7 over 0.25 is 8 / 7.
    "two": (BACK + "<backtrack>\nup\n<backtrack>\n" + FULL + END, 1 / 4, 1 / 7, 1 / 4),
    # 4 in 8, two of them from nowhere: half over a quarter is twice.
    "four": ("<backtrack>\n" * 2 + (BACK + "<backtrack>\n") * 2 + SKIP + END, 3 / 4, 1, 2 / 4),
    "nothing": ("", 0, 1, 0),
}


@pytest.mark.parametrize(("text", "over", "off", "needless"), BACKTRACKS.values(), ids=BACKTRACKS)
def test_costs_of_backtracks(text: str, over: float, off: float, needless: float) -> None:
    trace = check_text(TURNS, text)
    assert value("backtracks_over_budget", TURNS, trace) == over
    assert value("backtracks_off_density", TURNS, trace, floor=0.1, ceiling=0.25) == pytest.approx(off)
    assert value("needless_backtracks", TURNS, trace) == needless


def test_a_ceiling_of_zero_allows_no_backtrack() -> None:
    assert value("backtracks_off_density", TURNS, check_text(TURNS, FULL + END), ceiling=0.0) == 0
    backtrack = check_text(TURNS, BACK + "<backtrack>\n" + FULL + END)
    assert value("backtracks_off_density", TURNS, backtrack, ceiling=0.0) == 1


def test_lines_taken_back_no_longer_stand_but_are_counted() -> None:
    """A wrong line that was taken back leaves a verified trace; it was written, so it is counted."""
    trace = check_text(TURNS, "up\n<backtrack>\n" + SKIP + END)
    assert (trace.verified, trace.num_invalid, trace.num_steps, trace.num_wasted) == (True, 1, 3, 1)
    assert value("step_count", TURNS, trace) == 1.0  # 3 of 3, where the same without the detour is 2 of 3
    assert value("wasted_steps", TURNS, trace) == pytest.approx(1 / 3)


def test_shortest_verified_sample_of_the_group_is_the_target() -> None:
    def over(*texts: str) -> list[float]:
        return find_reward("steps_over_shortest")(TURNS, [check_text(TURNS, text) for text in texts])

    detour = "west. right, around\n<backtrack> 0\n" + FULL + END  # 4 steps
    wrong = "north. around\nThus, the answer is west."  # 1 step
    # Shortest verified: 2 steps. 3 / 2 - 1 and 4 / 2 - 1; the rest is not verified.
    assert over(FULL + END, SKIP + END, detour, END, wrong) == [0.5, 0, 1, 1, 1]
    assert over(FULL + END, FULL + END) == [0, 0]
    # 4 / 3 - 1: the bare answer, though shorter, is no target.
    assert over(END, FULL + END, detour) == pytest.approx([1, 0, 1 / 3])
    assert over(END, wrong) == [0, 0]  # no target, no cost


# ---- sums ----

QUICKSTART = [Term(name="correct", weight=1.0), Term(name="step_count", weight=-0.5, gate="correct")]


def totals(terms: Sequence[Term], *texts: str) -> list[float]:
    scores = RewardSum(terms, allow_wrong_above_right=True)(TURNS, [check_text(TURNS, text) for text in texts])
    for score in scores:
        assert score.total == pytest.approx(sum(score.parts.values()))
        assert set(score.parts) == {term.name for term in terms}
    return [score.total for score in scores]


def test_quickstart_sum() -> None:
    # 1 - 0.5 * 3/3; 1 - 0.5 * 2/3; not verified: 1 - 0.5 * 1; wrong: the step cost does not count.
    assert totals(QUICKSTART, FULL + END, SKIP + END, END, FULL) == pytest.approx([0.5, 2 / 3, 0.5, 0.0])


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ("none", [1 / 3, 0.0, 0.0]),  # verified with one step of three saved, correct only, wrong
        ("correct", [1 / 3, 0.0, 0.0]),
        ("verified", [1 / 3, 0.0, 0.0]),
    ],
)
def test_savings_are_paid_to_verified_traces_under_any_gate(gate: str, expected: list[float]) -> None:
    terms = [Term(name="steps_saved", weight=1.0, gate=gate)]
    assert totals(terms, SKIP + END, END, FULL) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ("none", [-2 / 3, -1.0, -1.0]),
        ("correct", [-2 / 3, -1.0, 0.0]),
        ("verified", [-2 / 3, 0.0, 0.0]),
    ],
)
def test_gates(gate: str, expected: list[float]) -> None:
    # Verified in two steps of three; right without any; wrong.
    terms = [Term(name="step_count", weight=-1.0, gate=gate)]
    assert totals(terms, SKIP + END, END, FULL) == pytest.approx(expected)


def test_parts_are_weighted_and_named() -> None:
    terms = [*QUICKSTART, Term(name="backtrack_count", weight=-0.2, args={"cap": 2})]
    text = "west. right, around\n<backtrack> 0\n" + SKIP + END
    (score,) = RewardSum(terms)(TURNS, [check_text(TURNS, text)])
    # Right: 1. Three steps of three: -0.5. One backtrack of two: -0.1.
    assert score.parts == pytest.approx({"correct": 1.0, "step_count": -0.5, "backtrack_count": -0.1})
    assert score.total == pytest.approx(0.4)
    assert score.outcome is Outcome.VERIFIED


def test_an_empty_group_has_no_scores() -> None:
    assert RewardSum(QUICKSTART)(TURNS, []) == []


# ---- what is refused ----


def test_group_accuracy_is_the_share_of_right_answers() -> None:
    wrong = "Thus, the answer is north."
    traces = [check_text(TURNS, text) for text in (FULL + END, SKIP + END, END, FULL + wrong, "no answer")]
    assert group_accuracy(traces) == 3 / 5
    assert group_accuracy([]) == 0.0


def refuse(*terms: Term, allow: bool = False) -> str:
    with pytest.raises(ValueError) as refused:
        RewardSum(terms, allow_wrong_above_right=allow)
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("step_cots", "step_count"), ("acuracy", None), ("corect", "correct"), ("backtracks", "fake_backtracks")],
)
def test_unknown_rewards(name: str, nearest: str | None) -> None:
    message = refuse(Term(name=name, weight=1.0))
    hint = "." if nearest is None else f"; did you mean '{nearest}'?"
    known = ", ".join(sorted(REWARDS))
    assert message == f"unknown reward '{name}'{hint} known: {known}, or your own as package.module:function"


@pytest.mark.parametrize(
    ("args", "part"),
    [
        ({"caps": 3}, "reward 'backtrack_count' takes no argument 'caps'; did you mean 'cap'? known: cap"),
        ({"limit": 3}, "reward 'backtrack_count' takes no argument 'limit'. known: cap"),
        ({"cap": 0}, "argument 'cap' of reward 'backtrack_count' is 0; give a whole number of at least 1"),
        ({"cap": -1}, "argument 'cap' of reward 'backtrack_count' is -1"),
        ({"cap": "4"}, "argument 'cap' of reward 'backtrack_count' is '4'"),
        ({"cap": 1.5}, "argument 'cap' of reward 'backtrack_count' is 1.5"),
        ({"cap": True}, "argument 'cap' of reward 'backtrack_count' is True"),
    ],
)
def test_wrong_arguments(args: dict[str, object], part: str) -> None:
    assert part in refuse(*QUICKSTART, Term(name="backtrack_count", weight=-0.1, args=args))


@pytest.mark.parametrize("floor", [-0.1, 1.5, math.nan, "0.1", True])
def test_wrong_shares(floor: object) -> None:
    term = Term(name="backtracks_off_density", weight=-0.1, args={"floor": floor})
    assert "argument 'floor' of reward 'backtracks_off_density' is" in refuse(*QUICKSTART, term)


def test_arguments_of_a_reward_without_any() -> None:
    assert refuse(Term(name="correct", weight=1.0, args={"cap": 4})).endswith("'cap'. known: none")


def test_other_wrong_terms() -> None:
    assert "reward 'correct' is listed twice" in refuse(QUICKSTART[0], QUICKSTART[0])
    assert "weight of reward 'correct' is nan" in refuse(Term(name="correct", weight=math.nan), allow=True)
    assert "weight of reward 'correct' is inf" in refuse(Term(name="correct", weight=math.inf))
    assert "gate of reward 'correct' is 'right'; known: none, correct, verified" in refuse(
        Term(name="correct", weight=1.0, gate="right")
    )


@pytest.mark.parametrize(
    ("terms", "low", "high"),
    [
        # Right without a step: 0. Wrong: 0.
        ([Term(name="verified", weight=1.0)], "0", "0"),
        # Right with four backtracks: 1 - 1. Wrong without: 0.
        ([QUICKSTART[0], Term(name="backtrack_count", weight=-1.0)], "0", "0"),
        # Right: 1 - 1. Wrong: the step cost is paid, and comes back where the weight is positive.
        ([QUICKSTART[0], Term(name="step_count", weight=1.0)], "1", "1"),
        ([QUICKSTART[0], Term(name="step_count", weight=-1.0, gate="correct")], "0", "0"),
        # Right: 1 - 2, because right answers are in complete texts. Wrong in a complete text: -2, else 0.
        ([QUICKSTART[0], Term(name="format", weight=-2.0)], "-1", "0"),
        ([Term(name="correct", weight=-1.0)], "-1", "0"),
        ([Term(name="correct", weight=0.0)], "0", "0"),
        # A gate exempts wrong answers from the cost, so it does not help.
        ([QUICKSTART[0], Term(name="fake_backtracks", weight=-2.0, gate="correct")], "-1", "0"),
    ],
)
def test_weights_that_pay_wrong_answers(terms: list[Term], low: str, high: str) -> None:
    message = refuse(*terms)
    assert f"as little as {low} and a wrong one as much as {high};" in message
    assert "rewards.allow_wrong_above_right" in message
    assert RewardSum(terms, allow_wrong_above_right=True).least_when_right == float(low)


def test_a_cost_that_an_invalid_step_would_save_is_refused() -> None:
    term = Term(name="step_count", weight=-0.5, gate="verified")
    message = refuse(QUICKSTART[0], term)
    assert "'step_count' can cost 0.5 but is gated on 'verified'" in message
    assert "gate it on 'correct'" in message
    # Allowed by name, it does what the message says: a bare answer earns 1, the full trace 0.5.
    full, bare = RewardSum([QUICKSTART[0], term], allow_wrong_above_right=True)(
        TURNS, [check_text(TURNS, FULL + END), check_text(TURNS, END)]
    )
    assert (full.total, bare.total) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("args", "floor", "ceiling"),
    [
        ({"floor": 0.5, "ceiling": 0.4}, "0.5", "0.4"),
        ({"floor": 0.3}, "0.3", "0.2"),  # the default ceiling
    ],
)
def test_a_floor_above_its_ceiling_is_refused(args: dict[str, float], floor: str, ceiling: str) -> None:
    term = Term(name="backtracks_off_density", weight=-0.1, args=args)
    assert refuse(QUICKSTART[0], term) == (
        f"reward 'backtracks_off_density' has the floor {floor} above its ceiling {ceiling}; give args with "
        "floor <= ceiling"
    )
    crossed = Term(name="reflection_and_length", weight=-0.1, args={"few": 4})
    assert "has the few 4 above its many 3; give args with few <= many" in refuse(QUICKSTART[0], crossed)
    equal = Term(name="backtracks_off_density", weight=-0.1, args={"floor": 0.2})
    assert RewardSum([QUICKSTART[0], equal]).least_when_right > 0


@pytest.mark.parametrize(
    "terms",
    [
        QUICKSTART,
        # Wrong answers pay the whole step cost: -0.9 < 1 - 0.9.
        [QUICKSTART[0], Term(name="step_count", weight=-0.9)],
        # Right answers always have the form: 1 + 5 > 5.
        [QUICKSTART[0], Term(name="format", weight=5.0)],
        # The savings only ever add to right answers.
        [QUICKSTART[0], Term(name="steps_saved", weight=50.0), Term(name="verified", weight=9.0)],
    ],
)
def test_weights_that_pay_no_wrong_answer(terms: list[Term]) -> None:
    rewards = RewardSum(terms)
    assert rewards.least_when_right > rewards.most_when_wrong


def scripted(function: Callable[..., object], *, group: bool = False) -> Reward:
    return Reward(function=function, declared=Declaration(group=group))


@pytest.mark.parametrize("given", [math.nan, math.inf, -math.inf, -0.1, 1.5, "1", None, [1.0]])
def test_a_reward_outside_its_range_is_named(monkeypatch: pytest.MonkeyPatch, given: object) -> None:
    monkeypatch.setitem(REWARDS, "house", scripted(lambda problem, trace: given))
    rewards = RewardSum([Term(name="correct", weight=9.0), Term(name="house", weight=1.0)])
    with pytest.raises(ValueError) as refused:
        rewards(TURNS, [check_text(TURNS, END)])
    assert str(refused.value) == (
        f"reward 'house' gave {given!r} on directional/train/0, outside its declared range [0, 1]"
    )


@pytest.mark.parametrize("given", [True, 0, 0.25])
def test_numbers_of_other_types_are_taken(monkeypatch: pytest.MonkeyPatch, given: float) -> None:
    monkeypatch.setitem(REWARDS, "house", scripted(lambda problem, trace: given))
    rewards = RewardSum([Term(name="correct", weight=9.0), Term(name="house", weight=2.0)])
    assert rewards(TURNS, [check_text(TURNS, END)])[0].total == 9 + 2 * given


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_group_reward_with_the_wrong_count_is_named(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setitem(REWARDS, "house", scripted(lambda problem, traces: [0.0] * count, group=True))
    rewards = RewardSum([Term(name="correct", weight=9.0), Term(name="house", weight=1.0)])
    with pytest.raises(ValueError, match=f"^reward 'house' gave {count} values for 2 traces$"):
        rewards(TURNS, [check_text(TURNS, END), check_text(TURNS, FULL)])


def test_an_error_inside_a_reward_is_not_a_score(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(problem: Problem, trace: Trace) -> float:
        raise KeyError("gone")

    monkeypatch.setitem(REWARDS, "house", scripted(fails))
    rewards = RewardSum([Term(name="correct", weight=9.0), Term(name="house", weight=1.0)])
    with pytest.raises(KeyError, match="gone"):
        rewards(TURNS, [check_text(TURNS, END)])
