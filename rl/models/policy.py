"""The policy: a causal LM and its encoder, by folder, hub id, Python package or from scratch.

In: the config's `policy` section, and the folder of a trained checkpoint if there is one. Out: a `Policy`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from configs.schema.config import PolicyConfig
from configs.schema.prompt import PromptConfig
from envs import Env
from envs.one_line import one_line
from rl.models.adapter import add_adapter, load_adapter, merge_adapter
from rl.models.files import PolicyError, has_tokenizer, hub_commit, locate_model
from rl.models.four_bits import in_four_bits
from rl.models.saved_adapter import base_config, find_adapter
from rl.models.tiny import make_model, make_tokenizer
from rl.models.tiny_words import without_words
from rl.prompts import make_prompt_format
from rl.runs.manifest import find_damage, has_manifest
from rollout.encoder import Encoder, make_encoder
from rollout.engines.precision import cast_weights
from rollout.prompt_format import PromptFormat


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A model with its encoder.

    Attributes:
        model: The causal LM, with its adapter if it has one, on the CPU.
        encoder: Text to ids and back.
        commit: The commit on the hub that the model was loaded from; None if it was not.
    """

    model: PreTrainedModel | PeftModel
    encoder: Encoder
    commit: str | None = None

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The encoder's tokenizer."""
        return self.encoder.tokenizer

    @property
    def num_parameters(self) -> int:
        """All parameters, the adapter's included."""
        base: Any = self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model
        count: int = base.num_parameters()  # knows that weights in 4 bits are packed
        return count

    @property
    def context(self) -> int | None:
        """Positions that the model has; None if it states none."""
        positions: int | None = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return positions

    def save(self, folder: Path) -> None:
        """Write an ordinary Hugging Face folder: weights (or the adapter alone) and tokenizer."""
        if isinstance(self.model, PeftModel):
            self.model.save_pretrained(
                str(folder),
                selected_adapters=["default"],  # without GRPO's reference
                save_embedding_layers=False,  # the vocabulary never changes; PEFT would ask the hub about it
            )
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
    dtype: torch.dtype | None = None,
) -> Policy:
    """Build the policy.

    Args:
        config: The config's `policy` section.
        env: The environment that the `tiny` tokenizer is made for.
        prompts: The format of prompts; None is the task's default.
        seed: Seed of new weights (tiny model, adapter).
        checkpoint: Folder of a model or adapter trained with this config; its weights are used.
        dtype: Precision of the weights. None: that of the section, float32 where it has none.

    Raises:
        PolicyError: The model cannot be found or used.
    """
    prompts = make_prompt_format(PromptConfig(), env) if prompts is None else prompts
    if dtype is None:
        dtype = getattr(torch, config.dtype or "float32")
    if checkpoint is not None:
        _check_undamaged(checkpoint)
    started_from: str | None = None  # the adapter that policy.model is
    if checkpoint is not None and not _is_adapter(checkpoint):
        if not (checkpoint / "config.json").is_file():
            raise PolicyError(
                f"{checkpoint} is not a model folder: it has neither config.json nor adapter_config.json"
            )
        model, tokenizer = _load_folder(
            str(checkpoint), config, dtype=dtype, called=f"model folder '{checkpoint}'"
        )
    elif config.model == "tiny":
        try:
            tokenizer = make_tokenizer(
                env,
                config.tiny.number_digits,
                config.tiny.join_signs,
                prompts,
                join_words=config.tiny.join_words,
                join_names=config.tiny.join_names,
                join_pairs=config.tiny.join_pairs,
            )
        except ValueError as error:
            raise without_words(error) from None
        model = make_model(config.tiny, tokenizer, seed)
        cast_weights(model, dtype)
    else:
        model, tokenizer, started_from = _load_named(config, dtype)
    if model.base_model is model:
        raise PolicyError(
            f"policy.model '{config.model}': TRL does not find the layers of {type(model).__name__} below its "
            "output layer, and so cannot compute the loss; use a model of another family"
        )
    wrapped: PreTrainedModel | PeftModel = model
    dropout = None if config.lora is None else config.lora.dropout
    if checkpoint is not None and _is_adapter(checkpoint):
        wrapped = load_adapter(model, str(checkpoint), dropout=dropout)
    elif checkpoint is None and started_from is not None:
        wrapped = load_adapter(model, started_from, dropout=dropout, revision=config.revision)
    elif checkpoint is None and config.lora is not None:
        wrapped = add_adapter(model, config.lora, seed, revision=config.revision)
    try:
        encoder = make_encoder(tokenizer, prompts, extra_stop_ids=_declared_stops(model))
    except ValueError as error:
        raise PolicyError(f"policy.model '{config.model}': {error}") from None
    if encoder.chat is not None and model.generation_config is not None:
        # Whoever loads the trained model ends its turns as Stride did.
        model.generation_config.eos_token_id = list(encoder.stop_ids)
    return Policy(model=wrapped, encoder=encoder, commit=None if checkpoint else hub_commit(config))


def _check_undamaged(folder: Path) -> None:
    """Refuse a model folder whose files are not those that a run has written.

    Raises:
        PolicyError: Names the file.
    """
    if has_manifest(folder) and (damage := find_damage(folder)):
        raise PolicyError(
            f"model folder '{folder}' is damaged: {damage}; put back a copy of it. That of a stage is written "
            "again by --resume once the folder is removed"
        )


def _declared_stops(model: PreTrainedModel) -> list[int]:
    declared = model.generation_config.eos_token_id if model.generation_config is not None else None
    return [] if declared is None else [declared] if isinstance(declared, int) else list(declared)


def _is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def _load_named(
    config: PolicyConfig, dtype: torch.dtype
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str | None]:
    """The model that `policy.model` names, its tokenizer, and its adapter if it has one to train on."""
    place = locate_model(config)
    settings = find_adapter(config, place)
    if settings is None:
        return (
            *_load_folder(place, config, dtype=dtype, revision=config.revision, gguf_file=config.gguf_file),
            None,
        )
    base = base_config(config, settings)
    model, tokenizer = _load_folder(locate_model(base), base, dtype=dtype, revision=base.revision)
    if has_tokenizer(place):  # it may have tokens of its own
        tokenizer = AutoTokenizer.from_pretrained(place)
    if config.merge_adapter:
        return merge_adapter(model, place, revision=config.revision), tokenizer, None
    return model, tokenizer, place


def _load_folder(
    name: str,
    config: PolicyConfig,
    *,
    dtype: torch.dtype,
    called: str = "",
    revision: str | None = None,
    gguf_file: str | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and tokenizer of a folder or hub id; messages call it `called`, or by its config key."""
    called = called or f"policy.model '{config.model}'"
    options: dict[str, Any] = {"trust_remote_code": config.trust_remote_code}
    options |= {"revision": revision} if revision is not None else {}
    options |= {"gguf_file": gguf_file} if gguf_file is not None else {}
    in_memory = in_four_bits() if config.load_in_4bit else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            name,
            dtype=dtype,
            ignore_mismatched_sizes=True,  # reported below, by name
            output_loading_info=True,
            **options,
            **in_memory,
        )
    except Exception as error:  # damaged files raise whatever their readers do
        if "trust_remote_code" in str(error) and not config.trust_remote_code:
            raise PolicyError(
                f"{called} comes with Python code of its own; read it, and let it run with "
                "policy.trust_remote_code=true"
            ) from None
        first = one_line(error)
        raise PolicyError(f"{called} cannot be loaded: {first}") from None
    model, report = loaded
    _check_weights(called, report)
    if model.generation_config is not None:
        model.generation_config = _savable(model.generation_config)
    return model if gguf_file is None else _plain(model), tokenizer


def _check_weights(called: str, report: dict[str, Any]) -> None:
    """Refuse files that lack weights of the model: the library would draw them at random.

    Raises:
        PolicyError: Names the first weight that is missing or has another shape.
    """
    missing = sorted(report["missing_keys"])
    other = sorted((name, tuple(found), tuple(wanted)) for name, found, wanted in report["mismatched_keys"])
    if other:
        name, found, wanted = other[0]
        raise PolicyError(
            f"{called} cannot be loaded: {len(other)} of its weights do not fit its config.json, first {name}: "
            f"{found} in the file, {wanted} in the config"
        )
    if missing:
        raise PolicyError(
            f"{called} cannot be loaded: its files lack {len(missing)} weights of the model that its "
            f"config.json describes, first {missing[0]}"
        )


def _savable(generation: GenerationConfig) -> GenerationConfig:
    """The same defaults of `generate`, repaired if the library would refuse to save them with the model.

    Published ones often set a temperature beside `do_sample: false`. Stride samples by its own settings and
    reads only the stop tokens.
    """
    if _is_valid(generation):
        return generation
    sampling = copy.deepcopy(generation)
    sampling.do_sample = True
    if _is_valid(sampling):
        return sampling
    tokens = {key: getattr(generation, key) for key in ("bos_token_id", "eos_token_id")}
    return GenerationConfig(**tokens)


def _is_valid(generation: GenerationConfig) -> bool:
    try:
        generation.validate(strict=True)
    except ValueError:
        return False
    return True


def _plain(model: PreTrainedModel) -> PreTrainedModel:
    """The model without the mark of a quantized one, which cannot be trained: GGUF is read in full."""
    quantizer: Any = getattr(model, "hf_quantizer", None)
    if quantizer is not None:
        quantizer.remove_quantization_config(model)
        vars(model).pop("_weight_conversions", None)  # else it is saved by the names in the GGUF file
    return model


def trainable_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The parameters an engine needs after an update, by name: all trained ones, or the adapter's alone.

    They are the learner's own memory, where it is; whoever keeps them copies them before the next update.
    """
    return {
        name: parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and ".ref." not in name
    }
