"""Whether a run may be continued with a config: nothing may change that would have changed what was trained.

A run that is made longer must end with the weights of one that was as long from the start. Where a key that may
usually change would break that, it is refused here by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from configs import Config
from rl.runs.checkpoints import checkpoints, latest_checkpoint
from rl.runs.early_stopping import is_over
from rl.runs.errors import RunFolderError
from rl.runs.log import evaluation_log, metrics_log, read_summary
from rl.runs.record import Stage

# Keys that may change when a run is resumed: where and how it runs, how far it goes, and what is measured. All
# other keys define the run.
_MAY_CHANGE = (
    "output_dir",
    "modules_dir",
    "report_to",
    "sample_tables",
    "trajectories",
    "push_to_hub",
    "eval.",
    "grpo.updates",
    "grpo.save_every",
    "grpo.keep_checkpoints",
    "warm_start.keep_checkpoints",
    "grpo.max_logprob_diff",
    "rollout.actor_device",
    "rollout.backend",
    "rollout.num_actors",
    "rollout.cpus_per_actor",
    "rollout.deadline_s",
    "rollout.long_prompts",
    "rollout.max_prompt_tokens",
    "rollout.max_restarts",
    "rollout.restart_window_s",
    "rollout.start_deadline_s",
    "rollout.max_ungraded",
)
_NEW_RUN = "start a new run in another output_dir"


def check_resumable(path: Path, config: Config) -> None:
    """Refuse to continue a run with another config, with files of another format or without its checkpoint.

    Args:
        path: Folder of the run.
        config: The config given now.

    Raises:
        RunFolderError: Names what differs and what to do.
    """
    try:
        saved = _flatten(yaml.safe_load((path / "config.yaml").read_text()))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RunFolderError(
            f"--resume: {path / 'config.yaml'} cannot be read ({type(error).__name__}), so the run's "
            f"config is unknown; {_NEW_RUN}"
        ) from None
    given = _flatten(config.model_dump(mode="json"))
    changed = [
        f"{key} was {saved.get(key)!r}, is {given.get(key)!r}"
        for key in sorted(saved.keys() | given.keys())
        if saved.get(key) != given.get(key) and not key.startswith(_MAY_CHANGE)
    ]
    if changed:
        raise RunFolderError(
            f"--resume: the config differs from the run in {path}: {'; '.join(changed)}. Give the same values, "
            f"or {_NEW_RUN}"
        )
    if reason := _other_weights(saved, given):
        raise RunFolderError(f"--resume: {reason}; give the same value, or {_NEW_RUN}")
    _check_format(path)
    _check_extension(path, config)


def _other_weights(saved: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """Why a change of a key that may change would lead to other weights here; empty if it would not."""

    def was(key: str) -> str:
        return f"{key} was {saved.get(key)}, is {given.get(key)}"

    if given["rollout.max_prompt_tokens"] < saved.get("rollout.max_prompt_tokens", 0):
        return f"{was('rollout.max_prompt_tokens')}, but it may only rise"
    longer = saved.get("grpo.updates") != given.get("grpo.updates")
    schedule = given.get("grpo.lr_schedule", "constant")
    if longer and schedule != "constant":
        return (
            f"{was('grpo.updates')}, and with grpo.lr_schedule '{schedule}' the learning rate of every update "
            "depends on it"
        )
    if given["rollout.max_staleness"] == 0:
        return ""
    ahead = "nothing is sampled ahead across a checkpoint (rollout.max_staleness is above 0)"
    if saved.get("grpo.save_every") != given.get("grpo.save_every"):
        return f"{was('grpo.save_every')}, and {ahead}, so other weights would sample the completions"
    every = saved.get("grpo.save_every")
    if longer and (every is None or saved["grpo.updates"] % every):
        return (
            f"{was('grpo.updates')}, and {ahead}: a run can only be made longer if it ended at a multiple of "
            f"grpo.save_every, which is {every}"
        )
    return ""


def _check_format(path: Path) -> None:
    """Refuse a run whose files have another format than this version writes.

    Trajectories are not opened: their format is that of the summary and of the metrics beside them.
    """
    read_summary(path)
    metrics_log(path).check_format()
    for stage in Stage:
        for greedy in (True, False):
            evaluation_log(path, stage, greedy=greedy).check_format()


def _check_extension(path: Path, config: Config) -> None:
    """Refuse to make a stage longer whose checkpoint is gone: it would start at update 1 again."""
    summary = read_summary(path)
    if summary.stopped is not None and is_over(config.eval, summary.best, summary.stopped):
        return
    for stage, section in ((Stage.WARM, config.warm_start), (Stage.GRPO, config.grpo)):
        done = summary.updates.get(stage, 0)
        if section is not None and 0 < done < section.updates and latest_checkpoint(path, stage) is None:
            raise RunFolderError(
                f"--resume: {stage.label} has been trained for {done} updates and cannot go on to "
                f"{section.updates}: no complete checkpoint is in {checkpoints(path, stage)}; restore it, or "
                f"{_NEW_RUN}"
            )


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat.update(_flatten(inner, f"{prefix}.{key}" if prefix else str(key)))
    return flat
