"""Encodes dual traces as rows of token ids with their key tokens, in training order, and as batches.

In: pairs. Out: one `PairRow` for each place in the training, and tensors for an update.

Shapes: N pairs of an update; B = 2 N rows; T tokens, prompts included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from configs import ConfigError
from envs.seeding import derive_random
from rl.key_steps.agreement import Agreement, agreement_of, both_keys
from rl.key_steps.duals import Dual
from rl.key_steps.responses import Response
from rollout.encoder import Encoder


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A prompt with one of its responses.

    Attributes:
        ids: Token ids of both.
        keys: Whether each is a key token; none of the prompt is.
        num_tokens: Tokens of the response.
        agreement: Edit distance against the true key line, which is unknown where steps are not checked.
    """

    ids: NDArray[np.int64]
    keys: NDArray[np.bool_]
    num_tokens: int
    agreement: Agreement


@dataclass(frozen=True, kw_only=True, slots=True)
class PairRow:
    """A pair as it is trained on."""

    right: Row
    wrong: Row


def encode_pairs(
    pairs: Sequence[Dual], encoder: Encoder, key: Literal["edit_distance", "true"], *, context: int | None
) -> list[PairRow]:
    """The pairs as token ids.

    Args:
        pairs: The pairs.
        encoder: The policy's.
        key: What the key tokens are.
        context: Positions that the model has; None: no limit.

    Raises:
        ConfigError: A row is longer than the model's context.
    """
    rows = []
    for pair in pairs:
        prompt = encoder.encode_prompt(pair.problem)
        keys = both_keys(pair)
        places = pair.key_lines or (None, None)
        right, wrong = (
            _row(prompt, response, by_edit, place, key)
            for response, by_edit, place in zip((pair.right, pair.wrong), keys, places, strict=True)
        )
        rows.append(PairRow(right=right, wrong=wrong))
    longest = max((len(row.ids) for pair_row in rows for row in (pair_row.right, pair_row.wrong)), default=0)
    if context is not None and longest > context:
        raise ConfigError(
            f"a dual trace of the key steps has {longest} tokens with its prompt, which is over the model's "
            f"context of {context} tokens; make env.settings easier"
        )
    return rows


def _row(
    prompt: Sequence[int],
    response: Response,
    by_edit: NDArray[np.bool_],
    key_line: int | None,
    key: Literal["edit_distance", "true"],
) -> Row:
    chosen = by_edit if key == "edit_distance" else np.asarray(response.lines) == key_line
    return Row(
        ids=np.array([*prompt, *response.ids], dtype=np.int64),
        keys=np.concatenate([np.zeros(len(prompt), dtype=np.bool_), chosen]),
        num_tokens=len(response.ids),
        agreement=Agreement() if key_line is None else agreement_of(response, by_edit, key_line),
    )


def in_order(rows: Sequence[PairRow], num: int, *, seed: int) -> list[PairRow]:
    """`num` pairs: all of them, shuffled, and again shuffled until there are enough."""
    rng = derive_random(seed, "key_steps", "order")
    order: list[PairRow] = []
    while len(order) < num:
        order += rng.sample(rows, len(rows))
    return order[:num]


def collate(pairs: Sequence[PairRow], pad_id: int) -> dict[str, torch.Tensor]:
    """The tensors of an update, padded on the right.

    Returns:
        `input_ids`, `attention_mask` and `keys` [B, T], `num_tokens` and `is_wrong` [B], and `agreement`
        [2, 7]: the counts of right and of wrong traces, in the order of `Agreement`.
    """
    rows = [*[pair.right for pair in pairs], *[pair.wrong for pair in pairs]]
    width = max(len(row.ids) for row in rows)
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    keys = np.zeros((len(rows), width), dtype=np.bool_)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row.ids)] = row.ids
        keys[place, : len(row.ids)] = row.keys
        mask[place, : len(row.ids)] = 1
    counts = torch.tensor([row.agreement for row in rows]).view(2, len(pairs), -1).sum(1)
    return {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy(mask),
        "keys": torch.from_numpy(keys),
        "num_tokens": torch.tensor([row.num_tokens for row in rows]),
        "is_wrong": torch.arange(len(rows)) >= len(pairs),
        "agreement": counts,
    }
