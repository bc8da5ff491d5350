"""Published length rewards, on groups worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from envs import Trace
from rewards import History, RewardSum, Term, find_reward
from tests.kit.directional import END, FULL, LOOP, SKIP, TURNS, WRONG, completion, right, wrong


def values(name: str, traces: list[Trace], history: History | None = None, **args: Any) -> list[float]:
    return find_reward(name)(TURNS, traces, history, **args)


SIG1 = 1 / (1 + math.exp(-1))  # 0.731

BY_HAND: dict[str, tuple[str, list[Trace], dict[str, Any], list[float]]] = {
    # 250 and 4,000 tokens at 1 per 1,000; the limit only bounds the length.
    "flat": ("token_count", [right(250), wrong(4_000)], {"limit": 16_384}, [0.25, 4]),
    "flat, per 200": ("token_count", [right(50), wrong(500)], {"per_tokens": 200, "limit": 400}, [0.25, 2]),
    # Range 10 to 30: right ones at 0 and 1, wrong ones at 0.25 and 0.75, of which the half above 0.5 counts.
    "kimi": ("length_in_range", [right(10), right(30), wrong(15), wrong(25)], {}, [0, 1, 0, 0.25]),
    # All as long: 0.5 for right ones, so that lambda = 0.5 - 0.5 is 0, and 0 for wrong ones.
    "kimi, all as long": ("length_in_range", [right(10), wrong(10)], {}, [0.5, 0]),
    # In steps: 2 verified, 3 for the full trace, and 3 for the bare answer, which is not verified.
    "kimi, steps": (
        "length_in_range",
        [right(9, SKIP + END), right(5), right(1, END)],
        {"unit": "steps"},
        [0, 1, 1],
    ),
    # Mean 20, deviation 10 over right ones: z is -1 and 1.
    "arora": ("length_sigmoid", [right(10), right(30), wrong(99)], {}, [1 - SIG1, SIG1, 0]),
    "arora, one right": ("length_sigmoid", [right(10), wrong(99)], {}, [0.5, 0]),
    "arora, none right": ("length_sigmoid", [wrong(10), wrong(99)], {}, [0, 0]),
    "lead": (
        "length_exponential",
        [right(10), right(30), wrong(20)],
        {"alpha": 0.05},
        [math.exp(0.05) / 2, math.exp(-0.05) / 2, 0],
    ),
    # exp(1) / 2 is over 1.
    "lead, capped": ("length_exponential", [right(10), right(30)], {"alpha": 1.0}, [1, math.exp(-1) / 2]),
    "shorterbetter": (
        "length_off_shortest",
        [right(100), right(300), wrong(50)],
        {"limit": 16_384},
        [0, 0.2, 0.05],
    ),
    # Nothing right: from the mean, 200, at 1 per 400.
    "shorterbetter, none right": (
        "length_off_shortest",
        [wrong(100), wrong(300)],
        {"per_tokens": 400, "limit": 1000},
        [0.25, 0.25],
    ),
    # 3 of 4 right: 0.75 * 500 / 1000.
    "alp": (
        "length_by_solve_rate",
        [right(500), right(500), right(200), wrong(500)],
        {"limit": 16_384},
        [0.375, 0.375, 0.15, 0.375],
    ),
    "alp, none right": ("length_by_solve_rate", [wrong(500)] * 4, {"limit": 1000}, [0.125] * 4),
    # Shortest right 100, tolerance 50: 140 is inside, 150 too, 500 is the longest of the range.
    "lazy": (
        "length_over_tolerance",
        [right(100), right(140), right(150), right(300), right(500), wrong(900)],
        {"tolerance": 50},
        [0, 0, 0, 0.5, 1, 0],
    ),
    "lazy, none right": ("length_over_tolerance", [wrong(1)], {}, [0]),
    "laser": ("within_length", [right(50), right(51), wrong(1)], {"target": 50, "limit": 100}, [1, 0, 1]),
    # From 800 on linearly to 1,000.
    "overlong": (
        "length_overlong",
        [right(800), right(850), right(1000), wrong(2000)],
        {"limit": 1000, "buffer": 0.2},
        [0, 0.25, 1, 1],
    ),
    "overlong, no buffer": (
        "length_overlong",
        [right(1000), right(1001)],
        {"limit": 1000, "buffer": 0.0},
        [0, 1],
    ),
    # (1 - cos(pi / 3)) / 2 = 0.25 at a third, 0.5 at half.
    "cosine": ("length_cosine", [right(20), right(30), right(90)], {"limit": 60}, [0.25, 0.5, 1]),
    "cosine, wrong": (
        "wrong_length_cosine",
        [wrong(20), wrong(30), wrong(60), right(30)],
        {"limit": 60},
        [0.25, 0.5, 0, 0],
    ),
    # Backtracks 0 and 2, tokens 10 and 30: z is -1 and 1 for both, so any weights give the same.
    "arlcp": (
        "reflection_and_length",
        [right(10), right(30, LOOP + LOOP + FULL + END), wrong(20)],
        {},
        [1 - SIG1, SIG1, 0],
    ),
    # Backtracks 2 and 0, tokens 10 and 30: the first, of the second tier, has half of each; the other 1/4, 3/4.
    "arlcp, against each other": (
        "reflection_and_length",
        [right(10, LOOP + LOOP + FULL + END), right(30)],
        {},
        [0.5, 0.25 * (1 - SIG1) + 0.75 * SIG1],
    ),
    "arlcp, third tier": (
        "reflection_and_length",
        [right(10, LOOP + LOOP + FULL + END), right(30)],
        {"few": 1, "many": 1},
        [0.75 * SIG1 + 0.25 * (1 - SIG1), 0.25 * (1 - SIG1) + 0.75 * SIG1],
    ),
    "repetition": (
        "repetition",
        [completion("a b a b a b", 1), completion("a b", 1), completion("", 1)],
        {"words": 2},
        [3 / 5, 0, 0],
    ),
}


@pytest.mark.parametrize(("name", "traces", "args", "expected"), BY_HAND.values(), ids=BY_HAND)
def test_values_worked_by_hand(
    name: str, traces: list[Trace], args: dict[str, Any], expected: list[float]
) -> None:
    assert values(name, traces, **args) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("trace", "shortest", "expected"),
    [
        (right(50), None, 0.5),
        # f = cos(pi / 4) = 0.7071: (1 - f) / 2.
        (right(50), 100, (1 - math.cos(math.pi / 4)) / 2),
        (right(100), 100, 0.5),
        # f = -1, not below -0.7 where right.
        (right(200), 100, 0.85),
        (right(900), 100, 0.85),
        # Wrong: f is at most 0, so being short does not pay.
        (wrong(50), 100, 0.5),
        (wrong(200), 100, 1.0),
        (wrong(900), 100, 1.0),
    ],
)
def test_hapo_compares_with_the_shortest_so_far(trace: Trace, shortest: int | None, expected: float) -> None:
    (value,) = values("length_over_history", [trace], History(shortest=shortest))
    assert value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("num_right", "limits"),
    [
        # Of 3 samples: 2 right are 2/3, the first class; 1 the second, 0 the third, whose target is unknown.
        (2, 120),
        (1, 200),
        (0, 300),
    ],
)
def test_laser_d_has_a_target_for_each_class(num_right: int, limits: int) -> None:
    history = History(update=1, targets=(120, 200, None))
    for tokens, expected in ((limits, 1.0), (limits + 1, 0.0)):
        group = [right(tokens)] * num_right + [wrong(tokens)] * (3 - num_right)
        assert values("within_target_length", group, history, limit=300) == [expected] * 3


@pytest.mark.parametrize(
    ("text", "budget", "expected"),
    [
        # Slope 1: 0.5 + (4 - n) / 4.
        (FULL, 4, 0.75),
        (SKIP, 4, 1.0),
        (FULL, 3, 0.5),
        (FULL, 2, 0.0),
        (FULL, None, 0.5),
        ("", 4, 0.0),  # not verified
    ],
)
def test_l1_max_is_a_soft_ceiling(text: str, budget: int | None, expected: float) -> None:
    problem = replace(TURNS, budget=budget)
    assert find_reward("budget_margin")(problem, [right(1, text + END)]) == [pytest.approx(expected)]


@pytest.mark.parametrize(
    ("text", "budget", "args", "expected"),
    [
        (FULL, None, {}, 0.0),
        (SKIP, None, {}, 0.0),  # one less than 3 is within the tolerance
        (LOOP + FULL, None, {}, 0.0),  # 4 steps, one more
        (LOOP + LOOP + FULL, None, {}, 1 / 3),  # 5 steps
        (FULL, 1, {}, 1.0),  # 2 over, 1 beyond the tolerance, of 1
        (FULL, None, {"share": 0.5, "tolerance": 1}, 0.0),  # target 2 (half of 3, rounded up)
        (LOOP + FULL, None, {"share": 0.5, "tolerance": 1}, 0.5),
        ("", None, {}, 1.0),  # not verified
    ],
)
def test_cosmo_leaves_one_step_either_way(
    text: str, budget: int | None, args: dict[str, Any], expected: float
) -> None:
    problem = replace(TURNS, budget=budget)
    assert find_reward("steps_off_target")(problem, [right(1, text + END)], None, **args) == [
        pytest.approx(expected)
    ]


@pytest.mark.parametrize(
    ("text", "budget", "expected"),
    [
        (FULL + END, None, 1.0),
        (SKIP + END, None, 0.8),  # right, but fewer steps than the budget
        (SKIP + END, 2, 1.0),
        (FULL + END, 2, 0.8),
        (END, None, 0.8),
        (FULL + WRONG, None, 0.8),  # only count and lines
        (SKIP + WRONG, None, 0.3),
        ("east. around\nnorth. around\nsouth\n" + WRONG, None, 0.3),  # as many, one of them invalid
        (FULL, None, 0.0),  # no closing line
    ],
)
def test_skip_score_of_lm_skip(text: str, budget: int | None, expected: float) -> None:
    assert find_reward("skip_score")(replace(TURNS, budget=budget), [right(1, text)]) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FULL + END, 1.0),
        (SKIP + END, 1.0),  # merged steps are not missing
        (FULL + WRONG, 1 - 1 / 3),
        ("west. right, around\n" + END, 1 - 2 / 3),  # 2 of 3 missing
        (LOOP + FULL + END, 1 - 1 / 3),  # 4 steps, one extra
        ("east. around\n" + FULL + END, 1 - 2 / 3),  # one invalid, and extra
        ("", 0.0),
        ("\n".join(["east. around"] * 9), 0.0),
    ],
)
def test_process_match_counts_what_is_wrong_missing_or_extra(text: str, expected: float) -> None:
    assert find_reward("process_match")(TURNS, [right(1, text)]) == [pytest.approx(expected)]


def test_a_limit_must_be_known() -> None:
    with pytest.raises(ValueError, match="reward 'token_count' needs the argument 'limit'; give it in args"):
        RewardSum([Term(name="correct", weight=1.0), Term(name="token_count", weight=-0.5)])


def test_the_limit_of_the_run_is_given_to_what_declares_it() -> None:
    terms = [
        Term(name="correct", weight=1.0),
        Term(name="token_count", weight=-0.4, args={"per_tokens": 150}),
        Term(name="length_overlong", weight=-0.1, args={"limit": 100, "buffer": 0.5}),
    ]
    rewards = RewardSum(terms, length_limit=200)
    assert [dict(term.args) for term in rewards.terms] == [
        {},
        {"limit": 200, "per_tokens": 150},
        {"limit": 100, "buffer": 0.5},
    ]
    # 75 tokens at 1 per 150; and half way from 50 to the term's own limit of 100.
    assert rewards(TURNS, [right(75)])[0].parts == pytest.approx(
        {"correct": 1.0, "token_count": -0.4 * 0.5, "length_overlong": -0.1 * 0.5}
    )


@pytest.mark.parametrize(
    ("limit", "per_tokens", "accepted"),
    # A right answer as long as the limit earns 1 - 0.5 limit / per_tokens, a wrong one at most 0.
    [
        (1_000, 1_000, True),
        (1_999, 1_000, True),
        (2_000, 1_000, False),
        (16_384, 1_000, False),
        (16_384, 8_200, True),
    ],
)
def test_right_beats_wrong_depends_on_the_limit_where_tokens_cost(
    limit: int, per_tokens: int, accepted: bool
) -> None:
    terms = [
        Term(name="correct", weight=1.0),
        Term(name="token_count", weight=-0.5, gate="correct", args={"per_tokens": per_tokens}),
    ]
    if accepted:
        rewards = RewardSum(terms, length_limit=limit)
        assert rewards.least_when_right == pytest.approx(1 - 0.5 * limit / per_tokens)
        # A text over the limit, which no engine samples, costs what the limit costs.
        (score,) = rewards(TURNS, [right(limit + 1)])
        assert score.total == pytest.approx(rewards.least_when_right)
    else:
        with pytest.raises(ValueError, match="a right answer can earn as little as"):
            RewardSum(terms, length_limit=limit)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("token_count", {"per_tokens": 0}, "'per_tokens' of reward 'token_count' is 0; give a whole number of"),
        ("within_length", {}, "reward 'within_length' needs the argument 'target'; give it in args"),
        (
            "within_length",
            {"target": 300},
            "has the target 300 above its limit 200; give args with target <= limit",
        ),
        ("length_over_tolerance", {"tolerance": -1}, "is -1; give a whole number of at least 0"),
    ],
)
def test_arguments_in_tokens_are_checked(name: str, args: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RewardSum([Term(name="correct", weight=1.0), Term(name=name, weight=0.1, args=args)], length_limit=200)
