"""Models in the shape of Qwen2.5, Llama 3 and Gemma 2 through whole runs: warm start, GRPO, resuming, LoRA in
bfloat16 and evaluation, each from an ordinary model folder with its family's template and tokens."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from configs import Config, check_config
from envs import Split
from rl.models.files import PolicyError
from rl.models.policy import Policy, load_policy
from rl.parts import build_parts
from rl.runs.folder import RunFolder
from rl.runs.log import evaluation_log, read_summary
from rl.runs.record import Stage
from rl.standalone import evaluate_model
from rl.train import train
from tests.kit.byte_tokenizer import FAMILIES
from tests.kit.family_models import TINY_FAMILIES, save_family

CONFIG = {
    "device": "cpu",
    "threads": 1,
    "report_to": [],
    "env": {"name": "directional", "settings": {"train": [1], "ood_easy": [2], "ood_hard": [3]}},
    "prompt": {"template": "{question}"},
    "warm_start": {"updates": 16, "num_problems": 100, "batch_size": 8, "learning_rate": 1.0e-2},
    "rollout": {"samples_per_problem": 4, "max_prompt_tokens": 160, "max_new_tokens": 48, "threads": 1},
    "rewards": {"terms": [{"name": "correct", "weight": 1.0}, {"name": "token_count", "weight": -0.1}]},
    "grpo": {"updates": 4, "problems_per_update": 3, "learning_rate": 1.0e-3, "save_every": 2},
    "eval": {"splits": ["id"], "num_problems": 6, "num_samples": 0},
}
NEAR_ZERO = 1e-5  # float32 rounding in another order of the same sums


@pytest.fixture(scope="module", params=TINY_FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def model(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pretrained model."""
    folder = tmp_path_factory.mktemp(family) / "model"
    save_family(family, folder)
    return folder


def config_of(model: Path, run: Path, *, updates: int = 4, **policy: Any) -> Config:
    grpo = {**CONFIG["grpo"], "updates": updates}
    own = {"policy": {"model": str(model), **policy}, "output_dir": str(run), "grpo": grpo}
    return check_config({**CONFIG, **own})


def policy_of(config: Config, **more: Any) -> Policy:
    parts = build_parts(config)
    return load_policy(config.policy, parts.env, prompts=parts.prompts, seed=0, **more)


def figures(run: RunFolder, stage: Stage, key: str) -> list[float]:
    return [row.metrics[key] for row in run.metrics.read() if row.stage is stage]


def check_saved_model(run: RunFolder, config: Config) -> None:
    """The trained model, loaded from its folder, completes the problems as it did at the end of the run."""
    folder = evaluate_model(str(run.model(Stage.GRPO)), config, output=run.path.parent / "evaluation")
    ((stage, results),) = read_summary(folder).stages.items()
    assert results == run.summary().stages[Stage.GRPO]
    before, after = (evaluation_log(*of).read() for of in ((run.path, Stage.GRPO), (folder, stage)))
    assert len(after) == 6 and [row.text for row in after] == [row.text for row in before]
    assert after[0].logprobs and [row.logprobs for row in after] == [row.logprobs for row in before]


def weights(run: RunFolder, stage: Stage) -> bytes:
    return (run.model(stage) / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_run_from_a_model_folder(family: str, model: Path, tmp_path: Path) -> None:
    config = config_of(model, tmp_path / "run")
    run = train(config, out=io.StringIO())
    losses = figures(run, Stage.WARM, "loss")
    assert losses[-1] < 0.6 * losses[0]
    # On-policy, the learner's log-probabilities are the sampler's.
    assert len(figures(run, Stage.GRPO, "logprob_diff/max")) == 4
    assert max(figures(run, Stage.GRPO, "logprob_diff/max")) <= NEAR_ZERO
    assert weights(run, Stage.GRPO) != weights(run, Stage.WARM)
    # Completions end where the family's turns end, and nowhere else.
    rows = run.trajectories.read()
    ended = {row.pieces[-1] for row in rows if row.pieces and row.tokens < 48}
    assert ended <= {FAMILIES[family].turn_end, FAMILIES[family].eos} and FAMILIES[family].turn_end in ended
    assert not any(FAMILIES[family].turn_end in row.text for row in rows)
    check_saved_model(run, config)

    resumed = train(config_of(model, tmp_path / "resumed", updates=2), out=io.StringIO())
    resumed.close()
    resumed = train(config_of(model, tmp_path / "resumed"), resume=True, out=io.StringIO())
    for stage in (Stage.WARM, Stage.GRPO):
        assert weights(resumed, stage) == weights(run, stage)
    for key in ("loss", "reward", "cursor"):
        assert figures(resumed, Stage.GRPO, key) == figures(run, Stage.GRPO, key)


@pytest.mark.slow
def test_an_adapter_in_bfloat16(model: Path, tmp_path: Path) -> None:
    """The saved adapter on the library's bfloat16 model gives the logits of the policy that a run loads."""
    config = config_of(model, tmp_path / "run", updates=2, dtype="bfloat16", lora={"r": 4, "alpha": 32})
    run = train(config, out=io.StringIO())
    losses = figures(run, Stage.WARM, "loss")
    assert losses[-1] < 0.97 * losses[0]
    adapter = run.model(Stage.GRPO)
    assert not (adapter / "model.safetensors").exists()
    policy = policy_of(config, checkpoint=adapter)
    base: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    ids = torch.arange(3, 203)[None]
    with torch.no_grad():
        plain = base(input_ids=ids).logits
        trained = PeftModel.from_pretrained(base, adapter).eval()(input_ids=ids).logits
        ours = policy.model.eval()(input_ids=ids).logits
    assert plain.dtype == torch.bfloat16 and torch.equal(ours, trained)
    assert (plain - trained).abs().max() > 0.1
    check_saved_model(run, config)


@pytest.mark.gpu
def test_a_run_on_a_gpu(family: str, model: Path, tmp_path: Path) -> None:
    config = config_of(model, tmp_path / "run", updates=2).model_copy(update={"device": "cuda"})
    run = train(config, out=io.StringIO())
    assert max(figures(run, Stage.GRPO, "logprob_diff/max")) <= 1e-4
    ended = {row.pieces[-1] for row in run.trajectories.read() if row.pieces and row.tokens < 48}
    assert FAMILIES[family].turn_end in ended
    assert evaluation_log(run.path, Stage.GRPO).read()


def test_a_prompt_is_the_librarys(family: str, model: Path, tmp_path: Path) -> None:
    config = config_of(model, tmp_path / "run")
    encoder, env = policy_of(config).encoder, build_parts(config).env
    problem = env.problem(Split.TRAIN, 0)
    question = [{"role": "user", "content": f"{env.instruction}\n\n{problem.question}"}]
    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    expected = tokenizer.apply_chat_template(question, add_generation_prompt=True)["input_ids"]
    assert encoder.encode_prompt(problem) == tuple(expected)
    bos = FAMILIES[family].bos
    assert bos is None or expected.count(tokenizer.convert_tokens_to_ids(bos)) == 1
    turn_end = tokenizer.convert_tokens_to_ids(FAMILIES[family].turn_end)
    assert encoder.stop_ids == (turn_end, tokenizer.eos_token_id)
    # The warm start teaches what follows an answer in the library's rendering of the whole chat.
    chat = [*question, {"role": "assistant", "content": "north."}]
    whole = tokenizer.apply_chat_template(chat)["input_ids"]
    taught = [*expected, *encoder.encode_completion("north.")]
    assert whole[: len(taught)] == taught


def test_gemma_refuses_a_system_prompt(tmp_path: Path) -> None:
    save_family("gemma", tmp_path / "model")
    config = config_of(tmp_path / "model", tmp_path / "run")
    asked = config.model_copy(update={"prompt": config.prompt.model_copy(update={"system_prompt": "Think."})})
    with pytest.raises(PolicyError, match="System role not supported"):
        policy_of(asked)
