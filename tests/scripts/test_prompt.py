"""`stride prompt` shows what a run would give the model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from configs import load_config
from envs import Split
from rl.models.policy import load_policy
from rl.parts import build_parts
from scripts.cli import main

CONFIG = """
env: {name: addition, settings: {train: ["2_2"], ood_easy: ["3_2"], ood_hard: ["3_3"]}}
policy: {tiny: {hidden_size: 16, num_layers: 1, num_heads: 2, intermediate_size: 32, max_positions: 512}}
prompt: {few_shot: 1, prefill: "1. "}
rewards: {terms: [{name: correct, weight: 1}]}
grpo: {budget_frac: 0.5}
eval: {splits: [id, ood_hard]}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG)
    return str(path)


def test_text_and_ids_are_those_of_the_run(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prompt", file, "--index", "2"]) == 0
    shown = capsys.readouterr().out
    assert re.findall(r"--- (.*?)(?: with.*|: .*|, after.*)", shown)[:4] == [
        "train 2",
        "train 2",
        "id 2",
        "ood_hard 2",
    ]
    config = load_config(file, [])
    parts = build_parts(config)
    encoder = load_policy(config.policy, parts.env, prompts=parts.prompts, seed=0).encoder
    ids = encoder.encode_prompt(parts.env.problem(Split.ID, 2))
    assert f"--- id 2: {len(ids)} tokens\n{encoder.show(ids)}\n{' '.join(map(str, ids))}\n" in shown
    steps = parts.env.problem(Split.TRAIN, 2).num_full_steps
    assert f"--- train 2 with a budget of {steps}: " in shown and f"Let's solve it in {steps} steps." in shown
    # The warm start goes on where the prefill ends.
    taught = shown.partition("the warm start teaches, after train 2")[2].split("\n")
    assert re.fullmatch(r"\d+ \+ \d+ \+ 0 = .*", taught[1])
    assert shown.endswith(f"--- a completion ends with '<|end|>' ({encoder.stop_ids[0]})\n")


def test_a_mistake_is_one_line(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["prompt", file, "prompt.template='{question} {hint}'"])
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("error: prompt.template: unknown slot {hint}; known: {question}")
