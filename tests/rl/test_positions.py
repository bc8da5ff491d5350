"""Settings of positions that the model does not fit."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from configs import Config, ConfigError
from configs.schema.config import TinyModelConfig
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


def with_columns(stride: int = 64, **more: Any) -> Config:
    return Config.model_validate(
        {
            "env": {"name": "addition"},
            "rewards": {"terms": [{"name": "correct", "weight": 1}]},
            "policy": {"tiny": {"positions": "columns", "line_stride": stride}},
            "device": "cpu",
            **more,
        }
    )


def check(config: Config) -> str:
    parts = build_parts(config)
    return check_positions(config, parts, build_policy(config, parts))


def test_a_line_that_runs_into_another_column_is_told() -> None:
    # The longest line has the places 0 to 20: "2. 12 + 88 + 1 = 101, write 01, carry 1".
    assert "takes 21 places" not in check(with_columns(42))
    assert "takes 21 places, and a line has half of the line stride, 20: its positions" in check(
        with_columns(40)
    )


def test_all_digits_of_a_number_of_the_question_take_one_place() -> None:
    env = {"name": "addition", "settings": {"train": {"15_15": 1.0}}}  # a question of 34 tokens
    assert check(with_columns(env=env, warm_start={"skipped_frac": 0.0})) == ""


def test_traces_and_prompts_that_leave_the_columns_are_told() -> None:
    assert "skipped_frac is 0.5, and below a line that adds two columns the others" in check(with_columns())
    with pytest.raises(ConfigError, match=r"detour_frac is 0.2, but policy.tiny.positions is columns, .*to 0"):
        check(with_columns(warm_start={"skipped_frac": 0.0, "detour_frac": 0.2}))
    with pytest.raises(ConfigError, match=r"for sums, but a question of 'directional' has no digits: .*rotary"):
        check(with_columns(env={"name": "directional"}))
    for template, begins in (
        ("Question:\n{question}\nAnswer:\n", "'Question:'"),
        ("{budget}\n{question}\nAnswer:\n", "'2'"),  # where a budget is stated
        ("{question} =", "'Add [0-9]+ and [0-9]+ ='"),
    ):
        told = (
            f"question is read from the first line of a prompt, but prompts of train begin with {begins}; let"
        )
        with pytest.raises(ConfigError, match=told):
            check(with_columns(prompt={"template": template}))
    templates = {"train": "{question}\n", "id": "{question}\n", "ood_easy": "Sum: {question}\n"}
    with pytest.raises(ConfigError, match="prompts of ood_easy begin with 'Sum: Add "):
        check(with_columns(prompt={"template": templates}))


@pytest.mark.parametrize(("key", "value"), [("number_digits", 2), ("join_signs", True)])
def test_columns_need_a_token_for_each_digit(key: str, value: Any) -> None:
    with pytest.raises(
        ValidationError, match=f"{key} is {str(value).lower()}, but positions is columns, .*; set {key}"
    ):
        TinyModelConfig(positions="columns", **{key: value})
