"""What an evaluation of random weights leaves out."""

from __future__ import annotations

from configs import check_config
from rl.runs.planned_work import base_config

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
    assert base_config(config) is config
