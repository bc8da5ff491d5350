"""From YAML and overrides to a config, and the message for every mistake."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from configs import Config, ConfigError, check_config, dump_config, load_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SHIPPED = sorted(CONFIGS.glob("*.yaml"))
LEAST = "env: {name: addition}\nrewards: {terms: [{name: correct, weight: 1.0}]}\n"


@pytest.fixture
def least(tmp_path: Path) -> Path:
    path = tmp_path / "least.yaml"
    path.write_text(LEAST)
    return path


def refuse(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load_config(path, overrides)
    message = str(refused.value)
    assert "\n" not in message
    return message


def plain() -> dict[str, Any]:
    data = yaml.safe_load(LEAST)
    assert isinstance(data, dict)
    return data


# ---- files as they should be ----


def test_there_are_shipped_configs() -> None:
    assert CONFIGS / "quickstart.yaml" in SHIPPED


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_shipped_configs_load_and_their_written_form_loads_again(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    copy = tmp_path / "config.yaml"
    copy.write_text(dump_config(config))
    assert load_config(copy) == config


def test_defaults_are_written_out(least: Path) -> None:
    written = yaml.safe_load(dump_config(load_config(least)))
    assert written["rollout"]["samples_per_problem"] == 8
    assert written["policy"]["lora"] is None
    assert list(written) == list(Config.model_fields)


@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_any_text_survives_writing_and_loading(text: str) -> None:
    data = plain() | {"prompt": {"system_prompt": text}}
    config = check_config(data)
    again = check_config(_load_text(dump_config(config)))
    assert again == config


@pytest.mark.parametrize("name", ["1e5", "12e4567", "007", "null", "yes", "1_0", "2026-01-01"])
def test_names_that_look_like_other_things_stay_names(name: str) -> None:
    # `12e4567` is how a git revision may begin; read as a number it would be 1.2e4568.
    config = check_config(plain() | {"name": name})
    assert check_config(_load_text(dump_config(config))).name == name


def _load_text(text: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(text)
        return load_config(path).model_dump()


# ---- misspelt, missing, wrong ----


@pytest.mark.parametrize(
    ("override", "key", "nearest", "another"),
    [
        ("grop={}", "grop", "grpo", "warm_start"),
        ("grpo.update=3", "grpo.update", "updates", "problems_per_update"),
        ("rollout.max_tokens=3", "rollout.max_tokens", "max_new_tokens", "temperature"),
        ("policy.tiny.num_layer=3", "policy.tiny.num_layer", "num_layers", "hidden_size"),
        ("policy.lora.alhpa=3", "policy.lora.alhpa", "alpha", "target_modules"),
        ("warm_start.skip_kind=[a]", "warm_start.skip_kind", "skip_kinds", "skipped_frac"),
        ("eval.split=[id]", "eval.split", "splits", "num_samples"),
        (
            "rewards.terms=[{name: correct, weight: 1, gates: none}]",
            "rewards.terms.0.gates",
            "gate",
            "weight",
        ),
        (
            "rewards.allow_wrong_over_right=true",
            "rewards.allow_wrong_over_right",
            "allow_wrong_above_right",
            "terms",
        ),
    ],
)
def test_unknown_keys(least: Path, override: str, key: str, nearest: str, another: str) -> None:
    message = refuse(least, override)
    assert f"unknown key '{key}'; did you mean '{nearest}'? known: " in message
    assert another in message.split("known: ")[1].split(", ")


def test_unknown_key_without_a_near_match(least: Path) -> None:
    assert "unknown key 'xyzzy'. known: name, output_dir, seed" in refuse(least, "xyzzy=1")


def test_missing_keys() -> None:
    with pytest.raises(ConfigError) as refused:
        check_config({"rewards": {"terms": [{"name": "correct"}]}}, source="x.yaml")
    assert str(refused.value) == "x.yaml: missing key 'env'; missing key 'rewards.terms.0.weight'"


def test_all_mistakes_at_once(least: Path) -> None:
    message = refuse(
        least, "grpo.learning_rat=1", "seed=-1", "rollout.temperature=0", "eval.splits=[ood]", "device=tpu"
    )
    clauses = message.removeprefix(f"{least}: ").split("; ")
    starts = ["seed is -1", "device is 'tpu'", "rollout.temperature is 0", "eval.splits.0 is 'ood'"]
    for start in [*starts, "unknown key 'grpo.learning_rat'"]:
        assert sum(clause.startswith(start) for clause in clauses) == 1


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("grpo.learning_rate=-1", ("grpo.learning_rate is -1", "greater than 0")),
        ("grpo.learning_rate=fast", ("grpo.learning_rate is 'fast'", "number")),
        ("grpo.learning_rate=.inf", ("grpo.learning_rate is inf", "finite")),
        ("grpo.learning_rate=.nan", ("grpo.learning_rate is nan",)),
        ("rollout.temperature=.inf", ("rollout.temperature is inf", "finite")),
        ("rollout.samples_per_problem=1", ("rollout.samples_per_problem is 1", "greater than or equal to 2")),
        ("rollout.samples_per_problem=2.5", ("rollout.samples_per_problem is 2.5", "integer")),
        ("grpo.updates=0", ("grpo.updates is 0", "greater than or equal to 1")),
        ("warm_start.skipped_frac=1.5", ("warm_start.skipped_frac is 1.5", "less than or equal to 1")),
        ("rollout.backend=rya", ("rollout.backend is 'rya'", "'local' or 'ray'")),
        ("grpo.lr_schedule=step", ("grpo.lr_schedule is 'step'", "'constant', 'linear' or 'cosine'")),
        ("policy.dtype=float16", ("policy.dtype is 'float16'", "'float32' or 'bfloat16'")),
        ("eval.max_new_tokens={id: 0}", ("eval.max_new_tokens.id is 0", "greater than or equal to 1")),
        (
            "eval.max_new_tokens={test: 9}",
            ("eval.max_new_tokens.test", "'train', 'id', 'ood_easy' or 'ood_hard'"),
        ),
        ("rewards.terms=[]", ("rewards.terms is []", "at least 1")),
        ("rewards.terms=[{name: correct, weight: heavy}]", ("rewards.terms.0.weight is 'heavy'", "number")),
        (
            "rewards.terms=[{name: correct, weight: 1, gate: right}]",
            ("rewards.terms.0.gate is 'right'", "'none', 'correct' or 'verified'"),
        ),
        ("env=addition", ("env is 'addition'", "a section with keys such as name, settings")),
        ("name=a b", ("name is 'a b'", "pattern")),
        ("name=..", ("name is '..'", "pattern")),
        ("name=2026-01-01", ("name is datetime.date(2026, 1, 1)", "string")),
        ("seed=4294967296", ("seed is 4294967296", "less than 4294967296")),  # 2**32, too large for numpy
        ("grpo=[1]", ("grpo is [1]",)),
    ],
)
def test_wrong_values_name_key_value_and_what_is_allowed(
    least: Path, override: str, parts: tuple[str, ...]
) -> None:
    message = refuse(least, override)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (
            ["rollout.max_staleness=1"],
            ["rollout.max_staleness is 1, but only actors sample ahead", "rollout.backend to ray"],
        ),
        (
            ["grpo.num_iterations=3", "grpo.updates=10"],
            ["grpo.updates (10) must be a multiple of grpo.num_iterations (3)"],
        ),
        # 800 + 256 = 1056 > 1024.
        (
            ["rollout.max_prompt_tokens=800"],
            [
                "rollout.max_prompt_tokens (800) plus the longest max_new_tokens (256) is 1056",
                "policy.tiny.max_positions (1024)",
            ],
        ),
        # The longest of all splits counts: 256 + 900 = 1156.
        (["eval.max_new_tokens={ood_hard: 900}"], ["max_new_tokens (900) is 1156", "max_positions (1024)"]),
        # Rotary embeddings turn pairs of numbers: 100 is no multiple of 2 * 8.
        (
            ["policy.tiny.hidden_size=100", "policy.tiny.num_heads=8"],
            ["hidden_size (100) must be a multiple of 2 * num_heads (16)"],
        ),
        (["policy.lora.dropout=0.1"], ["policy.lora.dropout is 0.1; GRPO needs 0", "Set it to 0"]),
    ],
)
def test_contradictions_name_keys_and_numbers(least: Path, overrides: list[str], parts: list[str]) -> None:
    message = refuse(least, *overrides)
    for part in parts:
        assert part in message


def test_sizes_that_just_fit(least: Path) -> None:
    config = load_config(least, ["rollout.max_prompt_tokens=768", "grpo.micro_batch_tokens=32"])
    assert config.rollout.max_prompt_tokens + config.rollout.max_new_tokens == 1024
    # Dropout hurts GRPO only; the length of a pretrained model is known when it is loaded.
    load_config(least, ["policy.lora.dropout=0.1", "grpo=null"])
    load_config(least, ["policy.model=some/model", "rollout.max_prompt_tokens=100000"])


# ---- overrides ----


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("grpo.learning_rate=1e-5", ("grpo", "learning_rate"), 1e-5),
        ("grpo.learning_rate=3E+2", ("grpo", "learning_rate"), 300.0),
        ("grpo.updates=7", ("grpo", "updates"), 7),
        ("grpo.scale_rewards=none", ("grpo", "scale_rewards"), "none"),
        ("grpo.dynamic_sampling=false", ("grpo", "dynamic_sampling"), False),
        ("grpo.save_every=null", ("grpo", "save_every"), None),
        ("warm_start=null", ("warm_start",), None),
        ("eval.splits=[id, ood_hard]", ("eval", "splits"), ["id", "ood_hard"]),
        ("eval.max_new_tokens.id=9", ("eval", "max_new_tokens"), {"id": 9}),
        ("eval.max_new_tokens={id: 9}", ("eval", "max_new_tokens"), {"id": 9}),
        ("env.settings.train=['1_1']", ("env", "settings"), {"train": ["1_1"]}),
        ("policy.lora.r=4", ("policy", "lora", "r"), 4),
        ("policy.lora={}", ("policy", "lora", "alpha"), 32),
        ("output_dir=runs/a=b", ("output_dir",), "runs/a=b"),
        ("prompt.system_prompt='1'", ("prompt", "system_prompt"), "1"),
    ],
)
def test_overrides(least: Path, override: str, path: tuple[str, ...], value: object) -> None:
    found: Any = load_config(least, [override])
    for name in path:
        found = getattr(found, name)
    assert found == value
    assert type(found) is type(value)


def test_later_overrides_win_and_keep_their_neighbours(least: Path) -> None:
    config = load_config(least, ["grpo={updates: 5, beta: 0.5}", "grpo.updates=6", "grpo.updates=7"])
    assert config.grpo is not None
    assert (config.grpo.updates, config.grpo.beta) == (7, 0.5)


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("grpo.updates", ("'grpo.updates'", "not of the form dotted.key=value")),
        ("=5", ("'=5'", "not of the form dotted.key=value")),
        ("", ("''", "not of the form dotted.key=value")),
        (
            "rewards.terms.0.weight=2",
            ("rewards.terms is a list, of which '0.weight' names no entry's key", "correct"),
        ),
        ("env.name.first=2", ("env.name is 'addition', not a section",)),
        ("eval.splits=[id", ("'[id' is not a YAML value",)),
        ("name=2026-13-45", ("'2026-13-45' is not a YAML value",)),
        ("seed=" + "1" * 5000, ("is not a YAML value",)),
        ("eval.splits=" + "[" * 3000, ("is not a YAML value",)),
        ("grpo={updates: 1, updates: 2}", ("is not a YAML value",)),
        ("name=!!python/object:os.system x", ("is not a YAML value",)),
    ],
)
def test_bad_overrides(least: Path, override: str, parts: tuple[str, ...]) -> None:
    message = refuse(least, override)
    for part in parts:
        assert part in message


# ---- files as they should not be ----


def test_no_such_file_names_the_nearest(least: Path) -> None:
    missing = least.with_name("lest.yaml")
    assert refuse(missing) == (
        f"cannot read config {missing}: No such file or directory; did you mean {least}?"
    )


def test_no_such_file_and_no_near_match(least: Path) -> None:
    assert refuse(least.with_name("q")).endswith("No such file or directory; give a YAML file")
    assert "No such file or directory" in refuse(least.parent / "nowhere" / "least.yaml")


def test_a_folder(tmp_path: Path) -> None:
    assert refuse(tmp_path) == f"cannot read config {tmp_path}: Is a directory; give a YAML file"


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"env: [", "is not YAML"),
        (b"env: addition: 3", "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
        (b"name: !!python/name:os.system", "is not YAML"),
        (b"[" * 3000, "is not YAML"),
        (b"seed: 1\nseed: 2\n", "the key 'seed' is there twice"),
        (b"grpo:\n  updates: 1\n  beta: 0\n  updates: 2\n", "the key 'updates' is there twice"),
        (b"", "holds NoneType, not a mapping of config keys"),
        (b"- a\n", "holds list, not a mapping of config keys"),
        (b"quickstart", "holds str, not a mapping of config keys"),
        (b"1: 2", "keys should be strings"),
    ],
)
def test_files_that_are_not_configs(tmp_path: Path, content: bytes, part: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    message = refuse(path)
    assert str(path) in message
    assert part in message


def test_line_of_a_yaml_mistake_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("seed: 1\nname: x\nenv: {name: addition\n")
    assert "line 4" in refuse(path) or "line 3" in refuse(path)


def test_configs_do_not_change(least: Path) -> None:
    config = load_config(least)
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        # A value that may be of several kinds: each kind is named once, by the key that a user wrote.
        (
            "prompt.thinking=no",
            "prompt.thinking is False: input should be a section with keys such as open, close or 'auto'",
        ),
        ("prompt.thinking={open: 3}", "prompt.thinking.open is 3: input should be a valid string"),
        (
            "prompt.thinking={opn: x}",
            "unknown key 'prompt.thinking.opn'; did you mean 'open'? known: open, close",
        ),
        (
            "policy.lora={target_modules: all}",
            "policy.lora.target_modules is 'all': input should be a valid list or 'all-linear'",
        ),
        (
            "policy.lora={target_modules: [1]}",
            "policy.lora.target_modules.0 is 1: input should be a valid string",
        ),
        (
            "eval.splits=[test]",
            "eval.splits.0 is 'test': input should be 'train', 'id', 'ood_easy' or 'ood_hard'",
        ),
        ("rewards.terms=[{name: correct}]", "missing key 'rewards.terms.0.weight'"),
        (
            "warm_start={num_detours: [0]}",
            "warm_start.num_detours.0 is 0: input should be greater than or equal to 1",
        ),
        (
            "warm_start=3",
            "warm_start is 3: input should be a section with keys such as updates, curriculum, num_problems",
        ),
    ],
)
def test_messages_use_the_keys_of_the_config(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config("quickstart", [override])
    assert str(refused.value).endswith(f"quickstart.yaml: {message}")
