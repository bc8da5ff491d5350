"""Run folders with completions that a task has really judged: one that counts steps, one that checks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from envs import Env, Problem, Split, make_env, make_example
from rewards import RewardSum, Term
from rl.grpo.metrics import rollout_metrics
from rl.runs.log import evaluation_log, metrics_log, sample_rows
from rl.runs.record import SampleRow, SplitResult, Stage, Summary, UpdateRow
from rl.runs.trajectories import trajectory_log
from rl.summarise import summarise
from rollout.encoder import make_encoder
from rollout.types import RolloutGroup
from tests.kit.byte_tokenizer import byte_tokenizer
from tests.kit.directional import END, FULL, SKIP, TURNS
from tests.kit.rollouts import make_batch, make_group, score_texts
from tests.kit.runs_by_hand import write_summary

_REWARDS = RewardSum([Term(name="correct", weight=1.0), Term(name="step_count", weight=-0.4, gate="correct")])
_COUNTED = (
    "10 / 6 = 1\n\nThus, the answer is {answer}.",
    "So 3.\n\nWait, that is wrong.\n<backtrack> 9\nSo 4.\n\nThus, the answer is {answer}.",
    "Thus, the answer is {answer}.",
    "2 + 2 = 5\n\nThus, the answer is -17.",
    "2 + 2 = 5",
)
_CHECKED = (FULL + END, SKIP + END, f"west\n<backtrack>\n{FULL}{END}", f"east. around\n{SKIP}{END}", END)


def counted_run(folder: Path) -> Path:
    """A run of word problems, of which the answer is judged and steps are counted: some correct, some not."""
    env = make_example("math", steps="paragraphs")
    problems = [env.problem(Split.ID, index) for index in range(len(_COUNTED))]
    return _write(folder, env, problems, _COUNTED, settings=dict(env.example))


def checked_run(folder: Path) -> Path:
    """A run of a task that checks every step, with verified and unverified answers."""
    problems = [replace(TURNS, split=Split.ID, index=index) for index in range(len(_CHECKED))]
    return _write(folder, make_env("directional"), problems, _CHECKED, settings={})


def _write(
    folder: Path,
    env: Env[Any],
    problems: Sequence[Problem],
    texts: Sequence[str],
    *,
    settings: Mapping[str, Any],
) -> Path:
    """A run whose warm start gives a text for each problem, and GRPO the same texts in the opposite order."""
    (folder / "eval").mkdir(parents=True)
    config = {
        "name": folder.name,
        "output_dir": str(folder),
        "env": {"name": env.name, "settings": dict(settings)},
        "policy": {"model": "tiny"},
        "warm_start": {"updates": 1},
        "grpo": {"updates": 2, "beta": 0.0},
        "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
        "eval": {"num_problems": len(problems), "splits": ["id"]},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    groups = {
        Stage.WARM: [_group(env, problem, [text]) for problem, text in zip(problems, texts, strict=True)],
        Stage.GRPO: [_group(env, one, [text]) for one, text in zip(problems, reversed(texts), strict=True)],
    }
    stages: dict[Stage, dict[str, SplitResult]] = {}
    for stage, found in groups.items():
        evaluation_log(folder, stage).append(*_rows(stage, 0, found))
        stages[stage] = {"id": summarise(found, merges=lambda problem: True)}
    sampled = [_group(env, problem, texts) for problem in problems[:2]]
    for update in (1, 2):
        trajectory_log(folder).write(update, _rows(Stage.GRPO, update, sampled))
        metrics = rollout_metrics(make_batch(*sampled), num_groups=2)
        metrics_log(folder).append(UpdateRow(stage=Stage.GRPO, update=update, metrics=metrics))
    write_summary(folder, Summary(stages=stages, updates={Stage.WARM: 1, Stage.GRPO: 2}))
    return folder


def _group(env: Env[Any], problem: Problem, templates: Sequence[str]) -> RolloutGroup:
    texts = [template.format(answer=problem.answer) for template in templates]
    traces = [env.check(problem, env.parse(text)) for text in texts]
    lengths = [4 + len(trace.steps) for trace in traces]
    return make_group(problem, score_texts(problem, traces, texts, lengths, _REWARDS), number=problem.index)


def _rows(stage: Stage, update: int, groups: Sequence[RolloutGroup]) -> list[SampleRow]:
    encoder = make_encoder(byte_tokenizer(chat_template=None))
    return [row for group in groups for row in sample_rows(stage, update, group, encoder, tokens=False)]
