"""The time an ablation still takes, with numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.schema.ablation import Trial
from rl.ablation.progress import Progress
from rl.ablation.time_left import Measured, Pace, estimate, updates_done
from rl.runs.record import Stage
from tests.kit.ablation_runs import finish, log_update, make_trials


@pytest.fixture
def trials(tmp_path: Path) -> list[Trial]:
    return make_trials(tmp_path)


def grpo(update: int) -> Progress:
    return Progress(stage=Stage.GRPO, update=update, updates=10)


def test_the_closest_measurement_counts(trials: list[Trial]) -> None:
    plain0, plain1, steps0 = trials[2:5]
    measured = Measured()
    assert measured.left(plain1, {}, ()) is None
    measured.add_pace(steps0, Stage.GRPO, 6.0)
    assert measured.left(plain1, {}, ()) == 10 * 6.0  # another case that trains the same stages
    measured.add_pace(plain0, Stage.GRPO, 3.0)
    assert measured.left(plain1, {}, ()) == 10 * 3.0  # the same case with another seed
    assert measured.left(trials[5], {}, ()) == 10 * 6.0
    measured.add_pace(plain1, Stage.GRPO, 2.0)
    assert measured.left(plain1, {Stage.GRPO: 4}, ()) == 6 * 2.0  # its own
    # A newer figure of a run replaces its older one: 3 s become 5 s.
    measured.add_pace(plain0, Stage.GRPO, 5.0)
    assert measured.left(plain0, {}, ()) == 10 * 5.0
    assert measured.left(trials[0], {}, ()) is None  # a warm start is no GRPO


def test_evaluations_to_come_are_part_of_the_time_left(trials: list[Trial]) -> None:
    # An evaluation samples 200 problems of three splits, once greedily and 4 times: 3,000 completions. Random
    # weights are evaluated greedily only: 600.
    warm0, warm1, plain0 = trials[:3]
    finish(warm0, Stage.BASE, Stage.WARM, eval_s={Stage.BASE: 6.0, Stage.WARM: 30.0})
    measured = Measured()
    measured.add(warm0)
    assert measured.left(warm1, {}, ()) == pytest.approx(100 * 1.0 + 6.0 + 30.0)  # 0.01 s a completion
    assert measured.left(warm1, {Stage.WARM: 100}, (Stage.BASE,)) == pytest.approx(30.0)
    assert measured.left(warm1, {Stage.WARM: 100}, (Stage.BASE, Stage.WARM)) == 0.0
    # In a run that trains other stages nothing has been sampled yet.
    measured.add_pace(plain0, Stage.GRPO, 4.0)
    assert measured.left(plain0, {}, ()) == 40.0


def test_loading_does_not_count_as_training() -> None:
    pace = Pace(Progress())
    assert pace.update_s(Progress(), 30.0) is None
    assert pace.update_s(grpo(1), 60.0) is None  # a minute of loading
    assert pace.update_s(grpo(1), 61.0) is None
    assert pace.update_s(grpo(2), 64.0) == 4.0
    assert pace.update_s(grpo(2), 90.0) == 4.0  # the third is late, which does not matter for the first two
    assert pace.update_s(grpo(4), 72.0) == 4.0


def test_a_resumed_run_is_measured_from_its_first_new_update() -> None:
    pace = Pace(grpo(7))
    assert pace.update_s(grpo(7), 20.0) is None
    assert pace.update_s(grpo(5), 21.0) is None  # its log is cut back to the checkpoint
    assert pace.update_s(grpo(6), 50.0) is None
    assert pace.update_s(grpo(8), 56.0) == 3.0


def test_each_stage_has_its_own_pace() -> None:
    pace = Pace(Progress())
    warm = [Progress(stage=Stage.WARM, update=update, updates=100) for update in (10, 60)]
    assert [pace.update_s(progress, now) for progress, now in zip(warm, (5.0, 10.0), strict=True)] == [
        None,
        0.1,
    ]
    assert pace.update_s(grpo(1), 100.0) is None
    assert pace.update_s(grpo(3), 110.0) == 5.0


def test_stages_before_the_current_one_are_done(tmp_path: Path) -> None:
    whole = make_trials(tmp_path)[2]
    both = whole.config.model_copy(update={"warm_start": make_trials(tmp_path)[0].config.warm_start})
    trial = Trial(name=whole.name, case=whole.case, seed=0, config=both)
    assert updates_done(trial, Progress()) == {}
    assert updates_done(trial, Progress(stage=Stage.WARM, update=30, updates=100)) == {Stage.WARM: 30}
    assert updates_done(trial, grpo(4)) == {Stage.WARM: 100, Stage.GRPO: 4}


def test_runs_that_do_not_fit_side_by_side_follow_each_other(trials: list[Trial]) -> None:
    three = [Trial(name=f"c{n}", case="c", seed=n, config=trials[2].config) for n in range(3)]
    ten = {trial.name: 10.0 for trial in three}
    assert [estimate(three, ten, at_once).seconds for at_once in (1, 2, 3, 9)] == [30.0, 20.0, 10.0, 10.0]
    # The two short ones run one after the other beside the long one.
    assert estimate(three, {"c0": 25.0, "c1": 10.0, "c2": 10.0}, 2).seconds == 25.0
    assert estimate(three, {"c0": None, "c1": 10.0, "c2": 10.0}, 2).seconds == 10.0
    assert estimate(three, {"c0": None, "c1": 10.0, "c2": 10.0}, 2).unknown == 1
    assert estimate([], {}, 2).seconds == 0.0


def test_a_run_waits_for_the_one_whose_model_it_begins_with(trials: list[Trial]) -> None:
    warm0, warm1, plain0, plain1, *_ = trials
    seconds = {warm0.name: 30.0, warm1.name: 5.0, plain0.name: 10.0, plain1.name: 20.0}
    # plain1 runs from 5 to 25, beside warm0, after which plain0 runs from 30 to 40.
    assert estimate([warm0, warm1, plain0, plain1], seconds, 2).seconds == 40.0
    # A warm start without an estimate does not hold the others up.
    assert estimate([warm0, plain0], {warm0.name: None, plain0.name: 10.0}, 2).seconds == 10.0


def test_a_run_that_was_cut_off_is_estimated_from_where_it_was(trials: list[Trial]) -> None:
    plain0 = trials[2]
    log_update(plain0, Stage.GRPO, 7)
    measured = Measured()
    measured.add_pace(plain0, Stage.GRPO, 2.0)
    assert measured.left(plain0, updates_done(plain0, grpo(7)), ()) == 6.0
