"""Texts of the released data in Stride's grammar, and back."""

from __future__ import annotations

import pytest

from envs.released.addition import AdditionWording
from envs.released.algebra import AlgebraWording
from envs.released.directional import DirectionalWording
from envs.released.wording import Wording, WordingError
from envs.tasks.algebra.task import CONSTANTS

ADD, TURN, SOLVE = AdditionWording(), DirectionalWording(), AlgebraWording()


@pytest.mark.parametrize(
    ("wording", "theirs", "ours"),
    [
        (
            ADD,
            "1. 6 + 5 (plus carry 0) = 11 (write down 1, carry over 1).",
            "1. 6 + 5 + 0 = 11, write 1, carry 1",
        ),
        (
            ADD,
            "2. 5 + 2 (plus carry 0) = 7 (write down 07, no carry over).",
            "2. 5 + 2 + 0 = 7, write 07, carry 0",
        ),
        (ADD, "3. Carry the final carry over 1 to the next place.", "3. carry 1, write 1"),
        (TURN, "North. Right, Around", "north. right, around"),
        (TURN, "East.", "east"),
        (SOLVE, "❀ ❤ ♪ ❲ ♙ ✰ ♏ ❳ ↔ ♋ ✾ ◯", "⊖ ♥ ⊘ ( ♣ ⊕ ♠ ) → ♦ ⊗ ○"),
    ],
)
def test_lines(wording: Wording, theirs: str, ours: str) -> None:
    assert wording.read_line(theirs) == ours
    assert wording.write_line(ours) == theirs


def test_the_column_that_ood_files_name_is_dropped() -> None:
    line = "3. Add the 10^2's place digits: 2 + 0 (plus carry 0) = 3 (write down 3, no carry over)."
    assert ADD.read_line(line) == "3. 2 + 0 + 0 = 3, write 3, carry 0"


@pytest.mark.parametrize(
    ("wording", "theirs", "ours"),
    [
        (ADD, "Question: 900276 + 55", "Add 900276 and 55"),
        (
            TURN,
            "Assuming an initial orientation facing South, determine the final direction after executing the "
            "following actions: Around, Left",
            "You face south. Actions: around, left",
        ),
        (SOLVE, "♙ ✰ ♏ ✾ ♋ ❀ ❤ ↔ ◯", "♣ ⊕ ♠ ⊗ ♦ ⊖ ♥ → ○"),
    ],
)
def test_questions(wording: Wording, theirs: str, ours: str) -> None:
    assert wording.read_question(theirs) == ours
    assert wording.write_question(ours) == theirs


def test_answers() -> None:
    assert (ADD.read_answer("161"), ADD.write_answer("161")) == ("161", 161)
    assert (TURN.read_answer("East"), TURN.write_answer("east")) == ("east", "East")


def test_every_constant_of_ours_has_a_symbol_of_its_own() -> None:
    text = " ".join(CONSTANTS)
    assert SOLVE.read_line(SOLVE.write_line(text)) == text


@pytest.mark.parametrize(
    ("wording", "text"),
    [
        (ADD, "1. 6 + 5 = 11"),
        (ADD, "1. 6 + 5 (plus carry 0) = 11 (write down 1, carry over 1)"),
        (ADD, "6 + 5 (plus carry 0) = 11 (write down 1, carry over 1)."),
        (ADD, "4. Carry the final carry over 2 to the next place."),
        (TURN, "north. right"),
        (TURN, "North, Right"),
        (TURN, ""),
        (SOLVE, "x = A"),
        (SOLVE, "♥ → ♦"),  # ours
    ],
)
def test_other_wordings_are_refused(wording: Wording, text: str) -> None:
    with pytest.raises(WordingError):
        wording.read_line(text)
