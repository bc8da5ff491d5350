"""What Stride needs beyond TRL's public interface, one test each; these fail first when TRL is upgraded."""

from __future__ import annotations

import inspect

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer
from trl import GRPOTrainer, SFTTrainer
from trl.trainer.utils import add_fused_lm_head, use_adapter


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("training_step", ["model", "inputs", "num_items_in_batch"]),
        ("_prepare_inputs", ["generation_batch"]),
        ("_compute_loss", ["model", "inputs"]),
        ("_get_per_token_logps_and_entropies", ["model", "input_ids", "attention_mask", "logits_to_keep"]),
        ("_save_checkpoint", ["model", "trial"]),
        ("_get_output_dir", ["trial"]),
        ("log", ["logs", "start_time"]),
    ],
)
def test_overridden_methods_have_the_parameters_they_are_overridden_with(
    name: str, parameters: list[str]
) -> None:
    signature = inspect.signature(getattr(GRPOTrainer, name))
    assert list(signature.parameters)[1 : 1 + len(parameters)] == parameters


def test_a_checkpoint_is_a_folder_in_the_output_dir_and_nothing_else_is_written() -> None:
    """TRL adds its model card, which `WholeCheckpoints` leaves out."""
    save = inspect.getsource(Trainer._save_checkpoint)
    assert 'f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"' in save
    assert "run_dir = self._get_output_dir(trial=trial)" in save
    assert "output_dir = os.path.join(run_dir, checkpoint_folder)" in save
    assert "self.args.output_dir" not in save and save.count("run_dir") == 4
    for trainer in (GRPOTrainer, SFTTrainer):
        assert inspect.getsource(trainer._save_checkpoint).count("self.create_model_card(") == 1


def test_metrics_are_lists_that_log_means_and_clears() -> None:
    log = inspect.getsource(GRPOTrainer.log)
    assert "self._metrics[mode].items()" in log and "self._metrics[mode].clear()" in log


def test_a_training_step_is_one_micro_batchs_loss_and_gradient() -> None:
    """It takes no optimiser step, clears no gradients, and samples only through `_prepare_inputs`."""
    steps = inspect.getsource(GRPOTrainer.training_step) + inspect.getsource(Trainer.training_step)
    assert steps.count("inputs = self._prepare_inputs(inputs)") == 1
    assert steps.count("self.accelerator.backward(loss") == 1
    assert "zero_grad" not in steps and "optimizer.step" not in steps and "_generate" not in steps


def test_the_fused_head_gives_logprobs_and_entropies_at_the_temperature() -> None:
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=11, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
        )
    )
    ids = torch.tensor([[3, 4, 5, 6]])
    plain = torch.log_softmax(model(ids).logits / 0.5, dim=-1)
    expected = plain[:, :-1].gather(2, ids[:, 1:, None]).squeeze(2)
    entropy = -(plain.exp() * plain).sum(-1)
    add_fused_lm_head(model, temperature=0.5, outputs=("log_probs", "entropy"))
    labels = torch.tensor([[-100, -100, 5, 6]])
    outputs = model(input_ids=ids, labels=labels, fused_lm_head=True)
    assert torch.allclose(outputs.log_probs[:, -2:], expected[:, -2:], atol=1e-5)
    assert torch.allclose(outputs.entropy[:, -2:], entropy[:, 1:3], atol=1e-5)


def test_advantages_may_be_given_per_token() -> None:
    source = inspect.getsource(GRPOTrainer._compute_loss)
    assert "if advantages.dim() == 1:" in source
    assert 'inputs.get("old_per_token_logps")' in source


def test_the_loss_has_no_kl_without_beta_and_takes_the_weights_of_vespo_as_they_are() -> None:
    """`test_trl_loss.py` holds the rest: the loss is linear in the advantages, and what it is divided by."""
    source = inspect.getsource(GRPOTrainer._compute_loss)
    assert source.count("self.beta") == source.count("self.beta != 0.0") + source.count(
        "self.beta * per_token_kl"
    )
    assert 'importance_sampling_ratio=inputs.get("importance_sampling_ratio")' in source


def test_use_adapter_is_a_context_manager_over_model_and_name() -> None:
    assert list(inspect.signature(use_adapter).parameters) == ["model", "adapter_name"]
