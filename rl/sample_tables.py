"""Completions as tables in the metric backends, beside the curves.

In: rows of completions. Out: the text tab of TensorBoard, and tables named `completions/...` in wandb and
trackio. The text of a completion is shown as it is: nothing in it becomes Markdown or HTML.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from torch.utils.tensorboard.writer import SummaryWriter

from configs.schema.reporting import SampleTableConfig
from rl.runs.record import SampleRow


class SampleTables:
    """Shows some completions of some updates, and of each evaluation."""

    def __init__(self, config: SampleTableConfig, backends: Sequence[str], tensorboard: Path) -> None:
        """Set up; nothing is written before the first table.

        Args:
            config: The section `sample_tables`.
            backends: The config's `report_to`.
            tensorboard: Folder of TensorBoard's files.
        """
        self._config = config
        self._backends = {*backends} if config.num_samples else set[str]()
        self._tensorboard = tensorboard
        self._writer: SummaryWriter | None = None

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def wants(self, update: int) -> bool:
        """Whether the completions of an update, from 1, are shown."""
        return bool(self._backends) and (update - 1) % self._config.every == 0

    def show(self, name: str, update: int, rows: Sequence[SampleRow]) -> None:
        """Send the first completions to the backends.

        Args:
            name: What they are, for example `grpo`.
            update: Update they belong to.
            rows: The completions.
        """
        rows = rows[: self._config.num_samples]
        if not rows or not self._backends:
            return
        name = f"completions/{name}"
        if self._backends & {"tensorboard", "all"}:
            self._writer = self._writer or SummaryWriter(str(self._tensorboard))
            self._writer.add_text(name, "\n\n---\n\n".join(map(_as_text, rows)), update)
            self._writer.flush()
        for module in self._table_modules():
            module.log({name: module.Table(dataframe=pd.DataFrame([_columns(row, update) for row in rows]))})

    def _table_modules(self) -> list[Any]:
        """The backends with tables that the Trainer has started: their modules are loaded by then."""
        modules = []
        for name in ("wandb", "trackio"):
            module = sys.modules.get(name)
            if module is None or not self._backends & {name, "all"}:
                continue
            if name == "trackio" or module.run is not None:
                modules.append(module)
        return modules


def _columns(row: SampleRow, update: int) -> dict[str, Any]:
    advantage = row.advantage
    return {
        "update": update,
        "split": row.split,
        "problem": row.index,
        "prompt": _clean(row.prompt),
        "completion": _clean(row.text),
        "right_answer": _clean(row.answer),
        "outcome": row.outcome.value,
        "reward": row.reward,
        "advantage": advantage if isinstance(advantage, float) else None,
        "steps": row.num_steps,
        "backtracks": row.num_backtracks,
        "tokens": row.tokens,
    }


def _as_text(row: SampleRow) -> str:
    """A completion in Markdown: figures, then prompt and completion as indented code, which hides all marks."""
    figures = (
        f"**{row.outcome.value}**, reward {row.reward:.3f}, {row.num_steps} steps, {row.num_backtracks} "
        f"backtracks, {row.tokens} tokens ({row.split} {row.index}, sample {row.sample})"
    )
    return "\n\n".join([figures, _indented(row.prompt), "completion:", _indented(row.text)])


def _indented(text: str) -> str:
    return "\n".join([f"    {line}" for line in _clean(text).splitlines()]) or "    "


def _clean(text: str) -> str:
    """The text with what UTF-8 cannot encode replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")
