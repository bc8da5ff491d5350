"""Presets of rewards: each gives its paper's formula, up to a constant; how configs combine them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import pytest
import yaml

from configs import Config, ConfigError, load_config
from configs.schema.shipped import Shipped
from envs import Trace
from rewards import History, RewardSum
from rl.parts import build_rewards
from tests.kit.directional import END, FULL, LOOP, SKIP, TURNS, completion, right, wrong

ROOT = Path(__file__).resolve().parents[2]
N = 10_000  # length limit
PROBLEM = replace(TURNS, budget=3)
GROUP = [
    right(3_000),
    right(4_500, SKIP + END),
    right(6_500, LOOP + FULL + END),
    right(9_500, LOOP + LOOP + FULL + END),
    wrong(2_000),
    wrong(8_500),
    completion(FULL, N, truncated=True),
]
L = [trace.num_tokens for trace in GROUP]
C = [float(bool(trace.correct)) for trace in GROUP]
RIGHT = L[:4]


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def z(length: float, of: list[int]) -> float:
    return (length - fmean(of)) / pstdev(of)


def kimi(i: int) -> float:
    place = 0.5 - (L[i] - min(L)) / (max(L) - min(L))
    return C[i] + 0.4 * (place if C[i] else min(0, place))


def hapo(i: int) -> float:
    f = math.cos(math.pi / 2 * min(L[i] / 5_000, 2))
    return C[i] + (max(-0.7, f) if C[i] else min(0, f))


def cosine(i: int) -> float:
    share = (1 + math.cos(math.pi * L[i] / N)) / 2
    if C[i]:
        return 1 + share  # 2 at nothing, 1 at the limit
    return -10 if L[i] >= N else -10 * share  # -10 at nothing, 0 towards the limit


def lead(i: int) -> float:
    return math.exp(-0.05 * z(L[i], RIGHT)) if C[i] else -1


def rea(i: int) -> float:
    length = 0.5 - (L[i] - 3_000) / (9_500 - 3_000) if C[i] else -0.5
    lines = len(GROUP[i].steps)
    return C[i] + length + min(0, GROUP[i].num_backtracks / lines / 0.1 - 1)


def arlcp(i: int) -> float:
    counts = [trace.num_backtracks for trace in GROUP]
    first = 0.05 if counts[i] <= 1 else 0.1
    return C[i] and C[i] - first * sigmoid(z(counts[i], counts[:4])) - (0.2 - first) * sigmoid(z(L[i], RIGHT))


STEPS = [3, 2, 4, 5, 3, 3, 3]  # of a full trace of 3 steps, the budget; wrong samples are not verified

PAPERS: dict[str, Callable[[int], float]] = {
    "l1_exact": lambda i: C[i] - 0.5 * min(1, abs(STEPS[i] - 3) / 3),
    "l1_max": lambda i: C[i] * min(1, max(0, 0.5 + (3 - STEPS[i]) / 3)),
    "kimi_k1_5": kimi,
    "arora_zanette": lambda i: C[i] * (1 - 0.4 * sigmoid(z(L[i], RIGHT))),
    "dapo_overlong": lambda i: (2 * C[i] - 1) + min(0.0, -(L[i] - 8_000) / 2_000),
    "hapo": hapo,
    "shorterbetter": lambda i: 2 * C[i] - 0.001 * abs(L[i] - 3_000),
    "grpo_lead": lead,
    "laser": lambda i: (1 + 0.5 * (L[i] <= 4_096)) if C[i] else (-1 if i == 6 else -0.5),
    # 4 of 7 right: the second class, target 5,000.
    "laser_d": lambda i: (1 + 0.5 * (L[i] <= 5_000)) if C[i] else (-1 if i == 6 else -0.5),
    "alp": lambda i: C[i] - 0.05 * L[i] / 1_000 * (4 / 7),
    # Shortest right 3,000, tolerance 200.
    "short_rl": lambda i: C[i] + (0.5 - (L[i] - 3_000) / 6_500 * (L[i] > 3_200) if C[i] else -0.5),
    # Among right answers, a tenth of 1 - L / 8,192, at a tenth of lambda = 0.1.
    "drpo": lambda i: C[i] and C[i] - 0.1 * L[i] / 8_192,
    "cosine": cosine,
    # Target 3 (the budget), so 5 steps are one too many.
    "cosmo": lambda i: C[i] + 0.2 * (i != 6) - 0.5 * (max(0, abs(STEPS[i] - 3) - 1) / 3 if C[i] else 1),
    "arlcp": arlcp,
    "rea_rl": rea,
    "lm_skip": lambda i: [1.0, 0.8, 0.8, 0.8, 0.8, 0.8, 0.0][i],
    "process_graph": lambda i: C[i] * (0.5 + 0.5 * [1, 1, 2 / 3, 1 / 3, 0, 0, 0][i]),
    # 1 + 0.2 - 0.4 steps / 3; one and two backtracks of 4, each of them both fake and needless, 0.2 each.
    "steps_and_backtracks": lambda i: [1.2 - 0.4, 1.2 - 0.8 / 3, 0.8 - 0.1, 0.8 - 0.2, 0, 0, 0][i],
}


VIOLATING = {"l1_max", "rea_rl", "lm_skip", "shorterbetter"}
FROM_THE_LIMIT = {"dapo_overlong", "cosine"}  # whose papers measure lengths from the limit


def config(*terms: Any, **rewards: Any) -> Config:
    changes = {"rewards.terms": list(terms), "rollout.max_new_tokens": N, "grpo.budget_frac": 0.5}
    changes["policy.tiny.max_positions"] = 2 * N
    changes |= {f"rewards.{key}": value for key, value in rewards.items()}
    return load_config(ROOT / "configs/quickstart.yaml", (), changes)


def totals(rewards: RewardSum) -> list[float]:
    history = History(update=5, accuracy=0.6, best_accuracy=0.62, shortest=5_000, targets=(2_500, 5_000, 7_500))
    return [score.total for score in rewards(PROBLEM, GROUP, history)]


def test_every_preset_has_its_formula_here() -> None:
    assert set(PAPERS) == set(Shipped.REWARDS.names)


@pytest.mark.parametrize("name", PAPERS)
def test_a_preset_is_its_papers_formula_up_to_a_constant(name: str) -> None:
    found = totals(build_rewards(config({"preset": name})))  # no text here has runs of words to repeat
    differences = [total - PAPERS[name](i) for i, total in enumerate(found)]
    assert differences == pytest.approx([differences[0]] * len(GROUP), abs=1e-9)


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_the_same_completions_cost_the_same_at_two_limits(name: str) -> None:
    given = config({"preset": name})
    longer = given.rollout.model_copy(update={"max_new_tokens": 15_000})
    first, second = (
        totals(build_rewards(given.model_copy(update={"rollout": rollout})))
        for rollout in (given.rollout, longer)
    )
    assert (first == pytest.approx(second)) is (name not in FROM_THE_LIMIT)


@pytest.mark.parametrize("name", sorted(set(PAPERS) - VIOLATING))
def test_right_beats_wrong_except_in_presets_whose_papers_violate_it(name: str) -> None:
    rewards = build_rewards(config({"preset": name}, allow_wrong_above_right=False))
    assert rewards.least_when_right > rewards.most_when_wrong


@pytest.mark.parametrize("name", sorted(VIOLATING))
def test_presets_that_violate_it_say_so_in_their_file(name: str) -> None:
    assert yaml.safe_load(Shipped.REWARDS.path(name).read_text())["allow_wrong_above_right"] is True
    with pytest.raises(ConfigError, match=r"rewards\.allow_wrong_above_right to true"):
        build_rewards(config({"preset": name}, allow_wrong_above_right=False))


def test_grpo_lead_weighs_advantages() -> None:
    weight = config({"preset": "grpo_lead"}).rewards.advantage_weight
    assert weight is not None and (weight.low, weight.high, weight.midpoint, weight.slope) == (
        0.4,
        1.5,
        0.75,
        10,
    )


def test_drpo_decouples_advantages() -> None:
    decoupled = config({"preset": "drpo"}).rewards.decoupled
    assert decoupled is not None and decoupled.temperature == pytest.approx(0.1 * 0.1)


def test_terms_are_added_to_presets_and_override_them() -> None:
    given = config({"preset": "alp"}, {"name": "correct", "weight": 3.0}, {"preset": "arlcp"})
    assert [(term.name, term.weight) for term in given.rewards.terms] == [
        ("length_by_solve_rate", -0.05),
        ("correct", 3.0),
        ("reflection_and_length", -0.2),
    ]
    both = config({"preset": "alp"}, {"preset": "arlcp"})  # both have correct at 1
    assert [term.name for term in both.rewards.terms] == [
        "correct",
        "length_by_solve_rate",
        "reflection_and_length",
    ]
    assert config({"preset": "l1_max"}).rewards.allow_wrong_above_right
    # Beside other terms this must be allowed again.
    assert not config({"preset": "l1_max"}, {"name": "format", "weight": 0.1}).rewards.allow_wrong_above_right
    assert not config({"preset": "l1_max"}, allow_wrong_above_right=False).rewards.allow_wrong_above_right


def test_a_replaced_preset_leaves_nothing_behind(tmp_path: Path) -> None:
    base = yaml.safe_load((ROOT / "configs/quickstart.yaml").read_text())
    for name in ("grpo_lead", "l1_max"):
        base["rewards"] = {"terms": [{"preset": name}]}
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(base))
        for given in (
            load_config(tmp_path / "run.yaml", ["rewards.terms=[{preset: kimi_k1_5}]"]),
            load_config(tmp_path / "run.yaml", (), {"rewards": {"terms": [{"preset": "kimi_k1_5"}]}}),
            load_config(tmp_path / "run.yaml", (), {"rewards.terms": [{"name": "correct", "weight": 1.0}]}),
        ):
            assert given.rewards.advantage_weight is None and not given.rewards.allow_wrong_above_right
    kept = load_config(tmp_path / "run.yaml", ["rewards.terms.budget_margin.weight=2"])
    assert kept.rewards.allow_wrong_above_right and kept.rewards.terms[0].weight == 2


def test_a_users_preset_is_a_file_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("terms:\n  - {name: correct, weight: 7}\n")
    base = yaml.safe_load((ROOT / "configs/quickstart.yaml").read_text())
    base["rewards"] = {"terms": [{"preset": "mine.yaml"}]}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(base))
    assert [term.weight for term in load_config(tmp_path / "run.yaml").rewards.terms] == [7]


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ([{"preset": "kimi"}], r"unknown reward preset 'kimi'(; did you mean 'kimi_k1_5'\?|\.) known: alp, "),
        ([{"preset": 3}], r"unknown reward preset '3'"),
        ([{"preset": "nowhere.yaml"}], r"cannot read config .*nowhere\.yaml"),
        ([{"preset": "quickstart.yaml"}], r"quickstart\.yaml is no preset of rewards: it needs 'terms'"),
        ([{"preset": "alp", 5: 2}], "'preset: alp' stands alone in its entry; found 5 too"),
        ([{"preset": "alp"}, {"name": ["a"], "weight": 1}], r"rewards.terms.2.name is \['a'\]"),
        ([{"preset": "alp", "weight": 2}], "'preset: alp' stands alone in its entry; found weight too"),
        (
            [{"preset": "alp"}, {"preset": "short_rl"}],
            "the presets alp and short_rl have different terms 'correct'; add the one you want to the list",
        ),
    ],
)
def test_mistakes_with_presets_are_one_line(terms: list[Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(*terms)


def test_an_override_changes_a_term_by_name() -> None:
    path = ROOT / "configs/quickstart.yaml"
    changed = load_config(
        path, ["rewards.terms.step_count.weight=-0.25", "rewards.terms.correct.gate=verified"]
    )
    assert [(t.name, t.weight, t.gate) for t in changed.rewards.terms] == [
        ("correct", 1.0, "verified"),
        ("verified", 0.2, "none"),
        ("step_count", -0.25, "correct"),
    ]
    preset = load_config(
        path, ["rewards.terms=[{preset: cosmo}]", "rewards.terms.steps_off_target.args.tolerance=2"]
    )
    assert preset.rewards.terms[2].args == {"share": 0.75, "tolerance": 2}
    with pytest.raises(
        ConfigError, match=r"'step_cuont.weight' names no entry's key; did you mean 'step_count'\?"
    ):
        load_config(path, ["rewards.terms.step_cuont.weight=1"])
    with pytest.raises(ConfigError, match=r"env.settings.ood_hard is a list; give it whole"):
        load_config(path, ["env.settings.ood_hard.first=1"])


def test_budget_rewards_need_budgets() -> None:
    with pytest.raises(ConfigError, match="'steps_off_budget' compares with the budget in the prompt, but"):
        build_rewards(load_config(ROOT / "configs/quickstart.yaml", ["rewards.terms=[{preset: l1_exact}]"]))


def test_gates_and_schedules_come_from_the_config() -> None:
    term = {
        "name": "token_count",
        "weight": -0.5,
        "when": {"group_accuracy": [0.5, 1], "off_best": 0.1},
        "schedule": {10: 0, 20: 1},
        "args": {"per_tokens": N},
    }
    (_, made) = build_rewards(config({"name": "correct", "weight": 1.0}, term)).terms
    assert (made.when.group_accuracy, made.when.off_best) == ((0.5, 1.0), 0.1)
    assert (made.schedule, made.args) == (((10, 0.0), (20, 1.0)), {"limit": N, "per_tokens": N})
    with pytest.raises(ConfigError, match=r"group_accuracy is \[1, 0.5\]; give the smaller one first"):
        config({**term, "when": {"group_accuracy": [1, 0.5]}})


def test_the_traces_of_the_group_match_their_descriptions() -> None:
    made: list[Trace] = GROUP
    assert [trace.num_steps for trace in made] == STEPS
    assert [trace.fake_backtracks for trace in made] == [0, 0, 1, 2, 0, 0, 0]
