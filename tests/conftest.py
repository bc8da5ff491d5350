"""What every test process needs: one thread each, no network, and which tests share a pytest-xdist worker.

The tests of one file stay together, so that fixtures of a module are made once. Files that start Ray clusters,
drive a browser or depend on time share a worker among themselves: two clusters at once would slow each other
down past their deadlines.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator, Sequence

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.kit.fork_server import ForkServer

# Several threads in each of several processes on few cores slow each other down many times over.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

settings.register_profile("stride", deadline=None)  # how long an example takes depends on what else runs
settings.load_profile("stride")

GROUPS = {
    "tests/scripts/test_ablate.py": "ray",
    "tests/scripts/test_job_submit.py": "ray",
    "tests/rl/ablation/test_run.py": "ray",
    "tests/rollout/pools/test_ray_pool.py": "ray",
    "tests/rl/test_own_env.py": "ray",
    "tests/rl/test_resume.py": "ray",
    "tests/rl/viewer/test_page.py": "browser",
    "tests/envs/sandbox/test_sandbox.py": "timing",
    "tests/rl/bench/test_race.py": "timing",
}
"""The worker of each file that may not run beside any file; the others get one by file."""

LONG = (
    "tests/test_vllm.py",
    "tests/rollout/pools/test_chaos.py",
    "tests/rl/test_learning.py",
    "tests/rl/test_interrupt.py",
    "tests/scripts/test_packaging.py",
    "tests/test_chaos.py",
    "tests/envs/tasks/test_reasoning_gym.py",
    "tests/envs/arithmetic_steps/test_hostile_text.py",
    "tests/envs/equation_steps/test_hostile_text.py",
    "tests/rl/bench/test_update.py",
    "tests/scripts/test_notebook.py",
)
"""Files of half a minute and more, which follow the groups: at the end one would keep one worker busy alone."""

SLOW_S = 2.5
"""Tests that take longer must be marked slow: `make test-fast` leaves them out."""

_unmarked: dict[str, float] = {}


class GroupScheduling(LoadScopeScheduling):
    """Sends all tests of a group to one worker. xdist's own `loadgroup` has no effect with pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """The group of a test: its file's in `GROUPS`, or the file alone."""
    file = nodeid.partition("::")[0]
    return GROUPS.get(file, file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling:
    """Schedule by group."""
    return GroupScheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Import everything without looking for garbage, then leave it out of every later search.

    It is some 800,000 objects. Trainers search for garbage when they end, and took half a second for it each.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort what takes longest to the start, since it ends last; skip what wants a GPU where there is none."""
    assert [name for name in (*GROUPS, *LONG) if not (config.rootpath / name).is_file()] == []
    order = [*dict.fromkeys(GROUPS.values()), *LONG]
    items.sort(key=lambda item: _place(order, group_of(item.nodeid)))
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if on_gpu and not _has_gpu():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="torch sees no GPU"))


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """Starts `stride train` in processes that need not import anything; it imports torch itself, once."""
    with ForkServer() as server:
        yield server


def _has_gpu() -> bool:
    import torch  # only where a test asks: it takes seconds

    return torch.cuda.is_available()


def _place(order: Sequence[str], group: str) -> int:
    return order.index(group) if group in order else len(order)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note slow tests that are not marked."""
    if report.when == "call" and report.duration > SLOW_S and "slow" not in report.keywords:
        _unmarked[report.nodeid] = report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that should be marked slow; no failure, since a busy machine makes any test slow."""
    for name, seconds in sorted(_unmarked.items(), key=lambda item: -item[1]):
        terminalreporter.write_line(f"not marked slow, took {seconds:.0f} s: {name}")
