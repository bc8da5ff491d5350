"""The learner's forward pass without what is random in training: its tokens were sampled without it.

Dropout is a module in some families and a number in others, kept in a layer or read from the config in each
pass; routers add noise to their inputs, and some draw experts. All of it is off in evaluation mode, so the
parts of the model are switched to it, rather than each kind of noise being found.
"""

from __future__ import annotations

import torch


def switch_to_evaluation(model: torch.nn.Module) -> None:
    """Put all parts of a model in evaluation mode, until `model.train()` is called.

    The flag of the model itself stays, because the Trainer reads from it which metrics to write. Layers with
    gradient checkpointing stay in training mode, in which alone they recompute; the dropout they keep as a
    number is set to 0.
    """
    for module in model.modules():
        if module is model:
            continue
        module.training = bool(getattr(module, "gradient_checkpointing", False))
        if module.training:
            for name, value in vars(module).items():
                if "drop" in name and isinstance(value, float):
                    setattr(module, name, 0.0)
