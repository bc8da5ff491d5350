"""Settings of positions that the model does not fit."""

from __future__ import annotations

import pytest

from configs import Config, ConfigError
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
