"""Evaluations during GRPO: the best model by hand-worked figures, early stopping, and an untouched training."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from configs import Config, ConfigError, check_config
from configs.schema.config import EvalConfig
from rl.grpo.evaluations import during_config, next_best
from rl.models.card import model_card
from rl.runs.early_stopping import is_over
from rl.runs.log import metrics_log, read_summary
from rl.runs.models import find_trained
from rl.runs.record import BestModel, Stage, UpdateRow
from rl.runs.trajectories import during_log, trajectory_log
from rl.train import train
from tests.kit.runs_by_hand import split_result


def best_after(metric: str, *results: tuple[float, float | None], num: int = 100) -> list[int]:
    """The update of the best model after each evaluation, of updates 1, 2, ..., with accuracy and steps."""
    best: BestModel | None = None
    found = []
    for update, (accuracy, steps) in enumerate(results, start=1):
        result = split_result(accuracy, steps, num_problems=num, verified=1 - accuracy)
        best = next_best(best, update, metric, "id", result)
        found.append(best.update)
    return found


def test_the_best_is_the_most_accurate_and_of_equal_ones_the_one_with_fewer_steps() -> None:
    results = [(0.0, None), (0.5, 4.0), (0.5, 4.0), (0.4, 1.0), (0.5, 3.5), (0.6, 9.0)]
    assert best_after("accuracy", *results) == [1, 2, 2, 2, 5, 6]
    # Here the verified ones are those that accuracy lacks: 1.0, 0.5, 0.5, 0.6, 0.5, 0.4.
    assert best_after("verified", *results) == [1, 1, 1, 1, 1, 1]


def test_fewest_steps_count_within_one_standard_error_of_the_highest_accuracy() -> None:
    # At 0.5 of 100 problems the standard error is 0.05, at 0.8 it is 0.04.
    results = [(0.5, 4.0), (0.46, 3.0), (0.44, 1.0), (0.8, 5.0), (0.77, 4.5), (0.75, 2.0), (0.77, 4.5)]
    # 0.46 is near enough to 0.5, 0.44 is not; 0.8 moves the bar past all before; 0.75 is below 0.76.
    assert best_after("steps", *results) == [1, 2, 2, 4, 5, 5, 5]


def test_the_bar_does_not_sink_with_the_best() -> None:
    # Each is within a standard error of the one before, but 0.42 is too far from 0.5, the highest.
    assert best_after("steps", (0.5, 4.0), (0.46, 3.0), (0.42, 2.0)) == [1, 2, 2]


@pytest.mark.parametrize("changed", ["metric", "split", "num_problems"])
def test_the_best_by_other_problems_or_another_metric_is_forgotten(changed: str) -> None:
    first = next_best(None, 1, "accuracy", "id", split_result(0.9, 2.0, num_problems=50))
    given: dict[str, Any] = {"metric": "accuracy", "split": "id", "num_problems": 50}
    given |= {changed: {"metric": "verified", "split": "ood_easy", "num_problems": 40}[changed]}
    worse = split_result(0.1, 2.0, num_problems=given["num_problems"])
    assert next_best(first, 2, given["metric"], given["split"], worse).update == 2


def test_patience_counts_evaluations_since_the_best() -> None:
    best = next_best(None, 20, "accuracy", "id", split_result(0.5, 3.0))
    settings = EvalConfig(every=10, patience=2)
    assert [is_over(settings, best, update) for update in (20, 30, 40, 50)] == [False, False, True, True]
    assert not is_over(EvalConfig(every=10), best, 1000)
    assert not is_over(settings, None, 1000)


def config(folder: Path, **changes: Any) -> Config:
    data: dict[str, Any] = {
        "name": "during",
        "output_dir": str(folder),
        "device": "cpu",
        "threads": 1,
        "report_to": [],
        "env": {"name": "addition", "settings": {"train": ["1_1"], "ood_easy": ["2_1"], "ood_hard": ["2_2"]}},
        "policy": {
            "tiny": {
                "hidden_size": 32,
                "num_layers": 2,
                "num_heads": 2,
                "intermediate_size": 64,
                "max_positions": 128,
            }
        },
        "warm_start": None,
        "rollout": {"samples_per_problem": 4, "max_prompt_tokens": 40, "max_new_tokens": 24},
        "rewards": {"terms": [{"name": "token_count", "weight": -1.0}], "allow_wrong_above_right": True},
        "grpo": {
            "updates": 6,
            "problems_per_update": 4,
            "learning_rate": 1e-3,
            "save_every": 2,
            "keep_checkpoints": 3,
        },
        "eval": {"splits": ["id", "ood_easy"], "num_problems": 4, "num_samples": 0},
    }
    for key, value in changes.items():
        data[key] = {**data[key], **value} if isinstance(value, dict) else value
    return check_config(data)


def run(folder: Path, *, resume: bool = False, **changes: Any) -> str:
    out = io.StringIO()
    train(config(folder, **changes), resume=resume, out=out)
    return out.getvalue()


def weights(folder: Path, name: str) -> bytes:
    return (folder / name / "model.safetensors").read_bytes()


def updates(folder: Path) -> list[UpdateRow]:
    return [row for row in metrics_log(folder).read() if row.stage is Stage.GRPO]


EVERY = {"every": 2, "every_problems": 3, "every_splits": ["ood_easy", "id"]}


@pytest.mark.slow
def test_evaluations_change_no_weight_and_are_logged(tmp_path: Path) -> None:
    plain, judged = tmp_path / "plain", tmp_path / "judged"
    run(plain)
    lines = run(judged, eval=EVERY, report_to=["tensorboard"])
    assert weights(judged, "models/grpo") == weights(plain, "models/grpo")
    assert trajectory_log(judged).read() == trajectory_log(plain).read() != []
    rows = updates(judged)
    assert [row.update for row in rows if "eval_id/accuracy" in row.metrics] == [2, 4, 6]
    assert [row.update for row in rows if "eval_ood_easy/tokens" in row.metrics] == [2, 4, 6]
    assert "evaluated id 0.0 %" in lines
    kept = during_log(judged).read()
    assert [(row.update, row.split, row.index) for row in kept] == [
        (update, split, index) for update in (2, 4, 6) for split in ("ood_easy", "id") for index in range(3)
    ]
    events = EventAccumulator(str(judged / "tensorboard")).Reload()
    assert "eval/ood_easy/accuracy" in events.Tags()["scalars"]
    assert len(events.Tensors("completions/eval/id/text_summary")) == 3
    # Nothing is ever right, so the first evaluation stays the best; its model is that of checkpoint 2.
    best = read_summary(judged).best
    assert best is not None and (best.update, best.split, best.num_problems) == (2, "ood_easy", 3)
    found = find_trained(judged / "models" / "best")
    assert found.best == best and "after update 2 of the stage `grpo`, the best one by" in model_card(
        found, "x"
    )
    assert (judged / "models" / "best" / "README.md").is_file()
    assert weights(judged, "models/best") == weights(judged, "checkpoints/grpo/checkpoint-2")
    # The report draws the figures and names the best model.
    page = (judged / "report.html").read_text()
    assert (
        "Evaluation: length" in page and "models/best</code>, of update 2: 0.0 % correct on 3 problems" in page
    )


@pytest.mark.slow
def test_early_stopping_ends_the_stage_and_outlives_a_resume(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(whole)
    patient = {**EVERY, "patience": 1}
    lines = run(stopped, eval=patient)
    # The best is that of update 2; update 4 is no better.
    assert (
        "stopped early after update 4, as 1 evaluations in a row were no better than that of update 2" in lines
    )
    summary = read_summary(stopped)
    assert (summary.stopped, summary.updates[Stage.GRPO]) == (4, 4)
    assert summary.done(Stage.GRPO, 6) and Stage.GRPO in summary.stages
    assert [row.update for row in updates(stopped)] == [1, 2, 3, 4]
    assert "stopped early after update 4" in (stopped / "report.html").read_text()
    before = weights(stopped, "models/grpo")
    assert before == weights(stopped, "checkpoints/grpo/checkpoint-4")
    run(stopped, resume=True, eval=patient)
    assert [row.update for row in updates(stopped)] == [1, 2, 3, 4]
    # Killed before the last evaluation, it is only evaluated.
    path = stopped / "summary.json"
    path.write_text(path.read_text().replace('"grpo": 4', '"grpo": 2'))
    assert not read_summary(stopped).done(Stage.GRPO, 6)
    run(stopped, resume=True, eval=patient)
    assert [row.update for row in updates(stopped)] == [1, 2, 3, 4]
    assert weights(stopped, "models/grpo") == before and read_summary(stopped).done(Stage.GRPO, 6)
    # Without patience it goes on as if it had never stopped.
    run(stopped, resume=True, eval={**EVERY, "patience": None})
    assert weights(stopped, "models/grpo") == weights(whole, "models/grpo")
    assert read_summary(stopped).stopped is None
    assert [row.update for row in updates(stopped)] == [1, 2, 3, 4, 5, 6]


def test_sampled_evaluations_take_the_samples(tmp_path: Path) -> None:
    both = config(tmp_path, eval={"every": 5, "num_samples": 3, "num_problems": 10, "every_problems": 64})
    during = during_config(both).eval
    assert (during.splits, during.num_problems, during.num_samples) == (["id"], 10, 0)
    assert during_config(config(tmp_path, eval={"greedy": False, "num_samples": 3})).eval.num_samples == 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"patience": 2}, "patience is 2, but every is null"),
        ({"patience": 2, "every": 5, "best": None}, "patience is 2, but best is null"),
        ({"every": 5, "every_splits": ["ood_hard"]}, "every_splits has ood_hard"),
        ({"every": 5, "splits": []}, "every is 5, but splits is empty"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config(tmp_path, eval=changes)
