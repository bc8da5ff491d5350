"""First embeddings of numbers that say how large they are, for a model from scratch.

Tokens that are numbers begin with the cosine and sine of their value at fixed periods, so that equal last
digits, or equal remainders, are near each other before any training, and with those of the logarithm, in which
products are sums. Pretrained models have such features and add with them; models from scratch lack them and add
worse ("Pre-trained Large Language Models Use Fourier Features to Compute Addition", arXiv 2406.03445; as fixed
embeddings: "FoNE", arXiv 2502.09741). Here they are only the start: training changes them like any weight, and
a saved model is an ordinary one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

PERIODS = (2, 3, 4, 5, 7, 10, 11, 20, 30, 50, 100, 200)
LOG_PERIODS = tuple(math.log(2) * octaves for octaves in (0.25, 0.5, 1, 2, 4, 8))
NUM_FEATURES = 2 * (len(PERIODS) + len(LOG_PERIODS))
_SHARE = 0.9  # of the squared norm; the rest stays as drawn
_NUMBER = re.compile(r"([0-9]+)(?:[^\w\s] ?)?")


def fourier_features(numbers: Sequence[int]) -> torch.Tensor:
    """Cosine and sine at each period, then of the logarithm at each of its own: [numbers, NUM_FEATURES].

    The logarithm of 0 is taken as that of 0.5.
    """
    angles = [
        [2 * math.pi * number / period for period in PERIODS]
        + [2 * math.pi * math.log(number or 0.5) / period for period in LOG_PERIODS]
        for number in numbers
    ]
    turned = torch.tensor(angles, dtype=torch.float64)
    return torch.stack([turned.cos(), turned.sin()], -1).flatten(1).float()


def directions(hidden_size: int, seed: int) -> torch.Tensor:
    """Orthonormal columns [hidden_size, NUM_FEATURES], drawn from `seed`: where each feature stands."""
    generator = torch.Generator().manual_seed(seed)
    columns, _ = torch.linalg.qr(torch.randn(hidden_size, NUM_FEATURES, generator=generator))
    return columns


def number_tokens(tokenizer: PreTrainedTokenizerFast) -> dict[int, int]:
    """The number of each token id that stands for one, with a sign behind it or without."""
    found = {token: _NUMBER.fullmatch(piece) for piece, token in tokenizer.get_vocab().items()}
    return {token: int(match[1]) for token, match in sorted(found.items()) if match}


@torch.no_grad()
def start_from_features(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
    """Give the embeddings of numbers their features, at the norm they were drawn with; no other weight changes.

    Args:
        model: A model as drawn, with `initializer_range` in its config.
        tokenizer: Its tokenizer.
        seed: Draws the directions.
    """
    embeddings = cast(torch.Tensor, model.get_input_embeddings().weight)
    values = number_tokens(tokenizer)
    hidden = embeddings.shape[1]
    norm = model.config.initializer_range * math.sqrt(_SHARE * hidden)
    features = fourier_features(list(values.values())) * (norm / math.sqrt(NUM_FEATURES / 2))
    tokens = torch.tensor(list(values))
    drawn = embeddings[tokens] * math.sqrt(1 - _SHARE)
    embeddings[tokens] = drawn + features @ directions(hidden, seed).T
