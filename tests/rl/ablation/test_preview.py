"""The cost, resources and duration of an ablation, with numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.schema.ablation import Plan, Trial, load_ablation
from rl.ablation.cost import Cost, cost_of
from rl.ablation.preview import preview
from rl.ablation.room import count_at_once, make_bundles
from rl.ablation.run import plan_bundles, run_plan
from rl.ablation.time_left import Measured, estimate
from rl.runs.record import Stage, Summary
from rollout.pools.room import ResourceError
from tests.kit import runs_by_hand
from tests.kit.checkpoints import write_checkpoint

BASE: dict[str, Any] = {
    "device": "cpu",
    "threads": 1,
    "env": {"name": "addition"},
    "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
    "warm_start": {"updates": 5},
    "rollout": {"samples_per_problem": 3},
    "grpo": {"updates": 6, "num_iterations": 2, "problems_per_update": 4, "max_resamples": 2},
    "eval": {"splits": ["id", "ood_easy"], "num_problems": 10, "num_samples": 2},
}


def plan(
    folder: Path, cases: dict[str, dict[str, Any]], base: dict[str, Any] | None = None, **more: Any
) -> Plan:
    (folder / "base.yaml").write_text(yaml.safe_dump({**BASE, **(base or {})}))
    study = {"name": "study", "question": "Which?", "base": "base.yaml", "seeds": [0, 1], "cases": cases}
    (folder / "study.yaml").write_text(yaml.safe_dump({**study, **more}, sort_keys=False))
    return load_ablation(folder / "study.yaml", (), folder / "out")


@pytest.fixture
def study(tmp_path: Path) -> Plan:
    return plan(tmp_path, {"plain": {}, "hot": {"grpo.beta": 0.1}})


def write_summary(
    trial: Trial,
    stages: list[Stage],
    updates: dict[Stage, int],
    train_s: dict[Stage, float],
    eval_s: dict[Stage, float],
) -> None:
    found = Summary(stages={stage: {} for stage in stages}, updates=updates, train_s=train_s, eval_s=eval_s)
    runs_by_hand.write_summary(trial.folder, found)


def test_the_cost_of_all_runs(study: Plan) -> None:
    # Two seeds of: a warm start, and two cases that begin with it.
    # GRPO samples 6 / 2 times 4 problems of 3 samples, 36; each replaced twice: 108.
    # An evaluation samples 2 splits of 10 problems 1 + 2 times, 60; of random weights once, 20. So a warm start
    # takes 20 + 60, and GRPO, which evaluates the model it begins with, 60 + 60.
    assert cost_of(study.trials, left=False) == Cost(
        runs=6,
        warm_updates=2 * 5,
        grpo_updates=4 * 6,
        grpo_completions=4 * 36,
        grpo_completions_most=4 * 108,
        eval_completions=2 * 80 + 4 * 120,
    )


def test_the_model_that_runs_share_is_not_searched_with(tmp_path: Path) -> None:
    shared = {"policy.model": "some/model", "eval.search": True}
    study = plan(tmp_path, {"plain": shared, "longer": {**shared, "grpo.updates": 8}})
    # In each seed the warm start and what follows it twice, on 2 splits of 10 problems.
    assert cost_of(study.trials, left=False).searched_problems == 2 * 3 * 20


def test_skipped_groups_are_not_replaced(tmp_path: Path) -> None:
    found = cost_of(plan(tmp_path, {"plain": {"grpo.dynamic_sampling": False}}).trials, left=False)
    assert found.grpo_completions_most == found.grpo_completions == 2 * 36


def test_the_cost_of_the_remaining_work(study: Plan) -> None:
    warm, plain, hot = study.trials[:3]
    write_summary(warm, [Stage.BASE, Stage.WARM], {Stage.WARM: 5}, {}, {})
    # Cut off after update 5: the checkpoint of update 4 is whole, of that of update 6 a file is missing.
    write_summary(plain, [Stage.BASE], {}, {}, {})
    for update in (2, 4, 6):
        checkpoint = write_checkpoint(plain.folder, Stage.GRPO, update)
    (checkpoint / "optimizer.pt").unlink()
    assert cost_of([plain], left=True) == Cost(
        runs=1,
        grpo_updates=2,
        grpo_completions=12,
        grpo_completions_most=36,
        eval_completions=60,
    )
    assert cost_of([hot], left=True) == cost_of([hot], left=False)
    shown = preview(study)
    assert [line.split() for line in shown.splitlines() if line.startswith(("warm-", "plain  ", "hot  "))] == [
        [warm.name.removesuffix("-seed0"), "plain,", "hot", "-", "done", "to", "run"],
        ["plain", "-", warm.name.removesuffix("-seed0"), "from", "grpo", "4", "to", "run"],
        ["hot", "-", warm.name.removesuffix("-seed0"), "to", "run", "to", "run"],
    ]
    assert "    grpo.beta: 0.1" in shown and "plain: as the base" in shown


def test_the_time_left_comes_from_measurements(study: Plan) -> None:
    warm, plain, hot, other_warm, other_plain, other_hot = study.trials
    measured = Measured()
    assert measured.left(warm, {}, ()) is None
    write_summary(
        warm,
        [Stage.BASE, Stage.WARM],
        {Stage.WARM: 5},
        {Stage.WARM: 10.0},
        {Stage.BASE: 1.0, Stage.WARM: 3.0},
    )
    measured.add(warm)
    assert measured.left(other_warm, {}, ()) == 14.0  # 5 updates of 2 s, two evaluations
    assert measured.left(other_warm, {Stage.WARM: 4}, (Stage.BASE,)) == 5.0
    assert measured.left(plain, {}, ()) is None
    for trial, train_s in ((plain, 12.0), (hot, 60.0)):
        write_summary(
            trial,
            [Stage.BASE, Stage.GRPO],
            {Stage.GRPO: 6},
            {Stage.GRPO: train_s},
            {Stage.BASE: 5.0, Stage.GRPO: 3.0},
        )
    measured.add(plain)
    assert measured.left(other_hot, {}, ()) == 20.0  # by `plain`, while there is no other
    measured.add(hot)
    assert measured.left(other_plain, {}, ()) == 20.0  # 6 updates of 2 s, 5 s and 3 s
    assert measured.left(other_hot, {}, ()) == 68.0  # its own case takes 10 s an update
    left = [other_warm, other_plain, other_hot]
    seconds = {trial.name: measured.left(trial, {}, ()) for trial in left}
    assert estimate(left, seconds, at_once=1).seconds == 102.0  # 14 + 20 + 68
    # Two at a time would halve it, but `hot` cannot begin before its warm start is done: 14 + 68.
    assert estimate(left, seconds, at_once=2).seconds == 82.0
    assert estimate(left, {**seconds, other_hot.name: None}, at_once=1).unknown == 1
    assert "about 1 min 42 s left" in preview(study)


def test_settings_common_to_all_cases_are_shown_once(tmp_path: Path) -> None:
    cases = {"plain": {"grpo.beta": 0.1}, "hot": {"grpo.beta": 0.1, "grpo.max_resamples": 1}}
    shown = preview(plan(tmp_path, cases))
    assert shown.startswith(f"study: 2 cases, 2 seeds, 6 runs in {tmp_path / 'out'}\nWhich?\n")
    block = "all cases:\n    grpo.beta: 0.1\nplain: nothing else\nhot:\n    grpo.max_resamples: 1\n"
    assert f"\n\n{block}\n" in shown


def test_without_a_measurement_there_is_no_estimate(study: Plan) -> None:
    assert preview(study).endswith("time left not known yet")


def trial_of(folder: Path, case: dict[str, Any], base: dict[str, Any] | None = None) -> Trial:
    return plan(folder, {"x": {"warm_start": None, **case}}, base).trials[0]


def test_the_resources_a_run_reserves(tmp_path: Path) -> None:
    def bundles(
        case: dict[str, Any], *, gpus: float | None = None, gpus_there: bool = False
    ) -> list[list[float]]:
        found = make_bundles(trial_of(tmp_path, case), gpus=gpus, gpus_there=gpus_there)
        return [[bundle["CPU"], bundle["GPU"]] for bundle in found]

    assert bundles({"threads": 3}) == [[3, 0]]
    assert bundles({"rollout.threads": 4}) == [[4, 0]]  # the engine has them while the learner waits
    assert bundles({}, gpus_there=True) == [[1, 0]]
    assert bundles({"device": "auto"}, gpus_there=True) == [[1, 1]]
    assert bundles({"device": "auto"}) == [[1, 0]]
    assert bundles({"device": "cuda"}) == [[1, 1]]
    assert bundles({"device": "cuda"}, gpus=0.5) == [[1, 0.5]]
    actors = {"rollout.backend": "ray", "rollout.num_actors": 2, "rollout.threads": 4}
    assert bundles({**actors, "rollout.gpus_per_actor": 0.5}) == [[1, 0], [1, 0.5], [1, 0.5]]
    assert bundles({**actors, "rollout.cpus_per_actor": 0}) == [[1, 0]]


def test_how_many_runs_fit() -> None:
    learner, actor = {"CPU": 2.0, "GPU": 0.0}, {"CPU": 4.0, "GPU": 0.0}
    assert count_at_once([{"CPU": 8.0}], [learner], most=9) == 4
    assert count_at_once([{"CPU": 8.0}], [learner], most=3) == 3
    assert count_at_once([{"CPU": 3.0}, {"CPU": 3.0}], [learner], most=9) == 2  # a bundle is on one node
    assert count_at_once([{"CPU": 4.0}, {"CPU": 2.0}], [learner, actor], most=9) == 1
    assert count_at_once([{"CPU": 1.0}], [{"CPU": 0.1, "GPU": 0.0}], most=99) == 10
    assert count_at_once([], [learner], most=1) == 0


def test_a_run_that_fits_nowhere_is_refused(tmp_path: Path) -> None:
    actors = {"rollout.backend": "ray", "rollout.num_actors": 3, "rollout.gpus_per_actor": 0.5}
    study = plan(tmp_path, {"x": {"warm_start": None, **actors}})
    assert plan_bundles(study, [{"CPU": 2.0, "GPU": 1.0}, {"CPU": 2.0, "GPU": 1.0}])
    with pytest.raises(ResourceError) as caught:
        plan_bundles(study, [{"CPU": 8.0, "GPU": 1.0}])
    assert str(caught.value) == (
        "case 'x' needs 1 CPU and 0 GPU for its learner and 3 actors with 1 CPU and 0.5 GPU each; Ray has "
        "1 node with 8 CPU and 1 GPU. Lower threads, gpus_per_trial or rollout.num_actors, or add nodes"
    )


def test_a_gpu_that_no_run_would_see_is_refused(tmp_path: Path) -> None:
    study = plan(tmp_path, {"x": {"device": "cuda"}}, gpus_per_trial=0)
    with pytest.raises(
        ValueError, match="case 'x': device is cuda, but gpus_per_trial is 0, so that no run sees"
    ):
        run_plan(study)
    assert not study.folder.exists()
