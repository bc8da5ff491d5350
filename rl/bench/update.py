"""What an update costs: Stride's trainer and TRL's own `GRPOTrainer` on the same model, prompts and lengths.

Two races. `end_to_end` is a whole update: sampling, reward, loss, backward, optimiser, and the new weights
handed to whoever samples; TRL samples with `generate`, from the weights it trains. `update` is the learner
alone, on completions sampled before the race. Loss (dapo, no KL term, one pass), optimiser, clipping and
float32 are the same for both, neither recomputes activations, and both log every update. The reward is a
checksum of the text: it differs within every group, and neither side is charged for grading. The learning rate
moves no weight.

What a learner passes through the model is counted at the model itself, the same way for both. Useful are the
positions that hold a token of a prompt or a completion; how many there are is known.
"""

from __future__ import annotations

import copy
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaForCausalLM,
    LogitsProcessorList,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
)
from trl import GRPOConfig, GRPOTrainer

from configs.schema.config import GrpoConfig, RolloutConfig
from envs import Problem, Split, Trace, parse_trace
from rewards import History, Outcome, Score
from rl.bench.race import Contestants, Lap
from rl.bench.rollout import FixedLengths
from rl.bench.workload import GROUP, PAD, STOP, VOCABULARY, Case, Workload
from rl.grpo.arguments import grpo_arguments
from rl.grpo.trainer import StrideTrainer
from rl.grpo.update import Updates
from rl.policy import Policy
from rollout.encoder import make_encoder
from rollout.engines.base import Weights
from rollout.engines.embedded import TorchEngine
from rollout.pools.local import LocalPool
from rollout.source import GroupSource, RolloutBatch
from rollout.types import Completion, Prompt, RolloutGroup, Sample, Sampling
from rollout.worker import RolloutWorker

_LEARNING_RATE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Training:
    """What one trainer did.

    Attributes:
        seconds: Of each update but the first, which warms up.
        losses: Of every update.
        grad_norms: Of every update, before clipping.
        tokens: Completion tokens trained on, of all updates.
        positions: Positions that went through the model to learn from, padding included, of all updates.
    """

    seconds: tuple[float, ...]
    losses: tuple[float, ...]
    grad_norms: tuple[float, ...]
    tokens: int
    positions: int


def update(case: Case) -> Contestants:
    """The learners alone."""
    model, workload = case.make_model(), case.make_workload()
    groups = sample_groups(model, workload, case.threads)
    return {
        "stride": partial(_lap, case, workload, partial(train_stride, model, workload, groups)),
        "trl": partial(_lap, case, workload, partial(train_trl, model, workload, groups, rows=case.trl_rows)),
    }


def end_to_end(case: Case) -> Contestants:
    """Whole updates."""
    model, workload = case.make_model(), case.make_workload()
    stride = partial(train_stride, model, workload, threads=case.threads)
    return {
        "stride": partial(_lap, case, workload, stride),
        "trl": partial(_lap, case, workload, partial(train_trl, model, workload, rows=case.trl_rows)),
    }


def _lap(case: Case, workload: Workload, train: Callable[..., Training]) -> Lap:
    updates = case.updates + 1  # the first one warms up
    training = train(updates=updates)
    if training.tokens != updates * workload.tokens:
        raise RuntimeError(
            f"{training.tokens} tokens were trained on in {updates} updates of {workload.tokens} tokens each"
        )
    return Lap(
        per_s=len(training.seconds) / sum(training.seconds),
        useful_frac=updates * workload.positions / training.positions,
    )


# ---- what is trained on ----


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A word for every token id."""
    words = {_word(token): token for token in range(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=_word(PAD)))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=_word(PAD), eos_token=_word(STOP), padding_side="left"
    )


def _word(token: int) -> str:
    return f"w{token:03}"


def sample_groups(model: LlamaForCausalLM, workload: Workload, threads: int = 1) -> list[RolloutGroup]:
    """Scored groups with the lengths of the workload and the model's own log-probabilities."""
    engine = TorchEngine(copy.deepcopy(model), stop_ids=[VOCABULARY], pad_id=PAD, threads=threads)
    sampling = Sampling(temperature=1.0, max_new_tokens=max(workload.lengths))
    sampled = engine.generate(workload.requests, sampling)
    tokenizer, task = make_tokenizer(), _Task(workload)
    return [
        RolloutGroup(
            group_id=g,
            problem=task.problem(Split.TRAIN, g),
            prompt_ids=workload.prompts[g],
            samples=tuple(
                _score(completion, str(tokenizer.decode(list(completion.ids), skip_special_tokens=True)))
                for completion in group
            ),
        )
        for g, group in enumerate(sampled)
    ]


def _score(completion: Completion, text: str) -> Sample:
    total = _reward(text)
    score = Score(total=total, parts={"checksum": total}, outcome=Outcome.TRUNCATED)
    return Sample(completion=completion, text=text, trace=parse_trace(text, truncated=True), score=score)


def _reward(text: str) -> float:
    """A number from 0 to 1 that costs next to nothing and differs within groups."""
    return zlib.crc32(text.encode()) / 2**32


class _Task:
    """Stands in for the environment: the workload's prompts."""

    def __init__(self, workload: Workload) -> None:
        self.prompts = [" ".join(map(_word, ids)) for ids in workload.prompts]

    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        prompt = self.prompts[index % len(self.prompts)]
        return Problem(
            env="bench",
            split=split,
            index=index,
            question=prompt,
            prompt=prompt,
            answer="",
            num_full_steps=1,
            difficulty=1,
        )

    def parse(self, text: str, *, truncated: bool = False) -> Trace:
        return parse_trace(text, truncated=truncated)

    def check(self, problem: Problem, trace: Trace) -> Trace:
        return trace


class _Checksums:
    """Stands in for the reward (`Scorer`): checksums of texts."""

    def __call__(
        self,
        problem: Problem,
        traces: Sequence[Trace],
        history: History | None = None,
        *,
        user_rewards: bool = True,
    ) -> list[Score]:
        totals = [_reward("".join(step.text for step in trace.steps)) for trace in traces]
        return [Score(total=t, parts={"checksum": t}, outcome=Outcome.TRUNCATED) for t in totals]

    def close(self) -> None: ...


# ---- who trains ----


class _Watch(TrainerCallback):
    """Takes the time after every update, and keeps what is logged of it."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.logs: list[dict[str, float]] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.times.append(time.perf_counter())

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" in logs:
            self.logs.append(dict(logs))


class _Counter:
    """Counts what passes through a model while it learns."""

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
) -> Training:
    """Stride's trainer.

    Args:
        model: A copy of it is trained.
        workload: Prompts and lengths.
        groups: To train on at every update; None: they are sampled and scored, by a worker in this process.
        updates: How many.
        threads: Of the engine.
    """
    learner, watch = _learner(model), _Watch()
    counter = _Counter(learner)
    policy = Policy(model=learner, encoder=make_encoder(make_tokenizer()))
    num_groups, limit = len(workload.prompts), max(workload.lengths)
    pool: Any = _NoPool()
    source: Any = _GivenSource(groups or ())
    if groups is None:
        task: Any = _Task(workload)
        worker = RolloutWorker(
            engine=_FixedLengthEngine(copy.deepcopy(model), workload, threads),
            encoder=policy.encoder,
            env=task,
            rewards=_Checksums(),
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
        grpo = GrpoConfig(updates=updates, problems_per_update=num_groups, learning_rate=_LEARNING_RATE)
        rollout = RolloutConfig(samples_per_problem=GROUP, max_new_tokens=limit, problems_per_batch=num_groups)
        arguments = grpo_arguments(grpo, rollout, folder=Path(folder), seed=0, cpu=True, report_to=[])
        made = Updates(
            source,
            pool,
            grpo,
            rollout,
            pad_id=policy.encoder.pad_id,
            on_rollouts=lambda update, rollouts, advantages: None,
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
    """TRL's trainer as it is, but for two things: lengths are fixed, and with `groups` nothing is sampled.

    Args:
        model: A copy of it is trained.
        workload: Prompts and lengths.
        groups: To train on at every update; None: TRL samples.
        updates: How many.
        rows: Of a micro-batch, or all if there are fewer.
    """
    learner, watch = _learner(model), _Watch()
    counter = _Counter(learner)
    prompts = _Task(workload).prompts
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
            gradient_checkpointing=False,
            dataloader_pin_memory=False,
            disable_tqdm=True,
            report_to=[],
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*'rollout_func'")  # that it is experimental
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
        losses=tuple(row["loss"] for row in watch.logs),
        grad_norms=tuple(row["grad_norm"] for row in watch.logs),
        tokens=counter.tokens,
        positions=counter.positions,
    )


class _FixedLengthEngine:
    """An `Engine`: the embedded one, with the workload's length for each sample."""

    def __init__(self, model: LlamaForCausalLM, workload: Workload, threads: int) -> None:
        self._engine = TorchEngine(model, stop_ids=[VOCABULARY], pad_id=PAD, threads=threads)
        self._limits = [request.limits for request in workload.requests]
        self.weight_version = 0

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        limited = [replace(p, limits=own) for p, own in zip(prompts, self._limits, strict=True)]
        return self._engine.generate(limited, sampling)

    def load_weights(self, weights: Weights, version: int) -> None:
        self._engine.load_weights(weights, version)
        self.weight_version = version

    def close(self) -> None:
        self._engine.close()


class _GivenSource:
    """Hands out the same groups at every update."""

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
    """Takes weights for nobody."""

    def publish(self, weights: Any, version: int) -> None: ...


def _trl_reward(completions: list[str], **kwargs: Any) -> list[float | None]:
    return [_reward(text) for text in completions]


def _given_columns(groups: Sequence[RolloutGroup], prompts: Any, trainer: Any) -> dict[str, Any]:
    """The groups as TRL's `rollout_func` gives them: a row a completion."""
    rows = [(group.prompt_ids, sample.completion) for group in groups for sample in group.samples]
    return {
        "prompt_ids": [list(prompt) for prompt, _ in rows],
        "completion_ids": [list(completion.ids) for _, completion in rows],
        "logprobs": [list(completion.logprobs) for _, completion in rows],
    }
