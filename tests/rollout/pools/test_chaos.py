"""A small share of `make test-chaos`: a run that loses a node and one actor ends as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.chaos_actors import compare, train
from tests.kit.chaos_nodes import lose_nodes

pytestmark = pytest.mark.slow


def test_a_run_goes_on_without_the_node_that_died(tmp_path: Path) -> None:
    calm = train(tmp_path / "calm", "rollout.backend=local", updates=3)
    keys = ("rollout.num_actors=2", "rollout.start_deadline_s=5")
    tried = lose_nodes(tmp_path / "tried", *keys, updates=3, lost=1, added=0, workers=1)
    found = compare("a node killed", calm, tried)
    assert found.failures == () and found.size == 1
    assert "was lost with its node" in tried.log or "died" in tried.log
    assert "going on with 1 of 2 actors" in tried.log  # one core is left
