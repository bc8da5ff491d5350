"""How two configs differ, key by key, also where an older or newer Stride has written one of them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from pydantic import BaseModel

from configs import Config, check_config
from configs.schema.messages import section_in
from rl.runs import config_changes
from rl.runs.config_changes import ABSENT, Change, Differences, Kind, compare_configs

BASE: dict[str, Any] = {
    "env": {"name": "addition", "settings": {"seed": 1}},
    "rewards": {"terms": [{"name": "correct", "weight": 1.0}, {"name": "format", "weight": 0.2}]},
}


def config(**changes: Any) -> Config:
    return check_config({**BASE, **changes})


def saved(**changes: Any) -> dict[str, Any]:
    return config(**changes).model_dump(mode="json")


def said(found: Differences) -> list[str]:
    return [str(change) for change in found.changes]


def test_the_same_config_differs_in_nothing() -> None:
    found = compare_configs(saved(), config())
    assert (found.changes, found.new_keys, found.unknown_keys) == ((), {}, {})
    assert found.about_versions() == []


def test_a_line_a_key_with_what_it_was_and_is() -> None:
    changes = {
        "seed": 4,
        "env": {"name": "addition", "settings": {"train": ["1_1"]}},
        "rewards": {"terms": [{"name": "format", "weight": 0.3}, {"name": "correct", "weight": 1.0}]},
        "grpo": {"learning_rate": 2e-5, "save_every": 5},
        "policy": {"lora": {"r": 4}},
    }
    assert said(compare_configs(saved(), config(**changes))) == [
        "seed was 0, is 4",
        "env.settings.seed was 1, is not set",
        "env.settings.train was not set, is ['1_1']",
        "policy.lora was null, is {'r': 4, 'alpha': 32, 'dropout': 0.0, 'target_modules': 'all...",
        "rewards.terms.format.weight was 0.2, is 0.3",
        "grpo.learning_rate was 1e-05, is 2e-05",
        "grpo.save_every was null, is 5",
    ]


def test_a_term_that_comes_or_goes() -> None:
    terms = {"terms": [{"name": "correct", "weight": 1.0}, {"name": "step_count", "weight": -0.1}]}
    found = compare_configs(saved(), config(rewards=terms))
    assert [(change.key, change.was is ABSENT, change.now is ABSENT) for change in found.changes] == [
        ("rewards.terms.format", False, True),
        ("rewards.terms.step_count", True, False),
    ]
    assert {change.kind for change in found.changes} == {Kind.IDENTITY}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"grpo": {"learning_rate": 1e-6}}, Kind.IDENTITY),
        ({"rollout": {"temperature": 0.5}}, Kind.IDENTITY),
        ({"prompt": {"few_shot": 2}}, Kind.IDENTITY),
        ({"env": {"name": "addition", "settings": {"seed": 2}}}, Kind.IDENTITY),
        ({"eval": {"num_problems": 3}}, Kind.OPERATIONAL),
        ({"output_dir": "elsewhere"}, Kind.OPERATIONAL),
        ({"name": "better"}, Kind.OPERATIONAL),
        ({"rollout": {"num_actors": 9}}, Kind.OPERATIONAL),
        ({"warm_start": {"save_every": 9}}, Kind.OPERATIONAL),
        ({"rollout": {"max_rows": 9}}, Kind.ROUNDING),
        ({"threads": 1}, Kind.ROUNDING),
        ({"device": "cpu"}, Kind.ROUNDING),
        ({"rollout": {"problems_per_batch": 2}}, Kind.ROUNDING),
        ({"seed": 1}, Kind.FIXED),
        ({"env": {"name": "algebra", "settings": {"seed": 1}}}, Kind.FIXED),
        ({"policy": {"model": "./elsewhere"}}, Kind.FIXED),
        ({"policy": {"tiny": {"num_layers": 2}}}, Kind.FIXED),
        ({"grpo": {"optim": "sgd"}}, Kind.FIXED),
        ({"warm_start": None}, Kind.FIXED),
        ({"grpo": None}, Kind.FIXED),
    ],
)
def test_what_a_change_means(changes: dict[str, Any], kind: Kind) -> None:
    (change,) = compare_configs(saved(), config(**changes)).changes
    assert change.kind is kind
    assert bool(change.why) == (kind is Kind.FIXED)


def test_grpo_may_follow_where_there_was_none() -> None:
    (change,) = compare_configs(saved(grpo=None), config()).changes
    assert (change.key, change.kind) == ("grpo", Kind.OPERATIONAL)


def test_every_name_in_the_lists_is_a_key() -> None:
    names = (*config_changes._OPERATIONAL, *config_changes._ROUNDING, *config_changes._FIXED)
    for name in names:
        section: type[BaseModel] | None = Config
        for part in name.split("."):
            assert section is not None and part in section.model_fields, name
            section = section_in(section.model_fields[part].annotation)


# ---- configs of other versions ----


def test_keys_that_the_run_lacks_get_their_defaults() -> None:
    old = saved(grpo={"updates": 7})
    del old["grpo"]["beta"], old["rollout"]["max_rows"], old["prompt"], old["rewards"]["terms"][0]["gate"]
    found = compare_configs(old, config(grpo={"updates": 7}))
    assert found.changes == ()
    assert list(found.new_keys) == ["prompt", "rollout.max_rows", "rewards.terms.correct.gate", "grpo.beta"]
    (line,) = found.about_versions()
    assert line.startswith(
        "keys that are newer than the run have their defaults: prompt ({'chat_template': None, "
    )
    assert line.endswith("rollout.max_rows (null), rewards.terms.correct.gate ('none'), grpo.beta (0.0)")
    # Set to something else, it is a change from the default like any other.
    found = compare_configs(old, config(grpo={"updates": 7, "beta": 0.1}))
    assert said(found) == ["grpo.beta was 0.0, is 0.1"] and "grpo.beta" not in found.new_keys


def test_keys_that_this_version_lacks_are_named() -> None:
    old = saved()
    old["grpo"]["max_refills"] = 3
    old["colour"] = "red"
    del old["grpo"]["max_resamples"]
    old["rewards"]["terms"][1]["sharpness"] = 2
    found = compare_configs(old, config())
    assert found.changes == ()
    assert found.unknown_keys == {"colour": "red", "grpo.max_refills": 3, "rewards.terms.1.sharpness": 2}
    assert found.about_versions() == [
        "keys that are newer than the run have their defaults: grpo.max_resamples (3)",
        "keys of the run that this version of Stride does not have: colour ('red'), grpo.max_refills (3; now "
        "max_resamples?), rewards.terms.1.sharpness (2)",
    ]


def test_a_value_that_this_version_no_longer_takes_is_a_change() -> None:
    old = saved()
    old["grpo"]["loss_type"] = "bygone"
    del old["grpo"]["beta"]
    found = compare_configs(old, config())
    assert [(change.key, change.was) for change in found.changes] == [("grpo.loss_type", "bygone")]
    assert list(found.new_keys) == ["grpo.beta"]


@pytest.mark.parametrize("data", [{}, {"env": {}}, {"env": None, "rewards": 3}, {"rewards": {"terms": []}}])
def test_what_is_no_config_is_compared_as_it_is(data: dict[str, Any]) -> None:
    before = deepcopy(data)
    found = compare_configs(data, config())
    assert found.changes and data == before


def test_a_change_is_a_clause() -> None:
    change = Change(key="a.b", was=True, now=ABSENT, kind=Kind.IDENTITY)
    assert str(change) == "a.b was true, is not set"
