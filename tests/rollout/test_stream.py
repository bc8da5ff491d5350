"""Which weights sample which rollout batch, and when."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from rollout.source import RolloutBatch
from rollout.stream import AheadBatch, Delivery, RolloutStream


class PoolAndSource:
    """Pool and source in one; records the requests in order."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.cursor = self.asked = 0
        self.log: list[tuple[Any, ...]] = []
        self.published = (-1, -1.0)
        self.fails_at = fails_at
        self.sleeps = False
        self.may_sample = threading.Event()
        self.may_sample.set()

    def publish(self, weights: Any, version: int) -> None:
        self.published = (version, float(weights["w"]))
        self.log.append(("publish", *self.published))

    def state(self) -> dict[str, Any]:
        return {"cursor": self.cursor}

    def next_update(self, num_groups: int) -> RolloutBatch:
        self.asked += 1
        assert self.may_sample.wait(timeout=30)
        if self.cursor == self.fails_at:
            raise RuntimeError(f"no rollout batch {self.cursor}")
        self.log.append(("sample", self.cursor, *self.published))
        self.cursor += 1
        return RolloutBatch(useful=(), sampled=(), zero_signal=Counter(), sample_s=0, score_s=0)

    def sleep(self) -> bool:
        if self.sleeps:
            self.log.append(("sleep", *self.published))
            self.published = (-1, -1.0)
        return self.sleeps

    def close(self) -> None: ...


def learn(
    side: PoolAndSource,
    max_staleness: int,
    updates: int,
    passes: int = 1,
    *,
    first: int = 0,
    ahead: Sequence[AheadBatch] = (),
) -> tuple[list[Delivery], tuple[AheadBatch, ...]]:
    """Like the learner, whose weights change in place; the deliveries, and what a checkpoint would hold."""
    stream = RolloutStream(side, side, num_groups=1, max_staleness=max_staleness)  # type: ignore[arg-type]
    stream.restore(ahead)
    weight = torch.zeros(())
    deliveries = []
    for version in range(first, updates, passes):
        weight.fill_(version)
        deliveries.append(stream.next({"w": weight}, version, left=(updates - version) // passes))
    stream.close()
    return deliveries, stream.ahead


def sampled_with(side: PoolAndSource) -> list[int]:
    """The version each rollout batch was sampled with."""
    entries = [entry for entry in side.log if entry[0] == "sample"]
    assert all(version == weight for _, _, version, weight in entries)  # and its weights, not later ones
    assert [number for _, number, *_ in entries] == list(range(len(entries)))
    return [version for _, _, version, _ in entries]


class SlowSource(PoolAndSource):
    """Samples a batch for each permit."""

    def __init__(self) -> None:
        super().__init__()
        self.permits = threading.Semaphore(1)

    def next_update(self, num_groups: int) -> RolloutBatch:
        assert self.permits.acquire(timeout=30)
        return super().next_update(num_groups)


def test_work_between_batches_waits_for_those_sampled_ahead() -> None:
    side = SlowSource()
    stream = RolloutStream(side, side, num_groups=1, max_staleness=1)  # type: ignore[arg-type]
    stream.next({"w": torch.tensor(0.0)}, 0, left=8)  # batch 1 is being sampled too, without a permit
    threading.Timer(0.1, side.permits.release).start()
    assert stream.between({"w": torch.tensor(1.0)}, 1, lambda: side.published) == (1, 1.0)
    stream.close()
    assert sampled_with(side) == [0, 0]
    assert [entry[0] for entry in side.log] == ["publish", "sample", "sample", "publish"]


@pytest.mark.parametrize("max_staleness", [0, 1, 3])
def test_work_between_batches_has_the_newest_weights_and_changes_no_batch(max_staleness: int) -> None:
    """After updates 2 and 5 the pool is used for something else."""
    quiet, side = PoolAndSource(), PoolAndSource()
    learn(quiet, max_staleness, updates=8)
    stream = RolloutStream(side, side, num_groups=1, max_staleness=max_staleness)  # type: ignore[arg-type]
    weight = torch.zeros(())
    seen = []
    for version in range(8):
        weight.fill_(version)
        if version in (2, 5):
            seen.append(stream.between({"w": weight}, version, lambda: side.published))
        stream.next({"w": weight}, version, left=8 - version)
    stream.close()
    assert seen == [(2, 2.0), (5, 5.0)]
    assert sampled_with(side) == sampled_with(quiet)


@pytest.mark.parametrize(
    ("max_staleness", "expected"),
    [
        (0, [0, 1, 2, 3, 4, 5, 6, 7]),
        (1, [0, 0, 1, 2, 3, 4, 5, 6]),
        (2, [0, 0, 0, 1, 2, 3, 4, 5]),
        (99, [0] * 8),
    ],
)
def test_staleness_is_bounded_and_known_in_advance(max_staleness: int, expected: list[int]) -> None:
    side = PoolAndSource()
    deliveries, _ = learn(side, max_staleness, updates=8)
    assert sampled_with(side) == expected
    assert all(version - used <= max_staleness for version, used in enumerate(expected))
    assert [delivery.state["cursor"] for delivery in deliveries] == list(range(1, 9))
    published = [entry[1] for entry in side.log if entry[0] == "publish"]
    assert published == sorted(set(expected))  # each version once


@pytest.mark.parametrize("max_staleness", [0, 1, 3])
@pytest.mark.parametrize("until", [1, 2, 5])
def test_a_run_goes_on_from_any_batch_with_what_is_ahead(max_staleness: int, until: int) -> None:
    """Whether it ended there or was stopped: nothing past its end had been sampled."""
    whole, first, second = PoolAndSource(), PoolAndSource(), PoolAndSource()
    learn(whole, max_staleness, updates=8)
    _, ahead = learn(first, max_staleness, updates=until)
    assert len(ahead) == max_staleness and first.cursor == until
    second.cursor = first.cursor
    learn(second, max_staleness, updates=8, first=until, ahead=ahead)
    assert [e for side in (first, second) for e in side.log if e[0] == "sample"] == [
        e for e in whole.log if e[0] == "sample"
    ]


def test_a_batch_may_serve_several_updates() -> None:
    side = PoolAndSource()
    learn(side, max_staleness=1, updates=8, passes=2)
    assert sampled_with(side) == [0, 0, 2, 4]


def test_the_next_rollout_batch_is_sampled_while_the_learner_works() -> None:
    side = PoolAndSource()
    stream = RolloutStream(side, side, num_groups=1, max_staleness=1)  # type: ignore[arg-type]
    weights = {"w": torch.zeros(())}
    stream.next(weights, 0, left=9)
    until = threading.Event()
    for _ in range(1000):
        if side.cursor == 2:
            break
        until.wait(0.01)
    assert side.cursor == 2  # nobody has requested it
    assert stream.next(weights, 1, left=8).state == {"cursor": 2}
    stream.close()


@pytest.mark.parametrize("max_staleness", [0, 1, 3])
def test_an_error_of_sampling_is_raised_when_its_rollout_batch_is_due(max_staleness: int) -> None:
    side = PoolAndSource(fails_at=2)
    with pytest.raises(RuntimeError, match="no rollout batch 2"):
        learn(side, max_staleness, updates=8)
    assert side.cursor == 2


def test_after_close_no_further_batch_is_sampled() -> None:
    side = PoolAndSource()
    stream = RolloutStream(side, side, num_groups=1, max_staleness=3)  # type: ignore[arg-type]
    stream.next({"w": torch.zeros(())}, 0, left=1)
    side.may_sample.clear()
    waiting = threading.Thread(target=lambda: stream.next({"w": torch.ones(())}, 1, left=4))
    waiting.start()
    while side.asked < 2:
        threading.Event().wait(0.01)  # the first of four is being sampled
    stream.close()
    side.may_sample.set()
    waiting.join(timeout=30)
    assert not waiting.is_alive() and side.cursor == 2


def test_a_pool_that_sleeps_gets_its_weights_again() -> None:
    side = PoolAndSource()
    side.sleeps = True
    stream = RolloutStream(side, side, num_groups=1, max_staleness=0)  # type: ignore[arg-type]
    weights = {"w": torch.tensor(1.0)}
    stream.next(weights, 1, left=1)
    assert stream.between(weights, 2, lambda: side.published) == (2, 1)
    stream.next(weights, 2, left=1)  # the version that was just evaluated
    order = [("publish", 1), ("sample", 0), ("sleep", 1), ("publish", 2), ("sleep", 2)]
    assert [entry[:2] for entry in side.log] == [*order, ("publish", 2), ("sample", 1), ("sleep", 2)]


def test_a_pool_that_samples_ahead_does_not_sleep() -> None:
    side = PoolAndSource()
    side.sleeps = True
    learn(side, max_staleness=1, updates=4)
    assert not [entry for entry in side.log if entry[0] == "sleep"]
