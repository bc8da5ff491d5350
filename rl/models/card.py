"""The model card (`README.md`) of a model folder: what was trained, on what, with which results.

In: a model folder, and the run it comes from if there is one. Out: text for the Hugging Face hub, with the
metadata block that the hub reads. Absolute paths, which reveal the machine, are cut to their last part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard

from rl.pages.decoding import decoding
from rl.pages.steps import COUNTED, are_checked
from rl.runs.log import read_summary
from rl.runs.models import TrainedModel
from rl.runs.read import read_config
from rl.runs.record import SplitResult, Stage
from rl.stats.format import table_number

_TRAINED = {
    Stage.BASE: "not trained",
    Stage.WARM: "supervised fine-tuning on demonstrations (TRL's SFTTrainer)",
    Stage.KEY_STEPS: "training on the key steps of right and wrong traces (EDIT, arXiv 2405.19737)",
    Stage.GRPO: "reinforcement learning with GRPO (arXiv 2402.03300, TRL's GRPOTrainer)",
}
_OWN_TYPE = (
    " Nothing else loads it: its tokens stand at line or column positions, which transformers does not have."
)


def write_model_card(model: TrainedModel, name: str) -> None:
    """Write the card into the model's folder, over an existing one."""
    (model.path / "README.md").write_text(model_card(model, name))


def model_card(model: TrainedModel, name: str) -> str:
    """The card of a model, with the results of its run so far.

    Args:
        model: The model folder and its run.
        name: Title of the card.
    """
    config = {} if model.run is None else read_config(model.run)
    policy = config.get("policy", {})
    base = policy.get("model")
    ours = _is_own_type(model.path, policy)
    library = "peft" if (model.path / "adapter_config.json").is_file() else "transformers"
    meta: dict[str, Any] = {
        "library_name": "stride" if ours else library,
        "tags": ["stride", "grpo", "reasoning"],
    }
    if base is not None and base != "tiny" and not _is_local(base):
        meta["base_model"] = base
    if (license_name := _license(base)) is not None:
        meta["license"] = license_name
    parts = [
        f"---\n{yaml.safe_dump(meta, sort_keys=False).strip()}\n---",
        f"# {name}\n\nTrained with {_stride(model.run)}.{_OWN_TYPE if ours else ''}",
    ]
    if model.run is None or model.stage is None:
        return "\n\n".join(parts) + "\n"
    shown = _without_folders(config)
    made = "a small Llama with random weights (`tiny`)" if base == "tiny" else f"`{shown['policy']['model']}`"
    if revision := _provenance(model.run).get("model", {}).get("commit") or policy.get("revision"):
        made += f" at revision `{revision}`"
    rows = [
        "| after | split | accuracy | 95 % interval | steps per right answer | tokens |",
        "|---|---|---|---|---|---|",
    ]
    found = read_summary(model.run).stages
    every = [result for results in found.values() for result in results.values()]
    for stage, results in found.items():
        rows += [_row(stage.label, split, result) for split, result in results.items()]
    terms = ", ".join(f"{term['weight']:g} × `{term['name']}`" for term in config["rewards"]["terms"])
    parts += [
        f"- Task: `{config['env']['name']}`.\n- Base model: {made}.\n"
        f"- Weights {_when(model)}: {_TRAINED[model.stage]}.\n- Reward: {terms}.",
        "\n".join(rows),
        f"{decoding(every)}; no problem of these splits was trained on, unless it is named `train`."
        f"{'' if are_checked(every) else f' {COUNTED}.'}",
        f"Config:\n\n```yaml\n{yaml.safe_dump(shown, sort_keys=False).strip()}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _when(model: TrainedModel) -> str:
    if (best := model.best) is None:
        return f"after the stage `{model.stage}`"
    return (
        f"after update {best.update} of the stage `{model.stage}`, the best one by {best.metric} on "
        f"{best.num_problems} problems of {best.split}: accuracy {best.accuracy:.3f}, "
        f"{table_number(best.steps_per_correct)} steps per right answer"
    )


def _is_own_type(folder: Path, policy: Mapping[str, Any]) -> bool:
    """Whether a folder holds a model of a type that only Stride has, or an adapter on one.

    Args:
        folder: The model folder.
        policy: The section of the run's config, empty without a run; it or the adapter names the base.
    """
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        base = policy.get("model") or json.loads(adapter.read_text()).get("base_model_name_or_path")
        if base == "tiny":
            return bool(policy.get("tiny", {}).get("positions") in ("lines", "columns"))
        folder = Path(base or "").expanduser()
    config = folder / "config.json"
    return config.is_file() and "line_stride" in json.loads(config.read_text())


def _is_local(base: str) -> bool:
    return base.startswith(("/", ".", "~", "package:")) or Path(base).is_dir()


def _license(base: str | None) -> str | None:
    """The license that the card of a base model in a folder states."""
    card = Path(base or "") / "README.md"
    if base is None or not card.is_file():
        return None
    try:
        stated = ModelCard(card.read_text(), ignore_metadata_errors=True).data.to_dict().get("license")
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return stated if isinstance(stated, str) else None


def _stride(run: Path | None) -> str:
    """The version of Stride, and the revision a run was started from."""
    try:
        text = f"Stride {version('stride-rl')}"
    except PackageNotFoundError:  # run from a checkout
        text = "Stride"
    revision = _provenance(run).get("git_revision")
    return f"{text} (revision {revision[:12]})" if revision else text


def _provenance(run: Path | None) -> dict[str, Any]:
    file = None if run is None else run / "provenance.json"
    if file is None or not file.is_file():
        return {}
    provenance: dict[str, Any] = json.loads(file.read_text())
    return provenance


def _without_folders(value: Any) -> Any:
    """A config whose absolute paths are cut to their last part."""
    if isinstance(value, dict):
        return {key: _without_folders(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_folders(part) for part in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value


def _row(stage: str, split: str, result: SplitResult) -> str:
    interval = f"{result.accuracy_low:.3f} to {result.accuracy_high:.3f}"
    steps, how = table_number(result.steps_per_correct), "" if result.greedy else " sampled"
    return f"| {stage} | {split} | {result.accuracy:.3f}{how} | {interval} | {steps} | {result.tokens:.1f} |"
