"""What all sections of a config share."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

SplitName = Literal["train", "id", "ood_easy", "ood_hard"]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, numbers are finite, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
