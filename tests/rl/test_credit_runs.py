"""Runs with step credit: they resume bit for bit, and sample the same on Ray actors."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from configs import ConfigError, load_config
from rl.parts import build_parts
from rl.runs.log import metrics_log
from rl.runs.trajectories import trajectory_log
from rl.train import train

CONFIG = """
name: credit
device: cpu
threads: 1
report_to: []
env:
  name: addition
  settings: {train: ["1_1", "2_1"], ood_easy: ["2_2"], ood_hard: ["3_2"]}
policy:
  tiny: {hidden_size: 32, num_layers: 1, num_heads: 2, intermediate_size: 32, max_positions: 128}
warm_start: {updates: 30, num_problems: 60, batch_size: 8, learning_rate: 3.0e-3, detour_frac: 0.5}
rollout: {samples_per_problem: 4, max_prompt_tokens: 40, max_new_tokens: 60, threads: 1}
rewards:
  terms:
    - {name: format, weight: 0.2}
    - {name: correct, weight: 1.0}
    - {name: backtrack_count, weight: -0.3}
grpo: {updates: 4, problems_per_update: 2, learning_rate: 1.0e-3, max_resamples: 0, save_every: 2}
eval: {splits: [], num_problems: 2, num_samples: 0}
"""
KINDS = ("parts", "progress", "same_state", "monte_carlo", "decs", "{name: sas, share: 0.6}", "swap")


def run(folder: Path, *overrides: str, resume: bool = False) -> str:
    """Train in this process; returns a hash of the weights."""
    config = folder.parent / "config.yaml"
    config.write_text(CONFIG)
    train(load_config(config, [f"output_dir={folder}", *overrides]), resume=resume, out=io.StringIO())
    return hashlib.sha256((folder / "models" / "grpo" / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_is_the_uninterrupted_one(kind: str, tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", f"grpo.credit={kind}")
    run(tmp_path / "parted", f"grpo.credit={kind}", "grpo.updates=2")
    assert run(tmp_path / "parted", f"grpo.credit={kind}", resume=True) == whole
    if kind in ("decs", "swap"):
        return  # no sample is right, or writes a line after the end of its task
    assert run(tmp_path / "plain") != whole
    rows = trajectory_log(tmp_path / "whole").read()
    assert any(isinstance(row.advantage, tuple) and len(set(row.advantage)) > 1 for row in rows)
    logged = [row.metrics for row in metrics_log(tmp_path / "whole").read() if row.stage == "grpo"]
    assert any(metrics.get("credit/steps", 0) > 0 for metrics in logged)  # none where no group has a signal
    assert (kind == "monte_carlo") == any("credit/extra_tokens" in metrics for metrics in logged)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["progress", "monte_carlo"])
def test_actors_sample_what_this_process_samples(kind: str, tmp_path: Path) -> None:
    weights = [
        run(tmp_path / backend, f"grpo.credit={kind}", f"rollout.backend={backend}", "rollout.num_actors=1")
        for backend in ("local", "ray")
    ]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["grpo.credit=part"],
            r"grpo\.credit\.name is 'part': input should be 'sequence', 'parts', 'progress', ",
        ),
        (
            ["grpo.credit={name: parts, discount: 0.9}"],
            r"grpo\.credit: discount is for same_state, but name is parts; leave it out, or change name",
        ),
        (
            ["grpo.credit=progress", "rewards.decoupled={temperature: 0.1}"],
            r"grpo\.credit is progress, but rewards\.decoupled gives all tokens of a completion one weight",
        ),
    ],
)
def test_what_does_not_fit_is_refused_when_the_config_is_read(
    overrides: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "config.yaml", overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["grpo.credit=parts", "rewards.terms=[{name: correct, weight: 1}]"],
            r"grpo\.credit is parts, but no reward prices steps or backtracks; add one, such as 'step_count'",
        ),
        (
            ["grpo.credit=progress", "env.name=reasoning_gym", "env.settings={task: chain_sum}"],
            r"grpo\.credit is progress, but 'reasoning_gym' does not say how many lines remain",
        ),
        (
            ["grpo.credit=same_state", "env.name=reasoning_gym", "env.settings={task: chain_sum}"],
            r"grpo\.credit is same_state, but 'reasoning_gym' checks no steps, so the state",
        ),
        (
            [
                "grpo.credit=monte_carlo",
                "rewards.terms=[{name: correct, weight: 1}, {name: steps_over_shortest, weight: -0.1}]",
            ],
            r"grpo\.credit is monte_carlo, but 'steps_over_shortest' compares the samples of a group",
        ),
    ],
)
def test_what_the_task_or_the_rewards_do_not_have_is_refused_before_a_run(
    overrides: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    with pytest.raises(ConfigError, match=message):
        build_parts(load_config(tmp_path / "config.yaml", overrides))
