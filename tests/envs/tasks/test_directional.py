"""Directional reasoning, on examples worked by hand."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from pydantic import ValidationError

from envs.generated import Draw
from envs.grading import Grade
from envs.path import StepError
from envs.problem import Problem, Split
from envs.tasks.directional import TURNS, Directional
from envs.trace import Verdict
from tests.kit.problems import judge, make_problem


def ask(heading: str, actions: str, answer: str = "north") -> Problem:
    question = f"You face {heading}. Actions: {actions}"
    return make_problem("directional", question, answer, num_full_steps=actions.count(",") + 1)


@pytest.mark.parametrize(
    ("heading", "actions", "lines"),
    [
        ("north", "left, right, around", ("west. right, around", "north. around", "south")),
        ("east", "right", ("south",)),
        ("south", "around, around", ("north. around", "south")),
        (
            "west",
            "left, left, right, around",
            ("south. left, right, around", "east. right, around", "south. around", "north"),
        ),
    ],
)
def test_full_trace(heading: str, actions: str, lines: tuple[str, ...]) -> None:
    assert Directional().full_trace(ask(heading, actions)) == lines


@pytest.mark.parametrize(
    ("actions", "lines"),
    [
        # The first pair that cancels is done in one line: the line of its first action is left out.
        ("left, right, around", ("north. around", "south")),
        ("right, left", ("north",)),
        (
            "left, around, around, right",  # west, east, west, north; the pair is the second and third
            ("west. around, around, right", "west. right", "north"),
        ),
        ("around, around, left, right", ("north. left, right", "west. right", "north")),
        # Three in a row: only the first pair is merged.
        ("around, around, around", ("north. around", "south")),
        # No pair cancels.
        ("left, left", None),
        ("left, around", None),
        ("right", None),
    ],
)
def test_released_cancel_rule(actions: str, lines: tuple[str, ...] | None) -> None:
    assert Directional().skipped_trace(ask("north", actions), "cancel_pair", random.Random(0)) == lines


def test_cancel_rule_saves_one_line_if_a_pair_cancels() -> None:
    env = Directional()
    applied = 0
    for index in range(300):
        problem = env.problem(Split.TRAIN, index)
        actions = env.start(problem).actions
        first = next(
            (i for i in range(len(actions) - 1) if TURNS[actions[i]] + TURNS[actions[i + 1]] == 4), None
        )
        full, skipped = env.full_trace(problem), env.skipped_trace(problem, "cancel_pair", random.Random(1))
        assert skipped == (None if first is None else full[:first] + full[first + 1 :])
        applied += first is not None
    assert 200 < applied < 300  # released: 1,819 of 2,080 items


def test_any_pair_reaches_every_pair_and_nothing_else() -> None:
    problem = ask("north", "left, left, left")  # full: west, south, east
    seen = {Directional().skipped_trace(problem, "any_pair", random.Random(seed)) for seed in range(40)}
    assert seen == {("south. left", "east"), ("west. left, left", "east")}


@pytest.mark.parametrize("line", ["west. right, around", "north. around"])
def test_a_step_does_one_or_two_actions(line: str) -> None:
    env = Directional()
    after = env.advance(env.start(ask("north", "left, right, around")), line)
    assert len(after.actions) == line.count(",") + 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("south", "3 actions in one line, at most 2"),
        ("east. right, around", "heading should be west"),
        ("south. around", "heading should be north"),
        ("north. left, right, around", "the remaining actions are not the end of the previous list"),
        ("west. around, right", "the remaining actions are not the end of the previous list"),
        ("west. right", "the remaining actions are not the end of the previous list"),
        ("west. right,around", "the remaining actions are not the end of the previous list"),
        ("west. ", "the remaining actions are not the end of the previous list"),
        ("west. right, around, left, left", "the remaining actions are not the end of the previous list"),
        ("West. right, around", "not a heading and a list of actions"),
        (" west. right, around", "not a heading and a list of actions"),
        ("west, right, around", "not a heading and a list of actions"),
        ("", "not a heading and a list of actions"),
    ],
)
def test_refused_steps(line: str, reason: str) -> None:
    env = Directional()
    with pytest.raises(StepError) as refused:
        env.advance(env.start(ask("north", "left, right, around")), line)
    assert str(refused.value) == reason


def test_nothing_follows_the_last_action() -> None:
    env = Directional()
    end = env.advance(env.start(ask("north", "left")), "west")
    with pytest.raises(StepError):
        env.advance(end, "west")


def test_max_merge_sets_the_width() -> None:
    problem = ask("north", "left, right, around")
    wide, narrow = Directional({"max_merge": 3}), Directional({"max_merge": 1})
    assert wide.advance(wide.start(problem), "south").actions == ()
    with pytest.raises(StepError, match=r"^2 actions in one line, at most 1$"):
        narrow.advance(narrow.start(problem), "north. around")


@pytest.mark.parametrize("answer", ["west", "West", "WEST"])
def test_answers_taken_in_any_case(answer: str) -> None:
    assert Directional().grade_answer(ask("north", "left", "west"), answer) is Grade.CORRECT


@pytest.mark.parametrize("answer", ["", "east", " west", "west.", "west east", "weſt", "w", "WEST\n"])
def test_answers_refused(answer: str) -> None:
    grade = Grade.WRONG if answer == "east" else Grade.MALFORMED
    assert Directional().grade_answer(ask("north", "left", "west"), answer) is grade


def test_buckets_are_drawn_by_the_released_counts() -> None:
    env = Directional()
    counts = Counter(env.problem(Split.TRAIN, index).num_full_steps for index in range(4000))
    # 4000 · 320 / 2080 = 615 of ten actions, 4000 · 60 / 2080 = 115 of three; five standard deviations.
    assert abs(counts[10] - 615) < 115
    assert abs(counts[3] - 115) < 53
    assert set(counts) == set(range(1, 11))
    easy = {env.problem(Split.OOD_EASY, index).num_full_steps for index in range(300)}
    hard = {env.problem(Split.OOD_HARD, index).num_full_steps for index in range(300)}
    assert (easy, hard) == (set(range(11, 21)), set(range(21, 31)))


def test_prompts() -> None:
    env = Directional()
    problem = ask("north", "left, right")
    assert env.with_budget(problem, None).prompt == "You face north. Actions: left, right\nAnswer:\n"
    for budget, words in ((1, "1 step"), (2, "2 steps")):
        assert env.with_budget(problem, budget).prompt == (
            f"You face north. Actions: left, right\nLet's solve it in {words}.\nAnswer:\n"
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"train": {"0": 1}},
            ("got the bucket '0'; a bucket is a number of actions from 1 to 1000, such as '5'"),
        ),
        (
            {"train": ["1001"]},
            ("got the bucket '1001'; a bucket is a number of actions from 1 to 1000, such as '5'"),
        ),
        (
            {"train": ["2_2"]},
            ("got the bucket '2_2'; a bucket is a number of actions from 1 to 1000, such as '5'"),
        ),
        ({"train": ["²"]}, "got the bucket '²'; a bucket is a number of actions from 1 to 1000, such as '5'"),
        ({"train": [3, 12]}, "train and ood_easy share the buckets ['12']; remove them from one of the two"),
        ({"train": []}, "got the weights {}; a split needs at least one bucket, and weights from 0 up"),
        ({"train": {"1": -1.0, "2": 2.0}}, "got the weights {'1': -1.0, '2': 2.0}; a split needs at least one"),
        ({"train": {"1": 0.0}}, "and weights from 0 up with a finite sum above 0"),
        ({"max_merge": 0}, "greater than or equal to 1"),
        ({"max_merges": 2}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        Directional(settings)
    assert message in str(wrong.value)


def test_buckets_of_weight_zero_are_dropped() -> None:
    env = Directional({"train": {2: 1, 3: 0}})
    assert {env.problem(Split.TRAIN, index).num_full_steps for index in range(50)} == {2}


def test_the_data_seed_changes_the_problems() -> None:
    questions = [
        [Directional({"seed": seed}).problem(Split.ID, i).question for i in range(20)] for seed in (0, 1)
    ]
    assert len(set(questions[0]) & set(questions[1])) < 5


def test_a_split_without_problems_is_an_error_and_no_endless_loop() -> None:
    """A task with a single question has it in one split; the other split is empty."""

    class OneQuestion(Directional):
        def draw(self, bucket: str, rng: random.Random) -> Draw:
            return Draw(question="You face north. Actions: left", answer="west", num_full_steps=1, difficulty=1)

    env = OneQuestion({"train": [1], "ood_easy": [2], "ood_hard": [3]})
    outcomes = []
    for split in (Split.TRAIN, Split.ID):
        try:
            outcomes.append(env.problem(split, 0).answer)
        except ValueError as error:
            outcomes.append(str(error))
    assert "west" in outcomes
    assert any(
        "they hold too few distinct problems for train and id; add buckets" in outcome for outcome in outcomes
    )


# ---- detours ----


@pytest.mark.parametrize(
    "errors", [["turn"], ["lost_action"], ["turn", "again"], ["again", "turn", "lost_action"]]
)
def test_wrong_lines_are_taken_back_because_they_must_be_and_right_ones_without_need(
    errors: list[str],
) -> None:
    env = Directional()
    for index in range(100):
        problem = env.problem(Split.OOD_EASY, index)
        detour = env.detour_trace(problem, errors, random.Random(index))
        assert detour is not None and len(detour.lines) == problem.num_full_steps + 2 * len(errors)
        trace = judge(problem, detour.lines, env=env)
        assert trace.verified
        wrong = {place for place, step in enumerate(trace.steps) if step.verdict is Verdict.INVALID}
        assert wrong == detour.wrong and len(wrong) == len(errors) - errors.count("again")
        assert len(trace.backtracks) == len(errors)
        assert [one.needed for one in trace.backtracks] == [one.step - 1 in wrong for one in trace.backtracks]


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("lost_action", ("west", "<backtrack>", "west. right", "north")),
        ("again", ("west. right", "<backtrack>", "west. right", "north")),
    ],
)
def test_detours_by_hand(kind: str, lines: tuple[str, ...]) -> None:
    problem = ask("north", "left, right")
    found = {Directional().detour_trace(problem, [kind], random.Random(seed)) for seed in range(8)}
    assert lines in [one.lines for one in found if one is not None]


def test_a_line_has_at_most_one_detour_and_the_last_one_no_action_to_lose() -> None:
    problem = ask("north", "left, right")
    for errors, fit in ((["turn"] * 2, True), (["turn"] * 3, False), (["lost_action"] * 2, False)):
        assert (Directional().detour_trace(problem, errors, random.Random(0)) is not None) is fit
    for errors in (["turn", "lost_action"], ["again", "lost_action"]):  # one line alone has an action to lose
        assert all(Directional().detour_trace(problem, errors, random.Random(seed)) for seed in range(50))
