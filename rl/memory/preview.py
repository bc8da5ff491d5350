"""Whether a config fits, without its weights and without the machine that it will run on.

In: a config, and the memory of a GPU. Out: what a run there would begin with. The model is made on the `meta`
device from its config.json alone.
"""

from __future__ import annotations

from typing import Any

import torch

from configs import Config, ConfigError
from rl.build import fit_model
from rl.memory.devices import find_devices
from rl.memory.fit import Fit
from rl.memory.learner import Model
from rl.models.adapter import add_adapter
from rl.models.shape import shape_model
from rl.models.tiny import make_model, make_tokenizer
from rl.parts import Parts, build_parts
from rl.precision import learner_dtype


def preview_memory(config: Config, *, gpu_bytes: int | None, gpus: int = 1) -> Fit:
    """The memory that a run takes.

    Args:
        config: The run.
        gpu_bytes: Memory of a GPU that has bfloat16 and need not be there; None: the device here.
        gpus: Such GPUs in the machine.

    Raises:
        ConfigError: The config is wrong, or asks for a CPU where a GPU is given.
        PolicyError: The model's config.json cannot be found.
    """
    if gpu_bytes is not None:
        if config.device == "cpu":
            raise ConfigError("device is 'cpu', and the memory of a GPU is given; set device to 'auto'")
        config = _as_on_a_gpu(config)
    elif torch.cuda.is_available():
        gpu_bytes, gpus = torch.cuda.mem_get_info()[1], torch.cuda.device_count()
    parts = build_parts(config, find_model=False)
    model = _tiny(config, parts) if config.policy.model == "tiny" else shape_model(config)
    on_cpu = config.device == "cpu" or gpu_bytes is None
    return fit_model(config, model, find_devices(config, gpus=gpus, gpu_bytes=gpu_bytes, cpu=on_cpu))


def _as_on_a_gpu(config: Config) -> Config:
    """The config with the values that its open keys have on a GPU."""
    policy, changed = config.policy, dict[str, Any]()
    if policy.mixed_precision == "auto":
        changed["mixed_precision"] = "bf16"
    if policy.gradient_checkpointing == "auto":
        changed["gradient_checkpointing"] = True
    if policy.dtype is None:
        frozen = policy.lora is not None and policy.mixed_precision != "no"
        changed["dtype"] = "bfloat16" if frozen or policy.load_in_4bit else "float32"
    device = "auto" if config.device == "cuda" else config.device
    return config.model_copy(update={"policy": policy.model_copy(update=changed), "device": device})


def _tiny(config: Config, parts: Parts) -> Model:
    tiny = config.policy.tiny
    tokenizer = make_tokenizer(
        parts.env,
        tiny.number_digits,
        tiny.join_signs,
        parts.prompts,
        join_words=tiny.join_words,
        join_names=tiny.join_names,
        join_pairs=tiny.join_pairs,
    )
    with torch.device("meta"):
        model: Any = make_model(tiny, tokenizer, config.seed)
        model = model.to(learner_dtype(config))
        lora = config.policy.lora
        shape: Model = model if lora is None else add_adapter(model, lora, config.seed)
        return shape
