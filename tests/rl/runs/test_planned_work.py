"""What an evaluation of the base leaves out."""

from __future__ import annotations

import pytest

from configs import check_config
from rl.runs.forecast import Kind
from rl.runs.planned_work import base_config, planned_work
from rl.runs.record import Stage, Summary
from rl.search.record import searched_stages

REST = {"env": {"name": "addition"}, "rewards": {"terms": [{"name": "correct", "weight": 1.0}]}}
EVAL = {
    "splits": ["id", "ood_easy"],
    "num_samples": 4,
    "length_limits": [16],
    "max_new_tokens": {"ood_easy": 20},
}


def test_random_weights_are_read_once_and_soon_cut_off() -> None:
    config = check_config({**REST, "policy": {"model": "tiny"}, "eval": EVAL})
    found = base_config(config).eval
    assert found.max_new_tokens == {"id": 32, "ood_easy": 20}
    assert (found.num_samples, found.length_limits) == (0, [])
    assert config.eval.num_samples == 4  # the stages after it keep theirs


def test_other_models_are_evaluated_as_every_stage() -> None:
    config = check_config({**REST, "policy": {"model": "some/model"}, "eval": EVAL})
    assert base_config(config) == config


@pytest.mark.parametrize(
    ("model", "sections", "stages"),
    [
        ("some/model", {}, ["warm", "grpo"]),
        ("some/model", {"warm_start": None}, ["grpo"]),
        ("some/model", {"warm_start": None, "grpo": None}, ["base"]),
        ("tiny", {"grpo": None}, ["warm"]),
        ("tiny", {"warm_start": None, "grpo": None}, []),
    ],
)
def test_a_run_searches_with_what_it_trains_and_else_with_its_base(
    model: str, sections: dict[str, None], stages: list[str]
) -> None:
    policy, settings = {"model": model}, {**EVAL, "search": True}
    config = check_config({**REST, "warm_start": {}, **sections, "policy": policy, "eval": settings})
    assert list(searched_stages(config)) == stages
    assert base_config(config).eval.search == ("base" in stages)
    searched = [work.label for work in planned_work(config, Summary()) if work.kind is Kind.PROBLEM]
    assert searched == [f"search of {Stage(stage).label}" for stage in stages]
    without = config.model_copy(update={"eval": config.eval.model_copy(update={"search": False})})
    assert searched_stages(without) == ()
