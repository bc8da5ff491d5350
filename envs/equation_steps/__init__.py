"""Checked steps in mathematical solutions: equations with and without letters."""

from envs.equation_steps.checker import UNRELATED, EquationSteps
from envs.equation_steps.find import find_places

__all__ = ["UNRELATED", "EquationSteps", "find_places"]
