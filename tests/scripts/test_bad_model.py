"""Models, tokenizers and devices that cannot be used: one line that names the key."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from configs.schema.config import PolicyConfig, TinyModelConfig
from envs import make_env
from rl.models.policy import load_policy
from scripts.evaluate import main as evaluate
from tests.kit.bad_input import Cases, check, contents, run, working_folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    return working_folder(tmp_path, monkeypatch)


LFS = "version https://git-lfs.github.com/spec/v1"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder."""
    path = tmp_path_factory.mktemp("model") / "small"
    tiny = TinyModelConfig(hidden_size=16, num_layers=1, num_heads=2, intermediate_size=32, max_positions=64)
    load_policy(PolicyConfig(tiny=tiny), make_env("directional"), seed=0).save(path)
    return path


CASES: Cases = {
    "no such folder": (["good.yaml", "policy.model=./nowhere"], ("policy.model './nowhere': no such folder",)),
    "no such package": (["good.yaml", "policy.model=package:nowhere"], ("package:nowhere", "is not installed")),
    "no model in the folder": (
        ["good.yaml", "policy.model=./mine"],
        ("policy.model './mine' cannot be loaded",),
    ),
    "a model over all memory": (
        ["good.yaml", "policy.tiny.hidden_size=1000000"],
        ("policy.tiny takes at least ", " GiB of memory; lower policy.tiny.hidden_size, num_layers or inter"),
    ),
    "a KV cache over all memory": (
        ["good.yaml", "warm_start=null", "rollout.samples_per_problem=1000000000"],
        (
            " GiB of memory, but the learner takes ",
            "a smaller rollout.max_new_tokens, rollout.samples_per_problem or rollout.problems_per_batch",
        ),
    ),
}


@pytest.mark.parametrize(("arguments", "parts"), CASES.values(), ids=CASES)
def test_a_mistake_is_one_line_and_nothing_is_written(
    arguments: list[str], parts: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    check(arguments, parts, capsys)


def test_a_missing_gpu(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    check(["good.yaml", "device=cuda"], ("device is 'cuda'", "set device to 'cpu' or 'auto'"), capsys)


def test_vllm_that_is_not_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: None if name == "vllm" else find(name, *more)
    )
    check(
        ["good.yaml", "rollout.engine=vllm"],
        ("rollout.engine is 'vllm', but vLLM is not installed", "make install-vllm", "to 'torch'"),
        capsys,
    )


def test_a_model_without_a_tokenizer(model: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(model, folder / "speechless", ignore=shutil.ignore_patterns("tokenizer*"))
    parts = ("policy.model 'speechless' holds no tokenizer (tokenizer.json, ", "with save_pretrained")
    check(["good.yaml", "policy.model=speechless"], parts, capsys)


def test_a_missing_gguf_file(model: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(model, folder / "quantized")
    for name in ("b-Q4.gguf", "a-Q8.gguf"):
        (folder / "quantized" / name).write_bytes(b"GGUF")
    check(
        ["good.yaml", "policy.model=quantized", "policy.gguf_file=a-Q4.gguf"],
        (
            "policy.gguf_file 'a-Q4.gguf' is not in policy.model 'quantized'; "
            "GGUF files there: a-Q8.gguf, b-Q4.gguf",
        ),
        capsys,
    )


def test_a_tokenizer_without_an_end(model: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(model, folder / "endless")
    settings = folder / "endless" / "tokenizer_config.json"
    settings.write_text(settings.read_text().replace('"eos_token": "<|end|>",', ""))
    check(["good.yaml", "policy.model=endless"], ("no end-of-text (eos) token", "set `eos_token`"), capsys)


def test_no_chat_template(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(
        ["good.yaml", f"policy.model={model}", "prompt.chat_template=true"],
        ("prompt.chat_template is true", "remove the setting"),
        capsys,
    )


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        (["policy.model=package:no.such"], "package:no.such"),
        (["policy.lora.target_modules=[nope]"], "policy.lora.target_modules"),
        (["policy.model='not a model!'"], "policy.model 'not a model!' is neither a folder nor a hub id"),
        (["report_to=[bogus]"], "report_to has ['bogus']; installed here:"),
    ],
)
def test_a_policy_that_cannot_be_built(
    overrides: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check(["good.yaml", *overrides], (part,), capsys)


def set_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def without(folder: Path, name: str) -> None:
    (folder / name).unlink()


# How a model folder is damaged, and what the line says after "policy.model 'damaged'".
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights cut off": (
        lambda at: (at / "model.safetensors").write_bytes((at / "model.safetensors").read_bytes()[:100]),
        " cannot be loaded: Error while deserializing header",
    ),
    "no weights": (
        lambda at: without(at, "model.safetensors"),
        " cannot be loaded: Error no file named model.saf",
    ),
    "weights that git did not fetch": (
        lambda at: (at / "model.safetensors").write_text(f"{LFS}\noid sha256:0\nsize 9\n"),
        " holds model.safetensors as a pointer of Git LFS, without its content; run `git lfs pull` in it",
    ),
    "weights of another size": (
        lambda at: set_config(at, hidden_size=32, head_dim=16),
        " cannot be loaded: 11 of its weights do not fit its config.json, first model.embed_tokens.weight: (",
    ),
    "weights of another model": (
        lambda at: set_config(at, model_type="gpt2", architectures=["GPT2LMHeadModel"]),
        " cannot be loaded: its files lack ",
    ),
    "weights that are missing": (
        lambda at: set_config(at, num_hidden_layers=2),
        " cannot be loaded: its files lack 9 weights of the model that its config.json describes, first model",
    ),
    "a pickle": (
        lambda at: (without(at, "model.safetensors"), (at / "pytorch_model.bin").write_bytes(b"\x80\x02junk")),
        " cannot be loaded: ",
    ),
    "a config that is not JSON": (
        lambda at: (at / "config.json").write_text("{oops"),
        " cannot be loaded: It looks like the config file at 'damaged/config.json' is not a valid JSON file",
    ),
    "a config of no model": (
        lambda at: (at / "config.json").write_text("{}"),
        " cannot be loaded: Unrecognized model in damaged",
    ),
    "an unknown family": (
        lambda at: set_config(at, model_type="nosuch"),
        " cannot be loaded: The checkpoint you are trying to load has model type `nosuch`",
    ),
    "an encoder and a decoder": (
        lambda at: set_config(at, model_type="t5"),
        " cannot be loaded: Unrecognized configuration class",
    ),
    "code of its own": (
        lambda at: set_config(
            at, model_type="own", auto_map={"AutoConfig": "c.C", "AutoModelForCausalLM": "m.M"}
        ),
        " comes with Python code of its own; read it, and let it run with policy.trust_remote_code=true",
    ),
    "a package that is missing": (
        lambda at: set_config(at, quantization_config={"quant_method": "gptq", "bits": 4}),
        " cannot be loaded: Loading a GPTQ quantized model requires optimum",
    ),
    "a tokenizer that is not JSON": (
        lambda at: (at / "tokenizer.json").write_text("{oops"),
        " cannot be loaded: ",
    ),
    "a template that is not Jinja": (
        lambda at: (at / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }"),
        ": the chat template refuses the messages of a prompt: unexpected '}'",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_model(
    damage: Callable[[Path], object],
    message: str,
    model: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(model, folder / "damaged")
    damage(folder / "damaged")
    check(["good.yaml", "policy.model=damaged"], ("policy.model 'damaged'" + message,), capsys)


def test_a_checkpoint_that_does_not_fit(model: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the folder that was given, not the config's model."""
    shutil.copytree(model, folder / "other")
    set_config(folder / "other", num_hidden_layers=2)
    with pytest.raises(SystemExit) as ended:
        evaluate(["other", "good.yaml"])
    err = capsys.readouterr().err
    assert ended.value.code == 2 and err.count("\n") == 1
    assert err.startswith("error: model folder 'other' cannot be loaded: its files lack 9 weights")


def test_an_evaluation_beyond_the_context(
    model: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model has 64 positions; those of the config's tiny model do not matter."""
    with pytest.raises(SystemExit) as ended:
        evaluate([str(model), "good.yaml"])
    err = capsys.readouterr().err
    assert ended.value.code == 2 and err.count("\n") == 1
    assert "plus the longest max_new_tokens (20) is over the model's context of 64 tokens; lower one" in err


@pytest.fixture
def unchanged(folder: Path) -> Iterator[None]:
    before = contents(folder)
    yield
    assert contents(folder) == before


@pytest.mark.slow
@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("variables", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["online", "offline"])
def test_a_missing_model(folder: Path, variables: dict[str, str]) -> None:
    # Nobody listens on port 9: the network works, the hub does not answer.
    done = run(
        folder,
        "good.yaml",
        "policy.model=someone/no-such-model",
        HF_ENDPOINT="http://127.0.0.1:9",
        HF_HOME=str(folder / "mine"),
        **variables,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: policy.model 'someone/no-such-model' is neither a folder nor in the")
    assert "give the path of a model folder, a hub id that is in the local cache, or 'tiny'" in done.stderr
