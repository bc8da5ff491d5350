"""What a run writes while it goes, one JSON object a line: metrics of updates, sampled trajectories."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what only reads a run need not import torch
    from rollout.encoder import Encoder
    from rollout.types import RolloutGroup


class JsonLines:
    """A file of JSON objects, one a line, each with the `stage` and `update` it belongs to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, *rows: Mapping[str, Any]) -> None:
        """Add rows at the end."""
        with self.path.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    def read(self) -> list[dict[str, Any]]:
        """All rows; a last line cut off by a kill is left out."""
        if not self.path.exists():
            return []
        lines = self.path.read_text().split("\n")
        return [json.loads(line) for line in lines[:-1] if line]

    def forget_after(self, stage: str, update: int) -> None:
        """Drop what a resumed run will write again: rows of `stage` beyond `update`."""
        rows = [row for row in self.read() if row["stage"] != stage or row["update"] <= update]
        if self.path.exists():
            temporary = self.path.with_suffix(".tmp")
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
            temporary.replace(self.path)


def group_rows(
    stage: str,
    update: int,
    group: RolloutGroup,
    encoder: Encoder,
    advantages: Sequence[float] | None = None,
) -> list[dict[str, Any]]:
    """A group as plain rows, one a completion: what was asked, what was written, how it was judged.

    Args:
        stage: Stage of the run.
        update: Update it was sampled for.
        group: The group.
        encoder: Gives the text of each token.
        advantages: Of each sample, where it is trained on; None: it is not, and none is written.
    """
    problem = group.problem
    return [
        {
            "stage": stage,
            "update": update,
            "group": group.group_id,
            "sample": number,
            "env": problem.env,
            "split": problem.split.value,
            "index": problem.index,
            "prompt": problem.prompt,
            "answer": problem.answer,
            "full_steps": problem.num_full_steps,
            "text": sample.text,
            "stated": sample.trace.answer,
            "outcome": sample.score.outcome.value,
            "reward": sample.score.total,
            "parts": dict(sample.score.parts),
            "tokens": len(sample.completion.ids),
            "weight_version": sample.completion.weight_version,
            "pieces": encoder.pieces(sample.completion.ids),
            "logprobs": [round(logprob, 4) for logprob in sample.completion.logprobs],
            **({} if advantages is None else {"advantage": advantages[number]}),
            "steps": [
                {
                    "text": step.text,
                    "kind": step.kind.value,
                    "verdict": step.verdict.value,
                    "reason": step.reason,
                    "undone": step.undone,
                }
                for step in sample.trace.steps
            ],
        }
        for number, sample in enumerate(group.samples)
    ]
