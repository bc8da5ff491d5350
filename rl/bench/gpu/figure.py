"""What a part of the GPU run is given and what it yields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where the parts run, and how large they are.

    Attributes:
        device: "cuda" or "cpu".
        tiny: Models of a few thousand parameters and few tokens, to try the run itself on a CPU.
    """

    device: str
    tiny: bool


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured value, with the bounds it must keep if it has any.

    Attributes:
        name: What was measured.
        value: A number, or text such as the name of the card.
        unit: Its unit.
        at_least: Lower bound, in the same unit.
        at_most: Upper bound, in the same unit.
    """

    name: str
    value: float | str
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def passed(self) -> bool | None:
        """Whether the value is within its bounds; NaN is not. None: it has none."""
        if self.at_least is None and self.at_most is None:
            return None
        assert not isinstance(self.value, str), f"{self.name}: text has no bounds"
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)

    @property
    def bounds(self) -> str:
        """The bounds as text."""
        low = [] if self.at_least is None else [f">= {self.at_least:g}"]
        high = [] if self.at_most is None else [f"<= {self.at_most:g}"]
        return ", ".join(low + high)


class PartSkippedError(Exception):
    """Something that a part needs is not there; the message says what."""
