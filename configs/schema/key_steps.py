"""The section `key_steps`: training on the tokens in which right and wrong traces differ (EDIT)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from configs.schema.section import Optim, Section


class KeyStepsConfig(Section):
    """Key steps: training on pairs of a right and a wrong trace, between warm start and GRPO.

    The loss is that of EDIT (arXiv 2405.19737): the key tokens of the right trace become likelier, those of the
    wrong one less likely, all others get no loss.
    """

    updates: int = Field(100, ge=1)
    """Optimiser updates."""
    num_problems: int = Field(1000, ge=1)
    """Train problems that dual traces are made of, the first ones of the split; one pair each at most. Pairs
    are repeated once used up."""
    key: Literal["edit_distance", "true"] = "edit_distance"
    """What the key tokens are. `edit_distance`: those that the shortest edit deletes or replaces to turn one
    trace into the other. `true`, where the task checks steps: those of one line in each trace, the line at
    which the wrong one goes wrong and the line that does right from there."""
    environment_frac: float = Field(0.5, ge=0, le=1)
    """Share of the problems whose pair the environment writes: its own solution, and the same with a mistake
    that nothing takes back. For the others the policy is sampled: a right sample is paired with the wrong one
    nearest to it. 0 for a task that writes no mistakes."""
    mistakes: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Kinds of the environment's mistakes with their weights in the draw. Empty: all, uniformly. Where a kind
    does not fit a problem, another one is drawn."""
    num_samples: int = Field(8, ge=1)
    """Samples of the policy for each of the other problems."""
    temperature: float = Field(1.0, gt=0)
    """Sampling temperature of these samples."""
    rectify: bool = True
    """Where no sample is right, rectify a wrong one: its lines before the first fault, continued by the
    environment's own solution. false, or where the task checks no steps: such a problem has no pair."""
    batch_size: int = Field(16, ge=1)
    """Pairs per update."""
    micro_batch_size: int | None = Field(None, ge=1)
    """Pairs per forward pass, at most (gradient accumulation). null: as many as fit, on a GPU up to 16,384
    tokens; the run says how many tokens that is. Passes hold traces of like length, so the two of a pair may
    be in different ones."""
    learning_rate: float = Field(1e-5, gt=0)
    """Learning rate, the same in all updates. EDIT takes a fortieth of that of its supervised fine-tuning."""
    alpha: float = Field(1.0, ge=0)
    """Weight of the loss on the right trace's key tokens."""
    beta: float = Field(0.025, ge=0)
    """Weight of the unlikelihood of the wrong trace's key tokens. A larger one soon harms all that the model
    can do."""
    max_nll: float = Field(20.0, gt=0)
    """A wrong key token whose -log p (nats) has reached this gets no loss any more, which bounds the second
    term."""
    optim: Optim = "adamw_torch_fused"
    """Optimizer, by its name in transformers; see `warm_start.optim`."""
    weight_decay: float = Field(0.0, ge=0)
    """Weight decay of AdamW and Muon (arXiv 1711.05101); not of biases and norms."""
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    """AdamW's decay of the mean gradient."""
    adam_beta2: float = Field(0.999, ge=0, lt=1)
    """AdamW's decay of the mean squared gradient."""
    save_every: int | None = Field(None, ge=1)
    """Updates between checkpoints. null: they follow from `save_minutes` alone."""
    save_minutes: float | None = Field(10.0, gt=0)
    """Minutes after which a checkpoint is due, beside those of `save_every`; it is written at the end of the
    update. The last update is always saved, and at SIGTERM and SIGINT the last whole one. null: `save_every`
    alone decides."""
    keep_checkpoints: int = Field(2, ge=1)
    """Number of newest checkpoints that stay on disk. With 1 there is none to fall back to if it is damaged."""

    @property
    def expected_samples(self) -> int:
        """Completions of the policy that pairs are made of, as the share lets expect."""
        return round((1 - self.environment_frac) * self.num_problems) * self.num_samples

    @field_validator("key", mode="before")
    @classmethod
    def _true_is_a_word(cls, value: Any) -> Any:
        """YAML reads an unquoted `true` as a truth value."""
        return "true" if value is True else value

    @model_validator(mode="after")
    def _fits(self) -> KeyStepsConfig:
        if self.mistakes and not sum(self.mistakes.values()) > 0:
            raise ValueError("mistakes has no kind with a weight above 0; leave it empty to draw all uniformly")
        if self.alpha == self.beta == 0:
            raise ValueError("alpha and beta are both 0, so nothing would be trained; set key_steps to null")
        return self
