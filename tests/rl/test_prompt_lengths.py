"""Prompts over the limit are found before the run, and left out or refused as declared."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from configs import Config, ConfigError, check_config
from configs.schema.search import ExpertIterationConfig
from rl.parts import build_parts
from rl.prompt_lengths import check_prompts, fits
from rl.runs.log import metrics_log, read_summary
from rl.runs.record import Stage
from rl.runs.trajectories import trajectory_log
from rl.train import train
from rollout.encoder import Encoder, make_encoder
from tests.kit.byte_tokenizer import byte_tokenizer


def write_rows(path: Path, num: int, long: set[int]) -> None:
    rows = [
        {
            "question": f"{'word ' * 40 if n in long else ''}{n} + 1 = ?",
            "answer": str(n + 1),
            "solution": f"It is {n + 1}.",
        }
        for n in range(num)
    ]
    path.write_text("".join([json.dumps(row) + "\n" for row in rows]))


def train_row(folder: Path, index: int) -> int:
    """The row of a train problem: a pass has the rows in an order that depends on their number alone."""
    question = build_parts(config(folder)).env.problem("train", index).question
    return int(question.split()[-5])


def config(folder: Path, **rollout: Any) -> Config:
    return check_config(
        {
            "output_dir": str(folder / "run"),
            "device": "cpu",
            "threads": 1,
            "report_to": [],
            "env": {
                "name": "math",
                "settings": {"train": str(folder / "train.jsonl"), "id": str(folder / "id.jsonl")},
            },
            "policy": {"tiny": {"hidden_size": 16, "num_layers": 1, "num_heads": 1, "intermediate_size": 16}},
            "warm_start": {"updates": 1, "num_problems": 8, "batch_size": 4, "skipped_frac": 0},
            "rollout": {"samples_per_problem": 2, "max_prompt_tokens": 60, "max_new_tokens": 32, **rollout},
            "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
            "grpo": {"updates": 3, "problems_per_update": 2, "dynamic_sampling": False},
            "eval": {"splits": ["id"], "num_problems": 4, "num_samples": 0},
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """100 problems to train on, the question of the row 70 longer than 200 bytes; 5 to evaluate on."""
    write_rows(tmp_path / "train.jsonl", 100, {70})
    write_rows(tmp_path / "id.jsonl", 105, {101})
    rows = (tmp_path / "id.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "id.jsonl").write_text("".join(rows[100:]))
    return tmp_path


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """Every byte is a token."""
    return make_encoder(byte_tokenizer())


def check(config: Config, encoder: Encoder) -> str:
    return check_prompts(config, build_parts(config).env, encoder)


def with_budgets(config: Config) -> Config:
    assert config.grpo is not None
    return config.model_copy(update={"grpo": config.grpo.model_copy(update={"budget_frac": 0.1})})


def endless(**rollout: Any) -> Config:
    """Sums of two numbers of one digit, more rarely of two that are long."""
    return check_config(
        {
            "env": {"name": "addition", "settings": {"train": {"1_1": 9, "20_20": 1}}},
            "rollout": {"max_prompt_tokens": 40, **rollout},
            "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
            "grpo": {"updates": 1},
            "eval": {"splits": ["ood_easy"], "num_problems": 100},
        }
    )


def test_a_long_prompt_beyond_the_first_rows_is_found(folder: Path, encoder: Encoder) -> None:
    warning = check(config(folder), encoder)
    assert warning.startswith("warning: prompts over rollout.max_prompt_tokens (60) are skipped: ")
    assert "1 of 100 train, 1 of 4 id problems; the longest, " in warning
    assert check(config(folder, max_prompt_tokens=300), encoder) == ""
    # Only what is evaluated counts in an evaluation.
    evaluates = config(folder).model_copy(update={"grpo": None})
    assert "train" not in check(evaluates, encoder)
    expert = evaluates.model_copy(update={"expert_iteration": ExpertIterationConfig()})
    assert "1 of 100 train" in check(expert, encoder)


def test_a_prompt_is_measured_with_the_longest_budget(folder: Path, encoder: Encoder) -> None:
    """Without a request the prompts have at most 11 + 9 bytes; "Let's solve it in 1 step.\n" is 26 more."""
    assert "1 of 100 train" in check(config(folder, max_prompt_tokens=30), encoder)
    with pytest.raises(ConfigError, match="none of train is within the limit"):
        check(with_budgets(config(folder, max_prompt_tokens=30)), encoder)
    assert "1 of 100 train" in check(with_budgets(config(folder, max_prompt_tokens=50)), encoder)


def test_the_first_problems_of_an_endless_split_are_measured(encoder: Encoder) -> None:
    found = check(endless(), encoder)
    env = build_parts(endless()).env
    long = sum(len(env.problem("train", index).prompt) > 40 for index in range(64))
    assert 0 < long < 20 and f"skipped: {long} of the first 64 train problems; the longest, train " in found


def test_a_long_prompt_is_refused_if_declared(folder: Path, encoder: Encoder) -> None:
    with pytest.raises(
        ConfigError, match=r"but the prompt of (train|id) \d+ has 2\d\d tokens; raise it, set .* skip or"
    ):
        check(config(folder, long_prompts="error"), encoder)


@pytest.mark.parametrize("policy", ["skip", "error"])
def test_a_limit_under_every_prompt_is_refused(folder: Path, encoder: Encoder, policy: str) -> None:
    with pytest.raises(ConfigError, match="and none of train is within the limit; raise it"):
        check(config(folder, max_prompt_tokens=5, long_prompts=policy), encoder)


def test_what_fits(folder: Path, encoder: Encoder) -> None:
    env = build_parts(config(folder)).env
    kept = [index for index in range(100) if fits(config(folder), encoder)(env.problem("train", index))]
    assert len(kept) == 99
    everything = fits(config(folder, long_prompts="error"), encoder)
    assert all(everything(env.problem("train", index)) for index in range(100))


@pytest.mark.slow
def test_a_run_passes_over_it(tmp_path: Path) -> None:
    """The problem of index 2 is too long: three updates of two groups meet the other six of the seven."""
    write_rows(tmp_path / "id.jsonl", 14, {8})
    rows = (tmp_path / "id.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "id.jsonl").write_text("".join(rows[7:11]))
    write_rows(tmp_path / "train.jsonl", 7, set())
    write_rows(tmp_path / "train.jsonl", 7, {train_row(tmp_path, 2)})
    short, out = config(tmp_path, max_prompt_tokens=30), io.StringIO()
    run = train(short, out=out).path
    assert "(30) are skipped: 1 of 7 train, 1 of 4 id problems; the longest, " in out.getvalue()
    assert "GRPO skipped 1 problem with a prompt over rollout.max_prompt_tokens" in out.getvalue()
    metrics = [row.metrics for row in metrics_log(run).read() if row.stage is Stage.GRPO]
    assert [row["prompts/skipped"] for row in metrics] == [0, 1, 0]
    assert sorted({row.index for row in trajectory_log(run).read()}) == [0, 1, 3, 4, 5, 6]
    result = read_summary(run).stages[Stage.GRPO]["id"]
    assert (result.num_problems, result.skipped) == (3, 1)
    assert "3 problems (1 skipped: prompt too long)" in (run / "report.html").read_text()

    longer = config(tmp_path, max_prompt_tokens=60).model_dump(mode="json")
    longer["grpo"]["updates"] = 8
    train(check_config(longer), resume=True, out=io.StringIO())
    result = read_summary(run).stages[Stage.GRPO]["id"]
    assert (result.num_problems, result.skipped) == (4, 0)
    assert [row.index for row in trajectory_log(run).read()][::2] == [0, 1, 3, 4, 5, 6, *range(7, 17)]
