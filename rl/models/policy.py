"""The policy: a causal LM and its encoder, by folder, hub id, Python package or from scratch.

In: the config's `policy` section, and the folder of a trained checkpoint if there is one. Out: a `Policy`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from configs.schema.config import PolicyConfig
from configs.schema.prompt import PromptConfig
from envs import Env
from rl.models.files import PolicyError, locate_model
from rl.models.tiny import make_model, make_tokenizer
from rl.prompts import make_prompt_format
from rollout.encoder import Encoder, make_encoder
from rollout.prompt_format import PromptFormat


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A model with its encoder.

    Attributes:
        model: The causal LM, with its adapter if it has one, on the CPU.
        encoder: Text to ids and back.
    """

    model: PreTrainedModel | PeftModel
    encoder: Encoder

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The encoder's tokenizer."""
        return self.encoder.tokenizer

    @property
    def num_parameters(self) -> int:
        """All parameters, the adapter's included."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def save(self, folder: Path) -> None:
        """Write an ordinary Hugging Face folder: weights (or the adapter alone) and tokenizer."""
        if isinstance(self.model, PeftModel):
            self.model.save_pretrained(str(folder), selected_adapters=["default"])  # without GRPO's reference
        else:
            self.model.save_pretrained(str(folder))
        self.tokenizer.save_pretrained(folder)


def load_policy(
    config: PolicyConfig,
    env: Env[Any],
    *,
    prompts: PromptFormat | None = None,
    seed: int,
    checkpoint: Path | None = None,
    lora: bool = True,
) -> Policy:
    """Build the policy.

    Args:
        config: The config's `policy` section.
        env: The environment that the `tiny` tokenizer is made for.
        prompts: The format of prompts; None is the task's default.
        seed: Seed of new weights (tiny model, adapter).
        checkpoint: Folder of a model or adapter trained with this config; its weights are used.
        lora: Add the configured adapter. False gives the base model.

    Raises:
        PolicyError: The model cannot be found or used.
    """
    prompts = make_prompt_format(PromptConfig(), env) if prompts is None else prompts
    adapter = checkpoint if checkpoint and (checkpoint / "adapter_config.json").is_file() else None
    if checkpoint is not None and adapter is None:
        if not (checkpoint / "config.json").is_file():
            raise PolicyError(
                f"{checkpoint} is not a model folder: it has neither config.json nor adapter_config.json"
            )
        model, tokenizer = _load_folder(str(checkpoint), config, gguf_file=None)
    elif config.model == "tiny":
        tokenizer = make_tokenizer(env, config.tiny.number_digits, config.tiny.join_signs, prompts)
        model = make_model(config.tiny, tokenizer, seed)
    else:
        model, tokenizer = _load_folder(locate_model(config), config, gguf_file=config.gguf_file)
    model = model.to(getattr(torch, config.dtype))
    wrapped: PreTrainedModel | PeftModel = model
    if adapter is not None:
        wrapped = PeftModel.from_pretrained(model, adapter, is_trainable=True)
    elif config.lora is not None and lora and checkpoint is None:
        wrapped = _add_adapter(model, config, seed)
    try:
        encoder = make_encoder(
            tokenizer,
            prompts,
            extra_stop_ids=_declared_stops(model),
        )
    except ValueError as error:
        raise PolicyError(f"policy.model '{config.model}': {error}") from None
    return Policy(model=wrapped, encoder=encoder)


def _add_adapter(model: PreTrainedModel, config: PolicyConfig, seed: int) -> PeftModel:
    lora = config.lora
    assert lora is not None
    settings = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            wrapped = get_peft_model(model, settings)
        except ValueError as error:
            names = sorted(
                {name.rpartition(".")[2] for name, m in model.named_modules() if isinstance(m, nn.Linear)}
            )
            raise PolicyError(
                f"policy.lora.target_modules is {lora.target_modules!r}: {' '.join(str(error).split())[:200]} "
                f"Linear layers here: {', '.join(names)}; or 'all-linear'"
            ) from None
    assert isinstance(wrapped, PeftModel)
    return wrapped


def _declared_stops(model: PreTrainedModel) -> list[int]:
    declared = model.generation_config.eos_token_id if model.generation_config is not None else None
    return [] if declared is None else [declared] if isinstance(declared, int) else list(declared)


def _load_folder(
    name: str, config: PolicyConfig, *, gguf_file: str | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    options: dict[str, Any] = {"trust_remote_code": config.trust_remote_code}
    if gguf_file is not None:
        options["gguf_file"] = gguf_file
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
        model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32, **options)
    except (OSError, ValueError, ImportError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        first = " ".join(str(error).split())[:300]
        raise PolicyError(f"policy.model '{config.model}' cannot be loaded: {first}") from None
    return model if gguf_file is None else _plain(model), tokenizer


def _plain(model: PreTrainedModel) -> PreTrainedModel:
    """The same model without the mark of a quantized one, which cannot be trained: GGUF is read in full."""
    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    return plain


def trainable_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The parameters an engine needs after an update, by name: all trained ones, or the adapter's alone."""
    return {
        name: parameter.detach().cpu()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and ".ref." not in name
    }
