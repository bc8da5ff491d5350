"""Encodes the warm start's examples as token ids with labels, in training order.

In: the phases of `examples.py`. Out: a `datasets.Dataset` for TRL's `SFTTrainer`.
"""

from __future__ import annotations

from collections.abc import Sequence

from datasets import Dataset, concatenate_datasets

from envs.seeding import derive_random
from rl.sft.examples import Example, Phase
from rl.sft.lengths import check_context
from rollout.encoder import Encoder

IGNORED = -100  # label of tokens without loss


def encode_phases(
    phases: Sequence[Phase], encoder: Encoder, *, batch_size: int, seed: int, context: int | None = None
) -> Dataset:
    """The rows of a warm start in order: each phase repeats its examples, shuffled again each time.

    Raises:
        ConfigError: A row is longer than the model's `context`.
    """
    encoded = [encode_examples(phase.examples, encoder) for phase in phases]
    for rows in encoded:
        check_context([len(ids) for ids in rows["input_ids"]], context)
    rng = derive_random(seed, "warm_start", "order")
    order: list[int] = []
    first = 0
    for phase, rows in zip(phases, encoded, strict=True):
        left = phase.updates * batch_size
        while left > 0:
            once = rng.sample(range(first, first + len(rows)), len(rows))[:left]
            order += once
            left -= len(once)
        first += len(rows)
    return concatenate_datasets(encoded).select(order)


def encode_examples(examples: Sequence[Example], encoder: Encoder) -> Dataset:
    """Token ids with labels. The prompt and the ignored parts get no loss; the stop token does."""
    rows: dict[str, list[list[int]]] = {"input_ids": [], "labels": []}
    for example in examples:
        prompt_ids = encoder.encode_prompt(example.problem)
        taught, stop = encoder.encode_taught(example.text), encoder.stop_ids[0]
        moved = encoder.taught_offset(example.text)
        ignored = [(first + moved, last + moved) for first, last in example.ignored]
        labels = [
            IGNORED if any(first < end and start < last for first, last in ignored) else token
            for token, (start, end) in taught
        ]
        rows["input_ids"].append([*prompt_ids, *[token for token, _ in taught], stop])
        rows["labels"].append([*[IGNORED] * len(prompt_ids), *labels, stop])
    return Dataset.from_dict(rows)
