"""A small share of `make test-hostile`; see `tests/kit/hostile.py`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from envs import ENVS
from tests.kit import hostile
from tests.kit.finding import Finding

pytestmark = pytest.mark.slow

SHARES: dict[str, Callable[[], Finding]] = {
    "mutations": lambda: hostile.mutations(20_000, seed=1),
    "expressions": lambda: hostile.expressions(3_000, seed=1),
    "hacks": lambda: hostile.reward_hacks(3),
    "controls": lambda: hostile.controls(5),
}


@pytest.mark.parametrize("name", SHARES)
def test_a_small_share_of_each_test(name: str) -> None:
    found = SHARES[name]()
    assert found.failures == ()
    assert found.size > 500


@pytest.mark.parametrize("name", sorted(ENVS))
def test_hostile_answers_do_nothing(name: str) -> None:
    found = hostile.replays([name], grace_s=10)  # a busy machine may be slow for a while
    assert found.failures == ()
    assert found.size >= 2 * 3 * len(hostile.corpus())  # two splits at least, three places a text can stand
