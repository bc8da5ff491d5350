"""The key step loss (KRSL; EDIT, arXiv 2405.19737, equation 6), which is minimised.

::

    loss = alpha * sum over key tokens of the right trace of -log p
         - beta  * sum over key tokens of the wrong trace of -log p

each sum divided by the tokens of its response; the mean of an update's pairs, to which each row adds by itself.

The first term makes the right key tokens likelier, the second the wrong ones less likely. As printed, equation
6 has the opposite sign; this is the sign of the authors' code. A wrong key token whose -log p has reached
`max_nll` is left out, so the second term is never below -beta * max_nll, and a token that the model has given
up gets no more gradient. (The authors' code compares the threshold with the token's -log p at the next place;
here it is the one that the loss has.)

Shapes: B rows, each a right or a wrong trace; T tokens; V entries of the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class KeyLoss:
    """What some rows add to the loss, and what it is made of.

    Attributes:
        loss: The loss, a scalar.
        right: Mean over the update's pairs of the first sum / tokens, without alpha.
        wrong: The same of the second, without beta.
        right_nll: Sum of -log p over the key tokens of right traces.
        wrong_nll: The same of wrong traces, tokens that were left out included.
        num_right: Key tokens of right traces.
        num_wrong: Key tokens of wrong traces.
        num_dropped: Those of them that were left out.
    """

    loss: torch.Tensor
    right: torch.Tensor
    wrong: torch.Tensor
    right_nll: torch.Tensor
    wrong_nll: torch.Tensor
    num_right: int
    num_wrong: int
    num_dropped: int


def key_loss(
    logits: torch.Tensor,
    ids: torch.Tensor,
    keys: torch.Tensor,
    num_tokens: torch.Tensor,
    is_wrong: torch.Tensor,
    *,
    num_pairs: int,
    alpha: float,
    beta: float,
    max_nll: float,
) -> KeyLoss:
    """What some rows add to the loss of an update.

    Args:
        logits: [B, T, V]; those at t predict token t + 1. Log-probabilities are computed in float32.
        ids: [B, T] token ids, prompts and padding included.
        keys: [B, T] whether a token is a key token; never the first one of a row.
        num_tokens: [B] tokens of each response, stop token included.
        is_wrong: [B] whether it is one of a wrong trace.
        num_pairs: Pairs of the update.
        alpha: Weight of the first term.
        beta: Weight of the second term.
        max_nll: Where -log p has reached it, a wrong key token is left out.
    """
    assert logits.dim() == 3 and ids.shape == keys.shape == logits.shape[:2] and keys.dtype == torch.bool
    assert is_wrong.shape == num_tokens.shape == ids.shape[:1] and is_wrong.dtype == torch.bool
    rows, places = torch.nonzero(keys[:, 1:], as_tuple=True)
    picked = logits[rows, places].float().log_softmax(-1)  # of key tokens only: they are few
    nll = -picked.gather(-1, ids[rows, places + 1].unsqueeze(-1)).squeeze(-1)
    unlikely = is_wrong[rows]  # what is to get less likely
    dropped = unlikely & (nll.detach() >= max_nll)
    shares = nll / num_tokens[rows]
    right = shares[~unlikely].sum() / num_pairs
    wrong = shares[unlikely & ~dropped].sum() / num_pairs
    return KeyLoss(
        loss=alpha * right - beta * wrong,
        right=right.detach(),
        wrong=wrong.detach(),
        right_nll=nll[~unlikely].detach().sum(),
        wrong_nll=nll[unlikely].detach().sum(),
        num_right=int((~unlikely).sum()),
        num_wrong=int(unlikely.sum()),
        num_dropped=int(dropped.sum()),
    )
