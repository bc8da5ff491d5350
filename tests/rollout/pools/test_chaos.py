"""A small share of `make test-chaos`: a run that loses a node and its actor ends like one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.chaos_actors import compare, train
from tests.kit.chaos_nodes import lose_nodes
from tests.kit.fork_server import ForkServer

pytestmark = pytest.mark.slow


def test_a_run_goes_on_without_the_node_that_died(fork_server: ForkServer, tmp_path: Path) -> None:
    calm = train(fork_server, tmp_path / "calm", "rollout.backend=local", updates=4)
    tried = lose_nodes(
        fork_server, tmp_path / "tried", "rollout.num_actors=2",
        updates=4, lost=1, added=0, workers=1, held_s=4,
    )  # fmt: skip
    found = compare("a node killed", calm, tried)
    assert found.failures == () and found.size == 1
    assert "rollout actor " in tried.log and "replaced (1 of at most" in tried.log
