"""What is refused before a run: rewards and choices of a best model that the task cannot judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from configs import ConfigError, check_config
from configs.schema.load import load_config
from configs.schema.shipped import Shipped
from envs import Split, make_env, make_example
from rewards import Outcome
from rl.parts import build_parts

CORRECT = {"name": "correct", "weight": 1.0}
COUNTED = {"name": "step_count", "weight": -0.4, "gate": "correct"}


def build(
    terms: list[dict[str, Any]], *, env: str = "math", settings: dict[str, Any] | None = None, **config: Any
) -> None:
    task = {"name": env, "settings": {**make_example(env).example, **(settings or {})}}
    made = {
        "env": task,
        "warm_start": None,
        "rewards": {"terms": terms},
        "eval": {"splits": ["id"], "num_problems": 8},
        **config,
    }
    build_parts(check_config(made))


def refused(terms: list[dict[str, Any]], **config: Any) -> str:
    with pytest.raises(ConfigError) as error:
        build(terms, **config)
    return str(error.value)


def test_rewards_that_judge_steps_are_refused_where_steps_are_counted() -> None:
    verified = {"name": "verified", "weight": 0.2}
    gated = {"name": "format", "weight": 0.1, "gate": "verified"}
    build([CORRECT, COUNTED])
    build([CORRECT, verified, gated, COUNTED], env="directional")
    build([CORRECT, verified, gated, COUNTED], settings={"check_steps": "arithmetic"})
    line = refused([CORRECT, verified, gated, COUNTED])
    assert line == (
        "rewards: checked steps are needed for 'verified', the gate 'verified' of 'format', but 'math' counts "
        "steps and checks none; set its check_steps to 'arithmetic', or leave that out: 'correct' pays for a "
        "right answer"
    )
    assert "\n" not in line


def test_rewards_that_judge_backtracks_are_refused_where_they_are_only_announced() -> None:
    """Equations are checked, but "Wait, ..." restores nothing: these rewards would be 0 throughout."""
    judging = [{"name": f"{kind}_backtracks", "weight": -0.1} for kind in ("fake", "needless")]
    priced = {"name": "backtrack_count", "weight": -0.1}
    build([CORRECT, priced], settings={"check_steps": "arithmetic"})
    build([CORRECT, *judging], env="directional")
    line = refused([CORRECT, priced, *judging], settings={"check_steps": "arithmetic"})
    assert line == (
        "rewards: checked backtracks are needed for 'fake_backtracks', 'needless_backtracks', but 'math' only "
        "finds sentences that announce one ('Wait, ...'): none is real, fake or needless, and no step is "
        "wasted; leave that out, or price all of them with 'backtrack_count'"
    )
    assert "'wasted_steps', but 'math' counts steps" in refused(
        [CORRECT, {"name": "wasted_steps", "weight": -0.1}]
    )


@pytest.mark.parametrize(
    ("check_steps", "outcome"), [("none", Outcome.CORRECT), ("arithmetic", Outcome.VERIFIED)]
)
def test_whether_answers_are_verified_is_a_setting(check_steps: str, outcome: Outcome) -> None:
    env = make_env("math", {**make_example("math").example, "check_steps": check_steps})
    problem = env.problem(Split.ID, 0)
    end = f"Thus, the answer is {problem.answer}."
    texts = [env.demonstrate(env.full_trace(problem), problem.answer), f"10 / 6 = 1\n\n{end}", end]
    found = [Outcome.of(env.check(problem, env.parse(text))) for text in texts]
    assert found == [outcome, Outcome.CORRECT, Outcome.CORRECT]


def test_a_best_model_by_verified_answers_is_refused_too() -> None:
    line = refused([CORRECT], eval={"splits": ["id"], "num_problems": 8, "best": "verified"})
    assert line.startswith("eval.best is 'verified', but 'math' counts steps and checks none")
    assert line.endswith("set it to 'accuracy'")


JUDGING = {
    "lm_skip": "'skip_score'",
    "process_graph": "'process_match'",
    "steps_and_backtracks": "'verified', 'needless_backtracks', 'fake_backtracks'",
}


@pytest.mark.parametrize("preset", Shipped.REWARDS.names)
def test_presets_on_a_task_that_counts_steps(preset: str, tmp_path: Path) -> None:
    """Each loads, or names the terms that need checked steps."""
    config = {
        "name": "run",
        "env": {"name": "math", "settings": dict(make_example("math").example)},
        "policy": {"tiny": {"max_positions": 16384}},
        "rollout": {"max_new_tokens": 8192},
        "rewards": {"terms": [{"preset": preset}]},
        "warm_start": None,
        "grpo": {"budget_frac": 0.5},
        "eval": {"splits": ["id"], "num_problems": 8},
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(config))
    if preset not in JUDGING:
        build_parts(load_config(path))
        return
    with pytest.raises(ConfigError) as refused:
        build_parts(load_config(path))
    assert f"checked steps are needed for {JUDGING[preset]}, but 'math'" in str(refused.value)


def test_pairs_that_the_task_cannot_give_are_refused() -> None:
    pairs = {"key_steps": {"environment_frac": 0.0}}
    build([CORRECT], **pairs)
    build([CORRECT], env="directional", key_steps={"mistakes": {"turn": 1}, "key": "true"})
    build([CORRECT], env="directional", key_steps={"key": True})  # as YAML reads `key: true`
    assert refused([CORRECT], key_steps={"key": "true"}) == (
        "key_steps.environment_frac is 0.5, but 'math' writes no mistakes; set it to 0, and pairs are made of "
        "the policy's samples; key_steps.key is 'true', but 'math' checks no steps, so true key steps are "
        "unknown; set it to 'edit_distance'"
    )
    assert refused([CORRECT], env="addition", key_steps={"mistakes": {"digits": 1, "again": 1}}) == (
        "key_steps.mistakes has ['again', 'digits'], which 'addition' does not know; known: digit, carry"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mistakes": {"digit": 0}}, "mistakes has no kind with a weight above 0"),
        ({"alpha": 0, "beta": 0}, "alpha and beta are both 0, so nothing would be trained"),
        ({"key": "truth"}, "key_steps.key"),
    ],
)
def test_key_steps_that_make_no_sense_are_refused(given: dict[str, Any], message: str) -> None:
    assert message in refused([CORRECT], env="addition", key_steps=given)
