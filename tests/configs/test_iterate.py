"""A loop that contradicts itself is refused in one line."""

from __future__ import annotations

from typing import Any

import pytest

from configs import ConfigError, check_config
from rl.parts import build_parts

BASE: dict[str, Any] = {
    "env": {
        "name": "addition",
        "settings": {"train": ["1_1", "2_1"], "ood_easy": ["2_2"], "ood_hard": ["3_1"]},
    },
    "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
    "eval": {"num_problems": 20},
    "iterate": {},
}


def refused(**sections: Any) -> str:
    with pytest.raises(ConfigError) as error:
        build_parts(check_config({**BASE, **sections}))
    return str(error.value)


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"iterate": {"fewer": [1, 1]}}, "fewer is [1, 1], but names a number twice"),
        ({"iterate": {"fewer": []}}, "iterate.fewer"),
        ({"warm_start": None}, "give the section warm_start"),
        (
            {"warm_start": {"detour_frac": 0.5}},
            "warm_start.detour_frac is 0.5, but with iterate the loop decides",
        ),
        ({"warm_start": {"skipped_frac": 0.1}}, "warm_start.skipped_frac is 0.1"),
        ({"warm_start": {"thought_dropout": 0.2}}, "warm_start.thought_dropout is 0.2"),
        ({"key_steps": {}}, "key_steps is set, but the loop of iterate has no such stage"),
        ({"iterate": {"train": "grpo"}, "grpo": None}, "iterate.train is grpo, but grpo is null"),
        ({"iterate": {"train": "grpo"}, "grpo": {"budget_frac": 0.5}}, "set it to 0"),
        ({"eval": {"splits": ["ood_easy"]}}, "add id"),
        ({"eval": {"every": 5}}, "eval.every is for `stride train`"),
        ({"iterate": {"validation": {"ood_easy": ["2_1"]}}}, "iterate.validation: env.settings"),
        (
            {"iterate": {"validation": {"ood_easy": ["2_2"]}}},
            "of the 20 ood_easy problems are also in the validation",
        ),
        (
            {"iterate": {"validation": {"oods": 1}}},
            "iterate.validation: env.settings of 'addition': unknown key 'oods'",
        ),
    ],
)
def test_refusals(sections: dict[str, Any], words: str) -> None:
    assert words in refused(**sections)


def test_a_task_without_skipped_traces_starts_cold() -> None:
    sections: dict[str, Any] = {"env": {"name": "countdown"}}
    found = check_config({**BASE, **sections, "iterate": {"init": "cold"}})
    assert build_parts(found).others == {}


def test_the_validation_cell_is_a_task_of_its_own() -> None:
    found = check_config({**BASE, "iterate": {"validation": {"ood_easy": ["3_2"]}}})
    assert set(build_parts(found).others) == {"validation"}
