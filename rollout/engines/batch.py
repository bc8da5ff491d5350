"""Which sample each row of the embedded engine's batch is, and how far it is.

Shapes: B rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rollout.engines.rows import Request, Rows


class SampleBatch:
    """The samples in the batch, by row.

    Attributes:
        samples: Sample of each row.
        left: Tokens left to each row before its length limit.
        sample_B: The samples, on the device.
        t_B: Tokens sampled so far, on the device.
    """

    def __init__(self, rows: Rows, limits: Sequence[int], device: torch.device) -> None:
        """Start empty.

        Args:
            rows: The rows, from which those that leave are removed.
            limits: Most new tokens of each sample of the call.
            device: Where the engine samples.
        """
        self._rows = rows
        self._limits = limits
        self.samples: list[int] = []
        self.left: list[int] = []
        self.sample_B = torch.empty(0, dtype=torch.long, device=device)
        self.t_B = torch.empty(0, dtype=torch.long, device=device)

    def num_sampled(self, row: int) -> int:
        """Tokens that a row has."""
        return self._limits[self.samples[row]] - self.left[row]

    def youngest(self, count: int) -> list[int]:
        """The rows with the fewest tokens, fewest first."""
        return sorted(range(len(self.left)), key=lambda row: (self.num_sampled(row), -self.samples[row]))[
            :count
        ]

    def add(self, requests: Sequence[Request]) -> None:
        """Add the samples of admitted requests."""
        new = [sample for request in requests for sample in request.samples]
        sampled = [len(request.sampled) for request in requests for _ in request.samples]
        self.samples += new
        self.left += [self._limits[sample] - tokens for sample, tokens in zip(new, sampled, strict=True)]
        self.sample_B = torch.cat([self.sample_B, self.sample_B.new_tensor(new)])
        self.t_B = torch.cat([self.t_B, self.t_B.new_tensor(sampled)])

    def leave(self, leaving: Sequence[int]) -> torch.Tensor:
        """Remove rows; returns the row that each remaining one was."""
        order = self._rows.leave(leaving)
        self.samples, self.left = [self.samples[row] for row in order], [self.left[row] for row in order]
        order_B = self.sample_B.new_tensor(order)
        self.sample_B, self.t_B = self.sample_B[order_B], self.t_B[order_B]
        return order_B
