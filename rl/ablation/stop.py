"""How a signal to an ablation reaches its trials: an actor that each of them waits for.

Its process imports nothing but this, neither Ray Tune nor torch.
"""

from __future__ import annotations

import asyncio


class StopActor:
    """Tells trials to stop, on whatever node they are."""

    def __init__(self) -> None:
        self._told = asyncio.Event()

    async def tell(self) -> None:
        """Tell all trials."""
        self._told.set()

    async def wait(self) -> None:
        """Return once they are told."""
        await self._told.wait()
