"""Which run begins when, and which runs a failure stops; then the same as Tune's searcher, without Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from configs import check_config
from configs.schema.ablation import Trial
from rl.ablation.schedule import Schedule, TrialStatus
from rl.ablation.tune import TrialSearch
from rl.runs.record import Stage, Summary
from tests.kit.runs_by_hand import write_summary

AFTER = {"warm": None, "a": "warm", "b": "warm", "alone": None, "other": None, "c": "other"}
CONFIG = {
    "env": {"name": "addition"},
    "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
    "warm_start": None,
    "grpo": {"updates": 4},
}


@pytest.fixture
def trials(tmp_path: Path) -> list[Trial]:
    return [
        Trial(
            name=name,
            case=name,
            seed=0,
            config=check_config({**CONFIG, "output_dir": str(tmp_path / name)}),
            after=after,
        )
        for name, after in AFTER.items()
    ]


def taken(schedule: Schedule) -> list[str]:
    found = []
    while (trial := schedule.take()) is not None:
        found.append(trial.name)
    return found


def test_a_run_begins_once_the_one_it_needs_is_done(trials: list[Trial]) -> None:
    schedule = Schedule(trials, done=())
    assert taken(schedule) == ["warm", "alone", "other"] and not schedule.all_taken
    schedule.start("warm")
    assert taken(schedule) == []
    schedule.finish("warm")
    assert taken(schedule) == ["a", "b"]
    schedule.finish("other")
    assert taken(schedule) == ["c"] and schedule.all_taken


def test_finished_runs_are_not_repeated(trials: list[Trial]) -> None:
    schedule = Schedule(trials, done={"warm", "a"})
    assert taken(schedule) == ["b", "alone", "other"]
    assert (schedule.count(TrialStatus.BEFORE), len(schedule.unfinished)) == (2, 4)


def test_a_failure_stops_only_the_runs_that_begin_from_it(trials: list[Trial]) -> None:
    chain = [*trials, Trial(name="d", case="d", seed=0, config=trials[0].config, after="c")]
    schedule = Schedule(chain, done=())
    assert taken(schedule) == ["warm", "alone", "other"]
    schedule.fail("other", "no luck")
    assert {name: failure.reason for name, failure in schedule.failures.items()} == {
        "other": "no luck",
        "c": "it begins from the model of other, which failed",
        "d": "it begins from the model of c, which failed",
    }
    schedule.finish("warm")
    assert taken(schedule) == ["a", "b"] and schedule.all_taken
    schedule.fail("other", "out of memory")
    assert schedule.failures["other"].reason == "out of memory" and len(schedule.failures) == 3


def suggestions(search: TrialSearch, *ids: str) -> list[Any]:
    found = [search.suggest(name) for name in ids]
    return [suggested["run"] if isinstance(suggested, dict) else suggested for suggested in found]


def finish(trial: Trial) -> None:
    write_summary(trial.folder, Summary(stages={Stage.BASE: {}, Stage.GRPO: {}}, updates={Stage.GRPO: 4}))


def test_tune_gets_a_run_or_none_yet_or_the_end(trials: list[Trial]) -> None:
    schedule = Schedule(trials, done={"alone", "b"})
    search = TrialSearch(schedule)
    assert suggestions(search, "1", "2", "3") == ["warm", "other", None]
    finish(schedule.trials["warm"])
    search.on_trial_complete("1", {"raised": ""})
    assert suggestions(search, "4", "5") == ["a", None]
    search.on_trial_complete("2", {"raised": "ValueError: no"})
    # `c` could only have followed `other`: nothing is left to hand out, though `a` is still running.
    assert suggestions(search, "6") == [Searcher.FINISHED]
    assert [failure.trial for failure in schedule.failures.values()] == ["other", "c"]
    assert schedule.failures["other"].reason == "ValueError: no"


def test_a_run_is_finished_only_if_it_left_results(trials: list[Trial]) -> None:
    """A process that died, and one that ended without an error but left no results."""
    schedule = Schedule(trials, done={"warm", "a", "b"})
    search = TrialSearch(schedule)
    assert suggestions(search, "1", "2") == ["alone", "other"]
    schedule.trials["alone"].log.write_text("one\ngrpo 3/4\n\n")
    search.on_trial_complete("1", error=True)
    search.on_trial_complete("2", {"raised": ""})
    assert (
        schedule.failures["alone"].reason == "its process was killed or crashed; last line of its log: grpo 3/4"
    )
    assert schedule.states["other"] is TrialStatus.FAILED
