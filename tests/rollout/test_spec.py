"""A worker's spec is sent to actors: every environment pickles small and behaves the same afterwards."""

from __future__ import annotations

import pickle

import pytest

from envs import ENVS, Problem, Split, Trace
from envs.base import Env
from envs.registry import make_example
from rollout.worker import WorkerSpec

# `math` holds its rows of text; all other environments hold little more than their settings.
MOST_BYTES = {"math": 200_000}


def asked_and_judged(env: Env) -> list[tuple[Problem, Trace]]:
    """Problems of each split, each with a wrong and the right answer checked."""
    found = []
    for split in env.splits:
        for index in range(2):
            problem = env.problem(split, index, budget=3)
            for answer in ("no", problem.answer):
                text = f"Thus, the answer is {answer}."
                found.append((problem, env.check(problem, env.parse(text))))
    return found


@pytest.mark.parametrize("name", sorted(ENVS))
def test_an_environment_pickles_small_and_behaves_the_same(name: str) -> None:
    env = make_example(name)
    expected = asked_and_judged(env)  # caches are full now
    data = pickle.dumps(env)
    assert len(data) < MOST_BYTES.get(name, 4_000)
    copy = pickle.loads(data)
    assert asked_and_judged(copy) == expected
    # One in two answers is right, so the comparison above has compared grades of both kinds.
    assert {bool(trace.correct) for _, trace in expected} == {True, False}
    # A copy of a copy, and its caches work.
    assert asked_and_judged(pickle.loads(pickle.dumps(copy))) == expected
    assert copy.problem(Split.TRAIN, 0) == copy.problem(Split.TRAIN, 0)


def test_a_worker_shares_the_environment_and_owns_its_model(spec: WorkerSpec) -> None:
    worker = spec.build()
    assert worker.env is spec.env
    held = dict(worker.engine.model.named_parameters())  # type: ignore[attr-defined]
    for name, parameter in spec.engine.model.named_parameters():
        assert held[name].data_ptr() != parameter.data_ptr()
    worker.close()


def test_a_spec_is_pickled_with_all_it_needs(spec: WorkerSpec) -> None:
    copy: WorkerSpec = pickle.loads(pickle.dumps(spec))
    assert copy.env.problem(Split.TRAIN, 3) == spec.env.problem(Split.TRAIN, 3)
    assert (copy.engine.stop_ids, copy.engine.device) == (spec.engine.stop_ids, "cpu")
    copy.build().close()
