"""Changes on resume that would lead to other weights, or that would start a stage over, are refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs import check_config, dump_config
from rl.runs.errors import RunFolderError
from rl.runs.log import read_summary
from rl.runs.record import Stage
from rl.runs.resumable import check_resumable
from tests.kit.checkpoints import write_checkpoint

AHEAD = {"rollout": {"backend": "ray", "max_staleness": 1}}


def config(path: Path, *changes: Mapping[str, Any]) -> Any:
    data: dict[str, Any] = {
        "env": {"name": "addition"},
        "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
        "output_dir": str(path),
    }
    for change in changes:
        for section, values in change.items():
            data[section] = {**data.get(section, {}), **values} if isinstance(values, dict) else values
    return check_config(data)


def why_not(path: Path, before: list[Mapping[str, Any]], now: Mapping[str, Any], *allow: str) -> str:
    """The refusal to resume, or "" where it is allowed."""
    (path / "config.yaml").write_text(dump_config(config(path, *before)))
    try:
        check_resumable(path, config(path, *before, now), allow=allow)
    except RunFolderError as error:
        assert "\n" not in str(error)
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        # On-policy with a constant learning rate, neither length nor checkpoints enter the weights.
        ([{"grpo": {"updates": 4}}], {"grpo": {"updates": 8}}, ""),
        ([{"grpo": {"updates": 4, "save_every": 2}}], {"grpo": {"save_every": 4}}, ""),
        # A linear schedule falls to 0 at the end: the rate of the last update of 4 is 1/4, in a run of 8 5/8.
        ([{"grpo": {"updates": 4, "lr_schedule": "linear"}}], {"grpo": {"updates": 8}}, "lr_schedule 'linear'"),
        ([{"grpo": {"updates": 8, "lr_schedule": "cosine"}}], {"grpo": {"updates": 4}}, "lr_schedule 'cosine'"),
        ([{"grpo": {"updates": 4, "lr_schedule": "linear"}}], {"grpo": {"save_every": 2}}, ""),
        # What is sampled ahead is part of a checkpoint, so neither its place nor the end matters.
        ([AHEAD, {"grpo": {"updates": 4}}], {"grpo": {"updates": 8}}, ""),
        ([AHEAD, {"grpo": {"save_every": 2}}], {"grpo": {"save_every": 4}}, ""),
        # Longer prompts may be let in later, not shut out.
        ([{"rollout": {"max_prompt_tokens": 40}}], {"rollout": {"max_prompt_tokens": 80}}, ""),
        ([{"rollout": {"max_prompt_tokens": 40}}], {"rollout": {"max_prompt_tokens": 20}}, "only rise"),
        # A run that a long prompt has ended goes on without it.
        ([{"rollout": {"long_prompts": "error"}}], {"rollout": {"long_prompts": "skip"}}, ""),
    ],
)
def test_a_change_that_would_lead_to_other_weights(
    before: list[Mapping[str, Any]], now: Mapping[str, Any], reason: str, tmp_path: Path
) -> None:
    found = why_not(tmp_path, before, now)
    assert reason in found if reason else found == ""
    if reason:
        (key,) = [f"{section}.{key}" for section, values in now.items() for key in values]
        assert found.endswith(
            f"allow the change by name (--allow-change {key}), or start a new run in another output_dir"
        )
        assert why_not(tmp_path, before, now, key) == ""


# ---- --allow-change ----

CHANGED = {"grpo": {"learning_rate": 2e-5, "beta": 0.1}, "rollout": {"num_actors": 3}}


def test_what_is_trained_changes_only_by_name(tmp_path: Path) -> None:
    refused = why_not(tmp_path, [], CHANGED)
    assert refused == (
        f"--resume: the config differs from the run in {tmp_path} in what is trained: grpo.learning_rate was "
        "1e-05, is 2e-05; grpo.beta was 0.0, is 0.1. Give the same values, allow the change by name "
        "(--allow-change grpo.learning_rate --allow-change grpo.beta), or start a new run in another output_dir"
    )
    assert "learning_rate" in why_not(tmp_path, [], CHANGED, "grpo.beta")
    assert why_not(tmp_path, [], CHANGED, "grpo.beta", "grpo.learning_rate") == ""
    assert why_not(tmp_path, [], CHANGED, "grpo") == ""


def test_the_difference_is_said_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(dump_config(config(tmp_path)))
    now = config(tmp_path, CHANGED, {"rollout": {"max_rows": 4}})
    found = check_resumable(tmp_path, now, allow=["grpo.beta", "grpo.learning_rate"])
    assert sorted(found.lines()) == [
        "changed: grpo.beta was 0.0, is 0.1; allowed by --allow-change",
        "changed: grpo.learning_rate was 1e-05, is 2e-05; allowed by --allow-change",
        "changed: rollout.max_rows was null, is 4; the run goes on, not bit for bit",
        "changed: rollout.num_actors was 2, is 3",
    ]


@pytest.mark.parametrize(
    ("now", "says"),
    [
        ({"seed": 1}, "seed was 0, is 1 (the first weights and the order of the problems follow from it)"),
        (
            {"policy": {"model": "./x"}},
            "policy.model was 'tiny', is './x' (the checkpoints hold weights of that model)",
        ),
        ({"env": {"name": "algebra"}}, "env.name was 'addition', is 'algebra' (a run is trained on one task)"),
        ({"warm_start": None}, "(whether there is the warm start is part of what the run is)"),
    ],
)
def test_some_keys_never_change_within_a_run(now: Mapping[str, Any], says: str, tmp_path: Path) -> None:
    (name,) = now
    for allow in ((), (name,)):
        found = why_not(tmp_path, [], now, *allow)
        assert found.startswith("--resume: a run cannot change in these keys: ") and says in found
        assert found.endswith("Give the same values, or start a new run in another output_dir")


@pytest.mark.parametrize(
    ("now", "says"),
    [
        ({"search": {"depth": 2}}, "search.depth was 1, is 2 (all rounds search alike)"),
        ({"eval": {"num_problems": 7}}, "is 7 (all rounds are compared on the same problems)"),
        ({"expert_iteration": {"rounds": 9}}, ""),
    ],
)
def test_the_rounds_of_expert_iteration_are_alike(now: Mapping[str, Any], says: str, tmp_path: Path) -> None:
    found = why_not(tmp_path, [{"grpo": None, "expert_iteration": {"rounds": 1}}], now)
    assert says in found if says else found == ""


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("grpo.learning_rat", "unknown key 'grpo.learning_rat'; did you mean 'grpo.learning_rate'?"),
        ("xyz", "unknown key 'xyz'; give a dotted key of the config"),
        ("grpo.temperature", "unknown key 'grpo.temperature'"),
        ("grpo.epsilon", "grpo.epsilon: it has not changed in this run; leave it out"),
        ("prompt", "prompt: it has not changed in this run; leave it out"),
    ],
)
def test_allowing_what_is_unknown_or_unchanged(key: str, says: str, tmp_path: Path) -> None:
    assert why_not(tmp_path, [], CHANGED, "grpo", key).startswith(
        f"--allow-change{' ' if 'it has' in says else ': '}{says}"
    )


def test_the_warm_start_is_over_once_it_is_trained(tmp_path: Path) -> None:
    now = {"warm_start": {"learning_rate": 2e-3}}
    assert "--allow-change warm_start.learning_rate" in why_not(tmp_path, [], now)
    assert why_not(tmp_path, [], now, "warm_start.learning_rate") == ""
    summary = read_summary(tmp_path).with_training(Stage.WARM, 1000, 1.0)
    (tmp_path / "summary.json").write_text(json.dumps(summary.to_json()))
    assert "(the warm start has been trained)" in why_not(tmp_path, [], now, "warm_start.learning_rate")
    assert why_not(tmp_path, [], {"warm_start": {"save_every": 10}}) == ""


# ---- other versions ----


def test_a_run_of_an_older_version_goes_on(tmp_path: Path) -> None:
    old = yaml.safe_load(dump_config(config(tmp_path)))
    del old["grpo"]["max_resamples"], old["prompt"]
    old["grpo"]["max_refills"] = 3
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(old))
    lines = check_resumable(tmp_path, config(tmp_path)).lines()
    assert len(lines) == 2
    assert lines[0].startswith("keys that are newer than the run have their defaults: prompt (")
    assert lines[1] == (
        "keys of the run that this version of Stride does not have: grpo.max_refills (3; now max_resamples?)"
    )


def test_a_stage_does_not_start_over(tmp_path: Path) -> None:
    before = [{"grpo": {"updates": 4}}]
    summary = read_summary(tmp_path).with_training(Stage.GRPO, 4, 1.0)
    (tmp_path / "summary.json").write_text(json.dumps(summary.to_json()))
    checkpoint = write_checkpoint(tmp_path, Stage.GRPO, 4)
    state = (checkpoint / "stride_state.json").read_text()
    (checkpoint / "stride_state.json").unlink()
    longer = {"grpo": {"updates": 6}}
    # A checkpoint without one of its files is none.
    assert "GRPO has been trained for 4 updates and cannot go on to 6" in why_not(tmp_path, before, longer)
    assert why_not(tmp_path, before, {"grpo": {"updates": 4}}) == ""
    (checkpoint / "stride_state.json").write_text(state)
    assert why_not(tmp_path, before, longer) == ""
