"""Settings of positions that the model does not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from configs import Config, ConfigError
from configs.schema.config import TinyModelConfig
from envs import Problem, Split
from envs.tasks.addition import Addition
from rl.build import build_policy
from rl.parts import build_parts
from rl.positions import check_positions


def test_an_attention_that_takes_no_mask_is_refused_with_a_line_window() -> None:
    config = Config.model_validate(
        {
            "env": {"name": "directional"},
            "rewards": {"terms": [{"name": "correct", "weight": 1}]},
            "policy": {"tiny": {"positions": "lines", "line_window": 3}},
            "device": "cpu",
        }
    )
    parts = build_parts(config)
    policy = build_policy(config, parts)
    assert check_positions(config, parts, policy) == ""
    flash = config.policy.model_copy(update={"attn_implementation": "flash_attention_2"})
    with pytest.raises(ConfigError, match=r"_attention_2', which takes no mask, .*implementation to 'sdpa'"):
        check_positions(config.model_copy(update={"policy": flash}), parts, policy)


def with_columns(stride: int) -> Config:
    return Config.model_validate(
        {
            "env": {"name": "addition"},
            "rewards": {"terms": [{"name": "correct", "weight": 1}]},
            "policy": {"tiny": {"positions": "columns", "line_stride": stride}},
            "device": "cpu",
        }
    )


def test_a_line_that_runs_into_another_column_is_told() -> None:
    said = {}
    for stride in (44, 42):  # the longest line has 21 tokens: "2. 12 + 88 + 1 = 101, write 01, carry 1"
        config = with_columns(stride)
        parts = build_parts(config)
        said[stride] = check_positions(config, parts, build_policy(config, parts))
    assert said[44] == ""
    assert "has 21 tokens, and the line stride is 42: from 21 tokens on the positions of a line" in said[42]


class OneLine(Addition):
    def problem(self, split: Split, index: int) -> Problem:
        drawn = super().problem(split, index)
        return replace(drawn, prompt=drawn.question)


def test_columns_need_prompts_that_end_their_first_line() -> None:
    config = with_columns(64)
    parts = replace(build_parts(config), env=OneLine())
    with pytest.raises(
        ConfigError, match="reads the first line of a text whole, but prompts of 'addition' do not"
    ):
        check_positions(config, parts, build_policy(config, parts))


@pytest.mark.parametrize(("key", "value"), [("number_digits", 2), ("join_signs", True)])
def test_columns_need_a_token_for_each_digit(key: str, value: Any) -> None:
    with pytest.raises(
        ValidationError, match=f"{key} is {str(value).lower()}, but positions is columns, .*; set {key}"
    ):
        TinyModelConfig(positions="columns", **{key: value})
