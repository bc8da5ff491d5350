"""Differences of a case to the base, where only one of the two has a reward term."""

from __future__ import annotations

from typing import Any

from configs import check_config
from rl.compare.config_differences import Change, case_changes


def config(*terms: dict[str, Any]) -> dict[str, Any]:
    return check_config({"env": {"name": "addition"}, "rewards": {"terms": list(terms)}}).model_dump(
        mode="json"
    )


def test_defaults_of_an_added_term_are_left_out_those_of_its_sections_too() -> None:
    correct = {"name": "correct", "weight": 1.0}
    steps = {"name": "step_count", "weight": -0.5, "when": {"group_accuracy": [0.5, 1.0]}}
    found = case_changes({"base": config(correct), "steps": config(correct, steps)})
    assert found == {
        "steps": [
            Change(key="rewards.terms.step_count.weight", base="–", value="-0.5"),
            Change(key="rewards.terms.step_count.when.group_accuracy", base="–", value="[0.5, 1.0]"),
        ]
    }
