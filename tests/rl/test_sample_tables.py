"""Completions in the metric backends: the right ones, as they are."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from configs.schema.reporting import SampleTableConfig
from rl.sample_tables import SampleTables
from tests.kit.runs_by_hand import sample
from tests.kit.whole_records import SAMPLE


def texts(folder: Path) -> dict[str, dict[int, str]]:
    """The texts in TensorBoard's files, by tag and update."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag.removesuffix("/text_summary"): {
            event.step: event.tensor_proto.string_val[0].decode() for event in events.Tensors(tag)
        }
        for tag in events.Tags()["tensors"]
    }


def test_the_first_completions_of_some_updates(tmp_path: Path) -> None:
    tables = SampleTables(SampleTableConfig(num_samples=2, every=3), ["tensorboard"], tmp_path)
    assert [update for update in range(1, 9) if tables.wants(update)] == [1, 4, 7]
    tables.show("grpo", 4, [sample(text=f"step {number}\n  <b>done</b>", sample=number) for number in range(3)])
    (text,) = texts(tmp_path)["completions/grpo"].values()
    assert text.split("\n\n") == [
        "**verified**, reward 1.000, 1 steps, 0 backtracks, 30 tokens (id 0, sample 0)",
        "    problem 0",
        "completion:",
        "    step 0\n      <b>done</b>",
        "---",
        "**verified**, reward 1.000, 1 steps, 0 backtracks, 30 tokens (id 0, sample 1)",
        "    problem 0",
        "completion:",
        "    step 1\n      <b>done</b>",
    ]


def test_odd_text_stays_text(tmp_path: Path) -> None:
    SampleTables(SampleTableConfig(), ["all"], tmp_path).show("grpo", 1, [SAMPLE])
    (text,) = texts(tmp_path)["completions/grpo"].values()
    assert all(line.startswith("    ") for line in text.splitlines() if "script" in line or "☃" in line)


@pytest.mark.parametrize(
    ("backends", "num_samples"), [([], 8), (["none"], 8), (["wandb"], 8), (["tensorboard"], 0)]
)
def test_nothing_is_written_unless_asked(backends: list[str], num_samples: int, tmp_path: Path) -> None:
    tables = SampleTables(SampleTableConfig(num_samples=num_samples), backends, tmp_path / "tensorboard")
    tables.show("grpo", 1, [sample()])
    assert not (tmp_path / "tensorboard").exists()


def test_a_table_goes_to_wandb_once_its_run_has_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[dict[str, Any]] = []
    wandb = SimpleNamespace(run=None, log=logged.append, Table=lambda dataframe: dataframe.to_dict("records"))
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    tables = SampleTables(SampleTableConfig(), ["wandb"], tmp_path)
    tables.show("eval-base/id", 0, [sample()])
    assert logged == []
    wandb.run = "begun"
    tables.show("grpo", 11, [sample(advantage=0.5, reward=0.75)])
    assert logged == [
        {
            "completions/grpo": [
                {
                    "update": 11,
                    "split": "id",
                    "problem": 0,
                    "prompt": "problem 0",
                    "completion": "step 0\nThus, the answer is 7.",
                    "right_answer": "7",
                    "outcome": "verified",
                    "reward": 0.75,
                    "advantage": 0.5,
                    "steps": 1,
                    "backtracks": 0,
                    "tokens": 30,
                }
            ]
        }
    ]
