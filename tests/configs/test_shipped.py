"""Shipped configs are found by name from any folder; the user's own files come first."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs import ConfigError, load_config
from configs.schema.ablation import load_ablation
from configs.schema.shipped import Shipped, find_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
LEAST = "name: mine\nenv: {name: addition}\nrewards: {terms: [{name: correct, weight: 1.0}]}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refuse(given: str, kind: Shipped = Shipped.RUN) -> str:
    with pytest.raises(ConfigError) as refused:
        find_config(given, kind)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_names_are_those_of_the_files() -> None:
    assert {"quickstart", "countdown", "cluster"} <= set(Shipped.RUN.names)
    assert {"gate", "penalties"} <= set(Shipped.ABLATION.names)
    assert {"kimi_k1_5", "hapo"} <= set(Shipped.REWARDS.names)
    for kind in Shipped:
        assert all(kind.path(name).is_file() for name in kind.names)


def test_runs_and_ablations_by_name() -> None:
    assert load_config("quickstart", ["seed=3"]) == load_config(CONFIGS / "quickstart.yaml", ["seed=3"])
    assert load_ablation("gate").trials == load_ablation(CONFIGS / "ablations" / "gate.yaml").trials
    # The same name is a run for one command and an ablation for the other.
    assert find_config("graph_search") != find_config("graph_search", Shipped.ABLATION)


def test_an_ablation_may_name_a_shipped_base(here: Path) -> None:
    (here / "study.yaml").write_text("name: s\nquestion: Q?\nbase: quickstart\nseeds: [0]\ncases: {a: {}}\n")
    assert load_ablation(here / "study.yaml").trials[-1].config.env == load_config("quickstart").env


def test_a_file_comes_before_a_shipped_name(here: Path) -> None:
    (here / "quickstart").write_text(LEAST)
    assert load_config("quickstart").name == "mine"
    (here / "sub").mkdir()
    (here / "sub" / "quickstart.yaml").write_text(LEAST)
    assert load_config("sub/quickstart.yaml").name == "mine"


def test_a_folder_does_not_hide_a_shipped_name(here: Path) -> None:
    (here / "search").mkdir()
    assert find_config("search") == CONFIGS / "search.yaml"


def test_an_unknown_name_lists_the_nearest() -> None:
    message = refuse("quikstart")
    assert message.startswith(
        "unknown config 'quikstart'; did you mean 'quickstart'? shipped: cluster, countdown"
    )
    assert message.endswith("or give the path of a YAML file")
    assert "unknown config 'zzz'. shipped: backtracks, column_positions, credit" in refuse(
        "zzz", Shipped.ABLATION
    )


def test_a_name_of_the_other_kind_names_its_command() -> None:
    assert refuse("gate") == "'gate' is a shipped config for `stride ablate`; run `stride ablate gate`"
    assert "run `stride train quickstart`" in refuse("quickstart", Shipped.ABLATION)


@pytest.mark.parametrize("given", ["configs/quickstart.yaml", "quickstart.yaml"])
def test_the_path_of_a_checkout_names_the_shipped_config(given: str) -> None:
    assert refuse(given) == (
        f"cannot read config {given}: No such file or directory; the shipped config is called 'quickstart', "
        "without a folder or .yaml"
    )


def test_a_similar_file_is_nearer_than_a_shipped_one(here: Path) -> None:
    (here / "quickstart2.yaml").write_text(LEAST)
    with pytest.raises(ConfigError, match=r"did you mean quickstart2\.yaml\?"):
        load_config("quickstart.yaml")
