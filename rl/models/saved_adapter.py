"""A `policy.model` that is a saved LoRA adapter: whether, and how, it can be trained.

In: the config's `policy` section. Out: the adapter's settings and the `policy` section of its base model, or
one line that says what does not fit. Torch is not imported.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

from configs.schema.config import PolicyConfig
from rl.models.files import ADAPTER, PolicyError, locate_model


def check_model(config: PolicyConfig) -> None:
    """Refuse a policy whose files are missing or do not fit the config; the tiny model needs none.

    Raises:
        PolicyError: As `locate_model` and `find_adapter`.
    """
    if config.model == "tiny":
        key = "merge_adapter" if config.merge_adapter else "revision" if config.revision is not None else None
        if key is not None:
            raise PolicyError(
                f"policy.{key} is set, but policy.model is 'tiny', made from scratch; leave it out"
            )
        return
    settings = find_adapter(config, locate_model(config))
    if settings is not None:
        base_config(config, settings)
    elif config.merge_adapter:
        raise PolicyError(
            f"policy.merge_adapter is true, but policy.model '{config.model}' is a whole model; set it to false"
        )


def find_adapter(config: PolicyConfig, place: str) -> dict[str, Any] | None:
    """The settings of the LoRA adapter that `policy.model` is; None for a whole model.

    Args:
        config: The `policy` section.
        place: Folder or hub id of `policy.model`.

    Raises:
        PolicyError: The adapter cannot be trained as the config says.
    """
    file = _adapter_file(config, place)
    if file is None:
        return None
    this = f"policy.model '{config.model}' is"
    try:
        settings: dict[str, Any] = json.loads(file.read_text())
    except ValueError:
        raise PolicyError(f"{this} an adapter whose {ADAPTER} is not JSON; save it again") from None
    if (kind := settings.get("peft_type")) != "LORA":
        raise PolicyError(f"{this} a {kind} adapter, and only LORA is supported; merge it into its base first")
    if not settings.get("base_model_name_or_path"):
        raise PolicyError(f"{this} an adapter without a base model; set base_model_name_or_path in {ADAPTER}")
    if config.merge_adapter and config.lora is not None:
        raise PolicyError(
            "policy.merge_adapter is true and policy.lora is set, but a new adapter would fit only the merged "
            "weights, which nobody else has; set lora to null, or merge_adapter to false to train this one"
        )
    if not config.merge_adapter:
        _check_same(config, settings)
    return settings


def _adapter_file(config: PolicyConfig, place: str) -> Path | None:
    if config.gguf_file is not None:
        return None
    if Path(place).is_dir():
        file = Path(place) / ADAPTER
    else:
        cached = try_to_load_from_cache(place, ADAPTER, revision=config.revision)
        if not isinstance(cached, str):
            return None
        file = Path(cached)
    return file if file.is_file() and not (file.parent / "config.json").is_file() else None


def _check_same(config: PolicyConfig, settings: dict[str, Any]) -> None:
    """Refuse to train an adapter with other settings than its own."""
    this, lora = f"policy.model '{config.model}' is a LoRA adapter", config.lora
    rank, alpha, targets = (settings.get(key) for key in ("r", "lora_alpha", "target_modules"))
    if lora is None:
        raise PolicyError(
            f"{this}; to train it further, set policy.lora={{r: {rank}, alpha: {alpha}}}; to train all "
            "weights, set policy.merge_adapter=true"
        )
    if (lora.r, lora.alpha) != (rank, alpha):
        raise PolicyError(
            f"{this} with r {rank} and alpha {alpha}, but policy.lora has r {lora.r} and alpha {lora.alpha}; "
            "set them to the adapter's"
        )
    if lora.target_modules not in ("all-linear", targets) and (
        not isinstance(targets, list) or set(lora.target_modules) != set(targets)
    ):
        raise PolicyError(
            f"{this} on {targets}, but policy.lora.target_modules is {lora.target_modules}; leave it out, and "
            "the adapter's is kept"
        )


def base_config(config: PolicyConfig, settings: dict[str, Any]) -> PolicyConfig:
    """The `policy` section of an adapter's base model.

    Args:
        config: The adapter's.
        settings: Of `find_adapter`.

    Raises:
        PolicyError: The base model is missing.
    """
    named = {"model": settings["base_model_name_or_path"], "revision": settings.get("revision")}
    base = config.model_copy(update=named)
    try:
        locate_model(base)
    except PolicyError as error:
        raise PolicyError(f"policy.model '{config.model}' is an adapter without its base: {error}") from None
    return base
