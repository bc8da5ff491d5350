"""Randomised positions of the warm start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from configs.schema.config import WarmStartConfig
from envs import make_env
from rl.precision import Passes
from rl.sft.examples import make_phases
from rl.sft.positions import draw_positions
from rl.sft.trainer import warm_start
from tests.kit.tiny_policy import tiny_policy

ENV = make_env("addition")


def mask(lengths: list[int]) -> torch.Tensor:
    return (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()


def test_positions_ascend_below_the_range() -> None:
    drawn = draw_positions(mask([12] * 400), 300, 1)
    assert (drawn.diff(dim=1) > 0).all()
    last = drawn[:, -1].float()
    assert drawn.min() >= 0 and last.max() < 300
    # The limit is log-uniform between 12 and 300, so half of the rows end below its geometric mean, 60.
    assert 0.4 < (last < 60).float().mean() < 0.65
    assert (last == 11).any()  # some have ordinary positions


def test_padding_goes_on_after_the_tokens_and_longer_rows_are_ordinary() -> None:
    drawn = draw_positions(mask([3, 8, 20]), 10, 1)
    assert (drawn.diff(dim=1) > 0).all()
    assert drawn[0, 2] < 10 and drawn[1, 7] < 10
    assert drawn[2].tolist() == list(range(20))


def test_a_row_depends_on_its_number_alone() -> None:
    both = draw_positions(mask([5, 5, 5, 5]), 100, "a", 7)
    parts = [draw_positions(mask([5, 5]), 100, "a", 7, first=first) for first in (0, 2)]
    assert torch.equal(both, torch.cat(parts))
    assert not torch.equal(both, draw_positions(mask([5, 5, 5, 5]), 100, "a", 8))


def seen_positions(folder: Path, **settings: Any) -> list[list[list[int]]]:
    """The positions of each row, for every update, that a warm start gives its model."""
    policy = tiny_policy(ENV)
    config = WarmStartConfig(updates=3, num_problems=64, batch_size=4, **settings)
    passes: list[list[list[int]]] = []

    def keep(module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        given, tokens = kwargs.get("position_ids"), kwargs["attention_mask"]
        if given is None:
            given = torch.arange(tokens.shape[1]).expand(tokens.shape)
        passes.append([row[: int(n)].tolist() for row, n in zip(given, tokens.sum(1), strict=True)])

    policy.model.model.register_forward_pre_hook(keep, with_kwargs=True)
    warm_start(
        policy,
        make_phases(ENV, [], config, seed=0),
        config,
        folder=folder,
        seed=0,
        passes=Passes(cpu=True, mixed_precision=False, checkpointing=False),
        report_to=[],
        callbacks=[],
    )
    size = config.micro_batch_size or config.batch_size
    rows = [row for part in passes for row in part]
    assert all(len(part) == size for part in passes)
    return [rows[i : i + 4] for i in range(0, len(rows), 4)]


def test_the_warm_start_reads_at_drawn_positions(tmp_path: Path) -> None:
    ordinary = seen_positions(tmp_path / "a")
    drawn = seen_positions(tmp_path / "b", position_range=500)
    assert all(row == list(range(len(row))) for update in ordinary for row in update)
    assert [[len(row) for row in update] for update in drawn] == [[len(row) for row in u] for u in ordinary]
    assert max(row[-1] for update in drawn for row in update) > 100
    assert drawn == seen_positions(tmp_path / "c", position_range=500, micro_batch_size=2)
