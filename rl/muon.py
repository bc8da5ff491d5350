"""Muon: steps of hidden matrices are made orthogonal, all other weights are AdamW's.

A matrix moves by about the semi-orthogonal matrix nearest to its momentum, which five Newton-Schulz iterations
find (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/), times 0.2 * sqrt(max(rows, columns)). A
step is then as large as AdamW's usually are, and one learning rate and decay fit both (arXiv 2502.16982, 2.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import nn


def hidden_matrices(model: nn.Module) -> Iterator[nn.Parameter]:
    """The trained weights that are Muon's: matrices that multiply hidden states, an adapter's A and B too.

    Embeddings, the output layer with its adapter, norms, biases and tensors of several experts are not.
    """
    ends = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    for name in ("get_input_embeddings", "get_output_embeddings"):
        end = getattr(model, name)()
        ends += [end] if end is not None else []
    others = {id(weight) for end in ends for weight in end.parameters()}
    for name, weight in model.named_parameters():
        if weight.requires_grad and weight.dim() == 2 and name.endswith("weight") and id(weight) not in others:
            yield weight


class MuonWithAdamW(torch.optim.Optimizer):
    """`torch.optim.Muon` for some weights and an AdamW for the others, as one optimizer.

    A group follows the rule that its key `rule` names, "muon" or "adamw".
    """

    def __init__(self, adamw: torch.optim.AdamW, matrices: Iterable[nn.Parameter]) -> None:
        """Take over an AdamW that has made no step.

        Args:
            adamw: All weights, in groups; those of Muon keep the learning rate and the decay of their group.
            matrices: The weights that are Muon's, of two dimensions.
        """
        chosen = {id(weight) for weight in matrices}
        orthogonal, others = [], []
        for group in adamw.param_groups:
            taken = [weight for weight in group["params"] if id(weight) in chosen]
            if taken:
                orthogonal.append({"params": taken, "lr": group["lr"], "weight_decay": group["weight_decay"]})
            others.append(
                {**group, "params": [weight for weight in group["params"] if id(weight) not in chosen]}
            )
        adamw.param_groups = others
        self._rules: dict[str, torch.optim.Optimizer] = {
            "muon": torch.optim.Muon(orthogonal, adjust_lr_fn="match_rms_adamw"),
            "adamw": adamw,
        }
        groups = [{**group, "rule": rule} for rule, made in self._rules.items() for group in made.param_groups]
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Change the weights; see `torch.optim.Optimizer.step`."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for name, rule in self._rules.items():
            # Both are new objects once a checkpoint is loaded.
            rule.state = self.state
            rule.param_groups = [group for group in self.param_groups if group["rule"] == name]
            rule.step()
        return loss
