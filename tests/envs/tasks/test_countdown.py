"""Countdown, on examples worked by hand.

Most use the numbers 2, 3, 4 and the target 20. From there one first operation does not end in failure, 2 + 3:
3 - 2, 3 * 2, 4 + 2, 4 - 2, 4 * 2, 4 / 2, 4 + 3, 4 - 3 and 4 * 3 leave pairs that make at most 2 * 12 = 24 and
never 20. From 4 and 5 it is 5 * 4 alone.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import pytest
from pydantic import ValidationError

from envs.base import Demonstration
from envs.check.contract import check_env
from envs.check.oracles import same_target
from envs.grading import Grade
from envs.path import StepError
from envs.problem import Problem, Split
from envs.tasks.countdown import task
from envs.tasks.countdown.search import can_be_reached, operations
from envs.tasks.countdown.task import Countdown, CountdownState, is_new
from envs.trace import StepKind, Verdict, parse_trace, render_trace
from tests.kit.fuzz import mutate
from tests.kit.problems import judge, make_problem

TWENTY = ["3 + 2 = 5", "5 * 4 = 20"]
SIXTY_TWO = ["45 - 39 = 6", "10 * 6 = 60", "60 + 2 = 62"]


def ask(numbers: Sequence[int], target: int, answer: str) -> Problem:
    question = f"Numbers: {', '.join(map(str, numbers))}. Target: {target}"
    size = len(numbers)
    return make_problem("countdown", question, answer, num_full_steps=size - 1, difficulty=size)


def twenty() -> Problem:
    return ask([4, 2, 3], 20, "(3 + 2) * 4")


def sixty_two() -> Problem:
    return ask([2, 39, 45, 10], 62, "10 * (45 - 39) + 2")


def test_the_contract() -> None:
    env = Countdown()
    report = check_env(env, num_problems=150)
    assert report.num_problems == report.num_traces == 600
    assert report.num_near_misses > 50 * 600
    assert report.mean_full_steps == 3.25  # 3, 3, 3 and 4
    assert report.problems_per_s > 1000  # 10,000 and more on a quiet core


@pytest.mark.parametrize(
    "settings",
    [
        {"train": ["3"], "ood_easy": ["3_new"], "ood_hard": ["5_new"], "min_target": 100, "max_target": 999},
        {"train": ["3", "4"], "ood_easy": ["3_new", "4_new"], "max_number": 1000, "max_target": 9999},
        {"train": ["4_new"], "ood_easy": ["4"], "max_number": 10, "min_target": 1, "max_target": 10},
    ],
)
def test_the_contract_holds_for_other_settings(settings: dict[str, object]) -> None:
    check_env(Countdown(settings), num_problems=25)


def test_the_oracle_tells_right_from_wrong() -> None:
    assert same_target(twenty(), judge(twenty(), ["2 + 3 = 5", "4 * 5 = 20"], "4*(3+2)"))
    one = ask([3, 1, 2], 6, "3 * 1 * 2")
    assert same_target(one, judge(one, ["3 / 1 = 3", "3 * 2 = 6"], "3 * 2 / 1"))
    for lines, answer in [
        (TWENTY, "(3 + 2) * 2"),
        (TWENTY, "3 + 2 * 4"),
        (TWENTY, "4 * 5"),
        (TWENTY, "20"),
        (TWENTY, "20 if True else 2 + 3 + 4"),
        (TWENTY, "-2 + 3 + 4"),
        (TWENTY[:1], "(3 + 2) * 4"),
        (["3 + 2 = 6", "5 * 4 = 20"], "(3 + 2) * 4"),
        (["3 + 3 = 5", "5 * 4 = 20"], "(3 + 2) * 4"),
    ]:
        assert not same_target(twenty(), judge(twenty(), lines, answer)), (lines, answer)


# ---- problems ----


def test_full_trace() -> None:
    env = Countdown()
    assert list(env.full_trace(sixty_two())) == SIXTY_TWO
    assert list(env.full_trace(twenty())) == TWENTY
    nested = ask([9, 2, 8, 4, 3], 35, "9 * 8 / (4 - 2) - 3 / 3")
    assert env.full_trace(nested)[:3] == ("9 * 8 = 72", "4 - 2 = 2", "72 / 2 = 36")
    assert env.skipped_trace(twenty(), "any", random.Random(0)) is None


def test_gold_answers_are_whole_positive_and_larger_first() -> None:
    env = Countdown()
    for split in Split:
        for index in range(200):
            problem = env.problem(split, index)
            state = env.start(problem)
            lines = env.full_trace(problem)
            for line in lines:
                left, symbol, right, _, result = line.split(" ")
                assert int(left) >= int(right)
                assert int(result) >= 1
                assert line not in (f"{left} / 1 = {left}", f"{left} - {left} = 0"), symbol
                state = env.advance(state, line)
            assert state == CountdownState((state.target,), state.target)
            assert len(lines) == problem.num_full_steps == problem.difficulty - 1
            assert judge(problem, lines).verified
            # The expression built from the steps is a right answer too, perhaps in another order.
            again = env.answer_from(problem, lines)
            assert again is not None
            assert env.grade_answer(problem, again) is Grade.CORRECT


def test_splits_differ_in_targets_and_size() -> None:
    env = Countdown()
    targets: dict[Split, set[int]] = {}
    sizes: dict[Split, set[int]] = {}
    for split in Split:
        states = [env.start(env.problem(split, index)) for index in range(1500)]
        targets[split] = {state.target for state in states}
        sizes[split] = {len(state.numbers) for state in states}
    seen = {target for target in range(10, 101) if not is_new(target)}
    assert targets[Split.TRAIN] == targets[Split.ID] == targets[Split.OOD_HARD] == seen
    assert targets[Split.OOD_EASY] == set(range(10, 101)) - seen
    assert sizes == {Split.TRAIN: {4}, Split.ID: {4}, Split.OOD_EASY: {4}, Split.OOD_HARD: {5}}


def test_one_target_in_five_is_new() -> None:
    """51 of 256 hash values: 1992 of 10,000, standard deviation 40."""
    assert abs(sum(map(is_new, range(10_000))) - 1992) < 160


def test_the_split_of_stream_of_search() -> None:
    """What its generator holds out with the seed of its script: it shuffles 10 to 100 and takes a tenth."""
    targets = list(range(10, 101))
    random.Random(4).shuffle(targets)
    new = sorted(targets[:9])
    assert new == [14, 39, 41, 57, 62, 81, 87, 89, 96]
    settings = {"max_number": 99, "min_target": 10, "max_target": 100, "draw": "numbers", "new_targets": new}
    env = Countdown(settings)
    for split, bucket in ((Split.TRAIN, "4"), (Split.ID, "4"), (Split.OOD_EASY, "4_new")):
        problems = [env.problem(split, index) for index in range(40)]
        assert {env.bucket(problem) for problem in problems} == {bucket}
        for problem in problems:
            state = env.start(problem)
            assert (state.target in new) is (split is Split.OOD_EASY) and state.numbers[-1] <= 99
            trace = env.check(problem, env.parse(render_trace(env.full_trace(problem), problem.answer)))
            assert trace.verified
    # Half of the numbers from 1 to 99 are above 49, and about as many of those that reach a target.
    drawn = [number for index in range(300) for number in env.start(env.problem(Split.TRAIN, index)).numbers]
    assert 0.4 < sum(number > 49 for number in drawn) / len(drawn) < 0.5


def test_a_problem_has_one_text_so_it_is_in_one_split() -> None:
    """With few numbers and targets, the same ones are drawn often and in any order."""
    env = Countdown({"train": ["3"], "ood_easy": ["3_new"], "max_number": 10, "max_target": 20})
    texts: dict[CountdownState, set[tuple[str, Split]]] = {}
    for split in (Split.TRAIN, Split.ID):
        for index in range(1500):
            problem = env.problem(split, index)
            texts.setdefault(env.start(problem), set()).add((problem.question, split))
    assert len(texts) < 2500  # some of the 3000 are equal
    assert all(len(texts_of_one) == 1 for texts_of_one in texts.values())


def test_numbers_are_shown_in_random_order() -> None:
    """The largest number comes first in a quarter of the problems: 500 of 2000, five sigma."""
    env = Countdown()
    first = 0
    for index in range(2000):
        problem = env.problem(Split.TRAIN, index)
        shown = [int(number) for number in re.findall(r"[0-9]+", problem.question)][:-1]
        first += shown[0] == max(shown)
    assert abs(first - 500) < 110


def test_targets_numbers_and_operations_are_spread_out() -> None:
    env = Countdown()
    targets: Counter[int] = Counter()
    symbols: Counter[str] = Counter()
    numbers: list[int] = []
    sums = 0
    for index in range(3000):
        problem = env.problem(Split.TRAIN, index)
        state = env.start(problem)
        targets[state.target] += 1
        symbols.update(symbol for symbol in problem.answer if symbol in "+-*/")
        numbers += state.numbers
        sums += state.target in signed_sums(state.numbers)
    even = 3000 / len(targets)  # uniform targets, five sigma of a Poisson count
    assert all(abs(count - even) < 5 * even**0.5 for count in targets.values())
    assert set(numbers) == set(range(1, 101))
    assert 25 < sum(numbers) / len(numbers) < 50
    assert min(symbols.values()) > 0.1 * symbols.total()
    # Of 100 solvable problems with four uniform numbers, 34 have a solution with + and - alone.
    assert 0.25 < sums / 3000 < 0.45


def signed_sums(numbers: Sequence[int]) -> set[int]:
    sums = {numbers[0]}
    for number in numbers[1:]:
        sums = {total + number for total in sums} | {abs(total - number) for total in sums}
    return sums


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": ["6"]}, "got the bucket '6'; a bucket is 3, 4 or 5, alone or with _new, such as '4_new'"),
        (
            {"train": ["4-new"]},
            ("got the bucket '4-new'; a bucket is 3, 4 or 5, alone or with _new, such as '4_new'"),
        ),
        ({"ood_hard": ["٤"]}, "got the bucket '٤'; a bucket is 3, 4 or 5, alone or with _new, such as '4_new'"),
        ({"train": ["5"]}, "train and ood_hard share the buckets ['5']; remove them from one of the two"),
        ({"max_merge": 2}, "less than or equal to 1"),
        ({"max_number": 9}, "greater than or equal to 10"),
        ({"min_target": 0}, "greater than or equal to 1"),
        (
            {"min_target": 50, "max_target": 40},
            "bucket '4' has no target from min_target 50 to max_target 40; widen this range",
        ),
        (
            {"min_target": 2, "max_target": 2},
            ("has no target from min_target 2 to max_target 2; widen this range"),
        ),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        Countdown(settings)
    assert message in str(wrong.value)


def test_impossible_targets_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    far = {"train": ["3"], "max_number": 10, "min_target": 2000, "max_target": 2500}
    with pytest.raises(
        ValueError, match=r"^found no 3 numbers up to 10 for targets from 2000 to 2500 in \d+ tries; "
    ):
        Countdown(far).problem(Split.TRAIN, 0)
    # With `draw: numbers` a try searches all that the numbers reach, so the more numbers, the fewer tries.
    assert task._NUMBERS_TRIED[5] < task._NUMBERS_TRIED[4] < task._NUMBERS_TRIED[3]
    monkeypatch.setitem(task._NUMBERS_TRIED, 3, 100)
    far = {**far, "draw": "numbers"}
    with pytest.raises(ValueError, match=r"^found no 3 numbers up to 10 .* in 100 tries; "):
        Countdown(far).problem(Split.TRAIN, 0)


# ---- steps ----


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("45 - 39 = 6", (2, 6, 10)),
        ("39 + 2 = 41", (10, 41, 45)),
        ("2 + 39 = 41", (10, 41, 45)),  # both orders of a sum
        ("10 / 2 = 5", (5, 39, 45)),
        ("39 * 45 = 1755", (2, 10, 1755)),
        ("left: 2, 10, 39, 45", (2, 10, 39, 45)),
    ],
)
def test_steps(line: str, left: tuple[int, ...]) -> None:
    env = Countdown()
    assert env.advance(env.start(sixty_two()), line) == CountdownState(left, 62)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("45 - 39 = 7", "result should be 6"),
        ("45 - 39 = 0", "result should be 6"),
        ("45 + 3 = 48", "3 is not among the numbers"),
        ("62 + 2 = 64", "62 is not among the numbers"),  # the target is not one of them
        ("45 + 45 = 90", "45 occurs only once"),
        ("39 - 45 = 6", "39 - 45 is not a positive number"),
        ("39 / 2 = 19", "39 / 2 is not exact"),
        ("2 / 10 = 5", "2 / 10 is not exact"),
        ("left: 2, 10, 39", "should be 'left: 2, 10, 39, 45'"),
        ("left: 2, 39, 45, 10", "should be 'left: 2, 10, 39, 45'"),
        ("left: 2,10,39,45", "should be 'left: 2, 10, 39, 45'"),
        ("left: ", "should be 'left: 2, 10, 39, 45'"),
        ("Left: 2, 10, 39, 45", "not an operation"),
        ("39 - 45 = -6", "not an operation"),
        ("45 - 39 = 06", "not an operation"),
        ("045 - 39 = 6", "not an operation"),
        ("+45 - 39 = 6", "not an operation"),
        ("45-39=6", "not an operation"),
        ("45 - 39 = 6 ", "not an operation"),
        ("45 - 39 = 6\r", "not an operation"),
        ("45 - 39 = 6.0", "not an operation"),
        ("45 - 39 = 6 # 7", "not an operation"),
        ("0x2d - 39 = 6", "not an operation"),
        ("4_5 - 39 = 6", "not an operation"),
        ("٤٥ - 39 = 6", "not an operation"),
        ("45 − 39 = 6", "not an operation"),
        ("39 × 45 = 1755", "not an operation"),
        ("45 ** 2 = 2025", "not an operation"),
        ("45 // 10 = 4", "not an operation"),
        ("45 - 39 - 2 = 4", "not an operation"),
        ("10 * (45 - 39) = 60", "not an operation"),
        ("10 + 2", "not an operation"),
        ("9" * 17 + " + 2 = 5", "not an operation"),
        ("9" * 9000, "not an operation"),
        ("", "not an operation"),
    ],
)
def test_refused_steps(line: str, reason: str) -> None:
    env = Countdown()
    with pytest.raises(StepError) as refused:
        env.advance(env.start(sixty_two()), line)
    assert str(refused.value) == reason


def test_equal_numbers_are_two_numbers() -> None:
    env = Countdown()
    state = env.start(ask([5, 5, 5], 5, "5 + 5 - 5"))
    assert env.advance(state, "5 / 5 = 1").numbers == (1, 5)
    with pytest.raises(StepError, match=r"^5 - 5 is not a positive number$"):
        env.advance(state, "5 - 5 = 0")
    with pytest.raises(StepError, match=r"^5 occurs only once$"):
        env.advance(env.advance(state, "5 + 5 = 10"), "5 + 5 = 10")


def test_only_a_note_may_follow_the_last_number() -> None:
    env = Countdown()
    state = CountdownState((20,), 20)
    assert env.finished(env.advance(state, "left: 20"))
    with pytest.raises(StepError, match=r"^20 occurs only once$"):
        env.advance(state, "20 + 20 = 40")
    assert not env.finished(CountdownState((24,), 20))
    assert not env.finished(CountdownState((5, 20), 20))  # every number has to be used


@pytest.mark.parametrize(
    ("numbers", "target", "solvable"),
    [
        ((20,), 20, True),
        ((24,), 20, False),
        ((4, 5), 20, True),
        ((4, 5), 1, True),
        ((4, 5), 9, True),
        ((4, 8), 2, True),
        ((4, 6), 20, False),
        ((5, 5, 7), 7, True),  # 5 / 5 * 7
        ((2, 3, 4), 20, True),
        ((2, 3, 4), 21, False),  # 3 * (3 + 4) would take the 3 twice
        ((3, 3, 8, 8), 24, False),  # 8 / (3 - 8 / 3) passes through fractions
        ((1, 5, 5, 5), 24, False),  # so does 5 * (5 - 1 / 5)
        ((4, 4, 10, 10), 24, True),  # (10 * 10 - 4) / 4
    ],
)
def test_solvable(numbers: tuple[int, ...], target: int, solvable: bool) -> None:
    assert Countdown().solvable(CountdownState(numbers, target)) is solvable


def test_reachability_agrees_with_a_search_over_sets() -> None:
    def results(numbers: tuple[int, ...]) -> set[int]:
        """Every reachable value, by splitting the numbers in two in all ways instead of step by step."""
        if len(numbers) == 1:
            return set(numbers)
        made: set[int] = set()
        places = range(len(numbers))
        for size in range(1, len(numbers)):
            for chosen in combinations(places, size):
                rest = tuple(numbers[i] for i in places if i not in chosen)
                for a in results(tuple(numbers[i] for i in chosen)):
                    for b in results(rest):
                        made |= (
                            {a + b, a * b} | ({a - b} if a > b else set()) | ({a // b} if a % b == 0 else set())
                        )
        return made

    rng = random.Random(0)
    for _ in range(12):
        numbers = tuple(sorted(rng.randint(1, 25) for _ in range(4)))
        values = results(numbers)
        assert {t for t in range(1, 200) if can_be_reached(t, numbers)} == {v for v in values if v < 200}


def test_five_numbers_are_searched_fast() -> None:
    rng = random.Random(1)
    start = time.process_time()
    for _ in range(20):
        can_be_reached(9973, tuple(sorted(rng.randint(1, 9) for _ in range(5))))  # none is reachable
    assert time.process_time() - start < 4  # 15 ms each on a quiet core


# ---- whole traces ----


@pytest.mark.parametrize(
    ("lines", "verified"),
    [
        (TWENTY, True),
        (["left: 2, 3, 4", "2 + 3 = 5", "left: 4, 5", "left: 4, 5", "4 * 5 = 20", "left: 20"], True),
        (TWENTY[:1], False),
        (TWENTY[1:], False),
        ([], False),
        (["left: 2, 3, 4"], False),
        (["3 * 2 = 6", "6 + 4 = 10"], False),
        (["3 * 2 = 6", "6 + 4 = 10", "<backtrack> 0", *TWENTY], True),
        (["3 + 2 = 6", *TWENTY], False),  # an invalid line that is not taken back
        (["3 + 2 = 6", "<backtrack>", *TWENTY], True),
        ([*TWENTY, "20 * 1 = 20"], False),
        (["<backtrack> 0", *TWENTY], False),  # no earlier step
        (["left: 4, 5", *TWENTY], False),
    ],
)
def test_verified_traces(lines: list[str], verified: bool) -> None:
    trace = judge(twenty(), lines)
    assert trace.correct
    assert trace.verified is verified


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        # A dead end, taken back at once or after it has failed.
        (["3 * 2 = 6", "<backtrack> 0", *TWENTY], [(1, 1, True, True)]),
        (["3 * 2 = 6", "6 + 4 = 10", "<backtrack> 0", *TWENTY], [(2, 2, True, True)]),
        (["3 + 2 = 5", "5 + 4 = 9", "<backtrack> 1", "5 * 4 = 20"], [(2, 1, True, True)]),
        # Step by step, and at once.
        (
            ["3 * 2 = 6", "6 + 4 = 10", "<backtrack> 1", "6 - 4 = 2", "<backtrack> 0", *TWENTY],
            [(2, 1, True, True), (4, 2, True, True)],
        ),
        (
            ["3 * 2 = 6", "6 + 4 = 10", "<backtrack>", "<backtrack>", *TWENTY],
            [(2, 1, False, True), (3, 1, True, True)],
        ),
        # Too far back: 3 + 2 could have led to 20, so leaving it was needless, and returning to it is fake.
        (["3 + 2 = 5", "5 + 4 = 9", "<backtrack> 0", *TWENTY], [(2, 2, False, False)]),
        (
            ["3 + 2 = 5", "5 + 4 = 9", "<backtrack> 0", "3 * 2 = 6", "<backtrack>", *TWENTY],
            [(2, 2, True, False), (4, 1, True, True)],
        ),
        # The same operation with swapped operands is no other branch, nor is one with the same result.
        (["3 + 2 = 5", "5 + 4 = 9", "<backtrack> 0", "2 + 3 = 5", "5 * 4 = 20"], [(2, 2, False, False)]),
        (
            ["4 - 2 = 2", "<backtrack>", "4 / 2 = 2", "<backtrack>", *TWENTY],
            [(1, 1, False, True), (3, 1, True, True)],
        ),
        # An invalid line before a dead end does not hide it: its second visit is recognised.
        (
            ["3 + 2 = 6", "3 * 2 = 6", "<backtrack> 0", "3 * 2 = 6", "<backtrack> 0", *TWENTY],
            [(2, 2, False, True), (4, 1, True, True)],
        ),
        # A valid line does not hide it either: 5 + 4 is left as a dead end and visited again.
        (
            [
                *("3 + 2 = 5", "5 + 4 = 9", "<backtrack> 0"),
                *("3 + 2 = 5", "5 - 4 = 1", "<backtrack>", "5 + 4 = 9", "<backtrack>", "5 * 4 = 20"),
            ],
            [(2, 2, False, False), (5, 1, False, True), (7, 1, True, True)],
        ),
        # A branch that leads to the target is left.
        (["3 + 2 = 5", "<backtrack>", *TWENTY], [(1, 1, False, False)]),
        ([*TWENTY, "<backtrack> 0", *TWENTY], [(2, 2, False, False)]),
        # The same dead end again, then another.
        (
            ["3 * 2 = 6", "<backtrack>", "3 * 2 = 6", "<backtrack>", *TWENTY],
            [(1, 1, False, True), (3, 1, True, True)],
        ),
        # From one dead end to another and back to the first, which is known by then.
        (
            ["3 * 2 = 6", "<backtrack>", "4 * 2 = 8", "<backtrack>", "3 * 2 = 6", "<backtrack> 0", *TWENTY],
            [(1, 1, True, True), (3, 1, False, True), (5, 1, True, True)],
        ),
        # Invalid lines: leaving one is needed; one in between is no branch.
        (["3 + 2 = 6", "<backtrack>", *TWENTY], [(1, 1, True, True)]),
        (["5 + 4 = 9", "<backtrack>", *TWENTY], [(1, 1, True, True)]),
        (
            ["3 * 2 = 6", "<backtrack>", "3 + 2 = 7", "<backtrack>", *TWENTY],
            [(1, 1, False, True), (3, 1, True, True)],
        ),
        # Only the valid line is taken back: the invalid one stays, and the valid one could have led to the end.
        (["3 + 2 = 6", "3 + 2 = 5", "<backtrack> 1", *TWENTY], [(2, 1, False, False)]),
    ],
)
def test_judgement_of_backtracks(lines: list[str], found: list[tuple[int, int, bool, bool]]) -> None:
    trace = judge(twenty(), lines)
    assert list(trace.backtracks) == found
    assert trace.finished


# ---- answers ----


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        ("10 * (45 - 39) + 2", Grade.CORRECT),
        ("2+(45-39)*10", Grade.CORRECT),
        ("((2) + ((45 - 39) * (10)))", Grade.CORRECT),
        ("10  *(45  -39)+  2", Grade.CORRECT),
        ("2 - 10 * (39 - 45)", Grade.CORRECT),  # right by its value; an intermediate result is -6
        ("10 * (45 - 39) - 2", Grade.WRONG),
        ("10 * 45 - 39 + 2", Grade.WRONG),
        ("62", Grade.WRONG),
        ("62 + 2 * (45 - 39 - 10)", Grade.WRONG),
        ("45 + 10 + 2 + 5", Grade.WRONG),  # 62, with a number that is not given
        ("39 + 10 + 2 + 10 + 1", Grade.WRONG),
        ("60 + 2", Grade.WRONG),
        ("10 * (45 - 39) + 2 * 45 / 45", Grade.WRONG),  # a number used three times
        ("10 * (45 - 39) + 2 + 2 - 2", Grade.WRONG),
        ("1 * 0 * (45 - 39 + 2) + 62", Grade.WRONG),
        ("0 * (2 + 39 + 45 + 10) + 62", Grade.WRONG),
        ("2 / (39 - 39) + 45 * 10", Grade.MALFORMED),  # divides by zero
        # Tricks that fooled other graders: hexadecimal, comments, conditions, powers, joined digits.
        ("0x0*(2+39+45+10)+0x3e", Grade.MALFORMED),
        ("0x3e # 2 39 45 10", Grade.MALFORMED),
        ("62 # 2 39 45 10", Grade.MALFORMED),
        ("62 if True else 2 + 39 + 45 + 10", Grade.MALFORMED),
        ("62 or 2 + 39 + 45 + 10", Grade.MALFORMED),
        ("10 * (45 - 39) + 2.0", Grade.MALFORMED),
        ("10. * (45 - 39) + 2", Grade.MALFORMED),
        ("1e1 * (45 - 39) + 2", Grade.MALFORMED),
        ("4 5 - 39", Grade.MALFORMED),
        ("10 2 + 45 39", Grade.MALFORMED),
        ("10(45 - 39) + 2", Grade.MALFORMED),
        ("010 * (45 - 39) + 2", Grade.MALFORMED),
        ("1_0 * (45 - 39) + 2", Grade.MALFORMED),
        ("10 ** 2 + 45 - 39", Grade.MALFORMED),
        ("10 ^ 2 + 45 - 39", Grade.MALFORMED),
        ("9**9**9**9", Grade.MALFORMED),
        ("45 // 39 + 10 + 2", Grade.MALFORMED),
        ("-2 + 10 * (45 - 39)", Grade.MALFORMED),
        ("10 * (-39 + 45) + 2", Grade.MALFORMED),
        ("10 * (45 - 39) + +2", Grade.MALFORMED),
        ("10 * (45 - 39) + --2", Grade.MALFORMED),
        ("10 * (45 - 39) + 2 = 62", Grade.MALFORMED),
        ("10 × (45 − 39) + 2", Grade.MALFORMED),
        ("[10, 45, 39, 2]", Grade.MALFORMED),
        ("(10, 45, 39, 2)", Grade.MALFORMED),
        ("10 * (45 - 39 + 2", Grade.MALFORMED),
        ("10 * 45 - 39) + 2", Grade.MALFORMED),
        ("10 * () + 2", Grade.MALFORMED),
        ("nan", Grade.MALFORMED),
        (" 10 * (45 - 39) + 2", Grade.MALFORMED),
        ("10 * (45 - 39) + 2 ", Grade.MALFORMED),
        ("", Grade.MALFORMED),
        (" ", Grade.MALFORMED),
        ("__import__('os').getpid()", Grade.MALFORMED),
        ("(" * 1990, Grade.MALFORMED),
        ("45 - 39 + " * 190 + "2", Grade.MALFORMED),  # over the bound, otherwise well-formed
        # Texts that do not reach the grader.
        ("١٠ * (45 - 39) + 2", Grade.REFUSED),
        ("10 * (45 - 39) + ２", Grade.REFUSED),
        ("10 * (45 - 39) + 2\x00", Grade.REFUSED),
        ("10 * (45\u200b - 39) + 2", Grade.REFUSED),
        ("10 * (45 - 39) + 2" + " " * 2000, Grade.REFUSED),
    ],
)
def test_answers(answer: str, grade: Grade) -> None:
    trace = judge(sixty_two(), SIXTY_TWO, answer)
    assert trace.grade is grade
    assert trace.verified is (grade is Grade.CORRECT)


@pytest.mark.parametrize(
    ("numbers", "target", "answer", "grade"),
    [
        ([3, 4, 2], 6, "3 / 2 * 4", Grade.CORRECT),  # right by its value; an intermediate result is 3/2
        ([3, 4, 2], 6, "3 * 4 / 2", Grade.CORRECT),
        ([3, 3, 8, 8], 24, "8 / (3 - 8 / 3)", Grade.CORRECT),
        ([5, 5, 5], 5, "5 + 5 - 5", Grade.CORRECT),
        ([5, 5, 5], 5, "5", Grade.WRONG),
        ([5, 5, 5], 5, "5 * 5 / 5 + 5 - 5", Grade.WRONG),
        ([1, 2, 4], 24, "24", Grade.WRONG),
        ([1, 2, 4], 24, "(1 * 2) 4", Grade.MALFORMED),
        ([24, 1, 1], 24, "24 if True else 1 + 1", Grade.MALFORMED),
        ([2, 12, 34], 24, "12 34", Grade.MALFORMED),
        ([10, 3, 1], 3, "10 / 3", Grade.WRONG),  # exact arithmetic, and the 1 is left out
        ([10, 3, 3], 10, "10 / 3 * 3", Grade.CORRECT),
    ],
)
def test_answers_to_other_numbers(numbers: list[int], target: int, answer: str, grade: Grade) -> None:
    assert Countdown().grade_answer(ask(numbers, target, ""), answer) is grade


def test_mutated_texts_are_graded_as_by_the_oracle_and_fast() -> None:
    env = Countdown()
    rng = random.Random(0)
    problems = [env.problem(Split.TRAIN, index) for index in range(300)]
    texts = [problem.answer for problem in problems] + [
        "0x3e # 2",
        "(" * 500,
        "9" * 3000,
        "٣",
        "1e9",
        "**",
        "\x00",
    ]
    right = num_wrong = 0
    worst_s = 0.0
    for problem in problems:
        for _ in range(8):
            answer = mutate(problem.answer, texts, rng)
            trace = parse_trace(render_trace(env.full_trace(problem), answer))
            start = time.process_time()
            trace = env.check(problem, trace)
            worst_s = max(worst_s, time.process_time() - start)
            if trace.correct:
                right += 1
                assert same_target(problem, trace), answer
            else:
                num_wrong += 1
                assert trace.grade in (Grade.WRONG, Grade.MALFORMED, Grade.REFUSED)
            line = mutate(env.full_trace(problem)[0], [*texts, "left: 1, 2"], rng)
            judged = env.check(problem, parse_trace(line))
            assert all(step.verdict is not Verdict.UNCHECKED for step in judged.steps)
    assert right > 20
    assert num_wrong > 1500
    assert worst_s < 1.0


# ---- detours ----


@pytest.mark.parametrize("kind", Countdown.error_kinds)
@pytest.mark.parametrize("num_errors", [1, 2, 3])
def test_detours_of_one_kind(kind: str, num_errors: int) -> None:
    env = Countdown()
    for index in range(80):
        problem = env.problem(Split.TRAIN if index % 4 else Split.OOD_HARD, index)
        demonstration = env.detour_trace(problem, [kind] * num_errors, random.Random(index))
        assert demonstration is not None
        check_detours(problem, demonstration, Counter({kind: num_errors}))


def check_detours(problem: Problem, demonstration: Demonstration, kinds: Counter[str]) -> None:
    """Check one demonstration against the docstring of `detour_trace`."""
    env = Countdown()
    trace = judge(problem, demonstration.lines)
    full = env.full_trace(problem)
    assert trace.verified
    assert (
        len(trace.backtracks)
        == trace.num_backtracks
        == trace.real_backtracks
        == len(demonstration.wrong)
        == kinds.total()
    )
    assert all(backtrack.needed for backtrack in trace.backtracks)
    kept = [step.text for step in trace.steps if step.kind is StepKind.FORWARD and not step.undone]
    assert tuple(kept) == full
    # The lines from each wrong line to its backtrack.
    turns: list[tuple[int, str]] = []
    found: Counter[str] = Counter()
    ends = {backtrack.step: backtrack for backtrack in trace.backtracks}
    for start in sorted(demonstration.wrong):
        end = next(i for i in range(start, len(trace.steps)) if i in ends)
        assert ends[end].num_undone == end - start
        steps = trace.steps[start:end]
        at = sum(step.kind is StepKind.FORWARD and not step.undone for step in trace.steps[:start])
        turns.append((at, steps[0].text))
        state = env.start(problem)
        for line in full[:at]:
            state = env.advance(state, line)
        if steps[0].verdict is Verdict.VALID:
            found["exploration"] += 1
            assert trace.steps[end].target == at
            for step in steps:
                state = env.advance(state, step.text)
                assert not env.solvable(state)
            assert len(state.numbers) == 1
        else:
            found["computation" if steps[0].reason.startswith("result should be ") else "rule"] += 1
            assert steps[0].reason.startswith("result should be ") or steps[0].reason.endswith(
                " is not among the numbers"
            )
            assert len(steps) == 1
            assert trace.steps[end].text == "<backtrack>"
    assert found == kinds
    assert len(set(turns)) == len(turns)


def test_detours_of_mixed_kinds_are_distinguishable() -> None:
    env = Countdown()
    errors = ["rule", "exploration", "computation", "exploration", "exploration"]
    places: Counter[int] = Counter()
    for index in range(60):
        problem = env.problem(Split.TRAIN, index)
        demonstration = env.detour_trace(problem, errors, random.Random(index))
        assert demonstration is not None
        check_detours(problem, demonstration, Counter(errors))
        targets = [line.split(" ")[1] for line in demonstration.lines if line.startswith("<backtrack> ")]
        places.update(map(int, targets))
    assert set(places) == {0, 1, 2}


def test_a_rule_error_takes_a_used_up_number_if_there_is_one() -> None:
    """After 45 - 39 = 6 the numbers 39 and 45 are used up; at the start none is."""
    env = Countdown()
    seen: set[int] = set()
    for seed in range(200):
        demonstration = env.detour_trace(sixty_two(), ["rule"], random.Random(seed))
        assert demonstration is not None
        (at,) = demonstration.wrong
        if at == 1:
            left, _, right, *_ = demonstration.lines[at].split(" ")
            seen |= {int(left), int(right)} - {2, 6, 10}
    assert seen == {39, 45}


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_false_results_in_the_last_line_may_be_the_target(share: float) -> None:
    """With 60 and 2 left, 62 is the target: stated for three of four operations, it is false."""
    env = Countdown({"target_slips": share})
    stated = []
    for seed in range(300):
        demonstration = env.detour_trace(sixty_two(), ["computation"], random.Random(seed))
        assert demonstration is not None
        check_detours(sixty_two(), demonstration, Counter(computation=1))
        if demonstration.wrong == {2}:
            operation, _, result = demonstration.lines[2].partition(" = ")
            stated += [result] * (operation != "60 + 2")
    assert len(stated) > 50
    assert stated.count("62") / len(stated) == pytest.approx(share, abs=0.13 if 0 < share < 1 else 0)


def test_detours_depend_only_on_the_generator() -> None:
    one, two = Countdown(), Countdown()
    kinds = ["exploration", "computation"]
    demonstrations = [one.detour_trace(sixty_two(), kinds, random.Random(seed)) for seed in range(20)]
    assert demonstrations == [two.detour_trace(sixty_two(), kinds, random.Random(seed)) for seed in range(20)]
    assert len({demonstration.lines for demonstration in demonstrations if demonstration}) > 15


def test_no_detour_without_room() -> None:
    """2, 3, 4 to 20: two lines, eight dead ends at first (4 / 2 and 4 - 2 are one), two after 3 + 2."""
    env = Countdown()
    rng = random.Random(0)
    assert env.detour_trace(twenty(), ["rule", "computation", "rule"], rng) is None
    assert env.detour_trace(twenty(), ["exploration"] * 11, rng) is None
    most = env.detour_trace(twenty(), ["exploration"] * 10 + ["rule", "computation"], rng)
    assert most is not None
    check_detours(twenty(), most, Counter(exploration=10, rule=1, computation=1))
    none = env.detour_trace(twenty(), [], rng)
    assert none == Demonstration(lines=tuple(TWENTY))


def test_an_unknown_error_kind_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^unknown error kinds \['typo'\]; known: exploration, computation, rule$"
    ):
        Countdown().detour_trace(twenty(), ["rule", "typo"], random.Random(0))


# ---- search and padding ----


def test_search_trace_by_hand() -> None:
    """Smallest sum first: 4 - 3 leaves 1, 2 (3), 3 - 2 leaves 1, 4 (5), 4 - 2 leaves 2, 3 (5).

    4 / 2 leaves 2, 3 as well, which has failed. Of those that leave a sum of 9, 3 + 2 comes first.
    """
    lines = (
        *("4 - 3 = 1", "2 + 1 = 3", "<backtrack> 0"),
        *("3 - 2 = 1", "4 + 1 = 5", "<backtrack> 0"),
        *("4 - 2 = 2", "3 * 2 = 6", "<backtrack> 0"),
        *("3 + 2 = 5", "5 * 4 = 20"),
    )
    assert Countdown().search_trace(twenty(), random.Random(0)) == Demonstration(
        lines=lines, answer="(3 + 2) * 4"
    )
    assert Countdown({"max_search_lines": 11}).search_trace(twenty(), random.Random(0)) is not None
    assert Countdown({"max_search_lines": 10}).search_trace(twenty(), random.Random(0)) is None


@pytest.mark.parametrize(("split", "least_found"), [(Split.TRAIN, 0.65), (Split.OOD_HARD, 0.3)])
def test_search_traces(split: Split, least_found: float) -> None:
    env = Countdown()
    found = num_backtracks = 0
    for index in range(200):
        problem = env.problem(split, index)
        demonstration = env.search_trace(problem, random.Random(0))
        if demonstration is None:
            continue
        found += 1
        assert len(demonstration.lines) <= 60
        assert not demonstration.wrong
        answer = env.answer_from(problem, demonstration.lines)
        assert answer is not None
        trace = judge(problem, demonstration.lines, answer)
        assert trace.verified
        assert trace.num_invalid == 0
        assert trace.real_backtracks == trace.num_backtracks == len(trace.backtracks)
        assert all(backtrack.needed for backtrack in trace.backtracks)
        num_backtracks += trace.num_backtracks
    assert found > least_found * 200
    assert num_backtracks > 2 * found


def test_an_unbounded_search_always_succeeds() -> None:
    env = Countdown({"max_search_lines": 10_000})
    for index in range(60):
        problem = env.problem(Split.TRAIN, index)
        demonstration = env.search_trace(problem, random.Random(0))
        assert demonstration is not None
        trace = judge(problem, demonstration.lines)
        assert trace.verified
        assert all(backtrack.needed and backtrack.real for backtrack in trace.backtracks)


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (SIXTY_TWO, "10 * (45 - 39) + 2"),
        (
            ["left: 2, 10, 39, 45", "45 - 39 = 6", "2 + 6 = 8", "<backtrack>", "6 * 10 = 60", "2 + 60 = 62"],
            "10 * (45 - 39) + 2",
        ),
        (["45 - 39 = 7", *SIXTY_TWO], "10 * (45 - 39) + 2"),
        (["45 + 39 = 84", "84 + 10 = 94", "94 + 2 = 96"], "45 + 39 + 10 + 2"),
        (SIXTY_TWO[:2], None),
        ([], None),
    ],
)
def test_answer_from(lines: list[str], answer: str | None) -> None:
    assert Countdown().answer_from(sixty_two(), lines) == answer


def test_padded_traces() -> None:
    env = Countdown()
    for index, split in enumerate((Split.TRAIN, Split.ID, Split.OOD_HARD)):
        problem = env.problem(split, index)
        full = env.full_trace(problem)
        for num_lines in range(len(full), 30):
            demonstration = env.padded_trace(problem, num_lines, random.Random(num_lines))
            assert demonstration is not None
            trace = judge(problem, demonstration.lines)
            assert trace.verified
            assert (trace.num_steps, trace.num_backtracks) == (num_lines, 0)
            assert [line for line in demonstration.lines if not line.startswith("left: ")] == list(full)
            assert not demonstration.wrong
        assert env.padded_trace(problem, len(full) - 1, random.Random(0)) is None


def test_padding_is_spread_evenly_and_random() -> None:
    env = Countdown()
    whole = ("left: 2, 3, 4", TWENTY[0], "left: 4, 5", TWENTY[1], "left: 20")
    assert env.padded_trace(twenty(), 5, random.Random(0)) == Demonstration(lines=whole)
    ones = {env.padded_trace(twenty(), 3, random.Random(seed)) for seed in range(30)}
    assert {demonstration.lines for demonstration in ones if demonstration} == {
        (whole[0], *TWENTY),
        (TWENTY[0], whole[2], TWENTY[1]),
        (*TWENTY, whole[4]),
    }


def test_operations_have_distinct_outcomes() -> None:
    lines = [operation.line for operation in operations((1, 4, 4))]
    assert lines == ["4 + 1 = 5", "4 - 1 = 3", "4 * 1 = 4", "4 + 4 = 8", "4 * 4 = 16", "4 / 4 = 1"]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        # 4 - 3 leaves 1 and 2: a dead end. A line that changes nothing does not make the same branch another.
        (
            ["4 - 3 = 1", "<backtrack>", "left: 2, 3, 4", "4 - 3 = 1", "<backtrack> 1"],
            [(False, True), (False, True)],
        ),
        # Taking back only such a line leaves no branch.
        (["left: 2, 3, 4", "<backtrack>", *TWENTY], [(False, False)]),
        # After such a line, the branch starts at the first line that changes something.
        (["left: 2, 3, 4", "4 - 3 = 1", "<backtrack> 0", *TWENTY], [(True, True)]),
    ],
)
def test_lines_without_effect_start_no_branch(lines: list[str], found: list[tuple[bool, bool]]) -> None:
    trace = judge(twenty(), lines)
    assert [(backtrack.real, backtrack.needed) for backtrack in trace.backtracks] == found
