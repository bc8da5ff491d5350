"""Key tokens: hand-worked edits, ties, and every pair of short sequences against a plain recursion."""

from __future__ import annotations

import random
import time
from functools import cache
from itertools import product

import pytest

from rl.key_steps.edit_distance import edit_distance, key_tokens


@pytest.mark.parametrize(
    ("one", "other", "keys"),
    [
        ("", "", ""),
        ("", "ab", ""),
        ("ab", "", "ab"),
        ("abc", "abc", ""),
        ("abc", "adc", "b"),  # one replacement
        ("abc", "ac", "b"),  # one deletion
        ("ac", "abc", ""),  # one insertion: nothing of ours has to go
        ("kitten", "sitting", "ke"),  # k -> s, e -> i, and g inserted
        ("sitting", "kitten", "sig"),  # s -> k, i -> e, and g deleted
        ("12 = 12", "12 = 13", "2"),
    ],
)
def test_by_hand(one: str, other: str, keys: str) -> None:
    found = key_tokens([ord(c) for c in one], [ord(c) for c in other])
    assert "".join(c for c, key in zip(one, found, strict=True) if key) == keys


def test_of_equal_edits_deletions_come_first_from_the_end() -> None:
    # 1 2 -> 2 1 takes two edits: two replacements, or 2 deleted at the end and inserted before 1.
    assert key_tokens([1, 2], [2, 1]).tolist() == [False, True]
    # The last of two equal tokens is deleted.
    assert key_tokens([7, 5, 5, 8], [7, 5, 8]).tolist() == [False, False, True, False]


def plain_distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    @cache
    def of(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        same = one[i - 1] == other[j - 1]
        return min(of(i - 1, j) + 1, of(i, j - 1) + 1, of(i - 1, j - 1) + (not same))

    return of(len(one), len(other))


def test_all_pairs_of_short_sequences() -> None:
    sequences = [seq for length in range(4) for seq in product((1, 2, 3), repeat=length)]
    for one, other in product(sequences, sequences):
        distance = plain_distance(one, other)
        assert edit_distance(one, other) == distance
        kept = [token for token, key in zip(one, key_tokens(one, other), strict=True) if not key]
        # What is kept is a subsequence of the other, and the edits are as many as the distance:
        # len(one) - kept deletions and replacements, and the insertions that the lengths leave.
        rest = iter(other)
        assert all(token in rest for token in kept)
        changed = len(one) - len(kept)
        assert max(changed, len(other) - len(kept)) <= distance <= changed + len(other) - len(kept)


def test_long_random_sequences_agree_with_the_recursion() -> None:
    rng = random.Random(0)
    for _ in range(10):
        one, other = (tuple(rng.choices(range(5), k=rng.randint(0, 60))) for _ in range(2))
        assert edit_distance(one, other) == edit_distance(other, one) == plain_distance(one, other)


def test_a_thousand_tokens_take_a_fraction_of_a_second() -> None:
    rng = random.Random(1)
    one = rng.choices(range(50), k=1000)
    other = [token if rng.random() < 0.8 else rng.randrange(50) for token in one]
    started = time.process_time()
    found = key_tokens(one, other)
    assert time.process_time() - started < 1.0
    assert 100 < found.sum() < 250
