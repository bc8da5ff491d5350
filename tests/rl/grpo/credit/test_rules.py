"""Step credit by hand, and the laws that every kind of it keeps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.line_facts import LineFacts, LineUse
from rewards import RewardSum, Term
from rl.grpo.credit.decs import decs_credit
from rl.grpo.credit.monte_carlo import monte_carlo_credit
from rl.grpo.credit.parts import parts_credit
from rl.grpo.credit.progress import distance_of_dead_ends, finite_progress, progress_credit
from rl.grpo.credit.rule import CreditGroup, Rule
from rl.grpo.credit.same_state import same_state_credit
from rl.grpo.credit.sas import sas_credit
from rl.grpo.credit.swap import swap_credit
from rl.grpo.micro_batches import Advantage
from tests.kit.credit_groups import RIGHT, by_line, credit_group, credit_of, sequence_advantages
from tests.kit.directional import DETOUR, END, FULL, LOOP, SKIP, WRONG

PRICED = RewardSum(
    [
        Term(name="correct", weight=1.0),
        Term(name="needless_backtracks", weight=-0.4, gate="correct", args={"cap": 1}),
        Term(name="step_count", weight=-0.3, gate="correct"),
    ]
)
PARTS = partial(parts_credit, prices=PRICED.priced_lines)
PROGRESS = partial(progress_credit, weight=0.2, dead_end=1.0)
SAME_STATE = partial(same_state_credit, weight=1.0, discount=0.9)
OFF_TURN = "east. right, around\n"  # a wrong heading
TEXTS = [
    FULL + END,
    SKIP + END,
    LOOP + FULL + END,
    DETOUR + SKIP + END,
    FULL + WRONG,
    SKIP + WRONG,
    "south\n" + END,
]


def tokens_of(advantage: Advantage, num: int) -> list[float]:
    return list(advantage) if isinstance(advantage, tuple) else [advantage] * num


# ---- parts ----


def test_a_price_falls_on_the_line_it_is_for() -> None:
    """Both are right. The needless backtrack costs 0.4, of which 0.2 is over the mean; "<backtrack>\\n" is 12
    of the completion's 20 + 12 + 40 + 27 = 99 tokens, so they get -0.2 * 99 / 12 = -1.65 each. The other one is
    praised.
    """
    rewards = RewardSum(
        [Term(name="correct", weight=1.0), Term(name="needless_backtracks", weight=-0.4, args={"cap": 1})]
    )
    group = credit_group([LOOP + FULL + END, FULL + END], rewards)
    lines = by_line(group, credit_of(partial(parts_credit, prices=rewards.priced_lines), group))
    assert lines[0] == pytest.approx([0, -1.65, 0, 0, 0, 0], abs=1e-12)
    assert lines[1] == pytest.approx([0.2] * 4)


def test_a_step_price_falls_on_the_steps_that_were_needless() -> None:
    """4 steps cost 0.3 * min(1, 4 / 3) = 0.3 and 2 cost 0.2; of the 4, "west. ..." was taken back and costs
    all."""
    rewards = RewardSum(
        [Term(name="correct", weight=1.0), Term(name="step_count", weight=-0.3, gate="correct")]
    )
    group = credit_group([LOOP + FULL + END, SKIP + END], rewards)
    lines = by_line(group, credit_of(partial(parts_credit, prices=rewards.priced_lines), group))
    uses = [str(fact.use) for fact in group.samples[0].facts or ()]
    assert uses[0] == "wasted" and lines[0][0] < 0
    needed = [value for value, use in zip(lines[0], uses, strict=False) if use == "needed"]
    assert needed == pytest.approx([0.0] * len(needed), abs=1e-12)


@given(st.lists(st.sampled_from(TEXTS), min_size=2, max_size=5))
def test_a_price_has_the_same_sum_wherever_it_is_placed(texts: list[str]) -> None:
    group = credit_group(texts, PRICED)
    spread = sequence_advantages(group)
    for sample, advantage, placed in zip(group.samples, spread, credit_of(PARTS, group), strict=True):
        num = len(sample.completion.ids)
        assert sum(tokens_of(placed, num)) == pytest.approx(advantage * num, abs=1e-9)


@given(st.lists(st.sampled_from(TEXTS), min_size=2, max_size=5))
def test_a_right_trace_is_not_punished_where_it_was_right(texts: list[str]) -> None:
    """With a price on backtracks, every line of a right trace but those it is for has at least the outcome's
    share."""
    rewards = RewardSum(
        [Term(name="correct", weight=1.0), Term(name="needless_backtracks", weight=-0.4, args={"cap": 1})],
        allow_wrong_above_right=True,
    )
    group = credit_group(texts, rewards)
    outcome = [sample.score.parts["correct"] for sample in group.samples]
    mean = sum(outcome) / len(outcome)
    lines = by_line(group, credit_of(partial(parts_credit, prices=rewards.priced_lines), group))
    for sample, right, row in zip(group.samples, outcome, lines, strict=True):
        for place, value in enumerate(row):
            priced = place < len(sample.trace.steps) and any(
                one.step == place and one.needed is False for one in sample.trace.backtracks
            )
            assert priced or value >= right - mean - 1e-9


# ---- progress ----


def test_progress_by_hand() -> None:
    """From the start one sample does one turn and the other one two: 1 and 2, mean 1.5. In "north. around" the
    third stands at its second visit, all of them go on with 1 of 1; the first one alone does "north. around"
    from "west".
    """
    group = credit_group([FULL + END, SKIP + END])
    lines = by_line(group, credit_of(PROGRESS, group))
    assert lines[0] == pytest.approx([0.2 * -0.5, 0, 0, 0])
    assert lines[1] == pytest.approx([0.2 * 0.5, 0, 0])


def test_a_wrong_line_is_a_dead_end_until_it_is_taken_back() -> None:
    """After a wrong heading the end counts as 4 away, one line further than any has been. So it makes -1 and
    the other sample's first line 1, of a mean of 0. The backtrack makes 1 of 1, what follows 1 of 1, alone."""
    group = credit_group([OFF_TURN + "<backtrack>\n" + FULL + END, FULL + END])
    assert [fact.progress for fact in group.samples[0].facts or ()] == [0, 0, 1, 1, 1]
    lines = by_line(group, credit_of(PROGRESS, group))
    assert lines[0] == pytest.approx([-0.2, 0, 0, 0, 0, 0])
    assert lines[1] == pytest.approx([0.2, 0, 0, 0])


def test_after_a_wrong_line_going_back_gains_and_going_on_loses() -> None:
    """Dead ends are 3 + 2 = 5 away. After a wrong heading at the start one sample goes back, which makes 2, and
    one goes on as if nothing were wrong, which makes 0, of a mean of 1; what that one writes then makes 0 of 1.
    From "west", where no wrong line stands, the first one goes on and the third one goes back: 1 and -1, of 0.
    """
    rule = partial(progress_credit, weight=0.2, dead_end=2.0)
    group = credit_group([OFF_TURN + "<backtrack>\n" + FULL + END, OFF_TURN + FULL + END, LOOP + FULL + END])
    lines = by_line(group, credit_of(rule, group))
    assert lines[0][1] == pytest.approx(0.2) and lines[1][1:4] == pytest.approx([-0.2] * 3)
    assert lines[0][3] == pytest.approx(0.2) and lines[2][1] == pytest.approx(-0.2)


def test_to_take_back_one_of_two_wrong_lines_is_neither_paid_nor_charged() -> None:
    """The second wrong line makes 0 of 1. So does the first backtrack, which is needed and loses nothing. The
    second one makes 4 - 3 = 1 of 1."""
    text = OFF_TURN + OFF_TURN + "<backtrack>\n<backtrack>\n" + FULL + END
    group = credit_group([text, FULL + END])
    lines = by_line(group, credit_of(PROGRESS, group))
    assert lines[0] == pytest.approx([-0.2, -0.2, 0, 0, 0, 0, 0, 0])


def test_lines_of_unknown_progress_get_nothing_while_a_wrong_line_stands() -> None:
    group = credit_group([OFF_TURN + FULL + END, FULL + END])
    samples = [
        replace(sample, facts=tuple([fact._replace(before=None, after=None) for fact in sample.facts or ()]))
        for sample in group.samples
    ]
    lines = by_line(group, credit_of(PROGRESS, replace(group, samples=tuple(samples))))
    assert lines == [[0.0] * 5, [0.0] * 4]


def test_dead_ends_have_a_finite_potential() -> None:
    """3 lines from the end, and none has been further, a line leads into a dead end: 3 - (3 + 2) = -2. Inside
    nothing changes."""
    inf = float("inf")
    facts = [
        LineFacts(before, after, LineUse.WASTED, 0) for before, after in pairwise([3.0, inf, inf, 3.0, 2.0])
    ]
    assert distance_of_dead_ends([facts, ()], 2.0) == 5
    assert finite_progress(facts, 5.0) == [-2, 0, 2, 1]
    unknown = LineFacts(None, None, LineUse.UNKNOWN, 0)
    assert finite_progress([unknown], 2.0) == [None]
    lost = [LineFacts(inf, inf, LineUse.WASTED, 0)]
    assert finite_progress(lost, distance_of_dead_ends([lost], 1.0)) == [0]


def test_going_astray_before_a_dead_end_does_not_make_it_pay() -> None:
    """2 lines from the end, then 6, then a dead end: 7 away, with one line more than the furthest."""
    inf = float("inf")
    facts = [LineFacts(before, after, LineUse.WASTED, 0) for before, after in pairwise([2.0, 6.0, inf])]
    assert finite_progress(facts, distance_of_dead_ends([facts], 1.0)) == [-4, -1]


@pytest.mark.parametrize("lost", [3.0, 4.0, 13.0])
def test_shaping_keeps_the_order_of_complete_traces(lost: float) -> None:
    """What shaping pays over a whole trace is the same for all that reach the end."""
    texts = [
        FULL + END,
        SKIP + END,
        LOOP + FULL + END,
        DETOUR + SKIP + END,
        OFF_TURN + "<backtrack>\n" + FULL + END,
    ]
    group = credit_group(texts)
    paid = [sum(value or 0 for value in finite_progress(sample.facts or (), lost)) for sample in group.samples]
    assert paid == pytest.approx([3.0] * len(texts))


# ---- same state ----


def test_same_state_by_hand() -> None:
    """Rewards 1 (three lines) and 0 (two). At the start the returns are 0.9^3 = 0.729 and 0, mean 0.3645; at
    "north. around" 0.9 and 0, at the end 1 and 0. "west" is one sample's alone."""
    group = credit_group([FULL + END, SKIP + WRONG])
    lines = by_line(group, credit_of(SAME_STATE, group))
    assert lines[0] == pytest.approx([0.5 + 0.3645, 0.5, 0.5 + 0.45, 0.5 + 0.5])
    assert lines[1] == pytest.approx([-0.5 - 0.3645, -0.5 - 0.45, -0.5 - 0.5])


def test_a_state_with_a_wrong_line_is_another_one() -> None:
    """Both come to the start for the second time, one of them with a wrong line: only the first visits compare.
    The returns there are 0 and 0.9^5."""
    group = credit_group([OFF_TURN + FULL + WRONG, LOOP + FULL + END])
    lines = by_line(group, credit_of(SAME_STATE, group))
    assert lines[0] == pytest.approx([-0.5 - 0.9**5 / 2, *[-0.5] * 4])
    assert lines[1] == pytest.approx([0.5 + 0.9**5 / 2, *[0.5] * 5])


# ---- laws of all ----


def noisy_monte_carlo(group: CreditGroup) -> list[list[float]]:
    """`monte_carlo` with values that are nothing but noise."""
    noise = [0.25, 1.0, 0.5, 0.75, 0.0, 1.0, 0.25, 0.5]
    samples = [
        replace(sample, values=tuple(noise[place:] + noise[:place]))
        for place, sample in enumerate(group.samples)
    ]
    return monte_carlo_credit(replace(group, group=replace(group.group, samples=tuple(samples))))


@pytest.mark.parametrize(
    "rule",
    [
        partial(parts_credit, prices=RIGHT.priced_lines),
        partial(progress_credit, weight=0.0, dead_end=1.0),
        partial(same_state_credit, weight=0.0, discount=0.9),
        partial(decs_credit, beta=0.0, max_length=100),
        partial(sas_credit, share=0.0),
        partial(swap_credit, weight=0.0),
    ],
)
def test_without_prices_of_its_own_it_is_plain_grpo(rule: Rule) -> None:
    group = credit_group(TEXTS)
    for credit, advantage in zip(credit_of(rule, group), sequence_advantages(group), strict=True):
        assert credit == pytest.approx(advantage, abs=1e-12)


DECS = partial(decs_credit, beta=0.1, max_length=100)
SAS = partial(sas_credit, share=0.3)
SWAP = partial(swap_credit, weight=0.2)


@pytest.mark.parametrize("rule", [PARTS, PROGRESS, SAME_STATE, DECS, SAS, SWAP, noisy_monte_carlo])
@pytest.mark.parametrize("text", TEXTS)
def test_samples_that_took_the_same_steps_get_no_step_credit(rule: Rule, text: str) -> None:
    assert credit_of(rule, credit_group([text] * 4, PRICED)) == [0.0] * 4
