"""One-dimensional ARC, on examples worked by hand and against rules written a second time.

Most use the puzzle of the module's docstring. `move left 1` makes its examples. `wrap left 1` fails on the
second, whose first pixel is lost and does not come in at the right; `step left` fails there too, and `mirror`
on the first.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from pydantic import ValidationError

from envs.base import Demonstration
from envs.check.contract import check_env
from envs.grading import Grade
from envs.path import StepError
from envs.problem import Problem, Split
from envs.tasks.arc_1d.rules import RULES
from envs.tasks.arc_1d.steps import ArcState, Puzzle, draw_row, read_question, write_question
from envs.tasks.arc_1d.task import Arc1D
from envs.trace import StepKind, Verdict, parse_trace, render_trace
from tests.kit.fuzz import mutate
from tests.kit.problems import judge, make_problem

QUESTION = """1: 0012201 > 0122010
2: 3000330 > 0003300
3: 4044004 > 0440040
test: 0500055"""
RIGHT = [
    "rule: move left 1",
    "1: 0012201 > 0122010, as given",
    "2: 3000330 > 0003300, as given",
    "3: 4044004 > 0440040, as given",
    "test: 0500055 > 5000550",
]
WRAP = ["rule: wrap left 1", RIGHT[1], "2: 3000330 > 0003303, given 0003300"]
MIRROR = ["rule: mirror", "1: 0012201 > 1022100, given 0122010"]
TINY = {"train": ["5-6"], "ood_easy": ["7-7"], "ood_hard": ["8-9"], "num_colours": 2, "num_examples": 2}
FEW_RULES = {**TINY, "rules": ["mirror", "fill", "wrap left 1", "move right 2"]}
WIDE = {
    "train": ["5-5", "7-8"],
    "ood_easy": ["6-6"],
    "ood_hard": ["40-60"],
    "num_examples": 9,
    "num_colours": 3,
}


def ask(question: str = QUESTION, answer: str = "5000550") -> Problem:
    return make_problem("arc_1d", question, answer, num_full_steps=5, difficulty=7)


@pytest.mark.slow
def test_the_contract() -> None:
    report = check_env(Arc1D(), num_problems=100)
    assert report.num_problems == report.num_traces == 400
    assert report.num_near_misses > 50 * 400
    assert report.mean_full_steps == 5  # a proposal, three examples, the test row
    assert report.problems_per_s > 200  # 4,000 and more on a quiet core


@pytest.mark.parametrize("settings", [TINY, FEW_RULES, WIDE, {"num_examples": 1}])
def test_the_contract_holds_for_other_settings(settings: dict[str, object]) -> None:
    check_env(Arc1D(settings), num_problems=25)


# ---- rules ----


@pytest.mark.parametrize(
    ("rule", "row", "made"),
    [
        ("move left 1", "1200340", "2003400"),
        ("move left 3", "1200340", "0340000"),
        ("move right 2", "1200340", "0012003"),
        ("wrap left 2", "1200340", "0034012"),
        ("wrap right 3", "1200340", "3401200"),
        ("gravity left", "0102030", "1230000"),
        ("gravity right", "0102030", "0000123"),
        ("step left", "0102030", "1020300"),
        ("step left", "1102030", "1120300"),  # the first two cannot move
        ("step left", "1234567", "1234567"),
        ("step right", "1102030", "0110203"),
        ("spread left", "0102030", "1122330"),
        ("spread right", "0102030", "0112233"),
        ("mirror", "1200340", "0430021"),
        ("flip blocks", "1200340", "2100430"),
        ("flip marked", "1220334", "2210334"),  # 4 is at the other end
        ("flip marked", "1020340", "1020430"),
        ("sort blocks", "1110220", "2201110"),
        ("sort blocks", "0550303", "0303055"),  # gaps of 1, 1, 1 and 0; both single 3s first
        ("sort blocks", "2200011", "2200011"),
        ("sort pixels", "0102030", "3210000"),
        ("part", "1204350", "2400135"),
        ("move block", "0120000", "0001200"),
        ("move block", "0120304", "0001204"),  # over the 3
        ("move block", "0000123", "0000000"),
        ("fill", "1001020", "1111020"),
        ("fill", "1010203", "1110203"),
        ("hollow", "1112220", "1012020"),
        ("hollow", "4444001", "4004001"),
        ("denoise", "1022033", "0022033"),
        ("mend", "1210121", "1110111"),
        ("mend", "1212000", "1122000"),
        ("mend", "1010222", "1010222"),
        ("paint five", "1022030", "5055050"),
        ("paint size", "1044077", "1022022"),
        ("paint size", "3333333333", "9999999999"),
        ("paint parity", "3044055", "1022022"),
        ("paint parity", "3330440", "1110220"),
        ("paint half", "1110220", "8110820"),
        ("paint longest", "2203330", "2201110"),
        ("paint longest", "2203300", "1101100"),
        ("mark pairs", "0220220", "3223223"),
        ("mark pairs", "4440110", "4443113"),
        ("mark pairs", "1103000", "1133000"),
        ("copy block", "1203000", "1201200"),
        ("copy block", "1230004", "1230001"),
        ("copy block", "1203040", "1201212"),  # the second copy from the 4 on
        ("copy block", "1002000", "1002000"),  # one pixel is not copied
        ("copy shape", "1203000", "1203300"),
        ("repeat", "1200000", "1212121"),
        ("repeat", "1203400", "1212121"),
        ("repeat", "0120000", "0120000"),
        ("count", "0504030", "1110000"),
    ],
)
def test_rules_by_hand(rule: str, row: str, made: str) -> None:
    assert RULES[rule](row) == made


def blocks_of(row: Sequence[int]) -> list[tuple[int, int]]:
    """Start and end of each block."""
    found: list[tuple[int, int]] = []
    for i, pixel in enumerate(row):
        if pixel and i and row[i - 1]:
            found[-1] = (found[-1][0], i + 1)
        elif pixel:
            found.append((i, i + 1))
    return found


def naive(rule: str, row: Sequence[int]) -> list[int]:
    """Independent versions of all rules, cell by cell."""
    name, *words = rule.split(" ")
    width, made, blocks = len(row), list(row), blocks_of(row)
    pixels = [pixel for pixel in row if pixel]
    if words[:1] == ["right"]:
        return naive(" ".join([name, "left", *words[1:]]), row[::-1])[::-1]
    if rule.startswith("move left"):
        by = int(words[1])
        return [row[i + by] if i + by < width else 0 for i in range(width)]
    if name == "wrap":
        return [row[(i + int(words[1])) % width] for i in range(width)]
    if name == "gravity":
        return pixels + [0] * (width - len(pixels))
    if name == "step":
        for i in range(1, width):
            if made[i] and not made[i - 1]:
                made[i - 1], made[i] = made[i], 0
    elif name == "spread":
        for i in range(width):
            made[i] = next((pixel for pixel in row[i:] if pixel), 0)
    elif rule == "mirror":
        made.reverse()
    elif rule in ("flip blocks", "flip marked"):
        for start, end in blocks:
            if rule == "flip blocks" or (end - start > 1 and len(set(row[start + 1 : end])) == 1):
                for i in range(start, end):
                    made[i] = row[start + end - 1 - i]
    elif rule == "sort blocks":
        order = sorted(range(len(blocks)), key=lambda b: (blocks[b][1] - blocks[b][0], b))
        at, last = 0, 0
        for place, b in enumerate(order):
            gap = blocks[place][0] - last
            last = blocks[place][1]
            moved = [0] * gap + list(row[blocks[b][0] : blocks[b][1]])
            made[at : at + len(moved)] = moved
            at += len(moved)
    elif rule == "sort pixels":
        made = [colour for colour in range(9, -1, -1) for pixel in row if pixel == colour]
    elif rule == "part":
        even, odd = [p for p in pixels if p % 2 == 0], [p for p in pixels if p % 2]
        made = even + [0] * (width - len(pixels)) + odd
    elif rule == "move block" and blocks:
        start, end = blocks[0]
        made[start:end] = [0] * (end - start)
        for i in range(end, min(2 * end - start, width)):
            made[i] = row[i - (end - start)]
    elif rule == "fill":
        for (_, one), (two, _) in pairwise(blocks):
            if row[one - 1] == row[two]:
                made[one:two] = [row[two]] * (two - one)
    elif rule == "hollow":
        for i in range(1, width - 1):
            if row[i - 1] == row[i] == row[i + 1]:
                made[i] = 0
    elif rule == "denoise":
        for start, end in blocks:
            if end - start == 1:
                made[start] = 0
    elif rule == "mend":
        for i in range(1, width - 1):
            if row[i] and row[i - 1] and row[i - 1] == row[i + 1]:
                made[i] = row[i - 1]
    elif name == "paint":
        longest = max((end - start for start, end in blocks), default=0)
        for start, end in blocks:
            size = end - start
            for i in range(start, end):
                made[i] = {
                    "five": 5,
                    "size": min(size, 9),
                    "parity": 2 - size % 2,
                    "half": 8 if 2 * (i - start + 1) <= size else row[i],
                    "longest": 1 if size == longest else row[i],
                }[words[0]]
    elif rule == "mark pairs":
        for start, end in blocks:
            if end - start == 2:
                for i in {start - 1, end} & set(range(width)):
                    made[i] = 3
    elif name == "copy" and blocks and blocks[0][1] - blocks[0][0] > 1:
        for start, end in blocks[1:]:
            if end - start == 1:
                for i, pixel in enumerate(row[blocks[0][0] : blocks[0][1]]):
                    if start + i < width:
                        made[start + i] = pixel if rule == "copy block" else row[start]
    elif rule == "repeat" and row[0]:
        made = [row[i % blocks[0][1]] for i in range(width)]
    elif rule == "count":
        made = [int(i < len(pixels)) for i in range(width)]
    return made


@pytest.mark.parametrize("rule", RULES)
def test_rules_agree_with_the_naive_ones(rule: str) -> None:
    rng = random.Random(rule)
    rows = ["0" * 5, "7" * 12, "1" + "0" * 9, "0" * 9 + "1", "12" * 4, "0110" * 4]
    rows += [draw_row(rng.randint(5, 30), rng.choice((2, 3, 9)), rng) for _ in range(300)]
    rows += ["".join(rng.choices("0123", k=rng.randint(5, 14))) for _ in range(300)]
    changed = 0
    for row in rows:
        made = RULES[rule](row)
        assert made == "".join(map(str, naive(rule, [int(pixel) for pixel in row]))), row
        changed += made != row
    assert changed > 20


def test_all_rules_differ() -> None:
    """No two rules agree on all of some hundred rows."""
    rng = random.Random(0)
    rows = [draw_row(12, 9, rng) for _ in range(300)]
    assert len({tuple(map(rule, rows)) for rule in RULES.values()}) == len(RULES) == 39


# ---- problems ----


@pytest.mark.parametrize("settings", [{}, TINY, WIDE, {"num_examples": 1}])
def test_problems_have_one_rule_that_changes_every_row(settings: dict[str, object]) -> None:
    env = Arc1D(settings)
    for split in Split:
        for index in range(40):
            problem = env.problem(split, index)
            *given, test = problem.question.split("\n")
            pairs = [line.split(": ")[1].split(" > ") for line in given]
            assert len(pairs) == env.settings.num_examples
            pairs.append([test.removeprefix("test: "), problem.answer])
            assert len({row for row, _ in pairs}) == len(pairs)
            assert {len(text) for pair in pairs for text in pair} == {problem.difficulty}
            assert all(row != made and int(made) for row, made in pairs)
            assert all(int(pixel) <= env.settings.num_colours for row, _ in pairs for pixel in row)
            explaining = [rule for rule in RULES if all(explains(rule, *pair) for pair in pairs[:-1])]
            assert len(explaining) == 1
            assert explains(explaining[0], *pairs[-1])
            assert env.full_trace(problem)[0] == f"rule: {explaining[0]}"


def explains(rule: str, row: str, made: str) -> bool:
    return naive(rule, [int(pixel) for pixel in row]) == [int(pixel) for pixel in made]


def test_rules_and_widths_are_uniform() -> None:
    """3900 problems are 100 per rule and 355 per width, for 11 widths; five sigma of a Poisson count.

    `flip marked` is hard to tell from `flip blocks` on short rows, and may be drawn less often.
    """
    env = Arc1D()
    rules: Counter[str] = Counter()
    widths: Counter[int] = Counter()
    for index in range(3900):
        problem = env.problem(Split.TRAIN, index)
        rules[env.full_trace(problem)[0].removeprefix("rule: ")] += 1
        widths[problem.difficulty] += 1
    assert set(rules) == set(RULES)
    assert all(50 < count < 150 for count in rules.values())
    assert set(widths) == set(range(10, 21))
    assert all(abs(count - 3900 / 11) < 95 for count in widths.values())


def test_splits_differ_in_width() -> None:
    env = Arc1D()
    widths = {split: {env.problem(split, index).difficulty for index in range(200)} for split in Split}
    assert widths[Split.TRAIN] == widths[Split.ID] == set(range(10, 21))
    assert widths[Split.OOD_EASY] == set(range(21, 26))
    assert widths[Split.OOD_HARD] == set(range(26, 31))


def test_only_rules_of_the_settings_are_used() -> None:
    env = Arc1D(FEW_RULES)
    problem = env.problem(Split.TRAIN, 0)
    proposals = {env.full_trace(env.problem(Split.TRAIN, index))[0] for index in range(100)}
    assert proposals == {f"rule: {rule}" for rule in env.settings.rules}
    with pytest.raises(StepError, match=r"^not one of the rules$"):
        env.advance(env.start(problem), "rule: hollow")


def test_rules_that_are_equal_at_a_width_are_not_drawn_there() -> None:
    """Wrapping by 3 is the same in both directions at width 6, but not at width 7."""
    settings = {**TINY, "rules": ["wrap left 3", "wrap right 3", "mirror"], "num_colours": 9}
    env = Arc1D({**settings, "train": ["6-6"]})
    for index in range(60):
        assert env.full_trace(env.problem(Split.TRAIN, index))[0] == "rule: mirror"
    assert {env.full_trace(env.problem(Split.OOD_EASY, index))[0] for index in range(60)} == {
        *("rule: wrap left 3", "rule: wrap right 3", "rule: mirror")
    }


def test_indistinguishable_rules_are_reported() -> None:
    env = Arc1D({**TINY, "train": ["6-6"], "rules": ["wrap left 3", "wrap right 3"]})
    with pytest.raises(
        ValueError, match=r"^found no problem of width 6 in \d+ tries that only one of the 2 rules"
    ):
        env.problem(Split.TRAIN, 0)


def test_reading_a_question_is_the_inverse_of_writing_it() -> None:
    puzzle = Puzzle(
        (("0012201", "0122010"), ("3000330", "0003300"), ("4044004", "0440040")), "0500055", "5000550"
    )
    assert read_question(QUESTION, "5000550") == puzzle
    assert write_question(puzzle) == QUESTION
    assert Arc1D({"train": ["5-9"], "ood_easy": ["10-12"]}).bucket(ask()) == "5-9"
    assert Arc1D().bucket(ask()) == "7-7"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": ["10"]}, "got the bucket '10'; a bucket is a range of widths from 5 to 60, such as '10-20'"),
        (
            {"train": ["4-9"]},
            ("got the bucket '4-9'; a bucket is a range of widths from 5 to 60, such as '10-20'"),
        ),
        (
            {"train": ["9-8"]},
            ("got the bucket '9-8'; a bucket is a range of widths from 5 to 60, such as '10-20'"),
        ),
        (
            {"ood_hard": ["50-61"]},
            ("got the bucket '50-61'; a bucket is a range of widths from 5 to 60, such as '10-20'"),
        ),
        (
            {"train": ["١٠-20"]},
            ("got the bucket '١٠-20'; a bucket is a range of widths from 5 to 60, such as '10-20'"),
        ),
        (
            {"train": ["10-21"]},
            ("the buckets '10-21' and '21-25' overlap; change their ranges so that no value is in both"),
        ),
        (
            {"train": ["6-8", "7-9"]},
            ("the buckets '6-8' and '7-9' overlap; change their ranges so that no value is in both"),
        ),
        (
            {"train": ["21-25"]},
            ("train and ood_easy share the buckets ['21-25']; remove them from one of the two"),
        ),
        ({"rules": ["mirror", "holow"]}, "unknown rule 'holow'; did you mean 'hollow'? known: move left 1, "),
        ({"rules": ["mirror", "xyz"]}, "unknown rule 'xyz'. known: move left 1, "),
        ({"rules": ["mirror"]}, "got the rules ['mirror']; name at least two, none of them twice"),
        ({"rules": ["fill", "fill"]}, "got the rules ['fill', 'fill']; name at least two, none of them twice"),
        ({"num_examples": 0}, "greater than or equal to 1"),
        ({"num_examples": 10}, "less than or equal to 9"),
        ({"num_colours": 1}, "greater than or equal to 2"),
        ({"num_colours": 10}, "less than or equal to 9"),
        ({"max_merge": 2}, "less than or equal to 1"),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        Arc1D(settings)
    assert message in str(wrong.value)


# ---- steps ----


def at(*lines: str) -> ArcState:
    """The state after some lines."""
    env = Arc1D()
    state = env.start(ask())
    for line in lines:
        state = env.advance(state, line)
    return state


def test_steps() -> None:
    puzzle = at().puzzle
    assert at(*RIGHT[:1]) == ArcState(puzzle, "move left 1")
    assert at(*RIGHT[:2]) == ArcState(puzzle, "move left 1", 1)
    assert at(*RIGHT) == ArcState(puzzle, "move left 1", 3, made="5000550")
    assert at(*WRAP) == ArcState(puzzle, "wrap left 1", 2, failed=True)
    for lines in ((), RIGHT[:1], RIGHT[:3], WRAP, RIGHT):
        for line in ("see input 1: 0012201", "see output 3: 0440040"):
            assert at(*lines, line) == at(*lines)


@pytest.mark.parametrize(
    ("before", "line", "reason"),
    [
        ([], "rule: turn", "not one of the rules"),
        ([], "rule: move left", "not one of the rules"),
        ([], "rule: move left 4", "not one of the rules"),
        ([], "rule: Mirror", "not one of the rules"),
        ([], "rule: mirror ", "not one of the rules"),
        ([], "rule:  mirror", "not one of the rules"),
        ([], "rule: mirror, fill", "not one of the rules"),
        ([], "rule: ", "not one of the rules"),
        ([], "rule: " + "mirror" * 300, "not one of the rules"),
        ([], "rule:mirror", "not a rule, an example or the test"),
        ([], RIGHT[1], "no rule is proposed"),
        ([], RIGHT[4], "no rule is proposed"),
        (RIGHT[:1], "rule: mirror", "a rule is already proposed"),
        (RIGHT[:1], RIGHT[0], "a rule is already proposed"),
        (WRAP, "rule: mirror", "a rule is already proposed"),
        (RIGHT, "rule: mirror", "a rule is already proposed"),
        (RIGHT[:1], RIGHT[2], "the next example is 1"),
        (RIGHT[:2], RIGHT[1], "the next example is 2"),
        (RIGHT[:4], RIGHT[3], "all examples are already compared"),
        (RIGHT[:4], "4: 0500055 > 5000550, as given", "all examples are already compared"),
        (RIGHT[:3], RIGHT[4], "the next example is 3"),
        (RIGHT[:1], "test: 0500055 > 5000550", "the next example is 1"),
        (RIGHT, RIGHT[4], "the test row is already done"),
        (
            WRAP,
            "3: 4044004 > 0440044, given 0440040",
            "the rule has failed; go back to the start and propose another",
        ),
        (WRAP, WRAP[2], "the rule has failed; go back to the start and propose another"),
        (WRAP, "test: 0500055 > 5000550", "the rule has failed; go back to the start and propose another"),
        # Both the result of the rule and the comparison with the given output must be right.
        (RIGHT[:1], "1: 0012201 > 0122011, as given", f"the line should be '{RIGHT[1]}'"),
        (RIGHT[:1], "1: 0012201 > 0122010, given 0122010", f"the line should be '{RIGHT[1]}'"),
        (RIGHT[:1], "1: 0012200 > 0122000, as given", f"the line should be '{RIGHT[1]}'"),
        (RIGHT[:1], "1: 0012201 > 0122010, given 0122011", f"the line should be '{RIGHT[1]}'"),
        (WRAP[:2], "2: 3000330 > 0003300, as given", f"the line should be '{WRAP[2]}'"),
        (WRAP[:2], "2: 3000330 > 0003303, as given", f"the line should be '{WRAP[2]}'"),
        (WRAP[:2], "2: 3000330 > 0003303, given 0003303", f"the line should be '{WRAP[2]}'"),
        (RIGHT[:4], "test: 0500055 > 5000555", f"the line should be '{RIGHT[4]}'"),
        (RIGHT[:4], "test: 0500055 > 5000550, as given", f"the line should be '{RIGHT[4]}'"),
        (RIGHT[:4], "test: ", f"the line should be '{RIGHT[4]}'"),
        (RIGHT[:4], "test: " + "0" * 5000, f"the line should be '{RIGHT[4]}'"),
        ([], "see input 1: 0012200", "not a row of an example"),
        ([], "see output 1: 0012201", "not a row of an example"),
        ([], "see input 4: 0500055", "not a row of an example"),
        ([], "see input 0: 4044004", "not a row of an example"),
        ([], "see input 1: 0012201 ", "not a row of an example"),
        ([], "see 1: 0012201 > 0122010", "not a row of an example"),
        ([], "see test: 0500055", "not a row of an example"),
        ([], "See input 1: 0012201", "not a rule, an example or the test"),
        (RIGHT[:1], "1: 0012201 > 0122010", "not a rule, an example or the test"),
        (RIGHT[:1], "1: 0012201 > 0122010, as given.", "not a rule, an example or the test"),
        (RIGHT[:1], "1: 0012201>0122010, as given", "not a rule, an example or the test"),
        (RIGHT[:1], "01: 0012201 > 0122010, as given", "not a rule, an example or the test"),
        (RIGHT[:1], "١: 0012201 > 0122010, as given", "not a rule, an example or the test"),
        (RIGHT[:1], "1: 0 0 1 2 2 0 1 > 0 1 2 2 0 1 0, as given", "not a rule, an example or the test"),
        (RIGHT[:1], "1: " + "0" * 61 + " > 0, as given", "not a rule, an example or the test"),
        (RIGHT[:1], RIGHT[1] + "\r", "not a rule, an example or the test"),
        (RIGHT[:1], "; ".join(RIGHT[1:]), "not a rule, an example or the test"),
        ([], "9" * 9000, "not a rule, an example or the test"),
        ([], "", "not a rule, an example or the test"),
    ],
)
def test_refused_steps(before: list[str], line: str, reason: str) -> None:
    state = at(*before)
    with pytest.raises(StepError) as refused:
        Arc1D().advance(state, line)
    assert str(refused.value) == reason


def test_finished_only_after_the_test_row() -> None:
    env = Arc1D()
    assert [env.finished(at(*RIGHT[:num])) for num in range(6)] == [False] * 5 + [True]
    assert not env.finished(at(*WRAP))


@pytest.mark.parametrize("settings", [{}, TINY, WIDE])
def test_solvable_agrees_with_following_the_rule_to_its_end(settings: dict[str, object]) -> None:
    """After a proposal the lines are determined; write them with the naive rules and see if they finish."""
    env = Arc1D(settings)
    for index, split in enumerate([*Split] * 3):
        problem = env.problem(split, index)
        puzzle = read_question(problem.question, problem.answer)
        assert env.solvable(env.start(problem))
        solving = 0
        for rule in RULES:
            states = [env.advance(env.start(problem), f"rule: {rule}")]
            for number, (row, given) in enumerate(puzzle.examples, 1):
                made = "".join(map(str, naive(rule, [int(pixel) for pixel in row])))
                end = "as given" if made == given else f"given {given}"
                states.append(env.advance(states[-1], f"{number}: {row} > {made}, {end}"))
                if made != given:
                    break
            else:
                made = "".join(map(str, naive(rule, [int(pixel) for pixel in puzzle.test])))
                states.append(env.advance(states[-1], f"test: {puzzle.test} > {made}"))
            ends = env.finished(states[-1])
            assert [env.solvable(state) for state in states] == [ends] * len(states)
            solving += ends
        assert solving == 1


def test_a_rule_that_explains_the_examples_but_not_the_answer_is_a_dead_end() -> None:
    """Never in generated problems: mirror and wrap left 3 agree on 000111, but not on 120000."""
    problem = ask("1: 000111 > 111000\ntest: 120000", "000012")
    env = Arc1D()
    state = env.start(problem)
    for line in ("rule: wrap left 3", "1: 000111 > 111000, as given"):
        state = env.advance(state, line)
        assert not env.solvable(state)
    assert not env.finished(env.advance(state, "test: 120000 > 000120"))


# ---- whole traces ----


@pytest.mark.parametrize(
    ("lines", "verified"),
    [
        (RIGHT, True),
        (
            ["see input 1: 0012201", *RIGHT[:2], "see output 2: 0003300", *RIGHT[2:], "see input 2: 3000330"],
            True,
        ),
        (RIGHT[:4], False),
        (RIGHT[1:], False),
        ([RIGHT[0], RIGHT[4]], False),
        ([*RIGHT[:2], *RIGHT[3:]], False),
        ([], False),
        (WRAP, False),
        ([*WRAP, *RIGHT], False),
        ([*WRAP, "<backtrack> 0", *RIGHT], True),
        ([*WRAP, "<backtrack> 1", *RIGHT[1:]], False),  # back to the wrong rule
        ([*MIRROR, "<backtrack> 0", *WRAP, "<backtrack> 0", *RIGHT], True),
        (["rule: turn", *RIGHT], False),  # an invalid line that is not taken back
        (["rule: turn", "<backtrack>", *RIGHT], True),
        ([*RIGHT, RIGHT[4]], False),
        (["<backtrack> 0", *RIGHT], False),  # no earlier step
        (["see input 1: 0012200", *RIGHT], False),
    ],
)
def test_verified_traces(lines: list[str], verified: bool) -> None:
    trace = judge(ask(), lines)
    assert trace.correct
    assert trace.verified is verified


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        # A wrong rule, taken back after it has failed, or at once.
        ([*WRAP, "<backtrack> 0", *RIGHT], [(3, 3, True, True)]),
        ([WRAP[0], "<backtrack> 0", *RIGHT], [(1, 1, True, True)]),
        ([WRAP[0], "<backtrack>", *RIGHT], [(1, 1, True, True)]),
        # Step by step.
        (
            [*MIRROR, "<backtrack>", "<backtrack>", *RIGHT],
            [(2, 1, False, True), (3, 1, True, True)],
        ),
        # Back to the same rule, or to the same line of it.
        (
            [*MIRROR, "<backtrack> 0", *MIRROR, "<backtrack> 0", *RIGHT],
            [(2, 2, False, True), (5, 2, True, True)],
        ),
        ([*MIRROR, "<backtrack> 1", MIRROR[1]], [(2, 1, False, True)]),
        # The right rule is left, and proposed again.
        (
            [*RIGHT[:3], "<backtrack> 0", *WRAP, "<backtrack> 0", *RIGHT],
            [(3, 3, True, False), (7, 3, True, True)],
        ),
        ([*RIGHT[:3], "<backtrack> 2", *RIGHT[2:]], [(3, 1, False, False)]),
        ([*RIGHT, "<backtrack> 0", *RIGHT], [(5, 5, False, False)]),
        # An invalid line is a branch that cannot lead to the end, so taking it back is needed.
        (["rule: turn", "<backtrack>", *RIGHT], [(1, 1, True, True)]),
        ([RIGHT[0], "1: 0012201 > 0122011, as given", "<backtrack>", *RIGHT[1:]], [(2, 1, True, True)]),
        # Lines that change nothing are no branch, neither before nor after one.
        (["see input 1: 0012201", "<backtrack>", *RIGHT], [(1, 1, False, False)]),
        (["see input 1: 0012201", *MIRROR, "<backtrack> 0", *RIGHT], [(3, 3, True, True)]),
        ([*MIRROR, "<backtrack> 0", "see input 1: 0012201", MIRROR[0]], [(2, 2, False, True)]),
        ([*MIRROR, "see input 1: 0012201", "<backtrack> 0", *RIGHT], [(3, 3, True, True)]),
        ([*MIRROR, "<backtrack> 0"], [(2, 2, False, True)]),
        ([*MIRROR, "<backtrack> 2", *RIGHT], []),
    ],
)
def test_backtracks(lines: list[str], found: list[tuple[int, int, bool, bool]]) -> None:
    trace = judge(ask(), lines)
    assert [tuple(backtrack) for backtrack in trace.backtracks] == found


def test_full_trace_and_no_skipped_trace() -> None:
    env = Arc1D()
    assert list(env.full_trace(ask())) == RIGHT
    assert env.skipped_trace(ask(), "any", random.Random(0)) is None
    assert judge(ask(), RIGHT).verified


# ---- answers ----


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        ("5000550", Grade.CORRECT),
        ("5000551", Grade.WRONG),
        ("0500055", Grade.WRONG),
        ("5000500", Grade.WRONG),
        ("500055", Grade.WRONG),
        ("05000550", Grade.WRONG),
        ("50005500", Grade.WRONG),
        ("0", Grade.WRONG),
        ("5 0 0 0 5 5 0", Grade.MALFORMED),
        ("[5, 0, 0, 0, 5, 5, 0]", Grade.MALFORMED),
        ("5000550 ", Grade.MALFORMED),
        (" 5000550", Grade.MALFORMED),
        ("+5000550", Grade.MALFORMED),
        ("5_000_550", Grade.MALFORMED),
        ("5,000,550", Grade.MALFORMED),
        ("5000550.0", Grade.MALFORMED),
        ("5000550 or 5000551", Grade.MALFORMED),
        ("0x4c4d66", Grade.MALFORMED),
        ("test: 0500055 > 5000550", Grade.MALFORMED),
        ("move left 1", Grade.MALFORMED),
        ("", Grade.MALFORMED),
        ("5" * 1990, Grade.MALFORMED),
        ("٥٠٠٠٥٥٠", Grade.REFUSED),
        ("５０００５５０", Grade.REFUSED),
        ("5000550\x00", Grade.REFUSED),
        ("5000550\u200b", Grade.REFUSED),
        ("5" * 5000, Grade.REFUSED),
    ],
)
def test_answers(answer: str, grade: Grade) -> None:
    trace = judge(ask(), RIGHT, answer)
    assert trace.grade is grade
    assert trace.verified is (grade is Grade.CORRECT)


def test_mutated_texts_are_judged_as_by_an_independent_check_and_fast() -> None:
    env = Arc1D()
    rng = random.Random(0)
    problems = [env.problem(Split.TRAIN, index) for index in range(150)]
    texts = [line for problem in problems for line in env.full_trace(problem)]
    texts += [problem.answer for problem in problems] + ["(" * 500, "9" * 3000, "1: " * 700, "٣", "\x00"]
    kept = valid = 0
    worst_s = 0.0
    for problem in problems:
        lines = list(env.full_trace(problem))
        for _ in range(40):
            answer = mutate(problem.answer, texts, rng)
            assert (judge(problem, lines, answer).grade is Grade.CORRECT) is (answer == problem.answer)
            place = rng.randrange(len(lines))
            line = mutate(lines[place], texts, rng)
            parsed = parse_trace(render_trace([*lines[:place], line, *lines[place + 1 :]], problem.answer))
            start = time.process_time()
            trace = env.check(problem, parsed)
            worst_s = max(worst_s, time.process_time() - start)
            assert all(step.verdict is not Verdict.UNCHECKED for step in trace.steps)
            # Only one trace is right, apart from empty lines and lines that change nothing or are taken back.
            left = [step.text for step in trace.steps if step.kind is StepKind.FORWARD and not step.undone]
            expected = [text for text in left if not text.startswith("see ")] == lines
            assert trace.verified is (expected and trace.correct), line
            kept += expected
            valid += place == 0 and trace.steps[0].verdict is Verdict.VALID
    assert kept > 20
    assert valid > 5
    assert worst_s < 1.0


# ---- detours, controls and the search ----


@pytest.mark.parametrize("num_errors", [0, 1, 2, 3, 10, 38])
@pytest.mark.parametrize("settings", [{}, TINY])
def test_detours(num_errors: int, settings: dict[str, object]) -> None:
    env = Arc1D(settings)
    for index in range(60):
        problem = env.problem(list(Split)[index % 4], index)
        demonstration = env.detour_trace(problem, ["rule"] * num_errors, random.Random(index))
        assert demonstration is not None
        trace = env.check(
            problem, parse_trace(render_trace(demonstration.lines, demonstration.answer or problem.answer))
        )
        assert trace.verified
        assert trace.num_invalid == trace.fake_backtracks == trace.needless_backtracks == 0
        assert trace.num_backtracks == trace.real_backtracks == len(demonstration.wrong) == num_errors
        turns = [demonstration.lines[i] for i in sorted(demonstration.wrong)]
        assert len(set(turns)) == num_errors
        full = env.full_trace(problem)
        assert demonstration.lines[len(demonstration.lines) - len(full) :] == full
        proposals = [i for i, line in enumerate(demonstration.lines) if line.startswith("rule: ")]
        assert set(proposals) == demonstration.wrong | {len(demonstration.lines) - len(full)}
        for start, end in pairwise(proposals):
            *examples, mismatch = demonstration.lines[start + 1 : end - 1]
            assert all(line.endswith(", as given") for line in examples)
            assert ", given " in mismatch
            assert demonstration.lines[end - 1] == "<backtrack> 0"
        # Rules that do not change the first input are proposed only if there are too few others.
        row = env.start(problem).puzzle.examples[0][0]
        idle = sum(RULES[turn.removeprefix("rule: ")](row) == row for turn in turns)
        most = sum(rule(row) != row for rule in RULES.values()) - 1
        assert idle == max(0, num_errors - most)


def test_no_detour_without_room() -> None:
    env = Arc1D()
    assert env.detour_trace(ask(), ["rule"] * 39, random.Random(0)) is None
    assert env.detour_trace(ask(), [], random.Random(0)) == Demonstration(lines=tuple(RIGHT))
    few = Arc1D(FEW_RULES)
    assert few.detour_trace(few.problem(Split.TRAIN, 0), ["rule"] * 3, random.Random(0)) is not None
    assert few.detour_trace(few.problem(Split.TRAIN, 0), ["rule"] * 4, random.Random(0)) is None


def test_an_unknown_error_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^unknown error kinds \['typo'\]; known: rule$"):
        Arc1D().detour_trace(ask(), ["rule", "typo"], random.Random(0))


def test_detours_depend_only_on_the_generator() -> None:
    one, two = Arc1D(), Arc1D()
    demonstrations = [one.detour_trace(ask(), ["rule"] * 2, random.Random(seed)) for seed in range(20)]
    assert demonstrations == [two.detour_trace(ask(), ["rule"] * 2, random.Random(seed)) for seed in range(20)]
    assert len({demonstration.lines for demonstration in demonstrations if demonstration}) > 15


@pytest.mark.parametrize("num_errors", [1, 2, 3, 6])
@pytest.mark.parametrize("settings", [{}, TINY, FEW_RULES, {"train": ["26-40"], "ood_hard": ["45-60"]}])
def test_controls_are_as_long_as_detours(num_errors: int, settings: dict[str, object]) -> None:
    env = Arc1D(settings)
    num_errors = min(num_errors, len(env.settings.rules) - 1)
    detour_chars = control_chars = 0
    for index in range(100):
        problem = env.problem(Split.TRAIN, index)
        detour = env.detour_trace(problem, ["rule"] * num_errors, random.Random(index))
        assert detour is not None
        control = env.padded_trace(problem, len(detour.lines), random.Random(index))
        assert control is not None
        trace = judge(problem, control.lines, env=env)
        assert trace.verified
        assert (trace.num_steps, trace.num_backtracks) == (len(detour.lines), 0)
        assert [line for line in control.lines if not line.startswith("see ")] == list(env.full_trace(problem))
        assert not control.wrong
        detour_chars += sum(map(len, detour.lines))
        control_chars += sum(map(len, control.lines))
    assert 0.95 < control_chars / detour_chars < 1.05


def test_padding_is_spread_evenly_and_random() -> None:
    env = Arc1D()
    assert env.padded_trace(ask(), 4, random.Random(0)) is None
    assert env.padded_trace(ask(), 5, random.Random(0)) == Demonstration(lines=tuple(RIGHT))
    demonstration = env.padded_trace(ask(), 11, random.Random(0))
    assert demonstration is not None
    assert [line.startswith("see ") for line in demonstration.lines] == [True, False] * 5 + [True]
    order = [
        *("see input 1: 0012201", "see output 1: 0122010", "see input 2: 3000330"),
        *("see output 2: 0003300", "see input 3: 4044004", "see output 3: 0440040"),
    ]
    start = order.index(demonstration.lines[0])
    assert [line for line in demonstration.lines if line.startswith("see ")] == order[start:] + order[:start]
    notes = set()
    for seed in range(60):
        demonstration = env.padded_trace(ask(), 6, random.Random(seed))
        assert demonstration is not None
        notes |= {(place, line) for place, line in enumerate(demonstration.lines) if line.startswith("see ")}
    assert {place for place, _ in notes} == set(range(6))
    assert {line for _, line in notes} == set(order)


def test_search_trace_by_hand() -> None:
    env = Arc1D({"rules": ["mirror", "wrap left 1", "move left 1", "fill"]})
    lines = (*MIRROR, "<backtrack> 0", *WRAP, "<backtrack> 0", *RIGHT)
    assert env.search_trace(ask(), random.Random(0)) == Demonstration(lines=lines)
    longest = {"rules": env.settings.rules, "max_search_lines": 12}
    assert Arc1D(longest).search_trace(ask(), random.Random(0)) == Demonstration(lines=lines)
    assert Arc1D({**longest, "max_search_lines": 11}).search_trace(ask(), random.Random(0)) is None


def test_search_traces() -> None:
    env = Arc1D()
    num_backtracks = 0
    for index in range(100):
        problem = env.problem(list(Split)[index % 4], index)
        demonstration = env.search_trace(problem, random.Random(0))
        assert demonstration is not None
        trace = judge(problem, demonstration.lines)
        assert trace.verified
        assert trace.num_invalid == trace.fake_backtracks == trace.needless_backtracks == 0
        assert not demonstration.wrong
        right = env.full_trace(problem)[0].removeprefix("rule: ")
        assert trace.num_backtracks == list(RULES).index(right)
        num_backtracks += trace.num_backtracks
    assert abs(num_backtracks / 100 - 19) < 6  # uniform from 0 to 38; five sigma
