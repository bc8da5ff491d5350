"""A model's shape: the model that a config names without its weights, on the `meta` device.

In: a config. Out: the model with its adapter, from its config.json alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

import rollout.line_llama  # noqa: F401 - lets AutoConfig read the type
from configs import Config
from configs.schema.config import PolicyConfig
from envs.one_line import one_line
from rl.models.adapter import add_adapter
from rl.models.files import PolicyError, locate_model
from rl.models.saved_adapter import base_config, find_adapter
from rl.precision import learner_dtype


def shape_model(config: Config) -> PreTrainedModel | PeftModel:
    """The pretrained model of a config, in the learner's precision and never quantized.

    Raises:
        PolicyError: Its config.json cannot be found or read.
    """
    policy = config.policy
    place, revision = _place(policy)
    options: dict[str, Any] = {"trust_remote_code": policy.trust_remote_code}
    if revision is not None:
        options["revision"] = revision
    try:
        settings = AutoConfig.from_pretrained(place, **options)
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(
                settings, dtype=learner_dtype(config), trust_remote_code=policy.trust_remote_code
            )
    except Exception as error:  # damaged files raise whatever their readers do
        reason = one_line(error)
        raise PolicyError(f"policy.model '{policy.model}' cannot be read: {reason}") from None
    with torch.device("meta"):
        found: PreTrainedModel | PeftModel = model
        return found if policy.lora is None else add_adapter(model, policy.lora, config.seed)


def _place(policy: PolicyConfig) -> tuple[str, str | None]:
    """Where the config.json of the base model is, and its revision on the hub."""
    if (Path(policy.model) / "config.json").is_file():  # the other files of a model are not needed
        return policy.model, None
    place = locate_model(policy)
    if (settings := find_adapter(policy, place)) is not None:
        policy = base_config(policy, settings)
        place = locate_model(policy)
    return place, policy.revision
