"""The warm start: supervised fine-tuning on the demonstrations of `examples.py`.

In: a policy and the config's `warm_start` section. Out: the same policy, trained with TRL's `SFTTrainer`; only
completions get a loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from configs.schema.config import WarmStartConfig
from rl.models.policy import Policy
from rl.pass_cuts import cut_batch
from rl.precision import Passes
from rl.runs.record import Stage
from rl.sft.column_jumps import jump_columns
from rl.sft.encode import IGNORED, encode_phases
from rl.sft.examples import Phase
from rl.sft.positions import draw_positions, jump_positions
from rl.trainer_arguments import adapter_kept, pin_one_device, trainer_arguments
from rl.trainer_callback import SaveByTime, StopIfNotFinite
from rl.trainer_checkpoints import WholeCheckpoints
from rl.trainer_rates import ConfiguredRates
from rl.update_boundary import InterruptibleTrainer
from rollout.column_positions import ColumnPositions
from rollout.engines.cpu_linear import speed_up_linears
from rollout.line_llama import positions_of, window_of
from rollout.positions import InOrder, LinePositions, Positions


class WarmStartTrainer(InterruptibleTrainer, WholeCheckpoints, ConfiguredRates, SFTTrainer):
    """TRL's trainer, which can be interrupted, whose checkpoints are whole and whose rates are the config's.

    An update is one batch, which `training_step` cuts into passes of rows of like length.
    """

    stage = Stage.WARM
    max_rows: int | None = None
    max_tokens: int | None = None
    position_range: int | None = None
    position_jumps: int | None = None
    rule: Positions = InOrder()
    has_line_window = False

    def begin(self) -> None:
        """Training begins; the tokens that TRL has counted go on from the last row of the log."""
        super().begin()
        counted = [row["num_tokens"] for row in self.state.log_history if "num_tokens" in row]
        self._total_train_tokens = int(counted[-1]) if counted else 0

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """See `Trainer.get_batch_samples`: the rows of an update; positions may be drawn at random."""
        batches: list[Any]
        num_taught: Any
        batches, num_taught = super().get_batch_samples(epoch_iterator, num_batches, device)
        for batch in batches:
            key = self.args.seed, "warm_start", "positions", self.state.global_step
            mask_BT = batch["attention_mask"]
            if self.position_range is not None:
                batch["position_ids"] = draw_positions(mask_BT, self.position_range, *key)
            elif self.position_jumps is not None:
                taught = int((batch["labels"] != IGNORED).sum())
                text = batch["input_ids"], mask_BT, batch["labels"]
                if isinstance(self.rule, ColumnPositions):
                    jumped = jump_columns(*text, self.rule, self.position_jumps, *key)
                else:
                    assert isinstance(self.rule, LinePositions)
                    jumped = jump_positions(
                        *text,
                        self.rule,
                        self.position_jumps,
                        *key,
                        between_lines=not self.has_line_window,
                    )
                batch["position_ids"], batch["labels"] = jumped
                num_taught -= taught - int((batch["labels"] != IGNORED).sum())
        return batches, num_taught

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """See `Trainer.training_step`: an update in passes. The cuts change neither loss nor gradient."""
        passes = cut_batch(inputs, self.max_tokens, max_rows=self.max_rows)
        self.current_gradient_accumulation_steps = len(passes)  # what a router's loss, a pass's mean, is over
        taught = [int((part["labels"] != IGNORED).sum()) for part in passes]
        losses = [
            super(WarmStartTrainer, self).training_step(model, part, num_items_in_batch) for part in passes
        ]
        for values in self._metrics["train"].values():  # TRL's: one for each pass, the mean of its tokens
            if len(values) >= len(passes) > 1 and any(taught):
                values[-len(passes) :] = [np.average(values[-len(passes) :], weights=taught)]
        return torch.stack(losses).sum()


def warm_start(
    policy: Policy,
    phases: Sequence[Phase],
    config: WarmStartConfig,
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
        phases: The phases, in order.
        config: The `warm_start` section.
        folder: Checkpoints go here.
        seed: Seed of the order.
        passes: How forward and backward passes run.
        report_to: Metric backends.
        callbacks: Notified of every update.
        pass_tokens: Tokens of a forward pass at most, where `micro_batch_size` is open; None: any number.
        resume_from: Checkpoint folder to continue from.
        say: Shows a line.

    Raises:
        ConfigError: A demonstration does not fit into the model's context.
        NotFiniteError: A loss, a gradient norm or a weight is not finite.
    """
    rows = encode_phases(
        phases, policy.encoder, batch_size=config.batch_size, seed=seed, context=policy.context
    )
    arguments = SFTConfig(
        **trainer_arguments(config, folder=folder, seed=seed, passes=passes, report_to=report_to),
        train_sampling_strategy="sequential",  # the phases are shuffled already
        per_device_train_batch_size=config.batch_size,  # `training_step` cuts an update into passes
        gradient_accumulation_steps=1,
        lr_scheduler_type="cosine",
        warmup_steps=round(config.warmup_frac * config.updates),
        save_total_limit=config.keep_checkpoints,
        packing=False,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    pin_one_device(arguments)
    speed_up_linears(policy.model)
    with adapter_kept(policy.model):
        trainer = WarmStartTrainer(
            model=policy.model,
            args=arguments,
            train_dataset=rows,
            processing_class=policy.tokenizer,
            callbacks=[SaveByTime(config.save_minutes), StopIfNotFinite(), *callbacks],
        )
    trainer.say = say
    trainer.model_accepts_loss_kwargs = True  # TRL divides by the tokens of an update itself, for every model
    trainer.max_rows = config.micro_batch_size
    trainer.max_tokens = pass_tokens if config.micro_batch_size is None else None
    trainer.position_range, trainer.position_jumps = config.position_range, config.position_jumps
    trainer.rule, trainer.has_line_window = positions_of(policy.model), window_of(policy.model) is not None
    trainer.remove_callback(PrinterCallback)  # progress is shown by our own
    trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
