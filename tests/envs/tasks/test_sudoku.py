"""Sudoku, on a board worked by hand.

Most use this board, of boxes 2 by 2:

    ..3.
    ..41
    1324
    .4.3

In row 4 the digits 1 and 2 are missing, and column 1 has a 1: 2 on the left, 1 in the middle. Column 1 then
lacks 3 and 4, and row 1 has a 3: 4 above, 3 below. Row 2 is left with a 2, so row 1 has 1 and then 2. Row by
row, if the cells before are right, r1c1 may have 2 or 4, r1c2 1 or 2, r2c1 2 or 3, and every other one digit.
So there are three wrong digits to place on the way: 2, 2 and 2, the second of them above the right one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, permutations

import pytest
from pydantic import ValidationError

from envs.base import Demonstration
from envs.check.contract import check_env
from envs.grading import Grade
from envs.path import StepError
from envs.problem import Problem, Split
from envs.tasks.sudoku.board import BOXES, MOST_EMPTY, dig, draw_puzzle, read_puzzle, solutions, write_question
from envs.tasks.sudoku.steps import SudokuState
from envs.tasks.sudoku.task import Sudoku
from envs.trace import StepKind, Verdict, parse_trace, render_trace
from tests.kit.fuzz import mutate
from tests.kit.problems import judge, make_problem, refusal

QUESTION = "Sudoku, boxes 2x2:\n..3.\n..41\n1324\n.4.3"
ANSWER = "4132 3241 1324 2413"
FULL = [
    "r1c1: 124, 234, 1234, 24 > 4",
    "r1c2: 12, 12, 123, 12 > 1",
    "r1c4: 2, 2, 2, 2 > 2",
    "r2c1: 23, 23, 23, 23 > 3",
    "r2c2: 2, 2, 2, 2 > 2",
    "r4c1: 12, 2, 2, 2 > 2",
    "r4c3: 1, 1, 1, 1 > 1",
]
# After a 2 in r1c1 its box lacks 1, 3 and 4, and r1c2 gets a 1. Then row 1 lacks a 4, but column 4 and the box
# of r1c4 lack only a 2.
TWO = "r1c1: 124, 234, 1234, 24 > 2"
ONE = "r1c2: 14, 12, 134, 1 > 1"
END = "r1c4: 4, 2, 2, none"
FIRST = [TWO, ONE, END]
# After a 2 in r1c2 row 1 lacks a 1, which column 4 already has.
SECOND = ["r1c2: 12, 12, 123, 12 > 2", "r1c4: 1, 2, 2, none"]
# After a 2 in r2c1 row 2 lacks a 3, which column 2 already has.
THIRD = ["r2c1: 23, 23, 23, 23 > 2", "r2c2: 3, 2, 3, none"]
BOTH = (*FIRST, "<backtrack> 0", *FULL[:3], *THIRD, "<backtrack> 3", *FULL[3:])
LOOK = "see r4c1: 12, 234, 2, 2"

SMALL = {"train": ["4_9-11"], "ood_easy": ["4_4-8"], "ood_hard": ["6_12-16"]}
SIX = {"train": ["6_15-20"], "ood_easy": ["6_8-14", "4_11-11"], "ood_hard": ["6_21-25"]}
SHORT = {**SMALL, "question": "cells", "stated": "untried"}
DEEP = {"train": ["9_20-25"], "ood_easy": ["9_1-3"], "ood_hard": ["9_51-55"], "detour_digits": "any"}


def ask(question: str, answer: str) -> Problem:
    num_empty = read_puzzle(question).givens.count(0)
    return make_problem("sudoku", question, answer, num_full_steps=num_empty, difficulty=num_empty)


def seven() -> Problem:
    return ask(QUESTION, ANSWER)


def after(lines: Sequence[str]) -> SudokuState:
    env = Sudoku()
    state = env.start(seven())
    for line in lines:
        state = env.advance(state, line)
    return state


@pytest.mark.slow
def test_the_contract() -> None:
    env = Sudoku()
    report = check_env(env, num_problems=8)
    assert report.num_problems == report.num_traces == 32
    assert report.num_near_misses > 100 * 32
    assert 35 < report.mean_full_steps < 45  # 35, 35, 43 and 48 in the middle
    assert report.problems_per_s > 20  # 400 on a quiet core


@pytest.mark.parametrize("settings", [SMALL, SIX, SHORT, DEEP])
def test_the_contract_holds_for_other_settings(settings: dict[str, object]) -> None:
    check_env(Sudoku(settings), num_problems=6 if settings is DEEP else 25)


# ---- problems ----


def test_full_trace() -> None:
    env = Sudoku()
    assert list(env.full_trace(seven())) == FULL
    assert judge(seven(), FULL).verified
    assert env.skipped_trace(seven(), "any", random.Random(0)) is None


def test_a_question_may_list_the_given_cells() -> None:
    puzzle = read_puzzle(QUESTION)
    listed = write_question(4, puzzle.givens, listed=True)
    assert listed == (
        "Sudoku, boxes 2x2:\nr1c3: 3\nr2c3: 4\nr2c4: 1\nr3c1: 1\nr3c2: 3\nr3c3: 2\nr3c4: 4\nr4c2: 4\nr4c4: 3"
    )
    assert read_puzzle(listed) == puzzle
    problem = ask(listed, ANSWER)
    assert Sudoku().full_trace(problem) == tuple(FULL)
    env = Sudoku({**SIX, "question": "cells"})
    for split in Split:
        drawn = env.problem(split, 3)
        found = read_puzzle(drawn.question)
        assert write_question(found.side, found.givens, listed=True) == drawn.question
        assert found.givens.count(0) == drawn.num_full_steps


def test_full_boards_can_be_held_out() -> None:
    env = Sudoku({"train": ["4_9-11"], "ood_easy": ["4new_9-11"], "ood_hard": ["6_8-9"]})
    problems = {split: [env.problem(split, index) for index in range(120)] for split in Split}
    answers = {split: {problem.answer for problem in problems[split]} for split in Split}
    assert not (answers[Split.TRAIN] | answers[Split.ID]) & answers[Split.OOD_EASY]
    assert 50 < len(answers[Split.OOD_EASY]) < 90  # of the 93 that the hash holds out of 288
    assert answers[Split.TRAIN] & answers[Split.ID]
    for split in Split:
        assert {env.bucket(problem) for problem in problems[split]} == set(env.settings.buckets(split))


def test_splits_differ_in_the_number_of_empty_cells() -> None:
    env = Sudoku()
    found = {split: {env.problem(split, index).question.count(".") for index in range(60)} for split in Split}
    assert found[Split.TRAIN] | found[Split.ID] == set(range(30, 41))
    assert found[Split.OOD_EASY] == set(range(41, 46))
    assert found[Split.OOD_HARD] == set(range(46, 51))


@pytest.mark.parametrize("settings", [SMALL, SIX, DEEP])
def test_an_independent_search_finds_exactly_one_solution(settings: dict[str, object]) -> None:
    env = Sudoku(settings)
    for split in Split:
        for index in range(4):
            problem = env.problem(split, index)
            rows = problem.question.split("\n")[1:]
            height, width = BOXES[len(rows)]
            assert problem.question.startswith(f"Sudoku, boxes {height}x{width}:\n")
            found = list(islice(fill(rows, height, width), 2))
            assert [" ".join(board) for board in found] == [problem.answer]
            assert "".join(rows).count(".") == problem.num_full_steps == problem.difficulty
            assert env.bucket(problem) in env.settings.buckets(split)


def fill(rows: Sequence[str], height: int, width: int) -> Iterator[list[str]]:
    """All solutions of a board: try every possible digit in the first cell with the fewest of them."""
    options = {}
    for r, row in enumerate(rows):
        for c, there in enumerate(row):
            if there == ".":
                options[r, c] = sorted(set("123456789"[: len(rows)]) - near(rows, r, c, height, width))
    if not options:
        yield list(rows)
        return
    r, c = min(options, key=lambda place: len(options[place]))
    for digit in options[r, c]:
        yield from fill([*rows[:r], f"{rows[r][:c]}{digit}{rows[r][c + 1 :]}", *rows[r + 1 :]], height, width)


def near(rows: Sequence[str], r: int, c: int, height: int, width: int) -> set[str]:
    """The digits of the row, the column and the box of a cell."""
    top, left = r - r % height, c - c % width
    box = "".join(row[left : left + width] for row in rows[top : top + height])
    return {*rows[r], *(row[c] for row in rows), *box}


def small_boards() -> list[str]:
    """All full boards of side 4, each a text of 16 digits; there are 288."""
    rows = ["".join(row) for row in permutations("1234")]
    boards = []
    for one in rows:
        for two in rows:
            if set(one[:2]) & set(two[:2]) or set(one[2:]) & set(two[2:]):
                continue
            for three in rows:
                for four in rows:
                    board = (one, two, three, four)
                    boxes = set(three[:2]) & set(four[:2]) or set(three[2:]) & set(four[2:])
                    if not boxes and all(len({row[c] for row in board}) == 4 for c in range(4)):
                        boards.append("".join(board))
    return boards


def test_every_full_board_of_side_four_is_found_and_drawn() -> None:
    known = set(small_boards())
    assert len(known) == 288
    found = ["".join(map(str, board)) for board in solutions([0] * 16, 4)]
    assert len(found) == 288
    assert set(found) == known
    rng = random.Random(0)
    drawn = Counter("".join(map(str, draw_puzzle(4, 4, rng).solution)) for _ in range(4000))
    assert set(drawn) == known  # 14 times each on average
    assert max(drawn.values()) < 60


def test_emptying_many_cells_at_once_equals_one_by_one() -> None:
    for seed in range(12):
        rng = random.Random(seed)
        side, num_empty = ((4, 11), (6, 24), (9, 48))[seed % 3]
        full = next(solutions([0] * side**2, side, rng))
        dug = dig(full, side, num_empty, random.Random(seed))
        one_by_one = list(full)
        for cell in random.Random(seed).sample(range(side**2), side**2):
            one_by_one[cell] = 0
            if len(list(islice(solutions(one_by_one, side), 2))) > 1:
                one_by_one[cell] = full[cell]
            if one_by_one.count(0) == num_empty:
                break
        assert dug == (tuple(one_by_one) if one_by_one.count(0) == num_empty else None)


def test_impossible_boards_are_reported() -> None:
    with pytest.raises(
        ValueError, match=r"^no board of side 4 with 13 empty cells in \d+ draws; use fewer empty cells$"
    ):
        draw_puzzle(4, 13, random.Random(0))
    with pytest.raises(ValueError, match=r"^the board has several solutions: 'Sudoku, boxes 2x2:\\n\.\.3\."):
        read_puzzle(QUESTION.replace("1324", "...."))
    with pytest.raises(ValueError, match=r"^the board has no solution: "):
        read_puzzle(QUESTION.replace("..3.", "2.3."))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"train": ["5_3-4"]},
            "got the bucket '5_3-4'; a bucket is a side of 4, 6 or 9 and a range of empty cells "
            "(at most 11 of side 4, 25 of side 6, 55 of side 9), such as '9_30-40'",
        ),
        ({"train": ["9_40-30"]}, "got the bucket '9_40-30'; a bucket is a side of 4, 6 or 9"),
        ({"train": ["9_30-56"]}, "got the bucket '9_30-56'; a bucket is a side of 4, 6 or 9"),
        ({"train": ["6_20-26"]}, "got the bucket '6_20-26'; a bucket is a side of 4, 6 or 9"),
        ({"train": ["4_0-4"]}, "got the bucket '4_0-4'; a bucket is a side of 4, 6 or 9"),
        ({"train": ["4_8"]}, "got the bucket '4_8'; a bucket is a side of 4, 6 or 9"),
        ({"train": ["4_٤-8"]}, "got the bucket '4_٤-8'; a bucket is a side of 4, 6 or 9"),
        (
            {"train": ["9_46-50"]},
            ("train and ood_hard share the buckets ['9_46-50']; remove them from one of the two"),
        ),
        (
            {"train": ["9_30-41"]},
            "the buckets '9_30-41' and '9_41-45' overlap; change their ranges so that no value is in both",
        ),
        ({"train": ["4_4-8", "4_8-9"]}, "the buckets '4_4-8' and '4_8-9' overlap"),
        ({"max_merge": 2}, "less than or equal to 1"),
        ({"max_search_lines": 0}, "greater than or equal to 1"),
        ({"detour_digits": "low"}, "should be 'tried' or 'any'"),
        ({"question": "board"}, "should be 'rows' or 'cells'"),
        ({"stated": "all"}, "should be 'units' or 'untried'"),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        Sudoku(settings)
    assert message in str(wrong.value)


def test_ranges_of_different_sides_may_overlap_and_extremes_can_be_drawn() -> None:
    env = Sudoku({"train": [f"{side}_{most}-{most}" for side, most in MOST_EMPTY.items() if side < 9]})
    empty = {env.problem(Split.TRAIN, index).num_full_steps for index in range(20)}
    assert empty == {11, 25}
    assert env.bucket(seven()) == "4_7-7"  # in no bucket of the settings


# ---- steps ----


def test_lines_may_state_what_is_left_to_try() -> None:
    env = Sudoku({"stated": "untried"})
    lines = ["0. r1c1: 4", "1. r1c2: 1/2", "2. r1c4: 2", "3. r2c1: 3", "4. r2c2: 2", "5. r4c1: 2", "6. r4c3: 1"]
    assert list(env.full_trace(seven())) == lines  # candidates 24, 12, 2, 23, 2, 2 and 1: see FULL
    search = env.search_trace(seven(), random.Random(0))
    assert search is not None
    first = ("0. r1c1: 2/4", "1. r1c2: 1", "2. r1c4: none", "<backtrack> 0", *lines[:3])
    assert search.lines == (*first, "3. r2c1: 2/3", "4. r2c2: none", "<backtrack> 3", *lines[3:])
    assert judge(seven(), search.lines, env=env).verified
    assert judge(seven(), ["see r4c1: 2", *lines], env=env).verified
    assert '"3. r1c1: 2/4"' in env.request and "row by row" in env.request


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0. r1c1: 2", "untried should be 4"),
        ("0. r1c1: 4/2", "untried should be none"),
        ("1. r1c1: 2/4", "number should be 0"),
        ("0. r1c1: 1/24", "1 is not one of 24"),
        ("0. r1c1: none", "a digit is missing, one of 24"),
        ("see r1c1: 4", "candidates should be 24"),
        ("0. r1c1: none/4", "not a line about a cell"),
        ("r1c1: 2/4", "not a line about a cell"),
        (FULL[0], "not a line about a cell"),
    ],
)
def test_such_lines_are_checked(line: str, reason: str) -> None:
    assert refusal(seven(), [line], env=Sudoku({"stated": "untried"})) == reason


@pytest.mark.parametrize(
    ("before", "line", "changes"),
    [
        ([], FULL[0], True),
        ([], TWO, True),  # a candidate, though a wrong one
        ([], LOOK, False),
        ([], "see r1c1: 124, 234, 1234, 24", False),
        ([], "see r4c3: 12, 1, 1, 1", False),
        ([TWO], "see r1c2: 14, 12, 134, 1", False),
        ([TWO, ONE], END, False),
        ([TWO, ONE], f"see {END}", False),
        ([TWO, ONE], "see r4c1: 12, 34, 2, none", False),  # not the next cell: valid as a look only
        (FULL[:6], FULL[6], True),
    ],
)
def test_steps(before: list[str], line: str, changes: bool) -> None:
    env = Sudoku()
    state = after(before)
    assert (env.advance(state, line) != state) is changes


@pytest.mark.parametrize(
    ("before", "line", "reason"),
    [
        ([], "r1c1: 124, 234, 1234, 24 > 1", "1 is not one of 24"),
        ([], "r1c1: 124, 234, 1234, 24 > 9", "9 is not one of 24"),
        ([], "r1c1: 124, 234, 1234, 24", "a digit is missing, one of 24"),
        ([], "r1c1: 12, 234, 1234, 24 > 4", "row should be 124"),
        ([], "r1c1: 421, 234, 1234, 24 > 4", "row should be 124"),
        ([], "r1c1: 1244, 234, 1234, 24 > 4", "row should be 124"),
        ([], "r1c1: 124, 34, 1234, 24 > 4", "column should be 234"),
        ([], "r1c1: 124, 234, 24, 24 > 4", "box should be 1234"),
        ([], "r1c1: 124, 234, 1234, 4 > 4", "candidates should be 24"),
        ([], "r1c1: 124, 234, 1234, none", "candidates should be 24"),
        ([], "r1c2: 124, 12, 1234, 12 > 1", "the next cell is r1c1"),
        ([], "r4c1: 12, 234, 2, 2 > 2", "the next cell is r1c1"),
        ([], "r1c3: 3, 3, 3, 3 > 3", "r1c3 is already filled"),
        ([], "see r1c3: 3, 3, 3, 3", "r1c3 is already filled"),
        ([], "r1c5: 124, 234, 1234, 24 > 4", "the board has no r1c5"),
        ([], "r9c1: 124, 234, 1234, 24 > 4", "the board has no r9c1"),
        ([], "see r5c5: 1, 1, 1, 1", "the board has no r5c5"),
        ([], f"{LOOK} > 2", "a 'see' line places no digit"),
        ([], "see r4c1: 12, 234, 2, none", "candidates should be 2"),
        ([], "see r4c1: 12, 23, 2, 2", "column should be 234"),
        (FULL[:1], FULL[0], "r1c1 is already filled"),
        (FULL[:1], LOOK, "column should be 23"),  # r1c1 is a 4 by now
        ([TWO, ONE], f"{END} > 2", "2 is not one of none"),
        ([TWO, ONE], "r1c4: 4, 2, 2, 2 > 2", "candidates should be none"),
        ([TWO, ONE, END], "r2c1: 23, 34, 34, 3 > 3", "the next cell is r1c4"),
        ([TWO, ONE], "r4c1: 12, 34, 2, none", "the next cell is r1c4"),
        (FULL, FULL[6], "r4c3 is already filled"),
        (FULL, "see r4c3: 1, 1, 1, 1", "r4c3 is already filled"),
        ([], "r0c1: 124, 234, 1234, 24 > 4", "not a line about a cell"),
        ([], "r11c1: 124, 234, 1234, 24 > 4", "not a line about a cell"),
        ([], "R1C1: 124, 234, 1234, 24 > 4", "not a line about a cell"),
        ([], "r1c1: 124, 234, 1234 > 4", "not a line about a cell"),
        ([], "r1c1: 124,234,1234,24 > 4", "not a line about a cell"),
        ([], "r1c1: 1 2 4, 2 3 4, 1 2 3 4, 2 4 > 4", "not a line about a cell"),
        ([], "r1c1: 124, 234, 1234, 24 > 4 > 4", "not a line about a cell"),
        ([], "r1c1: 124, 234, 1234, 24 > 42", "not a line about a cell"),
        ([], "r1c1: 124, 234, 1234, 24 >", "not a line about a cell"),
        ([], "r1c1: 124, 234, 1234, 24 = 4", "not a line about a cell"),
        ([], "r1c1: 124, 234, 1234, None", "not a line about a cell"),
        ([], "r1c1: none, 234, 1234, none", "not a line about a cell"),
        ([], "r1c1: 1240, 234, 1234, 24 > 4", "not a line about a cell"),
        ([], "r1c1 > 4", "not a line about a cell"),
        ([], f"{FULL[0]} ", "not a line about a cell"),
        ([], f" {FULL[0]}", "not a line about a cell"),
        ([], f"{FULL[0]}\r", "not a line about a cell"),
        ([], "r1c1: 124, 234, 1234, 24 > ٤", "not a line about a cell"),
        ([], "r1c1: 124, 234, 1234, 24 ＞ 4", "not a line about a cell"),
        ([], f"see see {FULL[0]}", "not a line about a cell"),
        ([], f"See{LOOK[3:]}", "not a line about a cell"),
        ([], f"{FULL[0]}, {FULL[1]}", "not a line about a cell"),
        ([], "r1c1: " + "1" * 9000, "not a line about a cell"),
        ([], "r1c1: " + "1, " * 3000, "not a line about a cell"),
        ([], "..3.", "not a line about a cell"),
        ([], "", "not a line about a cell"),
    ],
)
def test_refused_steps(before: list[str], line: str, reason: str) -> None:
    state = after(before)
    with pytest.raises(StepError) as refused:
        Sudoku().advance(state, line)
    assert str(refused.value) == reason


def test_lines_of_full_traces_agree_with_an_independent_reading() -> None:
    for settings in (SMALL, SIX, {}):
        env = Sudoku(settings)
        for split in Split:
            problem = env.problem(split, 0)
            rows = problem.question.split("\n")[1:]
            right = problem.answer.split(" ")
            height, width = BOXES[len(rows)]
            expected = []
            for r in range(len(rows)):
                for c in range(len(rows)):
                    if rows[r][c] != ".":
                        continue
                    top, left = r - r % height, c - c % width
                    whole = set("123456789"[: len(rows)])
                    row, column = whole - set(rows[r]), whole - {row[c] for row in rows}
                    box = whole - set("".join(row[left : left + width] for row in rows[top : top + height]))
                    sets = ["".join(sorted(some)) for some in (row, column, box, row & column & box)]
                    expected.append(f"r{r + 1}c{c + 1}: {', '.join(sets)} > {right[r][c]}")
                    rows[r] = f"{rows[r][:c]}{right[r][c]}{rows[r][c + 1 :]}"
            assert list(env.full_trace(problem)) == expected


def test_solvable_agrees_with_a_list_of_all_full_boards() -> None:
    """Place random candidates on boards of side 4, and look for an extension among all 288 full boards."""
    env = Sudoku(SMALL)
    boards = small_boards()
    rng = random.Random(0)
    seen: Counter[bool] = Counter()
    for index in range(60):
        state = env.start(env.problem(Split.TRAIN, index))
        while True:
            agreeing = [board for board in boards if agrees(state, board)]
            assert env.solvable(state) is bool(agreeing)
            assert env.finished(state) is (0 not in state.cells)
            seen[bool(agreeing)] += 1
            steps = possible(env, state)
            if not steps:
                break
            state = rng.choice(steps)
    assert min(seen.values()) > 30


def agrees(state: SudokuState, board: str) -> bool:
    return all(digit in (0, int(other)) for digit, other in zip(state.cells, board, strict=True))


def possible(env: Sudoku, state: SudokuState) -> list[SudokuState]:
    """The states after one more placement, by trying every digit that does not repeat."""
    if 0 not in state.cells:
        return []
    cell = state.cells.index(0)
    rows = ["".join(map(str, state.cells[i : i + 4])) for i in range(0, 16, 4)]
    left = set("1234") - near(rows, cell // 4, cell % 4, 2, 2)
    after = [
        replace(state, cells=(*state.cells[:cell], int(d), *state.cells[cell + 1 :])) for d in sorted(left)
    ]
    assert all(sum(map(bool, after_one.cells)) == sum(map(bool, state.cells)) + 1 for after_one in after)
    return after


# ---- whole traces ----


@pytest.mark.parametrize(
    ("lines", "verified"),
    [
        (FULL, True),
        ([LOOK, *FULL[:1], f"see {FULL[1][:-4]}", f"see {FULL[1][:-4]}", *FULL[1:]], True),
        (FULL[:6], False),
        (FULL[1:], False),
        ([*FULL[:2], *FULL[3:]], False),
        ([], False),
        ([LOOK], False),
        (FIRST, False),
        ([*FIRST, "<backtrack> 0", *FULL], True),
        ([*FIRST, *FULL], False),
        (BOTH, True),
        (["r1c1: 124, 234, 1234, 24 > 3", *FULL], False),  # an invalid line that is not taken back
        (["r1c1: 124, 234, 1234, 24 > 3", "<backtrack>", *FULL], True),
        ([FULL[0], END, *FULL[1:]], False),
        (["<backtrack> 0", *FULL], False),  # no earlier step
        ([*FULL, LOOK], False),  # no cell is left to look at
    ],
)
def test_verified_traces(lines: list[str], verified: bool) -> None:
    trace = judge(seven(), lines)
    assert trace.correct
    assert trace.verified is verified


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        # A wrong digit, taken back at once or after it has failed.
        ([TWO, "<backtrack> 0", *FULL], [(1, 1, True, True)]),
        ([*FIRST, "<backtrack> 0", *FULL], [(3, 3, True, True)]),
        ([FULL[0], *SECOND, "<backtrack> 1", *FULL[1:]], [(3, 2, True, True)]),
        (BOTH, [(3, 3, True, True), (9, 2, True, True)]),
        # Step by step: the only candidate again is no other branch. Taking back the line of the dead end is not
        # enough, but any backtrack on a board that cannot be filled is needed.
        (
            [*FIRST, "<backtrack> 1", ONE, END, "<backtrack> 0", *FULL],
            [(3, 2, False, True), (6, 3, True, True)],
        ),
        ([*FIRST, "<backtrack> 2", "<backtrack> 0", *FULL], [(3, 1, False, True), (4, 2, True, True)]),
        ([*FIRST, "<backtrack> 1", "<backtrack> 0", *FULL], [(3, 2, False, True), (4, 1, True, True)]),
        # Too far back: the 4 was right, so leaving it was needless, and returning to it is fake.
        ([FULL[0], *SECOND, "<backtrack> 0", *FULL], [(3, 3, False, False)]),
        (
            [FULL[0], *SECOND, "<backtrack> 0", *FIRST, "<backtrack> 0", *FULL],
            [(3, 3, True, False), (7, 3, True, True)],
        ),
        # A right digit is taken back.
        ([FULL[0], "<backtrack>", *FULL], [(1, 1, False, False)]),
        ([*FULL, "<backtrack> 0", *FULL], [(7, 7, False, False)]),
        # The same wrong digit again, then the right one; a look in between is no branch.
        ([TWO, "<backtrack>", TWO, "<backtrack>", *FULL], [(1, 1, False, True), (3, 1, True, True)]),
        ([TWO, "<backtrack>", LOOK, TWO, "<backtrack> 1", *FULL], [(1, 1, False, True), (4, 1, True, True)]),
        # Taking back only a look, and a look together with the branch after it.
        ([LOOK, "<backtrack>", *FULL], [(1, 1, False, False)]),
        ([LOOK, *FIRST, "<backtrack> 0", *FULL], [(4, 4, True, True)]),
        # An invalid line: leaving it is needed.
        (["r1c2: 1, 1, 1, 1 > 1", "<backtrack>", *FULL], [(1, 1, True, True)]),
        ([END, "<backtrack>", *FULL], [(1, 1, True, True)]),
    ],
)
def test_judgement_of_backtracks(lines: list[str], found: list[tuple[int, int, bool, bool]]) -> None:
    trace = judge(seven(), lines)
    assert list(trace.backtracks) == found
    assert trace.finished


# ---- answers ----


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        (ANSWER, Grade.CORRECT),
        ("4132 3241 1324 2431", Grade.WRONG),
        ("1234 3412 2143 4321", Grade.WRONG),  # a full board, but not this one
        ("1111 1111 1111 1111", Grade.WRONG),
        ("4132 3241 1324 2415", Grade.MALFORMED),
        ("5132 3241 1324 2413", Grade.MALFORMED),
        ("4132 3241 1324 241", Grade.MALFORMED),
        ("4132 3241 1324", Grade.MALFORMED),
        (f"{ANSWER} 2413", Grade.MALFORMED),
        (f" {ANSWER}", Grade.MALFORMED),
        (f"{ANSWER} ", Grade.MALFORMED),
        (ANSWER.replace(" ", "  "), Grade.MALFORMED),
        (ANSWER.replace(" ", ""), Grade.MALFORMED),
        (ANSWER.replace(" ", ", "), Grade.MALFORMED),
        (ANSWER.replace(" ", "/"), Grade.MALFORMED),
        (" ".join(ANSWER), Grade.MALFORMED),
        (f"[{ANSWER}]", Grade.MALFORMED),
        (f"{ANSWER} or {ANSWER}", Grade.MALFORMED),
        ("4.32 3241 1324 2413", Grade.MALFORMED),
        ("..3. ..41 1324 .4.3", Grade.MALFORMED),
        ("", Grade.MALFORMED),
        ("1 " * 900, Grade.MALFORMED),
        ("٤132 3241 1324 2413", Grade.REFUSED),
        (ANSWER.replace(" ", "\t"), Grade.REFUSED),
        (f"{ANSWER}\u200b", Grade.REFUSED),
    ],
)
def test_answers(answer: str, grade: Grade) -> None:
    trace = judge(seven(), FULL, answer)
    assert trace.grade is grade
    assert trace.verified is (grade is Grade.CORRECT)


def test_mutated_texts_are_graded_without_an_error() -> None:
    rng = random.Random(0)
    judged: Counter[str] = Counter()
    for settings in (SMALL, SIX, {}):
        env = Sudoku(settings)
        for index in range(40):
            problem = env.problem(Split.TRAIN, index)
            full = env.full_trace(problem)
            texts = [
                problem.answer,
                *full,
                f"see {full[-1]}",
                "r1c1: 1, 1, 1, none",
                "9" * 3000,
                "٣",
                "<backtrack> ",
            ]
            for _ in range(12):
                answer = mutate(problem.answer, texts, rng)
                at = rng.randrange(len(full))
                line = mutate(full[at], texts, rng)
                trace = env.check(
                    problem, parse_trace(render_trace([*full[:at], line, *full[at + 1 :]], answer))
                )
                assert trace.correct in (False, answer == problem.answer)
                assert all(step.verdict is not Verdict.UNCHECKED for step in trace.steps)
                judged["right" if trace.correct else "wrong"] += 1
    assert judged["wrong"] > 1000


# ---- detours ----


@pytest.mark.parametrize("k", [1, 2, 3, 5, 10])
def test_detours(k: int) -> None:
    seen = 0
    for settings in (SMALL, SIX, {}, {"detour_digits": "any"}):
        env = Sudoku(settings)
        for index in range(30):
            problem = env.problem((Split.TRAIN, Split.OOD_EASY, Split.OOD_HARD)[index % 3], index)
            demonstration = env.detour_trace(problem, ["digit"] * k, random.Random(index))
            room = count_wrong_digits(problem, above="detour_digits" in settings)
            assert (demonstration is None) is (room < k)
            if demonstration is not None:
                check_detours(problem, demonstration, k, above="detour_digits" in settings)
                seen += 1
    assert seen > 20


def count_wrong_digits(problem: Problem, *, above: bool) -> int:
    count = 0
    for line in Sudoku().full_trace(problem):
        candidates, _, right = line.rsplit(", ", 1)[1].partition(" > ")
        count += sum(digit != right if above else digit < right for digit in candidates)
    return count


def check_detours(problem: Problem, demonstration: Demonstration, k: int, *, above: bool) -> None:
    """Check one demonstration against the docstring of `detour_trace`."""
    full = Sudoku().full_trace(problem)
    trace = judge(problem, demonstration.lines)
    assert trace.verified
    assert trace.num_invalid == trace.fake_backtracks == trace.needless_backtracks == 0
    assert len(trace.backtracks) == trace.real_backtracks == len(demonstration.wrong) == k
    assert all(backtrack.needed for backtrack in trace.backtracks)
    kept = [step.text for step in trace.steps if step.kind is StepKind.FORWARD and not step.undone]
    assert tuple(kept) == full
    turns: list[str] = []
    for start, backtrack in zip(sorted(demonstration.wrong), trace.backtracks, strict=True):
        at = sum(step.kind is StepKind.FORWARD and not step.undone for step in trace.steps[:start])
        assert trace.steps[backtrack.step].text == f"<backtrack> {at}"
        first, *rest, end = [step.text for step in trace.steps[start : backtrack.step]]
        sets, _, digit = first.partition(" > ")
        right_sets, _, right = full[at].partition(" > ")
        assert sets == right_sets
        assert digit < right or (above and digit > right)
        assert end.endswith(", none")
        for line in rest:
            candidates, _, placed = line.rsplit(", ", 1)[1].partition(" > ")
            assert placed == candidates[0]
        turns.append(first)
    assert len(set(turns)) == k


def test_detours_by_hand_and_no_detour_without_room() -> None:
    """The board has two wrong digits below the right ones, and one above."""
    env, any_digit = Sudoku(), Sudoku({"detour_digits": "any"})
    rng = random.Random(0)
    two = Demonstration(lines=BOTH, wrong=frozenset({0, 7}))
    three = (
        *FIRST,
        "<backtrack> 0",
        FULL[0],
        *SECOND,
        "<backtrack> 1",
        *FULL[1:3],
        *THIRD,
        "<backtrack> 3",
        *FULL[3:],
    )
    assert env.detour_trace(seven(), ["digit"] * 2, rng) == two
    assert env.detour_trace(seven(), ["digit"] * 3, rng) is None
    assert any_digit.detour_trace(seven(), ["digit"] * 3, rng) == Demonstration(
        lines=three, wrong=frozenset({0, 5, 10})
    )
    assert any_digit.detour_trace(seven(), ["digit"] * 4, rng) is None
    assert env.detour_trace(seven(), [], rng) == Demonstration(lines=tuple(FULL))
    ones = {env.detour_trace(seven(), ["digit"], random.Random(seed)) for seed in range(20)}
    assert {demonstration.lines for demonstration in ones if demonstration} == {
        (*FIRST, "<backtrack> 0", *FULL),
        (*FULL[:3], *THIRD, "<backtrack> 3", *FULL[3:]),
    }


def test_an_unknown_error_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^unknown error kinds \['row'\]; known: digit$"):
        Sudoku().detour_trace(seven(), ["digit", "row"], random.Random(0))


def test_detours_depend_only_on_the_generator() -> None:
    one, two = Sudoku(), Sudoku()
    problem = one.problem(Split.OOD_HARD, 0)
    demonstrations = [one.detour_trace(problem, ["digit"] * 3, random.Random(seed)) for seed in range(20)]
    assert demonstrations == [
        two.detour_trace(problem, ["digit"] * 3, random.Random(seed)) for seed in range(20)
    ]
    assert len({demonstration.lines for demonstration in demonstrations if demonstration}) > 10


# ---- search and padding ----


def test_search_trace_by_hand() -> None:
    """The 2 in r1c1 and the 2 in r2c1 are tried before the right digits: two detours, 14 lines."""
    for most, found in ((14, Demonstration(lines=BOTH)), (13, None)):
        assert Sudoku({"max_search_lines": most}).search_trace(seven(), random.Random(0)) == found


@pytest.mark.parametrize(
    ("settings", "split", "least_found"),
    [
        ({}, Split.TRAIN, 0.8),
        ({}, Split.OOD_EASY, 0.35),
        ({"max_search_lines": 10_000}, Split.OOD_HARD, 0.8),
        (SMALL, Split.TRAIN, 1.0),
        (SIX, Split.OOD_HARD, 0.8),
    ],
)
def test_search_traces(settings: dict[str, object], split: Split, least_found: float) -> None:
    env = Sudoku(settings)
    num_problems = 12 if "max_search_lines" in settings else 60
    found = num_backtracks = 0
    for index in range(num_problems):
        problem = env.problem(split, index)
        demonstration = env.search_trace(problem, random.Random(0))
        if demonstration is None:
            continue
        found += 1
        assert len(demonstration.lines) <= env.settings.max_search_lines
        assert not demonstration.wrong
        trace = judge(problem, demonstration.lines)
        assert trace.verified
        assert trace.num_invalid == 0
        assert trace.real_backtracks == trace.num_backtracks
        assert all(backtrack.needed for backtrack in trace.backtracks)
        # One backtrack per dead end, and as many dead ends as an independent search counts.
        rows = problem.question.split("\n")[1:]
        dead_ends = sum(line.endswith("none") for line in demonstration.lines)
        assert dead_ends == trace.num_backtracks == count_dead_ends(rows, *BOXES[len(rows)])[1]
        num_backtracks += trace.num_backtracks
    assert found >= least_found * num_problems
    assert num_backtracks > found


def count_dead_ends(rows: Sequence[str], height: int, width: int) -> tuple[bool, int]:
    """Whether a board can be filled cell by cell, and the number of dead ends before that."""
    place = next(((r, row.index(".")) for r, row in enumerate(rows) if "." in row), None)
    if place is None:
        return True, 0
    r, c = place
    left = sorted(set("123456789"[: len(rows)]) - near(rows, r, c, height, width))
    count = 0 if left else 1
    for digit in left:
        filled = [*rows[:r], f"{rows[r][:c]}{digit}{rows[r][c + 1 :]}", *rows[r + 1 :]]
        solved, more = count_dead_ends(filled, height, width)
        count += more
        if solved:
            return True, count
    return False, count


def test_padded_traces() -> None:
    for settings in (SMALL, SIX, {}):
        env = Sudoku(settings)
        for split in Split:
            problem = env.problem(split, 1)
            full = env.full_trace(problem)
            n = len(full)
            all_looks = n * (n + 1) // 2
            for num_lines in (n, n + 1, n + 7, 3 * n, n + all_looks, n + all_looks + 3):
                demonstration = env.padded_trace(problem, num_lines, random.Random(num_lines))
                assert demonstration is not None
                assert not demonstration.wrong
                trace = judge(problem, demonstration.lines)
                assert trace.verified
                assert (trace.num_steps, trace.num_backtracks) == (num_lines, 0)
                assert [line for line in demonstration.lines if not line.startswith("see ")] == list(full)
                # A look is repeated at a state only after all looks have been written at all states.
                looks = Counter(state_and_look(demonstration.lines))
                assert len(looks) == min(num_lines - n, all_looks)
                assert max(looks.values(), default=1) <= 1 + (num_lines > n + all_looks)
            assert env.padded_trace(problem, n - 1, random.Random(0)) is None


def state_and_look(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    num_placed = 0
    for line in lines:
        if line.startswith("see "):
            yield num_placed, line
        else:
            num_placed += 1


def test_padding_is_spread_evenly_and_random() -> None:
    env = Sudoku()
    problem = env.problem(Split.TRAIN, 0)
    n = problem.num_full_steps
    demonstration = env.padded_trace(problem, 3 * n, random.Random(0))
    assert demonstration is not None
    each = Counter(place for place, _ in state_and_look(demonstration.lines))
    assert set(each.values()) <= {1, 2, 3}  # the last state has only one look, so another state gets three
    assert set(each) == set(range(n))
    demonstrations = {env.padded_trace(problem, n + 3, random.Random(seed)) for seed in range(20)}
    assert len({demonstration.lines for demonstration in demonstrations if demonstration}) > 15


@pytest.mark.parametrize(
    ("settings", "k"),
    [
        *[({"detour_digits": "any"}, k) for k in (1, 2, 3, 5, 10)],
        *[({}, k) for k in (1, 3, 5)],
        (SMALL, 1),
        (SIX, 2),
    ],
)
def test_controls_are_about_as_long_as_detours(settings: dict[str, object], k: int) -> None:
    """Compare mean numbers of characters, on the boards that have room."""
    env = Sudoku(settings)
    seen = with_detours = padded = 0
    for index in range(60):
        problem = env.problem(Split.TRAIN if index % 2 else Split.OOD_HARD, index)
        demonstration = env.detour_trace(problem, ["digit"] * k, random.Random(index))
        if demonstration is None:
            continue
        control = env.padded_trace(problem, len(demonstration.lines), random.Random(index))
        assert control is not None
        assert len(control.lines) == len(demonstration.lines)
        seen += 1
        with_detours += sum(map(len, demonstration.lines))
        padded += sum(map(len, control.lines))
    assert seen > 20
    assert 0.85 * with_detours <= padded <= 1.15 * with_detours
