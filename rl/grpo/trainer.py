"""The adapter to TRL's `GRPOTrainer`, which gives the loss, PEFT, accelerate and the metric backends.

`update.py` makes the data of an update; TRL sees placeholder rows only. One update is as many of TRL's
steps as there are micro-batches. A checkpoint holds the state of the updates beside the Trainer's own files, so
a resumed run repeats the uninterrupted one exactly, from any update.

Everything relied on beyond TRL's public interface is listed in tests/rl/grpo/test_trl_contract.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import use_adapter

from rl.grpo.checkpoint_state import GrpoState
from rl.grpo.evaluation_mode import switch_to_evaluation
from rl.grpo.evaluations import Evaluations
from rl.grpo.importance import importance_ratio
from rl.grpo.left_aligned import align_left
from rl.grpo.micro_batches import MicroBatch
from rl.grpo.regularisation import regularisation
from rl.grpo.update import Updates, combine_figures
from rl.models.policy import Policy, trainable_weights
from rl.runs.checkpoints import checkpoint_update
from rl.runs.record import Stage
from rl.trainer_arguments import adapter_kept
from rl.trainer_callback import SaveByTime, StopIfNotFinite, check_figures, check_weights
from rl.trainer_checkpoints import WholeCheckpoints
from rl.trainer_rates import ConfiguredRates
from rl.update_boundary import InterruptibleTrainer
from rollout.engines.cpu_linear import speed_up_linears


class StrideTrainer(InterruptibleTrainer, WholeCheckpoints, ConfiguredRates, GRPOTrainer):
    """GRPO on the micro-batches of `Updates`."""

    stage = Stage.GRPO

    def __init__(
        self,
        policy: Policy,
        updates: Updates,
        arguments: GRPOConfig,
        callbacks: list[TrainerCallback],
        *,
        evaluations: Evaluations | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Set up TRL's trainer.

        Args:
            policy: The policy to train; with `beta` > 0 one loaded from a folder, which is the reference.
            updates: Makes the micro-batches.
            arguments: TRL's settings, of `grpo_arguments`.
            callbacks: Notified of every update.
            evaluations: Judges the policy every few updates; None: nothing does.
            say: Shows a line.
        """
        assert arguments.num_generations is not None
        speed_up_linears(policy.model)
        num_prompts = arguments.per_device_train_batch_size // arguments.num_generations
        with adapter_kept(policy.model):
            super().__init__(
                model=policy.model,
                reward_funcs=[_no_reward],
                args=arguments,
                train_dataset=Dataset.from_dict({"prompt": [""] * num_prompts}),
                processing_class=policy.tokenizer,
                callbacks=[SaveByTime(updates.config.save_minutes), StopIfNotFinite(), *callbacks],
            )
        self.remove_callback(PrinterCallback)  # progress is shown by our own
        self.beta = 0.0  # TRL's KL term is off; ours is in `regularisation.py`
        self.say = say
        self._updates = updates
        self._evaluations = evaluations
        self._micro_batches: list[MicroBatch] = []
        self._unevaluated: Mapping[str, Any] | None = None
        self._scored = (torch.empty(0), torch.empty(0))

    def run(self, resume_from: Path | None = None) -> None:
        """Train to the last update, from a checkpoint folder written by this class if there is one."""
        if resume_from is not None:
            state = GrpoState.read(resume_from, device=self.accelerator.device)
            source = {"update": checkpoint_update(resume_from), **state.source}
            self._updates.restore(source, state.ahead, on_policy=state.on_policy)
            self._micro_batches, self._unevaluated = list(state.micro_batches), state.unevaluated
        try:
            self.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        finally:
            self._updates.close()

    def training_step(
        self, model: torch.nn.Module, inputs: Any, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Loss and gradient of one update: those of its micro-batches, added up."""
        metrics = self._metrics["train"]
        if self._first_pass or not self._micro_batches:
            weights = trainable_weights(self.accelerator.unwrap_model(self.model))
            batch = self._updates.next(
                weights,
                self.state.global_step,
                device=self.accelerator.device,
                learner=self._learner_scores,
                reference=self._reference_logps if self._updates.config.beta > 0 else None,
            )
            self._micro_batches = batch.micro_batches
            for key, value in batch.metrics.items():
                metrics[key].append(value)
        before = {key: len(values) for key, values in metrics.items()}
        losses = [super(StrideTrainer, self).training_step(model, part, None) for part in self._micro_batches]
        tokens = [part["tokens"] for part in self._micro_batches]
        for key, values in metrics.items():
            own = values[before.get(key, 0) :]
            if len(own) == len(losses):  # TRL adds one figure per micro-batch
                values[before.get(key, 0) :] = [combine_figures(key, own, tokens)]
        return torch.stack(losses).sum()

    @property
    def _first_pass(self) -> bool:
        """Whether the next update is the first on its rollout batch: weights are still the sampler's."""
        return self.state.global_step % self.num_iterations == 0

    def _prepare_inputs(self, generation_batch: dict[str, Any]) -> dict[str, Any]:
        """TRL samples here; `training_step` passes a micro-batch that is ready."""
        return generation_batch

    def _compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        loss: torch.Tensor = super()._compute_loss(model, inputs) * inputs["loss_factor"]
        new, entropies = self._scored
        config, mask = self._updates.config, inputs["completion_mask"].bool()
        term, figures = regularisation(config, inputs, new, entropies)
        if config.ratio_bound is not None:
            ratio = importance_ratio(new.detach(), inputs["old_per_token_logps"], mask, config.ratio_level)
            touched = (ratio > config.ratio_bound) & (inputs["advantages"] < 0) & mask
            figures["clip_ratio/delta_tokens"] = float(touched.sum())
        for key, value in figures.items():
            self._metrics["train"][key].append(value)
        sampler = inputs["sampling_per_token_logps"]
        self._updates.compare_logprobs(new.detach(), sampler, mask, same=self._first_pass)
        return loss + term

    def _get_per_token_logps_and_entropies(
        self,
        model: torch.nn.Module,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Log-probabilities [B, T] and (None of the reference model) entropies [B, T] of the completions."""
        switch_to_evaluation(model)  # the tokens were sampled without dropout
        rows = align_left(input_ids, attention_mask, logits_to_keep)
        with self.accelerator.autocast():
            outputs = model(input_ids=rows.ids_BW, labels=rows.labels_BW, fused_lm_head=True)
        logps = outputs.log_probs.gather(1, rows.index_BT)
        entropies = None if outputs.entropy is None else outputs.entropy.gather(1, rows.index_BT)
        if entropies is not None:
            self._scored = (logps, entropies)
        return logps, entropies, None

    def _learner_scores(self, batch: MicroBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities and entropies [B, T], without gradients."""
        logps, entropies = self._forward(self.model, batch)
        assert entropies is not None
        return logps, entropies

    def _reference_logps(self, batch: MicroBatch) -> torch.Tensor:
        model = self.accelerator.unwrap_model(self.model)
        reference: Any = nullcontext()
        if self.ref_model is None:
            reference = use_adapter(model, adapter_name="ref" if "ref" in model.peft_config else None)
        with reference:
            return self._forward(self.ref_model or model, batch)[0]

    @torch.no_grad()
    def _forward(self, model: Any, batch: MicroBatch) -> tuple[torch.Tensor, torch.Tensor | None]:
        logps, entropies, _ = self._get_per_token_logps_and_entropies(
            model,
            torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
            torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
            batch["completion_ids"].shape[1],
        )
        return logps, entropies

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Write the model without the adapter of the reference, which is made again from the warm start.

        The Trainer loads the adapters in a checkpoint's subfolders, and then not the one that was trained.
        """
        super()._save(output_dir, state_dict)
        shutil.rmtree(Path(output_dir or str(self.args.output_dir)) / "ref", ignore_errors=True)

    def _write_data(self, folder: Path) -> None:
        self._state.write_tensors(folder)

    def _data_state(self) -> dict[str, Any]:
        return self._state.to_json()

    def begin(self) -> None:
        """What was loaded is what was saved; an evaluation that was interrupted is done first."""
        super().begin()
        if self._unevaluated is not None:
            logs = dict(self._unevaluated["logs"])
            model = self.accelerator.unwrap_model(self.model)
            model.training = True  # by which TRL tells whose figures these are
            self._metrics["train"].update(self._unevaluated["metrics"])
            self.begin_update_end()
            logs.update(self._evaluate_update(logs, self.state.global_step))
            super().log(logs)
            self.end_update_end()

    def mark_boundary(self, unevaluated: Mapping[str, Any] | None = None) -> None:
        """An update is whole, except for its evaluation if there are figures without it."""
        super().mark_boundary()
        self._state = GrpoState(
            source=self._updates.state,
            ahead=self._updates.ahead,
            micro_batches=() if self._first_pass else self._micro_batches,
            on_policy=self._updates.on_policy,
            unevaluated=unevaluated,
        )

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if not self.control.should_training_stop:  # by the evaluation that was done first
            super()._run_epoch(*args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the figures the Trainer does not know, then log."""
        if "loss" in logs:
            logs.update(self._updates.finish(self.state.global_step))
            logs.update(self._evaluate_update(logs, self.state.global_step))
        super().log(logs, start_time)

    def _evaluate_update(self, logs: Mapping[str, float], update: int) -> dict[str, float]:
        """Figures of the evaluation after an update, if one is due.

        It comes before the checkpoint of the same update, so that no evaluation is lost on resume, and after
        the checks that the update is finite, so that no damaged model is kept as the best one.
        """
        evaluations = self._evaluations
        if evaluations is None or not evaluations.due(update):
            return {}
        model = self.accelerator.unwrap_model(self.model)
        check_figures(logs, update)
        check_weights(model, update)
        self.mark_boundary({"logs": dict(logs), "metrics": dict(self._metrics["train"])})
        with self.interruptible():
            figures = self._updates.between(trainable_weights(model), update, evaluations.evaluate)
        if evaluations.stopped:
            self.control.should_training_stop = self.control.should_save = True
        return figures


def _no_reward(*args: Any, **kwargs: Any) -> list[float | None]:
    """TRL wants a reward function; rewards come from the pool and this is never called."""
    raise AssertionError("TRL computed rewards itself")
