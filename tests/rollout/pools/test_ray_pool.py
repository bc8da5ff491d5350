"""The Ray pool returns the same groups as the local pool, whichever actors sample and die."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest
import ray
import torch

from envs import Problem, Split, Trace, make_env
from envs.sandbox import Sandbox
from rewards import History, RewardSum, Score, Term
from rollout.engines.base import Engine, Weights
from rollout.engines.spec import EngineSpec
from rollout.out_of_memory import SamplingMemoryError
from rollout.pools.actors import _placed as is_placed
from rollout.pools.cluster import Cluster, connect
from rollout.pools.local import LocalPool
from rollout.pools.losses import RolloutError
from rollout.pools.ray_actor import RolloutActor, StaleWeightsError, pack_weights, unpack_weights
from rollout.pools.ray_pool import RayPool
from rollout.pools.room import ActorSize, ResourceError, TryAgainError, check_room
from rollout.types import Batch, Completion, GroupRequest, Prompt, PromptTooLongError, RolloutGroup, Sampling
from rollout.worker import WorkerSpec
from tests.kit.soak import OPERATIONS
from tests.kit.tiny_policy import tiny_policy, worker_spec

pytestmark = pytest.mark.slow

# Lets actors unpickle this module's classes without importing it.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

BUCKETS = {"train": {"2": 1.0, "3": 1.0}, "ood_easy": {"4": 1.0}, "ood_hard": {"5": 1.0}}
TERMS = [Term(name="correct", weight=1.0), Term(name="step_count", weight=-0.5, gate="correct")]
KILLED_ONCE, STOPPED_ONCE, RAISES, ALWAYS_KILLED = 1001, 1002, 1003, 1004
NO_ROOM_ONCE, NEVER_FITS = 1006, 1007


class CrashingScorer:
    """A `Scorer` that scores as usual, but some problems bring down the process that reads them."""

    def __init__(self, markers: Path) -> None:
        self.rewards = RewardSum(TERMS)
        self.markers = markers

    def __call__(
        self,
        problem: Problem,
        traces: Sequence[Trace],
        history: History | None = None,
        *,
        user_rewards: bool = True,
    ) -> list[Score]:
        if problem.index == RAISES:
            raise ValueError(f"no score for {problem.index}")
        if problem.index == ALWAYS_KILLED or (problem.index == KILLED_ONCE and self.first(problem)):
            os.kill(os.getpid(), signal.SIGKILL)
        if problem.index == NEVER_FITS:
            torch.empty(2**60)  # more than any machine has
        if problem.index == NO_ROOM_ONCE and self.first(problem):
            raise MemoryError("no room")
        if problem.index == STOPPED_ONCE and self.first(problem):
            os.kill(os.getpid(), signal.SIGSTOP)
        return self.rewards(problem, traces, history, user_rewards=user_rewards)

    def close(self) -> None:
        self.rewards.close()

    def first(self, problem: Problem) -> bool:
        marker = self.markers / str(problem.index)
        seen = marker.exists()
        marker.touch()
        return not seen


@dataclass(frozen=True, kw_only=True)
class SleepySpec(EngineSpec):
    """The embedded engine, but it forgets its weights in `sleep`."""

    @property
    def sleeps(self) -> bool:
        return True

    def build(self) -> Engine:
        return ForgetfulEngine(super().build())


@dataclass(frozen=True, kw_only=True)
class SlowSpec(EngineSpec):
    """The embedded engine, from a slow disk."""

    def build(self) -> Engine:
        time.sleep(600)
        return super().build()


class Blocker:
    """An actor that takes room and is there at once, since it imports nothing."""

    def ping(self) -> int:
        return os.getpid()


class ForgetfulEngine:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.asleep = False
        self.weight_version = 0

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        assert not self.asleep
        return self.engine.generate(prompts, sampling)

    def load_weights(self, weights: Weights, version: int) -> None:
        self.engine.load_weights(weights, version)
        self.asleep = False

    def sleep(self) -> bool:
        self.asleep = True
        return True

    def close(self) -> None:
        self.engine.close()


@pytest.fixture(scope="module")
def others() -> list[int]:
    """Processes of other tests: graders' workers live as long as this process."""
    return descendants(os.getpid())


@pytest.fixture(scope="module")
def cluster(others: list[int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    def save_and_leave(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGTERM, save_and_leave)
    try:
        with contextlib.chdir(tmp_path_factory.mktemp("elsewhere")):  # actors must find the code from there
            cluster = connect(num_actors=2, size=ActorSize(cpus=1, gpus=0))
        assert signal.getsignal(signal.SIGTERM) is save_and_leave  # Ray would replace it
    finally:
        signal.signal(signal.SIGTERM, before)
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def spec() -> WorkerSpec:
    env = make_env("directional", BUCKETS)
    return worker_spec(tiny_policy(env, seed=3), env, RewardSum(TERMS), max_new_tokens=12)


CPUS_PER_ACTOR = 0.5


@pytest.fixture(scope="module")
def pair(cluster: Cluster, spec: WorkerSpec) -> Iterator[RayPool]:
    """Two actors; they start while the tests before their first use run."""
    pool = make_pool(spec, num_actors=2, deadline_s=240)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def markers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the actor of `single` notes which problems have brought it down."""
    return tmp_path_factory.mktemp("markers")


@pytest.fixture(scope="module")
def single(cluster: Cluster, spec: WorkerSpec, markers: Path) -> Iterator[RayPool]:
    """One actor, with rewards that bring it down."""
    scorer = CrashingScorer(markers)
    pool = make_pool(replace(spec, rewards=scorer), num_actors=1, deadline_s=240, max_restarts=20)
    yield pool
    pool.close()


def make_pool(
    spec: WorkerSpec,
    *,
    num_actors: int,
    deadline_s: float,
    max_restarts: int = 8,
    start_deadline_s: float = 240,
    cpus_per_actor: float = CPUS_PER_ACTOR,
) -> RayPool:
    return RayPool(
        spec,
        num_actors=num_actors,
        cpus_per_actor=cpus_per_actor,
        gpus_per_actor=0,
        deadline_s=deadline_s,
        max_restarts=max_restarts,
        start_deadline_s=start_deadline_s,
    )


def order(*indices: int) -> list[GroupRequest]:
    return [
        GroupRequest(group_id=i, split=Split.TRAIN, index=i, budget=None, num_samples=3, seed=5)
        for i in indices
    ]


BATCHES = [order(0, 1), order(2, 3), order(4), order(5, 6, 7), order(8)]


def groups(batches: Sequence[Batch]) -> list[tuple[RolloutGroup, ...]]:
    """Everything but timings: tokens and log-probabilities to the last bit, texts, traces, scores."""
    return [batch.groups for batch in batches]


def versions(batches: Sequence[Batch]) -> set[int]:
    return {s.completion.weight_version for b in batches for g in b.groups for s in g.samples}


def tokens(batches: Sequence[Batch]) -> list[tuple[int, ...]]:
    return [s.completion.ids for b in batches for g in b.groups for s in g.samples]


def changed_weights(spec: WorkerSpec) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: parameter + 0.5 * torch.randn(parameter.shape, generator=generator)
        for name, parameter in spec.engine.model.named_parameters()
    }


def alive(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(pids: Sequence[int]) -> list[int]:
    until = time.monotonic() + 60
    while any(alive(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    return [pid for pid in pids if alive(pid)]


def descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def test_any_number_of_actors_samples_the_same(pair: RayPool, single: RayPool, spec: WorkerSpec) -> None:
    local = groups(LocalPool(spec.build()).rollout(BATCHES))
    assert [[g.group_id for g in batch] for batch in local] == [[0, 1], [2, 3], [4], [5, 6, 7], [8]]
    assert groups(single.rollout(BATCHES)) == local
    assert groups(pair.rollout(BATCHES)) == local
    assert groups(pair.rollout(BATCHES[::-1])) == local[::-1]
    assert pair.rollout([]) == []


def test_actors_continue_a_prefix_as_a_local_worker_does(pair: RayPool, spec: WorkerSpec) -> None:
    local = LocalPool(spec.build())
    first = local.rollout([order(0), order(1)])
    taken = [batch.groups[0].samples[0].completion.ids[:3] for batch in first]
    assert len(taken[0]) == 3 and len({*taken}) == 2
    batches = [[replace(order(n)[0], prefix_ids=ids)] for n, ids in enumerate(taken)]
    assert groups(pair.rollout(batches)) == groups(local.rollout(batches))


def test_sampling_can_be_overridden(pair: RayPool, spec: WorkerSpec) -> None:
    greedy = Sampling(temperature=0, max_new_tokens=3)
    batches = pair.rollout(BATCHES, greedy)
    assert groups(batches) == groups(LocalPool(spec.build()).rollout(BATCHES, greedy))
    assert max(len(ids) for ids in tokens(batches)) <= 3


def test_published_weights_reach_every_actor(pair: RayPool, spec: WorkerSpec) -> None:
    before = pair.rollout(BATCHES)
    weights = changed_weights(spec)
    pair.publish(weights, 7)
    for tensor in weights.values():
        tensor.zero_()  # what was published is a copy
    after = pair.rollout(BATCHES)
    local = LocalPool(spec.build())
    local.publish(changed_weights(spec), 7)
    assert groups(after) == groups(local.rollout(BATCHES))
    assert versions(before) == {0} and versions(after) == {7}
    assert tokens(before) != tokens(after)
    # Other weights under the same version are other weights.
    pair.publish(dict(spec.engine.model.named_parameters()), 7)
    again = pair.rollout(BATCHES)
    assert tokens(again) == tokens(before) and versions(again) == {7}


def test_an_actor_killed_in_a_batch_is_replaced(single: RayPool, spec: WorkerSpec) -> None:
    batches = [*BATCHES, order(KILLED_ONCE, 9), order(10)]
    single.publish(changed_weights(spec), 3)
    local = LocalPool(spec.build())
    local.publish(changed_weights(spec), 3)
    (pid,), restarts = single.pids(), single.restarts
    assert groups(single.rollout(batches)) == groups(local.rollout(batches))
    assert single.restarts == restarts + 1
    assert single.pids() != [pid] and not alive(pid)


def test_a_wedged_actor_is_replaced_after_its_deadline(
    single: RayPool, spec: WorkerSpec, markers: Path
) -> None:
    def end_its_time() -> None:
        while not (markers / str(STOPPED_ONCE)).exists():
            time.sleep(0.05)
        (slot,) = single._actors
        slot.due = 0.0

    batches = [order(STOPPED_ONCE), order(11)]
    single.publish(changed_weights(spec), 4)
    local = LocalPool(spec.build())
    local.publish(changed_weights(spec), 4)
    (pid,), restarts = single.pids(), single.restarts
    thread = threading.Thread(target=end_its_time, daemon=True)
    thread.start()
    assert groups(single.rollout(batches)) == groups(local.rollout(batches))
    thread.join()
    assert single.restarts == restarts + 1
    assert single.pids() != [pid] and not wait_until_gone([pid])


def test_an_error_of_a_worker_is_raised_unchanged(single: RayPool) -> None:
    restarts = single.restarts
    with pytest.raises(ValueError, match=r"^no score for 1003$") as raised:
        single.rollout([order(0), order(RAISES), order(1)])
    assert type(raised.value) is ValueError
    assert len(single.rollout([order(0), order(1)])) == 2  # and the failed call leaves nothing behind
    assert single.restarts == restarts


def test_a_batch_that_kills_every_actor_is_named(single: RayPool) -> None:
    with pytest.raises(RolloutError, match=r"3 rollout actors .* group 1004 \(train/1004\).* died"):
        single.rollout([order(0), order(ALWAYS_KILLED)])
    assert len(single.rollout([order(0)])) == 1  # the next call replaces the actor that is left dead


def test_an_actor_killed_between_calls_is_replaced(pair: RayPool, spec: WorkerSpec) -> None:
    local, pids = LocalPool(spec.build()), pair.pids()
    for pool in (pair, local):
        pool.publish(changed_weights(spec), 8)
    os.kill(pids[1], signal.SIGKILL)
    while pair.restarts == 0:  # the other actor may finish everything before the death is noticed
        assert groups(pair.rollout(BATCHES)) == groups(local.rollout(BATCHES))
    assert pair.restarts == 1
    assert pair.pids()[0] == pids[0] and pair.pids()[1] != pids[1]


def test_actors_that_slept_load_their_weights_again(cluster: Cluster, spec: WorkerSpec) -> None:
    engine = SleepySpec(**{field.name: getattr(spec.engine, field.name) for field in fields(spec.engine)})
    local = LocalPool(spec.build())
    local.publish(changed_weights(spec), 3)
    expected = groups(local.rollout(BATCHES))
    with contextlib.closing(make_pool(replace(spec, engine=engine), num_actors=1, deadline_s=60)) as pool:
        assert not pool.sleep()  # it waits for the actor to start
        pool.publish(changed_weights(spec), 3)
        assert groups(pool.rollout(BATCHES)) == expected
        (pid,) = pool.pids()
        os.kill(pid, signal.SIGKILL)
        wait_until_gone([pid])
        assert not pool.sleep()  # its replacement sleeps, too
        assert pool.restarts == 1
        assert groups(pool.rollout(BATCHES)) == expected


def test_a_users_reward_is_found_by_actors(
    cluster: Cluster, spec: WorkerSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "length_rules.py").write_text("def short(problem, trace):\n    return 1 / trace.num_tokens\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    with contextlib.chdir(tmp_path):  # actors run in another folder
        rewards = RewardSum([*TERMS, Term(name="length_rules:short", weight=0.3, gate="correct")])
    pool = make_pool(replace(spec, rewards=rewards), num_actors=1, deadline_s=60)
    with (
        contextlib.closing(pool),
        contextlib.closing(LocalPool(replace(spec, rewards=rewards).build())) as local,
    ):
        assert groups(pool.rollout(BATCHES[:1])) == groups(local.rollout(BATCHES[:1]))


def test_too_many_losses_are_an_error_and_close_ends_the_actors(cluster: Cluster, spec: WorkerSpec) -> None:
    short = replace(spec, max_prompt_tokens=2)
    pool = make_pool(short, num_actors=1, deadline_s=60, max_restarts=0)
    with pytest.raises(PromptTooLongError, match=r"over rollout.max_prompt_tokens \(2\)"):
        pool.rollout(BATCHES)
    os.kill(pool.pids()[0], signal.SIGKILL)
    with pytest.raises(RolloutError, match=r"more than rollout.max_restarts \(0\)"):
        while True:
            with pytest.raises(PromptTooLongError):
                pool.rollout(BATCHES)
    pool.close()
    pool.close()
    assert ray.is_initialized()


def test_close_ends_a_rollout_of_another_thread(cluster: Cluster, spec: WorkerSpec, tmp_path: Path) -> None:
    """As when a run is interrupted while groups are sampled ahead: no actor is replaced, nothing hangs."""
    pool = make_pool(replace(spec, rewards=CrashingScorer(tmp_path)), num_actors=1, deadline_s=60)
    (pid,) = pool.pids()
    failures: list[BaseException] = []

    def sample() -> None:
        try:
            pool.rollout([order(STOPPED_ONCE)])
        except RolloutError as error:
            failures.append(error)

    thread = threading.Thread(target=sample)
    thread.start()
    while not (tmp_path / str(STOPPED_ONCE)).exists():
        time.sleep(0.05)
    pool.close()
    thread.join(timeout=30)
    assert not thread.is_alive() and wait_until_gone([pid]) == []
    assert [str(failure) for failure in failures] == ["the pool was closed while it was sampling"]
    assert pool.restarts == 0


@pytest.mark.parametrize(
    ("num_actors", "cpus", "gpus", "message"),
    [
        (
            2,
            1.0,
            1.0,
            r"gpus_per_actor=1 need 2 GPU and 2 CPU; Ray has 1 node with 0 GPU and 2 CPU, room for 0 ",
        ),
        (3, 1.0, 0.0, r"num_actors=3 .*cpus_per_actor=1 .*need 0 GPU and 3 CPU; .* room for 2 such actors"),
        (1, 1.5, 0.0, r"rollout.cpus_per_actor is 1.5"),
    ],
)
def test_missing_resources_are_reported_at_once(
    cluster: Cluster, spec: WorkerSpec, num_actors: int, cpus: float, gpus: float, message: str
) -> None:
    started = time.monotonic()
    with pytest.raises(ResourceError, match=message):
        RayPool(
            spec,
            num_actors=num_actors,
            cpus_per_actor=cpus,
            gpus_per_actor=gpus,
            deadline_s=600,
            max_restarts=0,
        )
    assert time.monotonic() - started < 60


def free_cpus(num_held: int) -> float:
    """The CPUs not held by this many actors of `make_pool`, once those of ended pools are back."""
    free: float = ray.cluster_resources()["CPU"] - CPUS_PER_ACTOR * num_held
    deadline = time.monotonic() + 60
    while ray.available_resources().get("CPU", 0.0) < free:
        assert time.monotonic() < deadline, "CPUs are still held"
        time.sleep(0.05)
    return free


def test_an_actor_that_cannot_be_placed_does_not_wait_for_ever(
    pair: RayPool, single: RayPool, spec: WorkerSpec
) -> None:
    num_held = len(pair.pids()) + len(single.pids())  # their actors are there
    blocker = ray.remote(Blocker).options(num_cpus=free_cpus(num_held)).remote()
    ray.get(blocker.ping.remote(), timeout=60)
    pool = make_pool(spec, num_actors=1, deadline_s=60, start_deadline_s=0.5)
    with pytest.raises(
        TryAgainError, match=r"not placed rollout actor 0 .*\(0.5 s\): it needs 0.5 CPU .* Ray has 0"
    ):
        pool.rollout(BATCHES)
    assert TryAgainError.exit_code == 75
    pool.close()
    ray.kill(blocker)


def test_a_vacant_slot_is_filled_when_there_is_room(
    pair: RayPool, single: RayPool, spec: WorkerSpec, caplog: pytest.LogCaptureFixture
) -> None:
    num_held = len(pair.pids()) + len(single.pids())
    size = free_cpus(num_held) / 2
    blocker = ray.remote(Blocker).options(num_cpus=size).remote()  # leaves room for one actor
    ray.get(blocker.ping.remote(), timeout=60)
    expected = groups(LocalPool(spec.build()).rollout(BATCHES))
    with contextlib.closing(make_pool(spec, num_actors=2, deadline_s=60, cpus_per_actor=size)) as pool:
        assert groups(pool.rollout(BATCHES)) == expected  # one of them does all the work
        (waiting,) = [slot for slot in pool._actors if not slot.ready]
        waiting.due = 0.0  # its time is up
        assert groups(pool.rollout(BATCHES)) == expected
        assert len(caplog.messages) == 1 and pool.restarts == 0
        assert f"has not placed rollout actor {waiting.number} within" in caplog.text
        assert "going on with 1 of 2 actors until it has" in caplog.text
        assert not pool.sleep()  # which does not wait for the other one
        ray.kill(blocker)
        assert len({*pool.pids()}) == 2
        assert caplog.messages[1:] == ["all 2 rollout actors are there again"]
        assert groups(pool.rollout(BATCHES)) == expected and pool.restarts == 0


def test_an_actor_that_is_slow_to_load_is_not_blamed_on_room(cluster: Cluster, spec: WorkerSpec) -> None:
    slow = SlowSpec(**{field.name: getattr(spec.engine, field.name) for field in fields(spec.engine)})
    with contextlib.closing(make_pool(replace(spec, engine=slow), num_actors=1, deadline_s=60)) as pool:
        (slot,) = pool._actors
        while not is_placed(slot):
            time.sleep(0.05)
        pool._actors._start_deadline_s, slot.due = 0.5, 0.0  # so long for loading; that for its place is up
        with pytest.raises(
            RolloutError, match=r"did not load its model within 0.5 s.* raise rollout.start_deadline_s"
        ):
            pool.rollout(BATCHES)


def test_an_actor_without_memory_is_replaced(
    single: RayPool, spec: WorkerSpec, caplog: pytest.LogCaptureFixture
) -> None:
    single.publish(changed_weights(spec), 6)
    local, restarts = LocalPool(spec.build()), single.restarts
    local.publish(changed_weights(spec), 6)
    assert groups(single.rollout([order(NO_ROOM_ONCE)])) == groups(local.rollout([order(NO_ROOM_ONCE)]))
    assert single.restarts == restarts + 1
    assert "ran out of memory (MemoryError: no room)" in caplog.text


def test_a_batch_that_never_fits_names_the_keys(
    single: RayPool, spec: WorkerSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `test_a_batch_that_kills_every_actor_is_named` tries it on several actors.
    monkeypatch.setattr("rollout.pools.ray_pool.MAX_FAILURES", 1)
    with pytest.raises(
        RolloutError, match=r"group 1007 .*ran out of memory.*rollout.max_rows.*rollout.kv_cache_gib"
    ):
        single.rollout([order(NEVER_FITS)])
    broken = replace(spec, rewards=CrashingScorer(tmp_path))
    with pytest.raises(
        SamplingMemoryError, match=r"ran out of memory .*rollout.max_rows.*rollout.kv_cache_gib"
    ):
        LocalPool(broken.build()).rollout([order(NEVER_FITS)])


def test_any_kind_of_ray_worker_can_call_a_sandbox(cluster: Cluster) -> None:
    def scenario(sandbox: Sandbox) -> list[str]:
        with sandbox:
            start = time.monotonic()
            replies = [sandbox.call("echo", value="right"), sandbox.call("hang"), sandbox.call("exit_quietly")]
            replies.append(sandbox.call("echo", value="right"))
            assert time.monotonic() - start < 30
            return [reply.value or reply.status.value for reply in replies]

    class Plain:
        def score(self, sandbox: Sandbox) -> list[str]:
            return scenario(sandbox)

    class Asynchronous:
        async def score(self, sandbox: Sandbox) -> list[str]:
            return scenario(sandbox)

    def make() -> Sandbox:
        return Sandbox(OPERATIONS, timeout_s=0.4, memory_mb=256)

    light = {"num_cpus": 0.1}
    plain = ray.remote(Plain).options(**light).remote()
    asynchronous = ray.remote(Asynchronous).options(**light).remote()
    threaded = ray.remote(Plain).options(**light, max_concurrency=2).remote()
    refs = [
        ray.remote(scenario).options(**light).remote(make()),
        plain.score.remote(make()),
        asynchronous.score.remote(make()),
        threaded.score.remote(make()),
        threaded.score.remote(make()),
    ]
    assert ray.get(refs, timeout=120) == [["right", "timeout", "crash", "right"]] * len(refs)


def test_resources_are_counted_per_node_and_per_gpu() -> None:
    two = [{"CPU": 3.0, "GPU": 1.0}, {"CPU": 3.0, "GPU": 1.0}]
    # 6 cores in all, but 2 + 2 on one node do not fit into 3: one such actor a node.
    check_room(two, 2, ActorSize(cpus=2, gpus=0))
    with pytest.raises(ResourceError, match="room for 2"):
        check_room(two, 3, ActorSize(cpus=2, gpus=0))
    # Two actors of 0.4 on each GPU; the 0.2 left over on each do not add up.
    check_room(two, 4, ActorSize(cpus=0, gpus=0.4))
    with pytest.raises(ResourceError, match="room for 4"):
        check_room(two, 5, ActorSize(cpus=0, gpus=0.4))
    # Ten actors of 0.1 on a GPU, although 0.1 is not exact in binary.
    check_room(two, 20, ActorSize(cpus=0.1, gpus=0.1))
    with pytest.raises(ResourceError, match="room for 0"):
        check_room([], 1, ActorSize(cpus=0, gpus=0))


def test_an_actor_refuses_weights_it_does_not_hold(spec: WorkerSpec) -> None:
    actor = RolloutActor()
    actor.build(spec)
    with pytest.raises(StaleWeightsError, match="asked for publication 1, holding 0"):
        actor.rollout(order(0), None, 1)


def test_weights_survive_packing() -> None:
    weights = {
        "bfloat16": torch.randn(3, 5, dtype=torch.bfloat16).T,
        "scalar": torch.tensor(1.5),
    }
    unpacked = unpack_weights(pack_weights(weights))
    assert unpacked.keys() == weights.keys()
    for name, tensor in weights.items():
        assert unpacked[name].dtype == tensor.dtype
        assert torch.equal(unpacked[name], tensor)


def test_the_private_cluster_leaves_nothing_behind(
    others: list[int], cluster: Cluster, pair: RayPool, single: RayPool
) -> None:
    """Last, because it ends the cluster that the other tests share."""
    assert cluster.private and cluster.folder is not None and cluster.folder.is_dir()
    actors = pair.pids()
    single.close()
    pair.close()
    assert not wait_until_gone(actors)
    assert ray.is_initialized()
    everything = [pid for pid in descendants(os.getpid()) if pid not in others]
    assert len(everything) >= 3
    cluster.close()
    cluster.close()
    assert not wait_until_gone(everything)
    assert not cluster.folder.exists()
    assert not ray.is_initialized()
    assert "RAY_AUTH_TOKEN" not in os.environ
