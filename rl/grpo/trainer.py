"""The learner: TRL's `GRPOTrainer`, fed by the rollout pool.

One update::

    publish -> groups -> credit -> micro-batches -> TRL's loss, clipping, optimiser

TRL gives the loss, PEFT, accelerate and the metric backends. Problem order, sampling, rewards and what
happens to zero-variance groups are the pool's and the source's: the trainer sees placeholder rows only. The
sampler's own log-probabilities serve as the old ones, so the ratio in the loss corrects whatever differs
between sampler and learner, and no second forward pass is needed. A checkpoint holds, beside what the Trainer
saves, the state of the source of groups; a run resumed from it repeats the uninterrupted one exactly.

What is relied on beyond TRL's public interface is listed in tests/rl/grpo/test_trl_contract.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import use_adapter

from configs.schema.config import GrpoConfig, RolloutConfig
from rl.grpo.advantages import AdvantageWeight, group_advantages, weigh_advantages
from rl.grpo.metrics import rollout_metrics
from rl.grpo.micro_batches import make_micro_batches, make_rows, useful_frac
from rl.policy import Policy
from rollout.pools.base import RolloutPool
from rollout.source import GroupSource, RolloutBatch
from rollout.stream import RolloutStream
from rollout.types import RolloutGroup

STATE_FILE = "stride_state.json"
_MAX_ZERO_SIGNAL_UPDATES = 20


class LogprobMismatchError(RuntimeError):
    """Sampler and learner disagree on log-probabilities by more than the config allows."""

    exit_code: ClassVar[int] = 1


class StalledError(RuntimeError):
    """No group taught anything for many updates in a row."""

    exit_code: ClassVar[int] = 1


def trainable_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What an engine must be given after an update: trained parameters by name (an adapter's alone)."""
    return {
        name: parameter.detach().cpu()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and ".ref." not in name
    }


class StrideTrainer(GRPOTrainer):
    """GRPO on groups from a `GroupSource`."""

    def __init__(
        self,
        policy: Policy,
        source: GroupSource,
        pool: RolloutPool,
        config: GrpoConfig,
        rollout: RolloutConfig,
        *,
        folder: Path,
        seed: int,
        cpu: bool,
        report_to: list[str],
        callbacks: list[TrainerCallback],
        on_rollouts: Callable[[int, RolloutBatch, Mapping[int, Sequence[float]]], None],
        advantage_weight: AdvantageWeight | None = None,
    ) -> None:
        """Set up TRL's trainer.

        Args:
            policy: What to train; with `beta` > 0, a policy loaded from a folder, which is the reference.
            source: Hands out groups.
            pool: Is told the weights.
            config: The `grpo` section.
            rollout: The `rollout` section.
            folder: Checkpoints go here.
            seed: Run seed.
            cpu: Train on the CPU even where there is a GPU.
            report_to: Metric backends.
            callbacks: Told of every update.
            on_rollouts: Called before an update with its number, its groups and the advantages of those it
                is trained on, by group.
            advantage_weight: Weighs advantages by the accuracy of their group.
        """
        rows = config.problems_per_update * rollout.samples_per_problem
        arguments = GRPOConfig(
            output_dir=str(folder),
            max_steps=config.updates,
            per_device_train_batch_size=rows,
            gradient_accumulation_steps=1,  # micro-batches are ours: `training_step`
            num_generations=rollout.samples_per_problem,
            num_iterations=config.num_iterations,
            max_completion_length=rollout.max_new_tokens,
            temperature=rollout.temperature,
            learning_rate=config.learning_rate,
            lr_scheduler_type="constant_with_warmup"
            if config.lr_schedule == "constant"
            else config.lr_schedule,
            warmup_steps=config.warmup_updates,
            max_grad_norm=config.max_grad_norm,
            beta=config.beta,
            epsilon=config.epsilon,
            epsilon_high=config.epsilon_high,
            loss_type=config.loss_type,
            logging_steps=1,
            save_strategy="steps" if config.save_every else "no",
            save_steps=config.save_every or config.updates,
            save_total_limit=config.keep_checkpoints,
            shuffle_dataset=False,
            seed=seed,
            use_cpu=cpu,
            bf16=False,
            disable_dropout=True,  # the sampler has none
            gradient_checkpointing=False,
            dataloader_pin_memory=False,
            disable_tqdm=True,
            report_to=report_to,
        )
        super().__init__(
            model=policy.model,
            reward_funcs=[_no_reward],
            args=arguments,
            train_dataset=Dataset.from_dict({"prompt": [""] * config.problems_per_update}),
            processing_class=policy.tokenizer,
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)  # progress is shown by our own
        if self.accelerator.num_processes > 1:
            raise ValueError(
                f"the learner runs in one process, but accelerate started {self.accelerator.num_processes}; "
                "start it with plain python"
            )
        self._source = source
        self._stream = RolloutStream(
            source, pool, num_groups=config.problems_per_update, ahead=rollout.max_staleness
        )
        self._state = source.state()
        self._config = config
        self._advantage_weight = advantage_weight
        self._pad_id = policy.encoder.pad_id
        self._on_rollouts = on_rollouts
        self._folder = folder
        self._zero_signal_updates = 0
        self._generation_s = 0.0
        self._updated_at = time.perf_counter()
        self._micro_batches: list[dict[str, Any]] = []
        self._new_logps: torch.Tensor | None = None
        self._logprob_diffs: list[torch.Tensor] = []

    def run(self, resume_from: Path | None = None) -> None:
        """Train to the last update.

        Args:
            resume_from: Checkpoint folder to go on from, written by this class.
        """
        if resume_from is not None:
            state = json.loads((resume_from / STATE_FILE).read_text())
            self._source.restore(state)
            self._state = self._source.state()
        try:
            self.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        finally:
            self._stream.close()

    # ---- what TRL asks for ----

    def training_step(
        self, model: torch.nn.Module, inputs: Any, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Loss and gradient of one update: those of its micro-batches, added up."""
        if self.state.global_step % self.num_iterations == 0 or not self._micro_batches:
            self._micro_batches = self._next_micro_batches()
        metrics = self._metrics["train"]
        before = {key: len(values) for key, values in metrics.items()}
        losses = [super(StrideTrainer, self).training_step(model, part, None) for part in self._micro_batches]
        for key, values in metrics.items():
            own = values[before.get(key, 0) :]
            if len(own) == len(losses):  # TRL adds one figure a micro-batch
                values[before.get(key, 0) :] = [self._of_update(key, own)]
        return torch.stack(losses).sum()

    def _prepare_inputs(self, generation_batch: dict[str, Any]) -> dict[str, Any]:
        """TRL samples here; `training_step` has done so and passes a micro-batch."""
        return generation_batch

    def _compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        loss: torch.Tensor = super()._compute_loss(model, inputs)
        if self.state.global_step % self.num_iterations == 0:
            mask = inputs["completion_mask"].bool()
            assert self._new_logps is not None
            self._logprob_diffs.append((self._new_logps - inputs["old_per_token_logps"])[mask].abs())
        return loss * inputs["loss_factor"]

    def _get_per_token_logps_and_entropies(
        self,
        model: torch.nn.Module,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Log-probabilities [B, T] and (None of the reference model) entropies [B, T] of the completions.

        Where TRL pads prompts on the left, rows are moved to the left edge here: a pass is then no wider than
        its longest row, positions count from the first real token as the sampler's do, and, as nothing follows
        a row but padding, the causal mask is all that attention needs.
        """
        width = input_ids.shape[1]
        prompt_B1 = attention_mask[:, :-logits_to_keep].sum(1, keepdim=True)
        length_B1 = attention_mask.sum(1, keepdim=True)
        column = torch.arange(width, device=input_ids.device)
        offset_B1 = width - logits_to_keep - prompt_B1
        end = int(length_B1.max())
        ids = input_ids.gather(1, (column[:end] + offset_B1).clamp(max=width - 1))
        in_completion = (column[:end] >= prompt_B1) & (column[:end] < length_B1)
        with self.accelerator.autocast():
            outputs = model(input_ids=ids, labels=ids.masked_fill(~in_completion, -100), fused_lm_head=True)
        # Figure j is of token j + 1.
        index = (column[:logits_to_keep] + prompt_B1 - 1).clamp(max=end - 2)
        logps = outputs.log_probs.gather(1, index)
        self._new_logps = logps.detach()
        return logps, None if outputs.entropy is None else outputs.entropy.gather(1, index), None

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        folder = self._folder / f"checkpoint-{self.state.global_step}"
        state = {"update": self.state.global_step, **self._state}
        # Written last: a checkpoint without it was cut off and is passed over on resume.
        (folder / STATE_FILE).write_text(json.dumps(state))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add what the Trainer does not know, then log."""
        if "loss" in logs:
            now = time.perf_counter()
            logs["seconds/update"] = now - self._updated_at - self._generation_s
            logs["seconds/total"] = now - self._updated_at
            self._updated_at, self._generation_s = now, 0.0
            if self._logprob_diffs:
                difference = torch.cat(self._logprob_diffs)
                logs["logprob_diff/mean"] = difference.mean().item()
                logs["logprob_diff/max"] = difference.max().item()
                self._logprob_diffs = []
                self._check_logprobs(logs["logprob_diff/max"])
        super().log(logs, start_time)

    # ---- sampling ----

    def _next_micro_batches(self) -> list[dict[str, Any]]:
        started = time.perf_counter()
        version = self.state.global_step
        delivery = self._stream.next(
            trainable_weights(self.accelerator.unwrap_model(self.model)), version, left=self._batches_left()
        )
        rollouts, self._state = delivery.rollouts, delivery.state
        sampled = time.perf_counter()
        # With nothing useful, the update still takes place, on groups whose advantages are all 0.
        groups = rollouts.useful or [group for group in rollouts.sampled if group.samples][:1]
        advantages = [self._advantages(group) for group in groups]
        self._on_rollouts(
            version + 1, rollouts, {g.group_id: row for g, row in zip(groups, advantages, strict=True)}
        )
        self._zero_signal_updates = 0 if rollouts.useful else self._zero_signal_updates + 1
        if self._zero_signal_updates >= _MAX_ZERO_SIGNAL_UPDATES:
            raise StalledError(
                f"no group of the last {_MAX_ZERO_SIGNAL_UPDATES} updates had rewards that differ "
                f"({dict(rollouts.zero_signal)} in the last one): the task is too easy, too hard, or the "
                "reward does not tell samples apart; change env.settings, rewards or rollout.temperature"
            )
        batches = make_micro_batches(
            make_rows(groups, advantages),
            self._config.micro_batch_tokens or (768 if self.accelerator.device.type == "cpu" else 16384),
            pad_id=self._pad_id,
            loss_type=self.loss_type,
            device=self.accelerator.device,
        )
        if self.beta != 0.0:
            for batch in batches:
                batch["ref_per_token_logps"] = self._reference_logps(batch)
        finished = time.perf_counter()
        self._generation_s += finished - started
        completions = [sample.completion for group in rollouts.sampled for sample in group.samples]
        staleness = [version - completion.weight_version for completion in completions]
        tokens = sum(len(completion.ids) for completion in completions)
        metrics = {
            **rollout_metrics(rollouts, self._config.problems_per_update),
            "staleness/mean": sum(staleness) / len(staleness),
            "staleness/max": max(staleness),
            "seconds/publish": delivery.publish_s,
            "seconds/rollout": delivery.rollout_s,
            "seconds/wait": sampled - started,
            "seconds/score": rollouts.score_s,
            "seconds/prepare": finished - sampled,
            "tokens_per_s": tokens / delivery.rollout_s,
            "useful_positions": useful_frac(batches),
            "cursor": float(self._state["cursor"]),
        }
        for key, value in metrics.items():
            self._metrics["train"][key].append(value)
        return batches

    def _advantages(self, group: RolloutGroup) -> list[float]:
        rewards_G = torch.tensor(group.rewards, dtype=torch.float64)
        advantages_G = group_advantages(rewards_G, scale=self._config.scale_rewards)
        if self._advantage_weight is not None:
            accuracy = sum(bool(sample.trace.correct) for sample in group.samples) / len(group.samples)
            advantages_G = weigh_advantages(advantages_G, accuracy, self._advantage_weight)
        weighed: list[float] = advantages_G.tolist()
        return weighed

    def _batches_left(self) -> int:
        """Until the next checkpoint, which must find nothing sampled ahead, or the end."""
        update, every = self.state.global_step, self._config.save_every or self._config.updates
        stop = min(self._config.updates, (update // every + 1) * every)
        return (stop - update) // self.num_iterations

    def _of_update(self, key: str, values: list[float]) -> float:
        """From one figure a micro-batch to one of the update: sum, least, largest or mean over tokens."""
        if key == "step_time":
            return sum(values)
        if key.endswith(("_min", "_max")):
            return (min if key.endswith("_min") else max)(values)
        tokens = [batch["tokens"] for batch in self._micro_batches]
        return sum(value * share for value, share in zip(values, tokens, strict=True)) / sum(tokens)

    def _reference_logps(self, batch: dict[str, Any]) -> torch.Tensor:
        model = self.accelerator.unwrap_model(self.model)
        reference: Any = nullcontext()
        if self.ref_model is None:
            reference = use_adapter(model, adapter_name="ref" if "ref" in model.peft_config else None)
        with torch.no_grad(), reference:
            logps, _, _ = self._get_per_token_logps_and_entropies(
                self.ref_model or model,
                torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
                torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
                batch["completion_ids"].shape[1],
            )
        return logps

    def _check_logprobs(self, worst: float) -> None:
        limit = self._config.max_logprob_diff
        if limit is not None and worst > limit:
            raise LogprobMismatchError(
                f"at update {self.state.global_step} sampler and learner differ by {worst:.4g} in the "
                f"log-probability of a token, over grpo.max_logprob_diff ({limit:g}); compare their dtypes "
                "(rollout.dtype, policy.dtype) or raise the limit"
            )


def _no_reward(*args: Any, **kwargs: Any) -> list[float | None]:
    """TRL wants a reward function; rewards come from the pool and this is never called."""
    raise AssertionError("TRL computed rewards itself")
