"""Changes on resume that would lead to other weights, or that would start a stage over, are refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from configs import check_config, dump_config
from envs import Env, Split, make_env
from rl.runs.errors import RunFolderError
from rl.runs.log import read_summary
from rl.runs.problems import check_problems, record_problems
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
            data[section] = {**data.get(section, {}), **values}
    return check_config(data)


def why_not(path: Path, before: list[Mapping[str, Any]], now: Mapping[str, Any]) -> str:
    """The refusal to resume, or "" where it is allowed."""
    (path / "config.yaml").write_text(dump_config(config(path, *before)))
    try:
        check_resumable(path, config(path, *before, now))
    except RunFolderError as error:
        assert "\n" not in str(error) and "new run in another output_dir" in str(error)
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
        # Sampled ahead up to each checkpoint: batch 4 is on-policy in a run that ended at 4, not in one of 8.
        (
            [AHEAD, {"grpo": {"updates": 4}}],
            {"grpo": {"updates": 8}},
            "save_every, which is None",
        ),
        ([AHEAD, {"grpo": {"updates": 3, "save_every": 2}}], {"grpo": {"updates": 6}}, "which is 2"),
        ([AHEAD, {"grpo": {"updates": 4, "save_every": 2}}], {"grpo": {"updates": 6}}, ""),
        ([AHEAD, {"grpo": {"save_every": 2}}], {"grpo": {"save_every": 4}}, "grpo.save_every was 2, is 4"),
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


def rows(path: Path, answers: list[str]) -> Any:
    lines = [json.dumps({"question": f"What is {n}?", "answer": a}) for n, a in enumerate(answers)]
    path.write_text("\n".join(lines) + "\n")
    return make_env("math", {"train": str(path), "id": None})


def test_changed_data_is_refused(tmp_path: Path) -> None:
    data, answers = tmp_path / "rows.jsonl", [str(n) for n in range(20)]
    record_problems(tmp_path, rows(data, answers))
    check_problems(tmp_path, rows(data, answers))
    with pytest.raises(RunFolderError, match=rf"the train problems of {data} are not those .* began with; "):
        check_problems(tmp_path, rows(data, [str(n + 1) for n in range(20)]))
    with pytest.raises(RunFolderError, match=r"began with \(\d+ then, \d+ now\); restore them"):
        check_problems(tmp_path, rows(data, [*answers, "20", "21", "22", "23"]))


def test_a_task_that_reads_rows_needs_no_hash_of_its_own(tmp_path: Path) -> None:
    data, answers = tmp_path / "rows.jsonl", [str(n) for n in range(200)]
    before = Env.fingerprint(rows(data, answers), Split.TRAIN)
    assert Env.fingerprint(rows(data, answers), Split.TRAIN) == before
    last = rows(data, answers).problem(Split.TRAIN, rows(data, answers).num_problems(Split.TRAIN) - 1)
    answers[int(last.answer)] = "-1"
    assert Env.fingerprint(rows(data, answers), Split.TRAIN) != before


def test_generated_problems_follow_from_settings(tmp_path: Path) -> None:
    record_problems(tmp_path, make_env("addition", {"seed": 1}))
    check_problems(tmp_path, make_env("addition", {"seed": 1}))
    with pytest.raises(RunFolderError, match="the train problems are not those"):
        check_problems(tmp_path, make_env("addition", {"seed": 2}))
