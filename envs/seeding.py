"""Counter-based randomness: every generator is a pure function of a key that names its purpose.

In: a tuple of names and integers (run seed, environment, split, index, ...). Out: a 64-bit seed, or a
generator with that seed. No generator state has to be saved, and two different keys give independent
streams. `seed + index` would not: two runs with neighbouring seeds would share all but a few problems.
"""

from __future__ import annotations

import random
from hashlib import blake2b

Key = str | int


def derive_seed(*key: Key) -> int:
    """Hash a key to a seed in [0, 2**64).

    Example::

        >>> derive_seed(0, "addition", "train", 7) == derive_seed(0, "addition", "train", 7)
        True
    """
    text = "\x1f".join([f"{type(part).__name__[0]}{part}" for part in key])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def derive_random(*key: Key) -> random.Random:
    """A new `random.Random`, seeded with the hash of this key."""
    return random.Random(derive_seed(*key))
