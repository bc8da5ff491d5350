"""Randomised positions and position jumps of the warm start."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from configs.schema.config import PolicyConfig, WarmStartConfig
from envs import make_env
from rl.models.policy import load_policy
from rl.sft.column_jumps import jump_columns
from rl.sft.encode import IGNORED, encode_examples
from rl.sft.examples import make_examples
from rl.sft.lengths import check_lines
from rl.sft.positions import draw_positions, jump_positions
from rollout.positions import LinePositions
from tests.kit.tiny_policy import TINY
from tests.kit.warm_starts import run_warm_start

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
    assert torch.equal(both[:2], draw_positions(mask([5, 5]), 100, "a", 7))
    assert not torch.equal(both, draw_positions(mask([5, 5, 5, 5]), 100, "a", 8))


def seen_positions(
    folder: Path, positions: str = "lines", line_window: int | None = None, **settings: Any
) -> list[list[list[int]]]:
    """The positions of each row, for every update, that a warm start gives its model."""
    chosen = {"positions": positions, "line_window": line_window}
    tiny = TINY.model_copy(update=chosen if "position_jumps" in settings else {})
    policy = load_policy(PolicyConfig(tiny=tiny), ENV, seed=0)
    config = WarmStartConfig(updates=3, num_problems=64, batch_size=4, **settings)
    passes: list[list[list[int]]] = []

    def keep(module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        given, tokens = kwargs.get("position_ids"), kwargs["attention_mask"]
        if given is None:
            given = torch.arange(tokens.shape[1]).expand(tokens.shape)
        passes.append([row[: int(n)].tolist() for row, n in zip(given, tokens.sum(1), strict=True)])

    policy.model.model.register_forward_pre_hook(keep, with_kwargs=True)
    run_warm_start(policy, ENV, config, folder)
    size = config.micro_batch_size or config.batch_size
    rows = [row for part in passes for row in part]
    assert all(len(part) <= size for part in passes)
    return [rows[i : i + 4] for i in range(0, len(rows), 4)]


def test_the_warm_start_reads_at_drawn_positions(tmp_path: Path) -> None:
    ordinary = seen_positions(tmp_path / "a")
    drawn = seen_positions(tmp_path / "b", position_range=500)
    assert all(row == list(range(len(row))) for update in ordinary for row in update)
    assert [[len(row) for row in update] for update in drawn] == [[len(row) for row in u] for u in ordinary]
    assert max(row[-1] for update in drawn for row in update) > 100
    assert drawn == seen_positions(tmp_path / "c", position_range=500, micro_batch_size=2)


NEWLINE, ANSWER, STOP, HEAD, ACTION = 1, 2, 3, 10, 20
LINES = LinePositions(stride=32, newline_ids=(NEWLINE,))


def listed(num: int) -> tuple[list[int], int, dict[int, int]]:
    """A text like one of directional reasoning: a list that loses its first item in each line.

    Returns:
        Its tokens, those of its prompt, and for each token that is copied from the line above the token there.
    """
    ids = [HEAD, *range(ACTION, ACTION + num), NEWLINE]
    start, copied = len(ids), dict[int, int]()
    above = {action: 1 + action for action in range(num)}
    for done in range(1, num + 1):
        here = {action: len(ids) + action - done + 1 for action in range(done, num)}
        copied |= {here[action]: above[action] for action in here}
        ids += [HEAD + done % 4, *range(ACTION + done, ACTION + num), NEWLINE]
        above = here
    return [*ids, ANSWER, HEAD + num % 4, STOP], start, copied


def test_a_jump_leaves_what_is_copied_at_its_distance_or_without_loss() -> None:
    ids, start, copied = listed(8)
    plain = LINES.read(torch.tensor([ids]), torch.ones(1, len(ids)))[0]
    num = 200
    ids_BT = torch.tensor([ids] * num)
    labels_BT = ids_BT.clone()
    labels_BT[:, :start] = IGNORED
    moved, labels = jump_positions(ids_BT, torch.ones_like(ids_BT), labels_BT, LINES, 10, "a")
    masked = labels_BT != labels
    for row in range(num):
        for target, source in copied.items():  # a token is predicted where the one before it stands
            distance = moved[row, target - 1] - moved[row, source]
            assert distance == plain[target - 1] - plain[source] or masked[row, target]
    assert (moved.diff(dim=1) > 0).all()
    by = moved - plain
    assert by[:, 0].eq(0).all()
    within, between = by % LINES.stride, by // LINES.stride
    assert 0.6 < (within > 0).any(1).float().mean() < 0.8 and within.max() == 10
    assert 0.6 < (between > 0).any(1).float().mean() < 0.8 and between.max() == 10
    assert masked.any(0)[start:].all() and 0.05 < masked[:, start:].float().mean() < 0.3
    lists, _ = jump_positions(ids_BT, torch.ones_like(ids_BT), labels_BT, LINES, 10, "a", between_lines=False)
    assert torch.equal(lists - plain, within)
    untouched = ~by.any(1)
    assert untouched.any() and not masked[untouched].any()


def test_what_has_no_list_or_no_room_does_not_jump_within_lines() -> None:
    short = [HEAD, NEWLINE, ANSWER, HEAD, STOP]
    for ids, lines in ((short, LINES), (listed(8)[0], LinePositions(stride=10, newline_ids=(NEWLINE,)))):
        ids_BT = torch.tensor([ids] * 50)
        ones = torch.ones_like(ids_BT)
        moved, _ = jump_positions(ids_BT, ones, ids_BT, lines, 5, "a")
        assert ((moved - lines.read(ids_BT, ones)) % lines.stride == 0).all()


def test_another_line_that_is_long_leaves_the_jumps_in_lists() -> None:
    ids = [*[HEAD] * (2 * LINES.stride), NEWLINE, *listed(8)[0]]
    ids_BT = torch.tensor([ids] * 50)
    ones, labels_BT = torch.ones_like(ids_BT), ids_BT.clone()
    labels_BT[:, : ids.index(NEWLINE) + 1 + listed(8)[1]] = IGNORED
    moved, _ = jump_positions(ids_BT, ones, labels_BT, LINES, 5, "a")
    by = moved - LINES.read(ids_BT, ones)
    assert (by % LINES.stride > 0).any() and (moved.diff(dim=1) > 0).all()


def test_lines_that_outgrow_the_stride_are_told() -> None:
    env, config = make_env("directional"), WarmStartConfig(num_problems=20)
    encoder = load_policy(PolicyConfig(tiny=TINY), env, seed=0).encoder
    newline_ids = encoder.encode("\n")
    longest = max(
        len(encoder.encode(line))
        for example in make_examples(env, config, num_problems=20, seed=0)
        for text in (encoder.tokenizer.decode(encoder.encode_prompt(example.problem)), example.text)
        for line in text.splitlines(keepends=True)
    )
    for stride, told in ((longest + 1, False), (longest, True)):
        lines = LinePositions(stride=stride, newline_ids=newline_ids)
        warning = check_lines([env], config, encoder, lines, seed=0, remedy="raise it")
        assert (f"has {longest} tokens, and the line stride is {stride}:" in warning) == told == bool(warning)


def test_the_warm_start_reads_at_jumping_positions(tmp_path: Path) -> None:
    drawn = seen_positions(tmp_path / "a", position_jumps=20)
    assert all(later > earlier for u in drawn for row in u for earlier, later in pairwise(row))
    assert max(row[-1] for update in drawn for row in update) > 20 * TINY.line_stride / 2
    assert drawn == seen_positions(tmp_path / "b", position_jumps=20, micro_batch_size=2)


def test_with_a_window_over_lines_only_lists_jump(tmp_path: Path) -> None:
    drawn = seen_positions(tmp_path, line_window=3, position_jumps=20)
    lines = [[position // TINY.line_stride for position in row] for update in drawn for row in update]
    assert all(later - earlier <= 1 for row in lines for earlier, later in pairwise(row))
    assert any(
        later - earlier > 1 and later % TINY.line_stride
        for update in drawn
        for row in update
        for earlier, later in pairwise(row)
    )


def test_positions_change_in_one_way() -> None:
    with pytest.raises(
        ValidationError, match="position_range is 500 and position_jumps is 20; set one of them"
    ):
        WarmStartConfig(position_range=500, position_jumps=20)


@pytest.mark.parametrize("budget_frac", [0.0, 1.0])  # the line of a budget takes no column
def test_jumps_between_columns_move_all_that_is_about_those_behind_them(budget_frac: float) -> None:
    policy = load_policy(PolicyConfig(tiny=TINY.model_copy(update={"positions": "columns"})), ENV, seed=0)
    rule: Any = policy.model.config.positions
    settings = WarmStartConfig(num_problems=100, skipped_frac=0.0, budget_frac=budget_frac)
    rows = encode_examples(make_examples(ENV, settings, num_problems=100, seed=0), policy.encoder)
    num_jumps, places, masked = 0, 0, 0
    for row, (ids, labels) in enumerate(zip(rows["input_ids"], rows["labels"], strict=True)):
        ids_BT, labels_BT = torch.tensor([ids]), torch.tensor([labels])
        ones = torch.ones_like(ids_BT)
        plain = rule.read(ids_BT, ones)[0]
        moved, kept = jump_columns(ids_BT, ones, labels_BT, rule, 10, "a", row)
        ends = [n for n, token in enumerate(ids) if token in rule.newline_ids]
        # The question has its columns, the first step stands two lines below it.
        column = [
            int(p) // rule.stride if n <= ends[0] else max(int(p) // rule.stride - 2, 0)
            for n, p in enumerate(plain)
        ]
        by_column = dict(zip(column, ((moved[0] - plain) // rule.stride).tolist(), strict=True))
        assert moved[0].tolist() == [
            int(p) + by_column[c] * rule.stride for p, c in zip(plain, column, strict=True)
        ]
        jumps = [by_column[c + 1] - by_column[c] for c in range(max(column))]
        assert by_column[0] == 0 and all(0 <= jump <= 10 for jump in jumps)
        closing = ends[-1] + 1
        for n in range(ends[1] + 1, len(ids)):
            read = {column[n - 1], column[n]}  # a token is predicted where the one before it stands
            read |= {column[n] - 1} if n > closing else set()  # and the answer's from the column behind
            told = {by_column.get(c, 0) for c in read}
            assert (kept[0, n] == IGNORED) == (len(told) > 1 or labels[n] == IGNORED)
        num_jumps, places = num_jumps + sum(jump > 0 for jump in jumps), places + len(jumps)
        masked += int((kept != labels_BT).sum())
    assert 0.3 < num_jumps / places < 0.4
    assert masked > 0


def test_the_warm_start_reads_at_columns_that_jump(tmp_path: Path) -> None:
    drawn = seen_positions(tmp_path / "a", positions="columns", position_jumps=20)
    assert max(position for update in drawn for row in update for position in row) > 10 * TINY.line_stride
    assert drawn == seen_positions(tmp_path / "b", positions="columns", position_jumps=20, micro_batch_size=2)
