"""Beginnings that differ in a wrong turn, and what is counted of their continuations, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from envs import Split, StepKind, Thinking, Verdict, make_env, make_example
from rl.backtracks.pairs import Pair, count_by_kind, wrong_turn_pairs
from rl.backtracks.run import written
from rl.backtracks.text import backtracks_table, backtracks_text
from rollout.encoder import make_encoder
from rollout.prompt_format import PromptFormat
from tests.kit.byte_tokenizer import CONTROL, byte_tokenizer
from tests.kit.credit_groups import credit_group
from tests.kit.directional import END, FULL, TURNS
from tests.kit.problems import judge

OFF_TURN = "east. right, around\n"  # a wrong heading


@pytest.mark.parametrize(
    "name",
    ["directional", "addition", "countdown", "multistep_arithmetic", "graph_search", "sudoku", "arc_1d"],
)
def test_a_wrong_beginning_needs_a_backtrack_and_the_right_one_none(name: str) -> None:
    env = make_example(name)
    pairs = list(wrong_turn_pairs(env, Split.ID, 12, seed=0))
    assert {pair.kind for pair in pairs} and "again" not in {pair.kind for pair in pairs}
    for pair in pairs:
        common = len(pair.right) - 1
        assert pair.wrong[:common] == pair.right[:common] and pair.wrong[common] != pair.right[common]
        wrong, right = (judge(pair.problem, lines, env=env) for lines in (pair.wrong, pair.right))
        assert all(step.verdict is Verdict.VALID for step in right.steps)
        assert all(step.kind is StepKind.FORWARD for step in (*wrong.steps, *right.steps))
        if all(step.verdict is Verdict.VALID for step in wrong.steps):  # then it is a way into a dead end
            state = env.start(pair.problem)
            for line in pair.wrong:
                state = env.advance(state, line)
            assert env.solvable(state) is not True


def test_what_comes_next_and_what_passes_is_counted() -> None:
    """After the wrong heading two of three go back, one of which ends right; a line later is too late. After
    the right line one of two goes back, and both pass."""
    lines = ("west. right, around",)
    pair = Pair(kind="turn", problem=TURNS, wrong=(OFF_TURN.strip(),), right=lines)
    after_wrong = credit_group(
        [OFF_TURN + "<backtrack>\n" + FULL + END, OFF_TURN + "<backtrack>\n" + END, OFF_TURN + FULL + END]
    )
    after_right = credit_group([FULL + END, "west. right, around\n<backtrack>\n" + FULL + END])
    nobody = replace(after_right, samples=())  # no sample was graded
    pairs = [pair, replace(pair, kind="lost_action"), pair]
    row, empty = count_by_kind(pairs, [after_wrong, after_right, nobody, after_right, after_wrong, nobody])
    assert (row.kind, row.back_after_wrong, row.back_after_right) == ("turn", [(2, 3)], [(1, 2)])
    assert (row.passed_after_wrong, row.passed_after_right) == ([(1, 3)], [(2, 2)])
    assert (empty.kind, empty.back_after_right, empty.passed_after_right) == ("lost_action", [], [])
    text = backtracks_text([row, empty])
    assert "66.7 %" in text and "50.0 %" in text and "33.3 %" in text and "100.0 %" in text
    assert text.splitlines()[-1].split() == ["lost_action", "0", *"––––––"]
    head, *table = backtracks_table([row, empty])
    assert [dict(zip(head, cells, strict=True))["back"] for cells in table] == [0.66667, 0.5, "", ""]


@pytest.mark.parametrize("thinking", [None, Thinking()])
@pytest.mark.parametrize("marks", [(), ("<think>", "</think>")])
def test_a_beginning_is_that_of_a_demonstration(thinking: Thinking | None, marks: tuple[str, ...]) -> None:
    """It has no answer, and the mark of its thought is the control token that the warm start teaches."""
    env = make_env("directional")
    encoder = make_encoder(byte_tokenizer(control=(*CONTROL, *marks)), PromptFormat(thinking=thinking))
    lines = ("west. right, around", "<backtrack>", "west. right, around")
    ids = written(env, TURNS, lines, encoder)
    begun = "<think>\n" if thinking else ""
    assert encoder.show(ids) == begun + "".join([f"{line}\n" for line in lines])
    demonstration = encoder.encode_completion(env.demonstrate((*lines, "north. around"), TURNS.answer))
    assert ids == demonstration[: len(ids)]
