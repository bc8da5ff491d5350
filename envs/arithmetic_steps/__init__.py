"""Checked steps in word problems: equations of ordinary text, computed exactly."""

from envs.arithmetic_steps.checker import MERGED, UNKNOWN, WRONG, ArithmeticSteps, Known, place_steps
from envs.arithmetic_steps.equations import find_equations
from envs.arithmetic_steps.sides import Equation, Side

__all__ = [
    "MERGED",
    "UNKNOWN",
    "WRONG",
    "ArithmeticSteps",
    "Equation",
    "Known",
    "Side",
    "find_equations",
    "place_steps",
]
