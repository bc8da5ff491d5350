"""The files of a run: rows come back, and every reader refuses damaged files and other formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configs import check_config
from configs.schema.ablation import Plan, load_ablation
from rl.ablation.preview import preview
from rl.ablation.progress import is_done, read_progress
from rl.ablation.report import write_comparison
from rl.ablation.run import run_plan
from rl.compare.folders import find_runs, folder_comparison
from rl.compare.study import make_study
from rl.pages.run.write import write_report
from rl.runs.errors import RunFolderError
from rl.runs.folder import open_run
from rl.runs.log import evaluation_log, metrics_log, read_summary, sample_rows
from rl.runs.record import FORMAT, Stage, Summary, UpdateRow
from rl.viewer import read_trajectories
from rollout.encoder import make_encoder
from rollout.prompt_format import PromptFormat
from tests.kit.byte_tokenizer import byte_tokenizer
from tests.kit.problems import ask
from tests.kit.rollouts import make_group, make_sample, make_score
from tests.kit.runs_by_hand import sample, split_result
from tests.kit.whole_records import SAMPLE, SUMMARY


def updates(stage: Stage, *numbers: int) -> list[UpdateRow]:
    return [UpdateRow(stage=stage, update=number, metrics={"loss": 0.25}) for number in numbers]


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    log = evaluation_log(tmp_path, Stage.GRPO)
    log.path.parent.mkdir()
    assert log.read() == []
    rows = [replace(SAMPLE, sample=number) for number in range(3)]
    log.append(*rows[:2])
    log.append(rows[2])
    log.append()
    assert log.read() == rows
    assert log.read(tokens=False) == [replace(row, pieces=None, logprobs=None) for row in rows]


def test_the_first_row_of_a_group_has_the_prompt_as_the_model_got_it() -> None:
    problem = ask("3 + 4?")
    samples = [make_sample(make_score(0.0), ids=(5,)) for _ in range(2)]
    encoder = make_encoder(byte_tokenizer(), PromptFormat(system_prompt="Be short.", prefill="So "))
    group = make_group(problem, samples, prompt_ids=encoder.encode_prompt(problem))
    rows = sample_rows(Stage.GRPO, 1, group, encoder)
    given = "<|pad|>Be short.\n<|user|>3 + 4?<|end|><|bot|>So "
    assert [(row.prompt, row.rendered_prompt) for row in rows] == [("3 + 4?", given), ("3 + 4?", None)]
    # The task's own prompt is not stored twice.
    plain = make_encoder(byte_tokenizer(chat_template=None))
    group = replace(group, prompt_ids=plain.encode_prompt(problem))
    assert [row.rendered_prompt for row in sample_rows(Stage.GRPO, 1, group, plain)] == [None, None]


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path, cut: int) -> None:
    log = metrics_log(tmp_path)
    rows = updates(Stage.GRPO, 0, 1, 2)
    log.append(*rows)
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-cut])
    assert log.read() == rows[:2]
    # The run continues from update 1 and writes the rest again: no row is lost or repeated.
    log.forget_after(Stage.GRPO, 1)
    log.append(rows[2])
    assert log.path.read_bytes() == whole


def test_forget_after_keeps_earlier_updates_and_other_stages(tmp_path: Path) -> None:
    log = metrics_log(tmp_path)
    log.forget_after(Stage.GRPO, 0)
    assert not log.path.exists()
    warm, grpo = updates(Stage.WARM, 1, 2, 9), updates(Stage.GRPO, 1, 2, 3, 4)
    log.append(*warm, *grpo)
    log.forget_after(Stage.GRPO, 2)
    assert log.read() == [*warm, *grpo[:2]]
    log.forget_after(Stage.GRPO, 0)
    assert log.read() == warm
    log.forget_after(Stage.WARM, 2)
    assert log.read() == warm[:2]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_damaged_row_is_named_with_its_file(tmp_path: Path) -> None:
    log = metrics_log(tmp_path)
    log.append(*updates(Stage.GRPO, 1))
    with log.path.open("a") as file:
        file.write('\n{"format": 3, "stage": "grpo"\n')
    log.append(*updates(Stage.GRPO, 3))
    for read in (log.read, lambda: log.forget_after(Stage.GRPO, 1)):
        with pytest.raises(RunFolderError) as refused:
            read()
        assert str(refused.value).startswith(f"{log.path} cannot be read: row 3 is damaged (")
        assert str(refused.value).endswith(
            "; restore it, or continue the run with --resume, which sets it aside"
        )


def test_a_summary_is_empty_before_the_first_result(tmp_path: Path) -> None:
    assert read_summary(tmp_path) == Summary()
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY.to_json()))
    assert read_summary(tmp_path) == SUMMARY


# ---- every reader refuses every file of another format ----

BASE: dict[str, Any] = {
    "device": "cpu",
    "env": {"name": "addition"},
    "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
    "warm_start": None,
    "grpo": {"updates": 4},
    "eval": {"splits": ["id"], "num_problems": 10},
}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan of one run that was cut off in its second stage."""
    (tmp_path / "base.yaml").write_text(json.dumps(BASE))
    study = {"name": "study", "question": "Which?", "base": "base.yaml", "seeds": [0], "cases": {"plain": {}}}
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    made = load_ablation(tmp_path / "study.yaml", (), tmp_path / "out")
    (trial,) = made.trials
    folder = open_run(trial.config, resume=False, overwrite=False)
    folder.metrics.append(*updates(Stage.GRPO, 1))
    folder.trajectories.write(1, [sample(update=1)])
    folder.evaluation(Stage.BASE, greedy=True).append(sample(stage=Stage.BASE))
    folder.write_summary(Summary(stages={Stage.BASE: {"id": split_result(0.5, 3.0)}}))
    folder.close()
    return made


def resume(plan: Plan) -> None:
    (trial,) = plan.trials
    open_run(check_config(trial.config.model_dump(mode="json")), resume=True, overwrite=False).close()


def ablate(plan: Plan) -> None:
    run_plan(plan)


def compare(plan: Plan) -> None:
    make_study(folder_comparison(find_runs([plan.folder])))


def report(plan: Plan) -> None:
    write_report(plan.trials[0].folder)


def view(plan: Plan) -> None:
    read_trajectories([plan.trials[0].folder])


def progress(plan: Plan) -> None:
    read_progress(plan.trials[0])


READERS: dict[Callable[[Plan], object], tuple[str, ...]] = {
    resume: ("summary.json", "metrics.jsonl", "eval/base.jsonl"),
    ablate: ("summary.json", "metrics.jsonl", "eval/base.jsonl"),
    compare: ("summary.json", "metrics.jsonl", "eval/base.jsonl"),
    write_comparison: ("summary.json", "metrics.jsonl", "eval/base.jsonl"),
    report: ("summary.json", "metrics.jsonl", "eval/base.jsonl"),
    view: ("eval/base.jsonl",),
    preview: ("summary.json",),
    progress: ("summary.json", "metrics.jsonl"),
}
CASES = [(reader, name) for reader, names in READERS.items() for name in names]


@pytest.mark.parametrize(("reader", "name"), CASES, ids=[f"{reader.__name__}-{name}" for reader, name in CASES])
@pytest.mark.parametrize(
    ("written", "says"), [('"format": 7', "has format 7"), ('"colour": 1', "has no format number")]
)
def test_other_formats_are_refused_in_one_line(
    plan: Plan, reader: Callable[[Plan], object], name: str, written: str, says: str
) -> None:
    path = plan.trials[0].folder / name
    path.write_text(path.read_text().replace(f'"format": {FORMAT}', written))
    before = {
        file: file.read_bytes() for file in plan.folder.rglob("*") if file.is_file() and file.name != ".lock"
    }
    with pytest.raises(RunFolderError) as refused:
        reader(plan)
    assert str(refused.value) == (
        f"{path} {says}, and this version of Stride reads formats 1 to {FORMAT}; read it with the version that "
        "wrote it (stride and git_revision in provenance.json), or start the run again in another folder"
    )
    assert all(file.read_bytes() == text for file, text in before.items())


READING = [(reader, name) for reader, name in CASES if reader not in (resume, ablate)]  # these two go on


@pytest.mark.parametrize(
    ("reader", "name"), READING, ids=[f"{reader.__name__}-{name}" for reader, name in READING]
)
def test_damaged_files_are_refused_in_one_line(plan: Plan, reader: Callable[[Plan], object], name: str) -> None:
    path = plan.trials[0].folder / name
    path.write_text(path.read_text().replace('"', "'", 1))
    with pytest.raises(RunFolderError) as refused:
        reader(plan)
    assert str(refused.value).startswith(f"{path} cannot be read: ") and "\n" not in str(refused.value)


def test_a_run_whose_summary_is_damaged_is_not_done(plan: Plan) -> None:
    (trial,) = plan.trials
    assert not is_done(trial)
    (trial.folder / "summary.json").write_text("{")
    assert not is_done(trial)
    resume(plan)


def test_every_reader_accepts_an_intact_run(plan: Plan) -> None:
    for reader in READERS:
        if reader is not ablate:
            reader(plan)
    assert evaluation_log(plan.trials[0].folder, Stage.BASE).read() == [sample(stage=Stage.BASE)]
