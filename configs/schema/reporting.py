"""Config sections on what a run sends elsewhere while it goes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.schema.section import Section


class HubConfig(Section):
    """Upload of the run's models to the Hugging Face hub, with a model card."""

    repo_id: str = Field(min_length=1)
    """`owner/name`, or a name alone for the owner of the token. It is created where it does not exist."""
    private: bool = True
    """Create it private. One that exists stays as it is."""
    when: Literal["end", "save"] = "end"
    """`end`: one model, once the last is evaluated. `save`: also the model of every GRPO checkpoint; training
    waits for each upload."""
    model: Literal["last", "best"] = "last"
    """The model that is uploaded at the end: the last one, or the best of the evaluations during GRPO
    (`eval.every`)."""


class SampleTableConfig(Section):
    """Completions shown in the metric backends `tensorboard`, `wandb` and `trackio`, beside the curves."""

    num_samples: int = Field(8, ge=0)
    """Completions per table, whole groups first. 0: no tables."""
    every: int = Field(10, ge=1)
    """GRPO updates from one table to the next. Every evaluation has one too."""


class TrajectoryConfig(Section):
    """What a run keeps of the completions that GRPO samples, in a Parquet file for each update."""

    every: int = Field(1, ge=1)
    """GRPO updates from one file to the next: 1 keeps every update, 10 keeps updates 1, 11, 21, ..."""
    tokens: bool = True
    """Keep the text and the log-probability of every token too, about 3 bytes a token. Without them the viewer
    cannot colour tokens."""
