"""A base model in 4 bits under a LoRA adapter (QLoRA, arXiv 2305.14314), by bitsandbytes.

Out: options for the library's loading, and the same policy with plain layers, which is what an engine samples
from. PEFT's `prepare_model_for_kbit_training` is not needed: the adapter freezes the base, and norms and
embeddings stay in bfloat16, where that function makes them float32.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from peft import PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import BitsAndBytesConfig, PreTrainedModel


def in_four_bits() -> dict[str, Any]:
    """Options of `from_pretrained`: NF4, with quantized scales, computed in bfloat16, on the learner's device.

    Only the linear layers below the output layer are in 4 bits.
    """
    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        ),
        "device_map": {"": 0 if torch.cuda.is_available() else "cpu"},
    }


def plain_copy(model: PreTrainedModel | PeftModel) -> PreTrainedModel | PeftModel:
    """The policy with its 4-bit weights written out in bfloat16, adapter included; any other model as it is.

    The numbers are the same: the learner's layers write them out too, one at a time, to compute with them.
    """
    if not getattr(model, "is_loaded_in_4bit", False):
        return model
    assert isinstance(model, PeftModel)
    settings = model.peft_config["default"]
    adapter = {name: weight.clone() for name, weight in get_peft_model_state_dict(model).items()}
    base: Any = copy.deepcopy(model).unload()
    base = base.dequantize(dtype=torch.bfloat16)
    base.is_loaded_in_4bit = False
    plain: Any = get_peft_model(base, copy.deepcopy(settings))
    set_peft_model_state_dict(plain, adapter)
    whole: PeftModel = plain
    return whole
