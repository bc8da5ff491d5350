"""A mixture: fixed shares, each part's own rules, and problems that are the same on every call."""

from __future__ import annotations

import pickle
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import Env, Grade, Split, make_env
from envs.check.contract import check_env
from envs.mixture import PartError, Turns
from envs.tasks.math.task import EXAMPLE

SMALL = {"train": ["2"], "ood_easy": ["3"], "ood_hard": ["4"]}
DIGITS = {"train": ["1_1"], "ood_easy": ["2_1"], "ood_hard": ["2_2"]}
ROWS = {"preset": "gsm8k", "train": str(EXAMPLE)}


def mixture(*parts: dict[str, Any]) -> Env[Any]:
    return make_env("mixture", {"parts": [*parts]})


@pytest.fixture
def both() -> Env[Any]:
    """Two of three problems are turns, which are checked; of one, a word problem, only the answer is judged."""
    return mixture({"name": "directional", "settings": SMALL, "weight": 2}, {"name": "math", "settings": ROWS})


def test_two_to_one_by_hand() -> None:
    """Due at (k + 1/2) / w: a at 1/4, 3/4, 5/4, ...; b at 1/2, 3/2, ..."""
    turns = Turns({"a": 2, "b": 1})
    assert [turns.at(number) for number in range(7)] == [
        ("a", 0),
        ("b", 0),
        ("a", 1),
        ("a", 2),
        ("b", 1),
        ("a", 3),
        ("a", 4),
    ]


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=6), st.integers(0, 10**6))
def test_every_number_is_one_problem_and_shares_hold_everywhere(shares: list[int], start: int) -> None:
    turns = Turns({str(place): share for place, share in enumerate(shares)})
    found = [turns.at(number) for number in range(start, start + 60)]
    assert [turns.number(*one) for one in found] == list(range(start, start + 60))
    counts = Counter(label for label, _ in found)
    for place, share in enumerate(shares):
        places = [k for label, k in found if label == str(place)]
        assert places == list(range(places[0], places[0] + len(places))) if places else True
        due = Fraction(60 * share, sum(shares))
        assert abs(counts[str(place)] - due) <= len(shares)


def test_shares_hold_from_the_start() -> None:
    env = mixture({"name": "directional", "weight": 0.7}, {"name": "addition", "weight": 0.3})
    counts = Counter(env.problem(Split.TRAIN, index).part for index in range(1000))
    assert counts == {"directional": 700, "addition": 300}


def test_problems_are_those_of_the_parts_in_order(both: Env[Any]) -> None:
    turns, rows = make_env("directional", SMALL), make_env("math", ROWS)
    found = [both.problem(Split.TRAIN, index) for index in range(6)]
    assert [problem.part for problem in found] == ["directional", "math", "directional"] * 2
    assert [(problem.env, problem.index) for problem in found] == [("mixture", index) for index in range(6)]
    expected = [turns.problem(Split.TRAIN, k) for k in range(4)] + [
        rows.problem(Split.TRAIN, k) for k in range(2)
    ]
    assert sorted(problem.question for problem in found) == sorted(problem.question for problem in expected)
    assert [both.bucket(problem) for problem in found] == [problem.part for problem in found]


def test_each_part_judges_by_its_own_rules(both: Env[Any]) -> None:
    checked, counted = (both.problem(Split.TRAIN, index) for index in range(2))
    for problem, verified in ((checked, True), (counted, False)):
        part = both.part_of(problem)
        text = part.demonstrate(both.full_trace(problem), problem.answer)
        trace = both.check(problem, part.parse(text))
        assert (trace.grade, trace.passed, trace.verified) == (Grade.CORRECT, True, verified)
        assert both.grade_answer(problem, "nonsense") is not Grade.CORRECT
    bare = both.check(checked, both.part_of(checked).parse(f"Thus, the answer is {checked.answer}."))
    assert bare.correct and not bare.passed
    assert (both.checks_steps, both.has_solutions) == (False, True)
    assert both.skip_kinds == (*make_env("directional", SMALL).skip_kinds, *make_env("math", ROWS).skip_kinds)
    assert both.defines("skipped_trace") and not both.defines("search_trace")
    with pytest.raises(TypeError, match=r"ask part_of\(problem\)"):
        both.parse("x")


def test_the_contract_holds_for_a_mixture() -> None:
    env = mixture(
        {"name": "directional", "settings": SMALL}, {"name": "addition", "settings": DIGITS, "weight": 2}
    )
    report = check_env(env, num_problems=12)
    assert (report.name, report.num_problems) == ("mixture", 48)
    assert report.num_traces > 48 and report.num_near_misses > 1000


def test_a_budget_is_asked_for_in_the_words_of_the_part(both: Env[Any]) -> None:
    for index in range(2):
        problem = both.problem(Split.TRAIN, index)
        asked = both.with_budget(problem, 3)
        assert asked == both.problem(Split.TRAIN, index, budget=3)
        assert asked.prompt == both.part_of(problem).render_prompt(problem.question, 3)
        assert both.with_budget(asked, None) == problem


def test_splits_with_an_end(both: Env[Any]) -> None:
    """Of id, math has so many rows; the next of its problems would repeat the first."""
    assert both.splits == tuple(Split)  # math has train and id alone
    assert {both.problem(Split.OOD_HARD, index).part for index in range(9)} == {"directional"}
    size = both.num_problems(Split.ID)
    assert size is not None and both.num_problems(Split.TRAIN) is None is both.num_problems(Split.OOD_EASY)
    rows = [
        problem
        for problem in (both.problem(Split.ID, index) for index in range(size))
        if problem.part == "math"
    ]
    assert len({row.question for row in rows}) == len(rows) == make_env("math", ROWS).num_problems(Split.ID)
    assert both.problem(Split.ID, size).question == rows[0].question


def test_train_ends_when_every_part_has_shown_all(tmp_path: Path) -> None:
    for name, num in (("few", 2), ("many", 5)):
        lines = [f'{{"question": "{name} {n}?", "answer": "{n}"}}\n' for n in range(num)]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
        (tmp_path / f"{name}_id.jsonl").write_text(lines[0].replace("?", "!"))
    parts = [
        {
            "name": "math",
            "label": n,
            "settings": {"train": f"{tmp_path}/{n}.jsonl", "id": f"{tmp_path}/{n}_id.jsonl"},
        }
        for n in ("few", "many")
    ]
    env = mixture(*parts)
    size = env.num_problems(Split.TRAIN)
    assert size == 10  # few, many, few, many, ...: five of many are shown in ten
    seen = Counter(env.problem(Split.TRAIN, index).question for index in range(size))
    assert len(seen) == 7 and {seen[f"many {n}?"] for n in range(5)} == {1}


def test_it_is_pickled_and_known_by_its_parts(both: Env[Any]) -> None:
    again = pickle.loads(pickle.dumps(both))
    assert [again.problem(Split.ID, n) for n in range(5)] == [both.problem(Split.ID, n) for n in range(5)]
    assert again.fingerprint(Split.TRAIN) == both.fingerprint(Split.TRAIN)
    other = mixture({"name": "directional", "settings": SMALL}, {"name": "math", "settings": ROWS})
    assert other.fingerprint(Split.TRAIN) != both.fingerprint(Split.TRAIN)


def test_parts_that_name_problems_by_index_are_asked_for_their_own() -> None:
    """reasoning-gym makes a problem again, from its index, to grade an answer."""
    env = mixture(
        {"name": "directional", "settings": SMALL, "weight": 3},
        {"name": "reasoning_gym", "settings": {"task": "chain_sum"}},
    )
    problems = [env.problem(Split.TRAIN, index) for index in range(8)]
    (first, second) = (problem for problem in problems if problem.part == "reasoning_gym")
    for problem in (first, second):
        assert env.grade_answer(problem, problem.answer) is Grade.CORRECT
    assert env.grade_answer(first, second.answer) is Grade.WRONG


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "parts"),
        ([{"name": "addition", "weight": 0}], "greater than 0"),
        (
            [{"name": "adition"}],
            r"parts\[0\] \('adition'\): unknown environment 'adition'; did you mean 'addition'\?",
        ),
        (
            [{"name": "addition"}, {"name": "addition"}],
            r"parts\[1\] .*: another part is called 'addition' too; give",
        ),
        (
            [{"name": "mixture", "settings": {"parts": []}}],
            r"parts\[0\] .*: a part is no mixture; list the parts of",
        ),
        ([{"name": "no_such:Class"}], r"parts\[0\] .*: cannot import no_such: ModuleNotFoundError"),
    ],
)
def test_mistakes(parts: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixture(*parts)


def test_a_wrong_setting_of_a_part_keeps_its_schema() -> None:
    with pytest.raises(PartError, match=r"^parts\[0\] \('addition'\): ") as caught:
        mixture({"name": "addition", "settings": {"sed": 1}})
    assert "seed" in caught.value.schema.model_fields
