"""Settings of `reasoning_gym`, with the eight tasks of "How Much Backtracking is Enough?" as presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from envs.free_text import FreeTextSettings
from envs.problem import Split

# The settings of the paper's generation scripts; settings that these leave at their default have it here too.
PRESETS: dict[str, dict[str, Any]] = {
    "countdown": {
        "min_numbers": 4,
        "max_numbers": 6,
        "min_value": 1,
        "max_value": 100,
        "min_target": 100,
        "max_target": 999,
        "operators": ["+", "-", "*", "/"],
    },
    "sudoku": {"min_empty": 30, "max_empty": 50},
    "arc_1d": {"min_size": 10, "max_size": 30, "num_train": 3},
    "advanced_geometry": {
        "min_coord": -10,
        "max_coord": 10,
        "task_types": ["orthocenter", "incircle_radius", "angle_measure"],
    },
    "color_cube_rotation": {"min_rotations": 1, "max_rotations": 3},
    "list_functions": {},
    "zebra_puzzles": {},
    "self_reference": {"difficulty": 5},
}
Preset = Literal[
    "countdown",
    "sudoku",
    "arc_1d",
    "advanced_geometry",
    "color_cube_rotation",
    "list_functions",
    "zebra_puzzles",
    "self_reference",
]


class ReasoningGymSettings(FreeTextSettings):
    """Settings of `reasoning_gym`: the task, its difficulty, and how answers are scored.

    Attributes:
        seed: Data seed. Two runs with the same data seed see the same problems, whatever their run seeds.
        preset: A task with the settings of the paper.
        task: Name of any other task.
        config: Settings of the task's generator; they replace those of the preset.
        ood_easy: Settings of the ood_easy split; they replace those in `config`. None leaves the split out.
        ood_hard: Settings of the ood_hard split, likewise.
        full_steps: Step count of every problem, since the package has no solutions to count.
        timeout_s: Time limit for scoring one answer.
    """

    seed: int = 0
    preset: Preset | None = None
    task: str = ""
    config: dict[str, Any] = {}
    ood_easy: dict[str, Any] | None = None
    ood_hard: dict[str, Any] | None = None
    full_steps: int = Field(default=8, ge=1)
    timeout_s: float = Field(default=2.0, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _task_of_the_preset(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("preset") in PRESETS and not data.get("task"):
            return {**data, "task": data["preset"]}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> ReasoningGymSettings:
        if not self.task:
            raise ValueError(f"no task is named; set `task`, or `preset` to one of {', '.join(PRESETS)}")
        if self.preset and self.task != self.preset:
            raise ValueError(f"preset is {self.preset}, but task is {self.task}; leave one of the two out")
        settings = [self.config_of(split) for split in self.splits if split is not Split.ID]
        if any(one in settings[:i] for i, one in enumerate(settings)):
            raise ValueError(
                "two of train, ood_easy and ood_hard have the same settings; change them or leave a split out"
            )
        return self

    @property
    def splits(self) -> tuple[Split, ...]:
        """Train, id, and the out-of-distribution splits that are set."""
        given = {Split.OOD_EASY: self.ood_easy, Split.OOD_HARD: self.ood_hard}
        return tuple(split for split in Split if given.get(split, {}) is not None)

    def config_of(self, split: Split) -> dict[str, Any]:
        """The settings of the generator for a split."""
        over = {Split.OOD_EASY: self.ood_easy, Split.OOD_HARD: self.ood_hard}.get(split)
        return {**(PRESETS[self.preset] if self.preset else {}), **self.config, **(over or {})}
