"""The keys of the section `grpo` that make the loss: advantages, importance ratio, KL, entropy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from configs.schema.section import Section

_CLIPPED = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo")  # PPO's clipped ratio, so `delta` bounds them
_ARGS = {
    "sapo": {"sapo_temperature_pos", "sapo_temperature_neg"},
    "vespo": {"vespo_k_pos", "vespo_lambda_pos", "vespo_k_neg", "vespo_lambda_neg"},
}


class LossConfig(Section):
    """What an update minimises, by the names of TRL."""

    scale_rewards: Literal["none", "group", "batch"] = "none"
    """Divide advantages by a standard deviation plus 1e-4, as in TRL: that of the group's rewards (`group`,
    GRPO) or that of all rewards trained on (`batch`, Lite PPO, arXiv 2508.08221; with length penalties DLER,
    arXiv 2510.15110). `none` (Dr. GRPO, arXiv 2503.20783): the weights of the reward terms decide alone. With
    `group`, a group that is right throughout pushes as hard for a saved step as a half-wrong one for being
    right, whatever a step costs."""
    loss_type: Literal["dapo", "grpo", "bnpo", "dr_grpo", "cispo", "sapo", "luspo", "vespo"] = "dapo"
    """TRL's loss. The clipped ones differ in what the token losses are divided by: `dapo` (arXiv 2503.14476)
    and `bnpo` by the tokens of the batch, `grpo` (arXiv 2402.03300) by the length of each completion, `dr_grpo`
    (arXiv 2503.20783) by `rollout.max_new_tokens`, `luspo` (arXiv 2602.05261) by the number of completions.
    `cispo` (arXiv 2506.13585) caps the ratio at `epsilon_high`, `sapo` (arXiv 2511.20347) and `vespo` (arXiv
    2602.10693) weigh it smoothly. GSPO (arXiv 2507.18071) is `grpo` with `importance_sampling_level:
    sequence`."""
    loss_args: dict[str, float] = {}
    """Constants of `sapo` (`sapo_temperature_pos`, `_neg`) and `vespo` (`vespo_k_pos`, `vespo_lambda_pos`,
    `vespo_k_neg`, `vespo_lambda_neg`); TRL's defaults where not given."""
    importance_sampling_level: Literal["token", "sequence"] | None = None
    """One importance ratio a token, or one a completion: the geometric mean over its tokens (GSPO, arXiv
    2507.18071). null: `sequence` for `luspo`, `token` for the others."""
    epsilon: float = Field(0.2, gt=0)
    """Clip range of the importance ratio (PPO, arXiv 1707.06347): below 1 and, unless `epsilon_high` is set,
    above."""
    epsilon_high: float | None = Field(None, gt=0)
    """Upper clip range of the importance ratio (clip-higher; DAPO, section 3.1). For `cispo` the cap on the
    ratio itself. null: as `epsilon`; for `cispo` 5."""
    delta: float | None = Field(3.0, gt=1)
    """Upper bound of the ratio where the advantage is negative (dual-clip PPO, arXiv 1912.09729; two-sided
    clipping, INTELLECT-2, arXiv 2505.07291). Without it, one token that the sampler found far less likely than
    the learner dominates the gradient. The log counts the tokens it touches (`clip_ratio/delta_tokens`). null:
    unbounded."""
    importance_sampling_mode: (
        Literal["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"] | None
    ) = None
    """Correct for the difference between sampler and learner by a weight of its own, w = old learner / sampler;
    the ratio is then learner / old learner, whose log-probabilities take one more forward pass. w is truncated
    (TIS) or set to 0 (`mask`: MIS; IcePop with bounds on both sides, such as 0.5 and 5) outside of
    `importance_sampling_clip_min` and `_max`, for a token or for the product over a completion, which long
    completions soon exceed. null: no such weight; the ratio is learner / sampler (verl's bypass mode)."""
    importance_sampling_clip_max: float | None = Field(3.0, gt=0)
    """Upper bound of that weight."""
    importance_sampling_clip_min: float | None = Field(None, gt=0)
    """Lower bound of that weight."""
    beta: float = Field(0.0, ge=0)
    """Coefficient of the KL penalty towards the reference policy, which is the warm-started model."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    """Estimator of that KL for a token, with d = log learner - log reference: `k1` d, `k2` d^2 / 2, `k3`
    exp(-d) + d - 1 (Schulman, "Approximating KL divergence"). GRPO's (arXiv 2402.03300, equation 4) is `k3`.
    The gradient of `k1` without `use_bias_correction_kl` is 0 on average, so it holds nothing back; that of
    `k2` is that of the KL."""
    use_bias_correction_kl: bool = False
    """Multiply the KL of a token by the importance ratio (DeepSeek-V3.2, arXiv 2512.02556; TRL's
    default, not GRPO's): right for off-policy completions, and needed by `k1`."""
    entropy_coef: float = Field(0.0, ge=0)
    """Coefficient of an entropy bonus: the mean entropy of the tokens trained on times this is subtracted from
    the loss."""
    top_entropy_quantile: float = Field(1.0, gt=0, le=1)
    """Share of tokens, those of the highest entropy in the batch, that get a policy loss (arXiv 2506.01939:
    0.2). Below 1, one more forward pass measures the entropies before the first update on a batch."""
    mask_truncated: bool = False
    """Give completions cut off at `rollout.max_new_tokens` no loss (DAPO, section 3.4), for they may have been
    right. They still count in the mean of their group."""

    @property
    def ratio_level(self) -> Literal["token", "sequence"]:
        """The level of the importance ratio."""
        return self.importance_sampling_level or ("sequence" if self.loss_type == "luspo" else "token")

    @property
    def clip_high(self) -> float:
        """The upper clip range, for `cispo` the cap on the ratio itself."""
        default = 5.0 if self.loss_type == "cispo" else self.epsilon
        return default if self.epsilon_high is None else self.epsilon_high

    @property
    def ratio_bound(self) -> float | None:
        """`delta` where the loss type reads it."""
        return self.delta if self.loss_type in _CLIPPED else None

    def warnings(self) -> list[str]:
        """Combinations that run but are seldom meant."""
        level, lines = self.ratio_level, []
        if level == "sequence" and self.loss_type in ("bnpo", "dr_grpo", "dapo", "cispo"):
            lines.append(
                f"with grpo.importance_sampling_level sequence, grpo.loss_type {self.loss_type} weighs a "
                "completion by its length; GSPO is grpo.loss_type grpo"
            )
        if level == "token" and self.loss_type == "luspo":
            lines.append("grpo.loss_type luspo is defined with grpo.importance_sampling_level sequence")
        if level == "sequence" and self.loss_type == "vespo":
            lines.append(
                "grpo.loss_type vespo weighs sequences itself and ignores grpo.importance_sampling_level"
            )
        if self.beta > 0 and self.kl_estimator == "k1" and not self.use_bias_correction_kl:
            lines.append(
                "the gradient of grpo.kl_estimator k1 is 0 on average without grpo.use_bias_correction_kl; "
                "turn that on, or take k2 or k3"
            )
        return lines

    @model_validator(mode="after")
    def _loss_fits(self) -> LossConfig:
        if self.ratio_bound is not None and self.ratio_bound <= 1 + self.clip_high:
            raise ValueError(
                f"delta ({self.ratio_bound:g}) must be over 1 + the upper clip range "
                f"({1 + self.clip_high:g}); raise it, or lower epsilon_high"
            )
        if self.loss_type == "cispo" and self.clip_high < 1:
            raise ValueError(
                "loss_type cispo caps the importance ratio itself at epsilon_high, which is "
                f"{self.clip_high:g}; set it to 1 or more, or leave it out for 5"
            )
        allowed = _ARGS.get(self.loss_type, set())
        if unknown := sorted(self.loss_args.keys() - allowed):
            raise ValueError(
                f"loss_args has {', '.join(unknown)}; loss_type {self.loss_type} takes "
                f"{', '.join(sorted(allowed)) or 'none'}"
            )
        self._check_weight()
        return self

    def _check_weight(self) -> None:
        mode = self.importance_sampling_mode
        low, high = self.importance_sampling_clip_min, self.importance_sampling_clip_max
        if mode is None:
            return
        if low is None and high is None and mode.endswith("truncate"):
            raise ValueError(
                f"importance_sampling_mode {mode} needs importance_sampling_clip_max or _min; set one of them"
            )
        if low is not None and high is not None and low >= high:
            raise ValueError(
                f"importance_sampling_clip_min ({low:g}) must be below importance_sampling_clip_max ({high:g})"
            )
        if self.loss_type == "vespo" and mode.startswith("sequence"):
            raise ValueError(
                f"loss_type vespo takes importance_sampling_mode token_truncate or token_mask, not {mode}"
            )
