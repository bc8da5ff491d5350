"""The records of a run: to JSON and back, and what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from rewards import Outcome
from rl.runs.json_fields import RecordError
from rl.runs.record import FORMAT, FormatError, SampleRow, SplitResult, Stage, Summary, UpdateRow
from tests.kit.runs_by_hand import sample
from tests.kit.whole_records import RESULT, SAMPLE, SUMMARY


def again(data: dict[str, Any]) -> Any:
    """The object after a round trip through a file."""
    return json.loads(json.dumps(data))


@pytest.mark.parametrize(
    "row",
    [SAMPLE, sample(), replace(SAMPLE, advantage=(0.5, -1.0, 0.0)), replace(SAMPLE, reward=math.inf)],
    ids=["all fields", "no tokens", "an advantage a token", "infinite"],
)
def test_sample_rows_come_back(row: SampleRow) -> None:
    assert SampleRow.from_json(again(row.to_json())) == row


def test_update_rows_come_back_flat() -> None:
    row = UpdateRow(stage=Stage.GRPO, update=3, metrics={"loss": 0.5, "tokens/max": 12.0})
    assert row.to_json() == {"format": FORMAT, "stage": "grpo", "update": 3, "loss": 0.5, "tokens/max": 12.0}
    assert UpdateRow.from_json(again(row.to_json())) == row
    nan = UpdateRow.from_json(again(replace(row, metrics={"reward": math.nan}).to_json()))
    assert list(nan.metrics) == ["reward"] and math.isnan(nan.metrics["reward"])


def test_results_come_back() -> None:
    assert SplitResult.from_json(again(RESULT.to_json())) == RESULT


@pytest.mark.parametrize("summary", [SUMMARY, Summary()])
def test_summaries_come_back(summary: Summary) -> None:
    assert Summary.from_json(again(summary.to_json())) == summary


def test_the_keys_of_a_summary() -> None:
    plain = SUMMARY.to_json()
    assert list(plain) == ["format", "stages", "updates", "seconds", "warnings"]
    assert "warnings" not in Summary().to_json()
    assert plain["seconds"] == {"warm": 1.5, "eval_base": 0.25, "eval_warm": 2.0}
    assert plain["stages"]["warm"]["id"]["buckets"]["3"]["errors"] == {"queue": 0.25}


def test_the_counts_of_a_samples_steps() -> None:
    # Four lines, one of them a backtrack; the marker is a step and a backtrack.
    assert (SAMPLE.num_steps, SAMPLE.num_backtracks, SAMPLE.num_invalid) == (3, 2, 1)
    assert SAMPLE.correct and sample(outcome=Outcome.VERIFIED).correct
    assert not any(sample(outcome=one).correct for one in Outcome if one not in ("verified", "correct"))


def test_a_summary_grows_by_stages() -> None:
    summary = Summary().with_training(Stage.WARM, 3, 1.0).with_training(Stage.WARM, 5, 0.5)
    assert summary == Summary(updates={Stage.WARM: 5}, train_s={Stage.WARM: 1.5})
    assert not summary.done(Stage.WARM, 5)
    summary = summary.with_results(Stage.WARM, {"id": RESULT}, 2.0)
    assert summary.done(Stage.WARM, 5) and not summary.done(Stage.WARM, 6) and not summary.done(Stage.GRPO)
    assert summary.eval_s == {Stage.WARM: 2.0}


def test_stages_have_labels_in_order() -> None:
    assert [stage.label for stage in Stage] == ["base", "warm start", "key steps", "GRPO"]


UPDATE = UpdateRow(stage=Stage.GRPO, update=1, metrics={"loss": 0.5})
RECORDS = {"sample": SAMPLE, "update": UPDATE, "summary": SUMMARY}


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "no format number"),
        (0, "format 0"),
        (4, "format 4"),
        ("3", "format '3'"),
        (True, "format True"),
        (3.0, "format 3.0"),
    ],
)
def test_other_formats_are_refused(name: str, found: object, says: str) -> None:
    record: Any = RECORDS[name]
    plain = {**record.to_json(), "format": found}
    if found is None:
        del plain["format"]
    with pytest.raises(FormatError) as refused:
        type(record).from_json(plain)
    assert str(refused.value) == f"{says}, and this version of Stride reads formats 1 to 3"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stage": "sft"}, "stage: 'sft' is none of base, warm, key_steps, grpo"),
        ({"stage": ["grpo"]}, "stage: ['grpo'] is none of base, warm, key_steps, grpo"),
        ({"update": 1.0}, "update: 1.0 is not an integer"),
        ({"tokens": True}, "tokens: True is not an integer"),
        ({"reward": None}, "reward: None is not a number"),
        ({"reward": 10**400}, "reward: 1000"),
        ({"text": 3}, "text: 3 is not a string"),
        ({"stated": 7}, "stated: 7 is not a string"),
        ({"parts": {"correct": "1"}}, "parts: '1' is not a number"),
        ({"parts": [1.0]}, "parts: [1.0] is not a JSON object"),
        ({"pieces": "abc"}, "pieces: 'abc' is not a list"),
        ({"logprobs": [-0.5, None]}, "logprobs: None is not a number"),
        ({"advantage": "0.5"}, "advantage: '0.5' is not a number"),
        ({"steps": {}}, "steps: {} is not a list"),
        ({"steps": ["7"]}, "steps: '7' is not a step"),
        ({"steps": [{"text": "7"}]}, "steps: a step has no 'kind'"),
        ({"steps": [{**SAMPLE.to_json()["steps"][0], "undone": 1}]}, "steps: 1 is neither true nor false"),
        ({"steps": [{**SAMPLE.to_json()["steps"][0], "progress": "1"}]}, "steps: '1' is not a number"),
        ({"steps": [{**SAMPLE.to_json()["steps"][0], "use": "nice"}]}, "steps: 'nice' is none of needed"),
    ],
)
def test_fields_of_another_type_are_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(RecordError) as refused:
        SampleRow.from_json({**SAMPLE.to_json(), **changes})
    assert str(refused.value).startswith(says)


def test_fields_that_are_missing_are_named() -> None:
    whole = SAMPLE.to_json()
    for name in whole.keys() - {"format", "pieces", "logprobs", "advantage", "rendered_prompt", "form"}:
        with pytest.raises(RecordError, match=f"it has no '{name}'"):
            SampleRow.from_json({key: value for key, value in whole.items() if key != name})
    for name in ("stage", "update"):
        with pytest.raises(RecordError, match=f"it has no '{name}'"):
            UpdateRow.from_json({key: value for key, value in UPDATE.to_json().items() if key != name})
    newer = {"strict_accuracy", "merged_lines", "empty_thoughts", "empty_by_difficulty"}
    newer |= {"needed_lines", "skippable_lines", "wasted_lines", "wrong_lines", "straight_back"}
    for name in RESULT.to_json().keys() - newer:
        with pytest.raises(RecordError, match=f"it has no '{name}'"):
            SplitResult.from_json({key: value for key, value in RESULT.to_json().items() if key != name})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stages": {"sft": {}}}, "'sft' is none of base"),
        ({"stages": {"base": {"id": {}}}}, "it has no 'num_problems'"),
        ({"updates": {"warm": 1.5}}, "1.5 is not an integer"),
        ({"seconds": {"eval_sft": 1.0}}, "'sft' is none of base"),
        ({"seconds": {"warm": "1"}}, "'1' is not a number"),
    ],
)
def test_damaged_summaries_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(RecordError) as refused:
        Summary.from_json({**SUMMARY.to_json(), **changes})
    assert says in str(refused.value)


def test_metrics_are_numbers() -> None:
    with pytest.raises(RecordError, match="metrics: 'x' is not a number"):
        UpdateRow.from_json({"format": FORMAT, "stage": "grpo", "update": 1, "loss": "x"})
