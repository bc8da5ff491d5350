"""Ablations: cases and seeds become runs, and mistakes one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from configs import ConfigError
from configs.ablation import Plan, load_ablation

BASE: dict[str, Any] = {
    "env": {"name": "addition"},
    "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
    "warm_start": {"updates": 5},
    "grpo": {"updates": 2},
}
ABLATION: dict[str, Any] = {
    "name": "study",
    "question": "What for?",
    "base": "base.yaml",
    "seeds": [3, 4],
    "cases": {
        "plain": {},
        "hot": {"rollout.temperature": 1.5},
        "fast": {"grpo.learning_rate": 1e-3},
        "taught": {"warm_start.updates": 7, "grpo": None},
        "cold": {"warm_start": None},
    },
}


def plan(folder: Path, *overrides: str, base_has: dict[str, Any] | None = None, **changes: Any) -> Plan:
    (folder / "base.yaml").write_text(yaml.safe_dump({**BASE, **(base_has or {})}))
    (folder / "study.yaml").write_text(yaml.safe_dump({**ABLATION, **changes}, sort_keys=False))
    return load_ablation(folder / "study.yaml", overrides, folder / "out")


def test_cases_and_seeds_become_runs(tmp_path: Path) -> None:
    found = plan(tmp_path)
    # `fast` differs from `plain` after the warm start only, so that both begin with the same; sampling at
    # another temperature is part of what is evaluated after a warm start, so `hot` has its own.
    assert [(trial.name, trial.after) for trial in found.trials if trial.seed == 3] == [
        ("warm-plain-seed3", None),
        ("plain-seed3", "warm-plain-seed3"),
        ("warm-hot-seed3", None),
        ("hot-seed3", "warm-hot-seed3"),
        ("fast-seed3", "warm-plain-seed3"),
        ("warm-taught-seed3", None),
        ("cold-seed3", None),
    ]
    assert len(found.trials) == 14
    assert found.results["fast", 4] == ("warm-plain-seed4", "fast-seed4")
    assert found.results["taught", 4] == ("warm-taught-seed4",)
    assert found.results["cold", 4] == ("cold-seed4",)


def test_a_run_has_the_base_the_case_and_the_seed(tmp_path: Path) -> None:
    trials = {trial.name: trial.config for trial in plan(tmp_path, "grpo.updates=9", "threads=1").trials}
    warm, after, taught = trials["warm-plain-seed3"], trials["fast-seed3"], trials["warm-taught-seed4"]
    assert warm.warm_start is not None and warm.warm_start.updates == 5 and warm.grpo is None
    assert warm.output_dir == str(tmp_path / "out" / "warm-plain-seed3") and warm.seed == 3
    assert after.warm_start is None and after.policy.model == f"{warm.output_dir}/models/warm"
    assert after.grpo is not None and after.grpo.updates == 9 and after.grpo.learning_rate == 1e-3
    assert taught.warm_start is not None and taught.warm_start.updates == 7 and taught.seed == 4
    assert {config.threads for config in trials.values()} == {1}


def test_what_a_case_sets_wins_over_the_command_line(tmp_path: Path) -> None:
    found = plan(tmp_path, "grpo.learning_rate=0.5", "policy.tiny.num_layers=1")
    (fast,) = [trial.config for trial in found.trials if trial.name == "fast-seed3"]
    assert fast.grpo is not None and fast.grpo.learning_rate == 1e-3 and fast.policy.tiny.num_layers == 1


def test_an_adapter_is_not_shared(tmp_path: Path) -> None:
    found = plan(
        tmp_path, base_has={"policy": {"model": "a/b", "lora": {"r": 4}}}, cases={"plain": {}, "also": {}}
    )
    assert [(t.name, t.after, t.config.warm_start is not None) for t in found.trials if t.seed == 3] == [
        ("plain-seed3", None, True),
        ("also-seed3", None, True),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [1, 1]}, "seeds: the same seed twice gives the same run twice, got [1, 1]"),
        ({"seeds": []}, "seeds is []: list should have at least 1 item"),
        ({"cases": {}}, "cases is {{}}: dictionary should have at least 1 item after validation"),
        (
            {"cases": {"a/b": {}}},
            "cases: a case's name names folders: letters, digits, '_', '-' and '.', got 'a/b'",
        ),
        ({"sedes": [1]}, "unknown key 'sedes'; did you mean 'seeds'? known: name, question, base, seeds"),
        ({"cases": {"x": {"grpo.updats": 1}}}, "case 'x': {base}: unknown key 'grpo.updats'; did you mean"),
        (
            {"base": "bose.yaml"},
            "case 'plain': cannot read config {bose}: No such file or directory; did you mean",
        ),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path, **changes)
    said = str(caught.value)
    wanted = message.format(base=tmp_path / "base.yaml", bose=tmp_path / "bose.yaml")
    assert said.startswith(f"{tmp_path / 'study.yaml'}: {wanted}") and "\n" not in said


@pytest.mark.parametrize("path", sorted(Path("configs/ablations").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_ablations_load(path: Path) -> None:
    assert load_ablation(path).trials
