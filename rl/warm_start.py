"""The warm start: supervised fine-tuning on full and hand-skipped traces.

In: a policy and the config's `warm_start` section. Out: the same policy, trained with TRL's `SFTTrainer`, loss
on the completion only. The mix follows "Can Language Models Learn to Skip Steps?" (arXiv 2411.01855,
section 3): full traces plus hand-skipped ones; `skipped_frac: 0` is its cold start.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from configs.schema import WarmStartConfig
from envs import Env, Split, render_trace
from envs.seeding import derive_random
from rl.policy import Policy
from rollout.encoder import Encoder

IGNORED = -100  # label of tokens without loss
STATE_FILE = "trainer_state.json"  # what the Trainer writes last into a checkpoint


def make_examples(env: Env[Any], config: WarmStartConfig, *, seed: int) -> list[tuple[str, str]]:
    """(prompt, completion) pairs of the mix, one a problem.

    A problem gets a skipped trace with probability `skipped_frac` where the drawn rule applies to it, and
    its full trace otherwise.

    Raises:
        ValueError: A skip rule is not one of the environment's, it has none where some are asked for, or its
            data holds no solution.
    """
    kinds = config.skip_kinds or list(env.skip_kinds[:1])
    if unknown := sorted(set(kinds) - set(env.skip_kinds)):
        raise ValueError(
            f"warm_start.skip_kinds has {unknown}, which '{env.name}' does not know; "
            f"known: {', '.join(env.skip_kinds)}"
        )
    if not kinds and config.skipped_frac > 0:
        raise ValueError(
            f"warm_start.skipped_frac is {config.skipped_frac:g}, but '{env.name}' has no rule to skip a step "
            "by; set it to 0"
        )
    examples = []
    for index in range(config.num_problems):
        rng = derive_random(seed, "warm_start", index)
        problem = env.problem(Split.TRAIN, index)
        lines = env.full_trace(problem)
        if kinds and rng.random() < config.skipped_frac:
            lines = env.skipped_trace(problem, rng.choice(kinds), rng) or lines
        if rng.random() < config.budget_frac:
            problem = env.with_budget(problem, len(lines))
        examples.append((problem.prompt, render_trace(lines, problem.answer)))
    return examples


def encode_examples(examples: list[tuple[str, str]], encoder: Encoder) -> Dataset:
    """Token ids with labels; the prompt has no loss, the stop token has."""
    rows: dict[str, list[list[int]]] = {"input_ids": [], "labels": []}
    for prompt, completion in examples:
        prompt_ids, completion_ids = encoder.encode_prompt(prompt), encoder.encode_completion(completion)
        rows["input_ids"].append([*prompt_ids, *completion_ids])
        rows["labels"].append([IGNORED] * len(prompt_ids) + list(completion_ids))
    return Dataset.from_dict(rows)


def warm_start(
    policy: Policy,
    env: Env[Any],
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
        env: Where the traces come from.
        config: The `warm_start` section.
        folder: Checkpoints go here.
        seed: Seed of the mix and of the order.
        cpu: Train on the CPU even where there is a GPU.
        report_to: Metric backends.
        callbacks: Told of every update.
        resume_from: Checkpoint folder to go on from.
    """
    micro = config.micro_batch_size or config.batch_size
    arguments = SFTConfig(
        output_dir=str(folder),
        max_steps=config.updates,
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
        train_dataset=encode_examples(make_examples(env, config, seed=seed), policy.encoder),
        processing_class=policy.tokenizer,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)  # progress is shown by our own
    trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
