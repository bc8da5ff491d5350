"""Combinations of loss keys: what is refused in one line, and what runs with a warning."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from configs import ConfigError, check_config, load_config
from configs.schema.config import Config, GrpoConfig

LEAST = {"env": {"name": "addition"}, "rewards": {"terms": [{"name": "correct", "weight": 1.0}]}}


def config(**keys: Any) -> GrpoConfig:
    checked: Config = check_config({**LEAST, "grpo": keys})
    assert checked.grpo is not None
    return checked.grpo


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"scale_rewards": True}, r"grpo\.scale_rewards.*'none', 'group' or 'batch'"),
        ({"loss_type": "ppo"}, r"grpo\.loss_type.*'dapo'.*'vespo'"),
        ({"delta": 1.2}, r"grpo.*delta \(1\.2\) must be over 1 \+ the upper clip range \(1\.2\)"),
        ({"epsilon_high": 2.0}, r"delta \(3\) must be over .*lower epsilon_high"),
        (
            {"loss_type": "cispo", "epsilon_high": 0.28},
            r"cispo caps the importance ratio itself at epsilon_high, which is 0\.28; set it to 1 or more",
        ),
        (
            {"loss_type": "sapo", "loss_args": {"vespo_k_pos": 1.0}},
            r"loss_args has vespo_k_pos; loss_type sapo takes sapo_temperature_neg, sapo_temperature_pos",
        ),
        ({"loss_args": {"tau": 1.0}}, r"loss_args has tau; loss_type dapo takes none"),
        (
            {"importance_sampling_mode": "token_truncate", "importance_sampling_clip_max": None},
            r"token_truncate needs importance_sampling_clip_max or _min",
        ),
        (
            {"importance_sampling_mode": "token_mask", "importance_sampling_clip_min": 3.0},
            r"importance_sampling_clip_min \(3\) must be below importance_sampling_clip_max \(3\)",
        ),
        (
            {"loss_type": "vespo", "importance_sampling_mode": "sequence_mask"},
            r"vespo takes importance_sampling_mode token_truncate or token_mask, not sequence_mask",
        ),
        ({"kl_estimator": "k4"}, r"grpo\.kl_estimator.*'k1', 'k2' or 'k3'"),
        ({"top_entropy_quantile": 0.0}, r"grpo\.top_entropy_quantile"),
    ],
)
def test_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        config(**keys)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"importance_sampling_level": "sequence"}, ["dapo weighs a completion by its length"]),
        ({"loss_type": "grpo", "importance_sampling_level": "sequence"}, []),
        ({"loss_type": "luspo"}, []),
        ({"loss_type": "luspo", "importance_sampling_level": "token"}, ["luspo is defined with"]),
        ({"loss_type": "vespo", "importance_sampling_level": "sequence"}, ["vespo weighs sequences itself"]),
        ({"beta": 0.1, "kl_estimator": "k1"}, ["k1 is 0 on average without"]),
        ({"beta": 0.1, "kl_estimator": "k1", "use_bias_correction_kl": True}, []),
        ({"beta": 0.1}, []),
    ],
)
def test_warned_of(keys: dict[str, Any], words: list[str]) -> None:
    lines = config(**keys).warnings()
    assert len(lines) == len(words) and all(word in line for word, line in zip(words, lines, strict=True))


def test_the_recipes_of_published_losses_are_read() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/recipes/loss.md").read_text()
    recipes = [keys.split() for keys in re.findall(r"^\| .* \| `(grpo\.\S.*=.*)` \|$", page, re.MULTILINE)]
    assert len(recipes) == 14
    for keys in recipes:
        loaded = load_config("quickstart", keys).grpo
        assert loaded is not None and loaded.warnings() == [], keys


def test_the_cap_of_cispo_is_no_clip_range() -> None:
    """TRL would cap the ratio at 0.2, the clip range of the other losses."""
    assert config(loss_type="cispo").clip_high == 5.0
    assert config(loss_type="cispo", epsilon_high=4.0).clip_high == 4.0
    assert (config().clip_high, config(epsilon_high=0.28).clip_high) == (0.2, 0.28)


def test_a_delta_that_the_loss_does_not_read_is_not_checked() -> None:
    assert config(loss_type="cispo", epsilon_high=5.0).ratio_bound is None
    assert config(loss_type="sapo").ratio_bound is None
    assert config().ratio_bound == 3.0
