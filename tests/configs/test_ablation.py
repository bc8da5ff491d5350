"""Ablations: cases and seeds become runs; a mistake is one line."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs import Config, ConfigError, load_config
from configs.schema.ablation import Plan, load_ablation
from configs.schema.grid import expand

SHIPPED = sorted((Path(__file__).resolve().parents[2] / "configs" / "ablations").glob("*.yaml"))
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


def named(study: Plan) -> dict[str, str]:
    """Names of the runs, those of warm starts as warm0, warm1, ... in order."""
    marks = dict.fromkeys(t.name.split("-")[1] for t in study.trials if t.name.startswith("warm-"))
    return {f"-{mark}-": f"{place}-" for place, mark in enumerate(marks)}


def runs(study: Plan, seed: int) -> list[tuple[str, str | None]]:
    found = []
    for trial in [trial for trial in study.trials if trial.seed == seed]:
        name, after = trial.name, trial.after
        for mark, place in named(study).items():
            name, after = name.replace(mark, place), after and after.replace(mark, place)
        found.append((name, after))
    return found


def test_cases_and_seeds_become_runs(tmp_path: Path) -> None:
    found = plan(tmp_path)
    # `fast` differs from `plain` only after the warm start, so both begin from the same one; sampling at
    # another temperature is part of what is evaluated after a warm start, so `hot` has its own.
    for seed in (3, 4):
        assert runs(found, seed) == [
            (f"warm0-seed{seed}", None),
            (f"plain-seed{seed}", f"warm0-seed{seed}"),
            (f"warm1-seed{seed}", None),
            (f"hot-seed{seed}", f"warm1-seed{seed}"),
            (f"fast-seed{seed}", f"warm0-seed{seed}"),
            (f"warm2-seed{seed}", None),
            (f"cold-seed{seed}", None),
        ]
    assert len(found.trials) == 14
    (plain_warm, plain), (fast_warm, fast) = found.results["plain", 4], found.results["fast", 4]
    assert plain_warm == fast_warm and (plain, fast) == ("plain-seed4", "fast-seed4")
    assert len(found.results["taught", 4]) == 1 and found.results["cold", 4] == ("cold-seed4",)


def test_cases_that_differ_in_their_key_steps_share_a_warm_start(tmp_path: Path) -> None:
    cases = {"none": {}, "keys": {"key_steps.updates": 3}, "only": {"key_steps.updates": 3, "grpo": None}}
    study = plan(tmp_path, cases=cases, seeds=[3])
    assert runs(study, 3) == [
        ("warm0-seed3", None),
        *[(f"{case}-seed3", "warm0-seed3") for case in ("none", "keys", "only")],
    ]
    warm, keys = config_of(study, "keys", 3, 0), config_of(study, "keys", 3)
    assert warm.key_steps is None and warm.grpo is None and keys.warm_start is None
    assert keys.key_steps is not None and keys.key_steps.updates == 3 and keys.grpo is not None


def config_of(study: Plan, case: str, seed: int, place: int = -1) -> Config:
    name = study.results[case, seed][place]
    return next(trial.config for trial in study.trials if trial.name == name)


def test_a_run_combines_base_case_and_seed(tmp_path: Path) -> None:
    study = plan(tmp_path, "grpo.updates=9", "threads=1")
    warm, after = config_of(study, "fast", 3, 0), config_of(study, "fast", 3)
    assert warm.warm_start is not None and warm.warm_start.updates == 5 and warm.grpo is None and warm.seed == 3
    assert warm.output_dir == str(tmp_path / "out" / study.results["fast", 3][0])
    assert after.warm_start is None and after.policy.model == f"{warm.output_dir}/models/warm"
    assert after.grpo is not None and after.grpo.updates == 9 and after.grpo.learning_rate == 1e-3
    taught = config_of(study, "taught", 4)
    assert taught.warm_start is not None and taught.warm_start.updates == 7 and taught.seed == 4
    assert {trial.config.threads for trial in study.trials} == {1}


def test_a_case_overrides_the_command_line(tmp_path: Path) -> None:
    fast = config_of(plan(tmp_path, "grpo.learning_rate=0.5", "policy.tiny.num_layers=1"), "fast", 3)
    assert fast.grpo is not None and fast.grpo.learning_rate == 1e-3 and fast.policy.tiny.num_layers == 1


def test_a_case_changes_only_what_it_states(tmp_path: Path) -> None:
    base = {"grpo": {"updates": 2, "beta": 0.5}, "warm_start": {"error_mix": {"digit": 1.0, "carry": 2.0}}}
    cases = {"nested": {"grpo": {"epsilon": 0.3}, "warm_start": {"error_mix": {"again": 1.0}, "updates": 3}}}
    study = plan(tmp_path, base_has=base, cases=cases)
    grpo, warm = config_of(study, "nested", 3).grpo, config_of(study, "nested", 3, 0).warm_start
    assert grpo is not None and (grpo.updates, grpo.beta, grpo.epsilon) == (2, 0.5, 0.3)
    # A mapping that is a value rather than a section is replaced whole.
    assert warm is not None and (warm.updates, warm.error_mix) == (3, {"again": 1.0})


def test_cases_can_be_added_and_moved(tmp_path: Path) -> None:
    before = plan(tmp_path, cases={"plain": {}, "fast": {"grpo.learning_rate": 1e-3}})
    after = plan(tmp_path, cases={"new": {"grpo.beta": 0.1}, "fast": {"grpo.learning_rate": 1e-3}, "plain": {}})
    was = {trial.name: trial.config for trial in before.trials}
    now = {trial.name: trial.config for trial in after.trials}
    assert was.keys() < now.keys() and all(now[name] == config for name, config in was.items())


def test_a_grid_makes_every_combination_of_every_case(tmp_path: Path) -> None:
    grid = {"grpo.beta": [0, 0.1], "eval.splits": {"near": ["id"], "far": ["ood_hard"]}}
    study = plan(tmp_path, cases={"plain": {}, "hot": {"rollout.temperature": 1.5}}, grid=grid, seeds=[3])
    assert list(study.config.cases) == [
        f"{case}-grpo.beta_{beta}-eval.splits_{splits}"
        for case in ("plain", "hot")
        for beta in ("0", "0.1")
        for splits in ("near", "far")
    ]
    found = config_of(study, "hot-grpo.beta_0.1-eval.splits_far", 3)
    assert found.grpo is not None and found.grpo.beta == 0.1
    assert (found.rollout.temperature, found.eval.splits) == (1.5, ["ood_hard"])
    # Cases that differ only after the warm start share one: temperature and splits give four.
    assert len(study.trials) == 8 + 4


def test_a_grid_alone_makes_the_cases(tmp_path: Path) -> None:
    grid = {"policy.tiny.num_layers": [1, 2], "grpo.dynamic_sampling": [True]}
    study = plan(tmp_path, cases={}, grid=grid)
    assert list(study.config.cases) == [
        "tiny.num_layers_1-grpo.dynamic_sampling_true",
        "tiny.num_layers_2-grpo.dynamic_sampling_true",
    ]


def test_grid_names_are_as_long_as_needed_to_differ() -> None:
    grid = {"a.x.y.z": {"1": 1}, "b.x.y.z": {"1": 1}, "seed": {"1": 1}}
    assert list(expand({}, grid)) == ["a.x.y.z_1-b.x.y.z_1-seed_1"]
    assert list(expand({"c": {}}, {"rewards.terms.step_count.weight": {"-0.2": -0.2}})) == [
        "c-step_count.weight_-0.2"
    ]


def test_a_grid_may_change_part_of_a_value_that_a_case_sets(tmp_path: Path) -> None:
    cases = {"taught": {"warm_start": {"error_mix": {"digit": 1.0}}}, "long": {"warm_start.updates": 9}}
    study = plan(tmp_path, cases=cases, grid={"warm_start.skipped_frac": [0.25]})
    warm = config_of(study, "taught-warm_start.skipped_frac_0.25", 3, 0).warm_start
    assert warm is not None and (warm.skipped_frac, warm.error_mix) == (0.25, {"digit": 1.0})


def test_changing_a_shared_value_affects_one_case_only(tmp_path: Path) -> None:
    terms = [{"name": "correct", "weight": 1.0}, {"name": "step_count", "weight": -0.5, "gate": "correct"}]
    study = plan(
        tmp_path,
        cases={"priced": {"rewards.terms": terms}},
        grid={"rewards.terms.step_count.weight": [-0.2, -0.4]},
    )
    cases = ("priced-step_count.weight_-0.2", "priced-step_count.weight_-0.4")
    assert [config_of(study, case, 3).rewards.terms[1].weight for case in cases] == [-0.2, -0.4]
    assert [study.config.cases[case]["rewards.terms"] for case in cases] == [terms, terms]


def test_an_adapter_is_not_shared(tmp_path: Path) -> None:
    lora = {"policy": {"model": "a/b", "lora": {"r": 4}}}
    found = plan(tmp_path, base_has=lora, cases={"plain": {}, "also": {}})
    assert [(t.name, t.after, t.config.warm_start is not None) for t in found.trials if t.seed == 3] == [
        ("plain-seed3", None, True),
        ("also-seed3", None, True),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [1, 1]}, "seeds: the same seed twice gives the same run twice, got [1, 1]"),
        ({"seeds": []}, "seeds is []: list should have at least 1 item"),
        ({"cases": {}}, "there is nothing to compare; give cases, a grid or both"),
        ({"gpus_per_trial": 1.5}, "gpus_per_trial: Ray hands out fractions below 1 or whole numbers, got 1.5"),
        ({"grid": [1]}, "grid is [1]: input should be a valid dictionary"),
        ({"grid": {"seed": [1, 2]}}, "an ablation sets 'seed' itself, by seeds; leave it out"),
        (
            {"grid": {"grpo.beta": 0.1}},
            "grid: 'grpo.beta' is 0.1; give a list of values, or a mapping of label to value",
        ),
        ({"grid": {"grpo.beta": [0.1, 1e-1]}}, "grid: 'grpo.beta' has 0.1 twice"),
        (
            {"grid": {"eval.splits": [["id"]]}},
            "grid: 'eval.splits' has ['id'], which cannot be part of a name; give a mapping of label to value",
        ),
        (
            {"grid": {"policy.model": ["a/b"]}},
            "grid: 'policy.model' has 'a/b', which would name folders: letters, digits, '_', '-' and '.'; give",
        ),
        (
            {"grid": {"grpo": {"a": None, "b": {"beta": 1}}, "grpo.beta": [1]}},
            "grid: 'grpo' and 'grpo.beta' set the same key; leave one out",
        ),
        (
            {"grid": {"grpo.learning_rate": [0.1]}},
            "case 'fast' sets 'grpo.learning_rate' and the grid 'grpo.learning_rate'; leave one out",
        ),
        (
            {"grid": {"warm_start.updates": [3]}, "cases": {"cold": {"warm_start": None}}},
            "case 'cold' sets 'warm_start' and the grid 'warm_start.updates'; leave one out",
        ),
        (
            {
                "cases": {"a": {}, "a-grpo.beta_0.1": {}},
                "grid": {"grpo.beta": {"0.1-grpo.beta_0.1": 1, "0.1": 1}},
            },
            "two cases would be called 'a-grpo.beta_0.1-grpo.beta_0.1'; give a case or a value another name",
        ),
        (
            {"cases": {}, "grid": {"grpo.bata": [0.1]}},
            "case 'grpo.bata_0.1': {base}: unknown key 'grpo.bata'; did you mean",
        ),
        (
            {"cases": {"a/b": {}}},
            "cases: a case's name names folders: letters, digits, '_', '-' and '.', got 'a/b'",
        ),
        (
            {"cases": {"warm-up": {}}},
            "cases: 'warm-' begins the names of shared warm starts; call 'warm-up' otherwise",
        ),
        (
            {"cases": {"x": {"grpo": None, "expert_iteration.rounds": 2}, "y": {}}},
            "case 'x' has the section expert_iteration and case 'y' has not; set it to null in all cases",
        ),
        ({"cases": {"x": {"seed": 7}}}, "an ablation sets 'seed' itself, by seeds; leave it out"),
        (
            {"cases": {"x": {"output_dir": "o"}}},
            "an ablation sets 'output_dir' itself, by --output; leave it out",
        ),
        ({"sedes": [1]}, "unknown key 'sedes'; did you mean 'seeds'? known: name, question, base, seeds"),
        ({"cases": {"x": {"grpo.updats": 1}}}, "case 'x': {base}: unknown key 'grpo.updats'; did you mean"),
        (
            {"base": "bose.yaml"},
            "base: cannot read config {bose}: No such file or directory; did you mean",
        ),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path, **changes)
    text = str(caught.value)
    wanted = message.format(base=tmp_path / "base.yaml", bose=tmp_path / "bose.yaml")
    assert text.startswith(f"{tmp_path / 'study.yaml'}: {wanted}") and "\n" not in text


def test_a_file_of_the_other_kind_names_its_command(tmp_path: Path) -> None:
    plan(tmp_path)
    base, study = tmp_path / "base.yaml", tmp_path / "study.yaml"
    with pytest.raises(ConfigError) as caught:
        load_ablation(base)
    assert str(caught.value) == (
        f"{base} is the config of one run; run it with `stride train`, or name it as the base of an ablation"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(study)
    assert str(caught.value) == f"{study} is an ablation; run it with `stride ablate`"


@pytest.mark.parametrize(
    ("changes", "others"),
    [
        ({"sedes": [1]}, "unknown key 'sedes'; did you mean 'seeds'?"),
        ({"cases": {"x": {"grpo.updats": 1}}}, "case 'x': "),
        ({"cases": {"x": {"seed": 7}}}, "an ablation sets 'seed' itself"),
        ({"base": "bose.yaml"}, "base: cannot read config"),
        ({}, ""),
    ],
)
def test_a_missing_question_hides_no_other_mistake(
    tmp_path: Path, changes: dict[str, Any], others: str
) -> None:
    plan(tmp_path)
    study = {key: value for key, value in {**ABLATION, **changes}.items() if key != "question"}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    with pytest.raises(ConfigError) as caught:
        load_ablation(tmp_path / "study.yaml")
    first, _, rest = str(caught.value).removeprefix(f"{tmp_path / 'study.yaml'}: ").partition("; ")
    assert first == "missing key 'question'" and rest.startswith(others) and bool(rest) == bool(others)


def test_odd_values_are_reported_in_one_line(tmp_path: Path) -> None:
    study = {**ABLATION, "cases": {"x": {"env.settings": {"seed": date(2024, 1, 1)}, "grpo.updates": "many"}}}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    with pytest.raises(
        ConfigError, match=r"case 'x': .*grpo\.updates is 'many': input should be a valid integer"
    ):
        load_ablation(tmp_path / "study.yaml")


def test_keys_that_the_plan_sets_cannot_be_overridden(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="an ablation sets 'seed' itself, by seeds; leave it out"):
        plan(tmp_path, "seed=7")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_ablations_load(path: Path) -> None:
    assert load_ablation(path).trials


def test_there_are_shipped_ablations() -> None:
    assert SHIPPED
