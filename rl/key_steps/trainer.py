"""The stage of key steps: training on dual traces with the key step loss.

In: a policy, its pairs and the config's `key_steps` section. Out: the same policy, trained with transformers'
`Trainer`, interruptible and resumable as the warm start is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback, TrainingArguments

from configs.schema.key_steps import KeyStepsConfig
from rl.key_steps.agreement import Agreement
from rl.key_steps.duals import Dual
from rl.key_steps.loss import key_loss
from rl.key_steps.pairs import collate, encode_pairs, in_order
from rl.models.policy import Policy
from rl.pass_cuts import cut_batch
from rl.precision import Passes
from rl.runs.record import Stage
from rl.trainer_arguments import pin_one_device, trainer_arguments
from rl.trainer_callback import SaveByTime, StopIfNotFinite
from rl.trainer_checkpoints import WholeCheckpoints
from rl.trainer_rates import ConfiguredRates
from rl.update_boundary import InterruptibleTrainer
from rollout.engines.cpu_linear import speed_up_linears


class KeyStepsTrainer(InterruptibleTrainer, WholeCheckpoints, ConfiguredRates):
    """Transformers' trainer with the key step loss; interrupted, saved and resumed as `WarmStartTrainer` is.

    An update is one batch, which `training_step` cuts into passes of rows of like length.

    Attributes:
        settings: The `key_steps` section.
        max_rows: Rows of a pass at most; None: any number.
        max_tokens: Tokens of a pass at most; None: any number.
    """

    stage = Stage.KEY_STEPS
    settings: KeyStepsConfig
    max_rows: int | None = None
    max_tokens: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False  # it is ours, and takes none
        self._sums: dict[str, float] = defaultdict(float)
        self._found = (Agreement(), Agreement())

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """See `Trainer.training_step`: an update in passes. The cuts change neither loss nor gradient."""
        right, wrong = inputs.pop("agreement").tolist()
        self._found = Agreement(*right), Agreement(*wrong)
        passes = cut_batch(inputs, self.max_tokens, max_rows=self.max_rows)
        losses = [super(KeyStepsTrainer, self).training_step(model, part) for part in passes]
        return torch.stack(losses).sum()

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor | Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """What the rows of a pass add to the loss of the update."""
        ids = inputs["input_ids"]
        logits = model(input_ids=ids, attention_mask=inputs["attention_mask"], use_cache=False).logits
        found = key_loss(
            logits,
            ids,
            inputs["keys"],
            inputs["num_tokens"],
            inputs["is_wrong"],
            num_pairs=self.settings.batch_size,
            alpha=self.settings.alpha,
            beta=self.settings.beta,
            max_nll=self.settings.max_nll,
        )
        for name in ("right_nll", "wrong_nll", "num_right", "num_wrong", "num_dropped"):
            self._sums[name] += float(getattr(found, name))
        return found.loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log an update with its figures."""
        if "loss" in logs:
            logs |= update_figures(self._sums, self._found)
            self._sums.clear()
        super().log(logs, start_time)


def update_figures(sums: Mapping[str, float], found: tuple[Agreement, Agreement]) -> dict[str, float]:
    """The figures of an update, without those that would divide by 0.

    `key/right_nll` and `key/wrong_nll` are means of -log p over key tokens, `key/dropped_frac` the share of
    wrong ones that `max_nll` left out; `key_lines/<right|wrong>/...` are those of `Agreement.figures`.
    """
    means = {
        "key/right_nll": ("right_nll", "num_right"),
        "key/wrong_nll": ("wrong_nll", "num_wrong"),
        "key/dropped_frac": ("num_dropped", "num_wrong"),
    }
    figures = {name: sums[part] / sums[whole] for name, (part, whole) in means.items() if sums.get(whole)}
    for side, counts in zip(("right", "wrong"), found, strict=True):
        figures |= {f"key_lines/{side}/{name}": value for name, value in counts.figures().items()}
    return figures


def train_key_steps(
    policy: Policy,
    pairs: Sequence[Dual],
    config: KeyStepsConfig,
    *,
    folder: Path,
    seed: int,
    passes: Passes,
    report_to: list[str],
    callbacks: list[TrainerCallback],
    pass_tokens: int | None = None,
    resume_from: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Train `policy.model` in place.

    Args:
        policy: The policy to train.
        pairs: The dual traces, at least one.
        config: The `key_steps` section.
        folder: Checkpoints go here.
        seed: Seed of the order.
        passes: How forward and backward passes run.
        report_to: Metric backends.
        callbacks: Notified of every update.
        pass_tokens: Tokens of a forward pass at most, where `micro_batch_size` is open; None: any number.
        resume_from: Checkpoint folder to continue from.
        say: Shows a line.

    Raises:
        ConfigError: A pair does not fit into the model's context.
        NotFiniteError: A loss, a gradient norm or a weight is not finite.
    """
    rows = encode_pairs(pairs, policy.encoder, config.key, context=policy.context)
    arguments = TrainingArguments(
        **trainer_arguments(config, folder=folder, seed=seed, passes=passes, report_to=report_to),
        train_sampling_strategy="sequential",  # the pairs are shuffled already
        per_device_train_batch_size=config.batch_size,  # `training_step` cuts an update into passes
        gradient_accumulation_steps=1,
        lr_scheduler_type="constant",
        save_total_limit=config.keep_checkpoints,
        remove_unused_columns=False,
    )
    pin_one_device(arguments)
    speed_up_linears(policy.model)
    trainer = KeyStepsTrainer(
        model=policy.model,
        args=arguments,
        train_dataset=in_order(rows, config.updates * config.batch_size, seed=seed),
        data_collator=partial(collate, pad_id=policy.encoder.pad_id),
        processing_class=policy.tokenizer,
        callbacks=[SaveByTime(config.save_minutes), StopIfNotFinite(), *callbacks],
    )
    trainer.settings = config
    if config.micro_batch_size is None:
        trainer.max_tokens = pass_tokens
    else:
        trainer.max_rows = 2 * config.micro_batch_size  # a pair has two rows
    trainer.say = say
    trainer.remove_callback(PrinterCallback)  # progress is shown by our own
    trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
