"""The order of the train rows: shuffled, and shuffled again for each pass over them."""

from __future__ import annotations

from functools import lru_cache

from envs.seeding import derive_random


class Passes:
    """Positions of rows by index, for indexes without end.

    Args:
        size: Number of rows.
        seed: Data seed.
        name: The task's name.
    """

    def __init__(self, size: int, seed: int, name: str) -> None:
        self._size = size
        self._key = (seed, name, "order")
        self._order = lru_cache(maxsize=4)(self._shuffled)

    def __reduce__(self) -> tuple[type[Passes], tuple[int, int, str]]:
        """Copies start with an empty cache, which cannot be pickled."""
        return Passes, (self._size, self._key[0], self._key[1])

    def row(self, index: int) -> int:
        """The position of the row at an index."""
        epoch, place = divmod(index, self._size)
        return self._order(epoch)[place]

    def _shuffled(self, epoch: int) -> list[int]:
        order = list(range(self._size))
        derive_random(*self._key, epoch).shuffle(order)
        return order
