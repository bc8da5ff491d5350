"""The warm start: supervised fine-tuning on the demonstrations of `examples.py`.

In: a policy and the config's `warm_start` section. Out: the same policy, trained with TRL's `SFTTrainer`, loss
on the completion only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from configs.schema.config import WarmStartConfig
from rl.policy import Policy
from rl.sft.encode import encode_phases
from rl.sft.examples import Phase

STATE_FILE = "trainer_state.json"  # what the Trainer writes last into a checkpoint


def warm_start(
    policy: Policy,
    phases: Sequence[Phase],
    config: WarmStartConfig,
    *,
    folder: Path,
    seed: int,
    cpu: bool,
    report_to: list[str],
    callbacks: list[TrainerCallback],
    resume_from: Path | None = None,
) -> None:
    """Train `policy.model` in place.

    Args:
        policy: What to train.
        phases: What is learnt, in order.
        config: The `warm_start` section.
        folder: Checkpoints go here.
        seed: Seed of the order.
        cpu: Train on the CPU even where there is a GPU.
        report_to: Metric backends.
        callbacks: Told of every update.
        resume_from: Checkpoint folder to go on from.
    """
    micro = config.micro_batch_size or config.batch_size
    arguments = SFTConfig(
        output_dir=str(folder),
        max_steps=config.updates,
        train_sampling_strategy="sequential",  # the phases are shuffled already
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=config.batch_size // micro,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(config.warmup_frac * config.updates),
        weight_decay=config.weight_decay,
        logging_steps=1,
        save_strategy="steps" if config.save_every else "no",
        save_steps=config.save_every or config.updates,
        save_total_limit=1,
        seed=seed,
        use_cpu=cpu,
        bf16=False,
        gradient_checkpointing=False,
        packing=False,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        dataloader_pin_memory=False,
        disable_tqdm=True,
        report_to=report_to,
    )
    trainer = SFTTrainer(
        model=policy.model,
        args=arguments,
        train_dataset=encode_phases(phases, policy.encoder, batch_size=config.batch_size, seed=seed),
        processing_class=policy.tokenizer,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)  # progress is shown by our own
    trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
