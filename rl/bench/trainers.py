"""The trainers of the update benchmarks: Stride's and TRL's own `GRPOTrainer`, set to do the same work.

Loss (dapo, no KL term, one pass), optimiser, clipping and float32 are the same for both, neither recomputes
activations, and both log every update. The learning rate is so small that no weight moves. Tokens and positions
are counted at the model itself, the same way for both.
"""

from __future__ import annotations

import copy
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import LlamaForCausalLM, LogitsProcessorList, PrinterCallback, TrainerCallback
from transformers.trainer_utils import SaveStrategy
from trl import GRPOConfig, GRPOTrainer

from configs.schema.config import GrpoConfig, RolloutConfig
from rl.bench.checksum_task import Checksums, ChecksumTask, checksum, make_tokenizer
from rl.bench.models import NO_STOP, PAD
from rl.bench.rollout import FixedLengths
from rl.bench.workload import GROUP, Workload
from rl.grpo.arguments import grpo_arguments
from rl.grpo.trainer import StrideTrainer
from rl.grpo.update import Updates
from rl.models.policy import Policy
from rl.precision import Passes
from rl.trainer_arguments import NO_CHECKPOINTING
from rollout.encoder import make_encoder
from rollout.engines.base import Weights
from rollout.engines.cuda_graphs import CudaGraphs
from rollout.engines.embedded import TorchEngine
from rollout.pools.local import LocalPool
from rollout.source import GroupSource, RolloutBatch
from rollout.types import Completion, Prompt, RolloutGroup, Sampling
from rollout.worker import RolloutWorker

_LEARNING_RATE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Training:
    """The updates of one trainer.

    Attributes:
        seconds: Seconds of each update but the first, which warms up.
        logs: What was logged at every update.
        tokens: Completion tokens trained on, in all updates.
        positions: Positions passed through the learning model in all updates, padding included.
    """

    seconds: tuple[float, ...]
    logs: tuple[Mapping[str, float], ...]
    tokens: int
    positions: int

    @property
    def losses(self) -> tuple[float, ...]:
        """Loss of every update."""
        return tuple(row["loss"] for row in self.logs)

    @property
    def grad_norms(self) -> tuple[float, ...]:
        """Gradient norm of every update, before clipping."""
        return tuple(row["grad_norm"] for row in self.logs)


class _Watch(TrainerCallback):
    """Records the time after every update, and its logged figures."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.logs: list[dict[str, float]] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.times.append(time.perf_counter())

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" in logs:
            self.logs.append(dict(logs))


class _Counter:
    """Counts the tokens and positions that pass through a model while it learns."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.tokens = self.positions = 0
        model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, model: torch.nn.Module, args: Any, inputs: dict[str, Any]) -> None:
        if torch.is_grad_enabled():  # TRL samples with the same model
            self.tokens += int((inputs["labels"] != -100).sum())
            self.positions += inputs["input_ids"].numel()


def train_stride(
    model: LlamaForCausalLM,
    workload: Workload,
    groups: Sequence[RolloutGroup] | None = None,
    *,
    updates: int,
    threads: int = 1,
    passes: Passes | None = None,
) -> Training:
    """Stride's trainer.

    Args:
        model: A copy of it is trained, on its device.
        workload: Prompts and lengths.
        groups: Trained on at every update; None: a worker in this process samples and scores new ones.
        updates: Number of updates.
        threads: CPU threads of the engine.
        passes: How the learner's passes run; None: in the precision of the weights, all activations kept.
    """
    passes = passes or Passes(cpu=model.device.type == "cpu")
    learner, watch = _learner(model), _Watch()
    counter = _Counter(learner)
    policy = Policy(model=learner, encoder=make_encoder(make_tokenizer(model.config.vocab_size)))
    num_groups, limit = len(workload.prompts), max(workload.lengths)
    pool: Any = _NoPool()
    source: Any = _GivenSource(groups or ())
    if groups is None:
        task: Any = ChecksumTask(workload)
        worker = RolloutWorker(
            engine=_FixedLengthEngine(copy.deepcopy(model), workload, threads),
            encoder=policy.encoder,
            env=task,
            rewards=Checksums(),
            sampling=Sampling(temperature=1.0, max_new_tokens=limit),
            max_prompt_tokens=max(map(len, workload.prompts)),
        )
        pool = LocalPool(worker)
        source = GroupSource(
            pool,
            task,
            seed=0,
            num_samples=GROUP,
            problems_per_batch=num_groups,
            dynamic_sampling=False,
            max_resamples=0,
            max_ungraded=0,
        )
    with tempfile.TemporaryDirectory() as folder:
        grpo = GrpoConfig(
            updates=updates,
            problems_per_update=num_groups,
            learning_rate=_LEARNING_RATE,
            scale_rewards="group",  # TRL's default
        )
        rollout = RolloutConfig(samples_per_problem=GROUP, max_new_tokens=limit, problems_per_batch=num_groups)
        arguments = grpo_arguments(grpo, rollout, folder=Path(folder), seed=0, passes=passes, report_to=[])
        arguments.save_strategy = SaveStrategy.NO  # gigabytes, for nobody
        made = Updates(
            source,
            pool,
            grpo,
            rollout,
            pad_id=policy.encoder.pad_id,
            on_rollouts=lambda update, rollouts, advantages: None,
            float32=model.dtype == torch.float32 and not passes.mixed_precision,
        )
        StrideTrainer(policy, made, arguments, [watch]).run()
    return _training(watch, counter)


def train_trl(
    model: LlamaForCausalLM,
    workload: Workload,
    groups: Sequence[RolloutGroup] | None = None,
    *,
    updates: int,
    rows: int = GROUP,
) -> Training:
    """TRL's trainer, unchanged except that lengths are fixed and that `groups` replace its sampling.

    Args:
        model: A copy of it is trained.
        workload: Prompts and lengths.
        groups: Trained on at every update; None: TRL samples.
        updates: Number of updates.
        rows: Rows of a micro-batch; all rows if there are fewer.
    """
    learner, watch = _learner(model), _Watch()
    counter = _Counter(learner)
    prompts = ChecksumTask(workload).prompts
    rows = min(rows, len(workload.lengths))
    if groups is None:
        keep = FixedLengths(workload.lengths, max(map(len, workload.prompts)))
        sampler: Any = learner
        sampler.generate = partial(sampler.generate, logits_processor=LogitsProcessorList([keep]))
    with tempfile.TemporaryDirectory() as folder:
        arguments = GRPOConfig(
            output_dir=folder,
            max_steps=updates,
            per_device_train_batch_size=rows,
            gradient_accumulation_steps=len(workload.lengths) // rows,
            num_generations=GROUP,
            max_completion_length=max(workload.lengths),
            learning_rate=_LEARNING_RATE,
            lr_scheduler_type="constant",
            beta=0.0,
            num_iterations=1,
            loss_type="dapo",
            logging_steps=1,
            save_strategy="no",
            shuffle_dataset=False,
            use_cpu=True,
            bf16=False,
            **NO_CHECKPOINTING,
            dataloader_pin_memory=False,
            disable_tqdm=True,
            report_to=[],
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*'rollout_func'")  # TRL warns that it is experimental
            trainer = GRPOTrainer(
                model=learner,
                reward_funcs=[_trl_reward],
                args=arguments,
                train_dataset=Dataset.from_dict({"prompt": prompts}),
                processing_class=make_tokenizer(),
                callbacks=[watch],
                rollout_func=None if groups is None else partial(_given_columns, groups),
            )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return _training(watch, counter)


def _learner(model: LlamaForCausalLM) -> LlamaForCausalLM:
    return copy.deepcopy(model).requires_grad_(True).train()


def _training(watch: _Watch, counter: _Counter) -> Training:
    return Training(
        seconds=tuple(end - start for start, end in zip(watch.times, watch.times[1:], strict=False)),
        logs=tuple(watch.logs),
        tokens=counter.tokens,
        positions=counter.positions,
    )


class _FixedLengthEngine:
    """The embedded engine with the workload's length for each sample."""

    def __init__(self, model: LlamaForCausalLM, workload: Workload, threads: int) -> None:
        capture = None if model.device.type == "cpu" else CudaGraphs
        self._engine = TorchEngine(model, stop_ids=[NO_STOP], pad_id=PAD, threads=threads, make_capture=capture)
        self._limits = [request.limits for request in workload.requests]
        self.weight_version = 0

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        limited = [replace(p, limits=own) for p, own in zip(prompts, self._limits, strict=True)]
        return self._engine.generate(limited, sampling)

    def load_weights(self, weights: Weights, version: int) -> None:
        self._engine.load_weights(weights, version)
        self.weight_version = version

    def sleep(self) -> bool:
        return self._engine.sleep()

    def close(self) -> None:
        self._engine.close()


class _GivenSource:
    """A `GroupSource` that gives the same groups at every update."""

    def __init__(self, groups: Sequence[RolloutGroup]) -> None:
        self.cursor = 0
        self.groups = tuple(groups)

    def state(self) -> dict[str, Any]:
        return {"cursor": self.cursor}

    def next_update(self, num_groups: int) -> RolloutBatch:
        self.cursor += num_groups
        return RolloutBatch(
            useful=self.groups, sampled=self.groups, zero_signal=Counter(), sample_s=0.0, score_s=0.0
        )


class _NoPool:
    """A pool whose weights nobody samples from."""

    def publish(self, weights: Any, version: int) -> None: ...

    def sleep(self) -> bool:
        return False


def _trl_reward(completions: list[str], **kwargs: Any) -> list[float | None]:
    return [checksum(text) for text in completions]


def _given_columns(groups: Sequence[RolloutGroup], prompts: Any, trainer: Any) -> dict[str, Any]:
    """The groups in the form of TRL's `rollout_func`: one row for each completion."""
    rows = [(group.prompt_ids, sample.completion) for group in groups for sample in group.samples]
    return {
        "prompt_ids": [list(prompt) for prompt, _ in rows],
        "completion_ids": [list(completion.ids) for _, completion in rows],
        "logprobs": [list(completion.logprobs) for _, completion in rows],
    }
