"""Every mistake of a user is one line on stderr with an exit code, and nothing is written."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from configs import ConfigError
from configs.schema.config import PolicyConfig, TinyModelConfig
from envs import make_env
from rl.models.policy import load_policy
from rl.runs.errors import RunFolderError
from rl.runs.lock import RunBusyError
from scripts.evaluate import main as evaluate
from scripts.exits import user_errors
from scripts.train import main

LFS = "version https://git-lfs.github.com/spec/v1"
ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
env: {name: directional}
policy:
  tiny: {hidden_size: 16, num_layers: 1, num_heads: 2, intermediate_size: 32, max_positions: 104}
rewards: {terms: [{name: correct, weight: 1.0}]}
rollout: {max_prompt_tokens: 80, max_new_tokens: 20}
device: cpu
report_to: []
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a config, things that are no config, and a finished run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "good.yaml").write_text(CONFIG)
    (tmp_path / "broken.yaml").write_text("env: [")
    (tmp_path / "list.yaml").write_text("- env\n")
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "bare.yaml").write_text("name: x\n")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "config.yaml").write_text(CONFIG + "seed: 3\n")
    (tmp_path / "done" / "metrics.jsonl").write_text("{}\n")
    return tmp_path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder."""
    path = tmp_path_factory.mktemp("model") / "small"
    tiny = TinyModelConfig(hidden_size=16, num_layers=1, num_heads=2, intermediate_size=32, max_positions=64)
    load_policy(PolicyConfig(tiny=tiny), make_env("directional"), seed=0).save(path)
    return path


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def check(
    arguments: list[str], parts: tuple[str, ...], capsys: pytest.CaptureFixture[str], code: int = 2
) -> None:
    folder = Path.cwd()
    before = contents(folder)
    started = time.perf_counter()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert ended.value.code == code
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("error: ")
    assert "Traceback" not in err
    for part in parts:
        assert part in err
    assert contents(folder) == before
    assert time.perf_counter() - started < 10


CASES: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "no such file": (["god.yaml"], ("god.yaml", "did you mean good.yaml?")),
    "a folder": (["mine"], ("mine: Is a directory", "give a YAML file")),
    "not YAML": (["broken.yaml"], ("broken.yaml is not YAML", "line 1")),
    "not text": (["binary.yaml"], ("binary.yaml is not YAML",)),
    "a list": (["list.yaml"], ("list.yaml holds list, not a mapping of config keys",)),
    "empty": (["empty.yaml"], ("empty.yaml holds NoneType, not a mapping",)),
    "missing keys": (["bare.yaml"], ("missing key 'env'; missing key 'rewards'",)),
    "unknown key": (["good.yaml", "grpo.updaets=3"], ("'grpo.updaets'; did you mean 'updates'?", "known: ")),
    "unknown section": (["good.yaml", "polcy.model=tiny"], ("'polcy'; did you mean 'policy'?",)),
    "wrong type": (["good.yaml", "grpo.updates=many"], ("grpo.updates is 'many'", "integer")),
    "out of range": (["good.yaml", "grpo.learning_rate=-1"], ("grpo.learning_rate is -1", "greater than 0")),
    "not finite": (["good.yaml", "rollout.temperature=.inf"], ("rollout.temperature is inf", "finite")),
    "group of one": (["good.yaml", "rollout.samples_per_problem=1"], ("rollout.samples_per_problem is 1", "2")),
    "micro-batch": (
        ["good.yaml", "warm_start.micro_batch_size=7"],
        ("warm_start: micro_batch_size (7) must divide batch_size",),
    ),
    "too long for the model": (
        ["good.yaml", "rollout.max_new_tokens=30"],
        ("(80)", "(30) is 110", "policy.tiny.max_positions (104)", "raise it or lower the others"),
    ),
    "two mistakes": (["good.yaml", "sed=1", "threads=0"], ("'sed'; did you mean 'seed'?", "threads is 0")),
    "not an override": (["good.yaml", "grpo.updates"], ("'grpo.updates' is not of the form dotted.key=value",)),
    "limit below every demonstration": (
        [
            "good.yaml",
            "rollout.max_prompt_tokens=96",
            "rollout.max_new_tokens=8",
            "env.settings={train: ['1', '2']}",
        ],
        ("rollout.max_new_tokens is 8, and all of the 128 demonstrations tried are longer", "raise it"),
    ),
    "demonstration longer than the context": (
        ["good.yaml"],
        ("a demonstration of the warm start has ", "over the model's context of 104 tokens"),
    ),
    "override into a list": (
        ["good.yaml", "rewards.terms.0.weight=2"],
        ("rewards.terms is a list, of which '0.weight' names no entry's key",),
    ),
    "unknown environment": (
        ["good.yaml", "env.name=adition"],
        ("env.name: unknown environment 'adition'; did you mean 'addition'?", "known: addition, algebra"),
    ),
    "unknown setting": (
        ["good.yaml", "env.settings.max_merges=2"],
        ("env.settings of 'directional'", "'max_merges'; did you mean 'max_merge'?"),
    ),
    "wrong setting": (
        ["good.yaml", "env.settings.max_merge=0"],
        ("env.settings", "max_merge is 0", "equal to 1"),
    ),
    "wrong bucket": (
        ["good.yaml", "env.settings.train=[0]"],
        ("env.settings", "a bucket is a number of actions", "'0'"),
    ),
    "shared buckets": (
        ["good.yaml", "env.settings.train=[11]"],
        ("env.settings", "train and ood_easy share the buckets ['11']"),
    ),
    "unknown reward": (
        ["good.yaml", "rewards.terms=[{name: corect, weight: 1}]"],
        ("rewards: unknown reward 'corect'; did you mean 'correct'?", "known: backtrack_count"),
    ),
    "unknown argument": (
        ["good.yaml", "rewards.terms=[{name: backtrack_count, weight: 1, args: {caps: 2}}]"],
        ("rewards: reward 'backtrack_count' takes no argument 'caps'; did you mean 'cap'?",),
    ),
    "argument out of range": (
        ["good.yaml", "rewards.terms=[{name: backtrack_count, weight: 1, args: {cap: 0}}]"],
        ("argument 'cap' of reward 'backtrack_count' is 0; give a whole number of at least 1",),
    ),
    "a reward twice": (
        ["good.yaml", "rewards.terms=[{name: correct, weight: 1}, {name: correct, weight: 2}]"],
        ("reward 'correct' is listed twice; give it one weight",),
    ),
    "wrong pays": (
        ["good.yaml", "rewards.terms=[{name: correct, weight: 1}, {name: backtrack_count, weight: -1}]"],
        ("a right answer can earn as little as 0", "as much as 0", "rewards.allow_wrong_above_right"),
    ),
    "unknown skip rule": (
        ["good.yaml", "warm_start.skip_kinds=[low_pair]"],
        ("warm_start.skip_kinds has ['low_pair']", "known: cancel_pair, any_pair"),
    ),
    "unknown setting of a curriculum": (
        ["good.yaml", "warm_start.curriculum=[{settings: {trian: [2-3]}, updates: 1}]"],
        (
            "warm_start.curriculum[0]: env.settings of 'directional'",
            "unknown key 'trian'; did you mean 'train'?",
        ),
    ),
    "a curriculum too long": (
        ["good.yaml", "warm_start.updates=5", "warm_start.curriculum=[{settings: {}, updates: 6}]"],
        ("warm_start: updates is 5, but the curriculum takes 6; raise it to that",),
    ),
    "mistakes in several sections": (
        [
            "good.yaml",
            "env.name=adition",
            "rewards.terms=[{name: corect, weight: 1}]",
            "policy.model=./nowhere",
        ],
        (
            "env.name: unknown environment 'adition'; did you mean 'addition'?",
            "; rewards: unknown reward 'corect'; did you mean 'correct'?",
            "; policy.model './nowhere': no such folder",
        ),
    ),
    "several mistakes in the warm start": (
        [
            "good.yaml",
            "warm_start.skip_kinds=[low_pair]",
            "warm_start.skipped_frac=0",
            "warm_start.detour_frac=1",
        ],
        (
            "warm_start.skip_kinds has ['low_pair']",
            "; warm_start.detour_frac is 1, but ",
        ),
    ),
    "no worked solutions": (
        ["good.yaml", "env={name: reasoning_gym, settings: {task: chain_sum}}"],
        ("error: reasoning_gym has no worked solutions to learn from; set warm_start to null\n",),
    ),
    "no such data": (
        ["good.yaml", "env={name: math, settings: {train: nowhere.jsonl}}"],
        ("env.settings: nowhere.jsonl is neither a file nor a folder",),
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
    "no such folder": (["good.yaml", "policy.model=./nowhere"], ("policy.model './nowhere': no such folder",)),
    "no such package": (["good.yaml", "policy.model=package:nowhere"], ("package:nowhere", "is not installed")),
    "no model in the folder": (
        ["good.yaml", "policy.model=./mine"],
        ("policy.model './mine' cannot be loaded",),
    ),
    "resume nothing": (
        ["good.yaml", "--resume", "output_dir=new"],
        ("--resume: there is no run in", "leave --resume out to start one"),
    ),
    "a run is there": (["good.yaml", "output_dir=done"], ("already holds a run", "--resume", "--overwrite")),
    "something else is there": (["good.yaml", "output_dir=mine"], ("mine is not empty", "give another folder")),
    "overwrite something else": (
        ["good.yaml", "output_dir=mine", "--overwrite"],
        ("--overwrite leaves it alone", "give another folder"),
    ),
    "another config": (
        ["good.yaml", "output_dir=done", "--resume"],
        ("seed was 3, is 0", "Give the same values"),
    ),
    "a file for a folder": (["good.yaml", "output_dir=good.yaml"], ("is a file; give a folder",)),
    "below a file": (
        ["good.yaml", "warm_start=null", "output_dir=good.yaml/run"],
        ("cannot be written: Not a directory; give another",),
    ),
    "too long a name": (
        ["good.yaml", f"output_dir={'n' * 300}"],
        ("cannot be written: File name too long; give another",),
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


@pytest.mark.parametrize("how", [[], ["--resume"], ["--overwrite"]])
def test_a_folder_in_use_is_tried_again_later(
    how: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (folder / "done" / ".lock").open("w") as lock:
        lock.write("process 1 on elsewhere since yesterday")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        parts = ("is in use by process 1 on elsewhere since yesterday", "wait for it or give another")
        check(["good.yaml", "output_dir=done", *how], parts, capsys, code=75)


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
        " cannot be loaded: The repository damaged contains custom code",
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


@pytest.mark.parametrize("policy", [[], ["warm_start={updates: 2}"]])
def test_a_tiny_model_for_data_without_solutions(
    policy: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train", "id"):
        rows = [json.dumps({"question": f"{name} {i}?", "answer": str(i)}) for i in range(8)]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    data = "env={name: math, settings: {train: train.jsonl, id: id.jsonl}}"
    more = policy or ["warm_start=null"]
    check(
        ["good.yaml", data, "eval={splits: [id], num_problems: 4}", *more],
        ("whose vocabulary is that of the worked solutions, but train.jsonl row ", "to a pretrained model"),
        capsys,
    )


def test_prompts_that_are_too_long(capsys: pytest.CaptureFixture[str]) -> None:
    # The shortest prompt, with one action, is longer than five tokens.
    check(
        ["good.yaml", "rollout.max_prompt_tokens=5", "grpo=null"],
        ("rollout.max_prompt_tokens is 5, but the prompt of",),
        capsys,
    )


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "CONFIG is missing; for example: stride train quickstart"),
        (["good.yaml", "--resume", "--overwrite"], "--overwrite: not allowed with argument --resume"),
        (["good.yaml", "--verbose"], "unknown argument --verbose"),
        (["good.yaml", "--overwite"], "unknown argument --overwite; did you mean --overwrite?"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], part: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(folder)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.startswith("error: stride train: ") and err.count("\n") == 1
    assert part in err and "stride train --help" in err
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("error", "code"),
    [(ConfigError("a\nb\tc"), 2), (RunFolderError("a\n\nb c"), 2), (RunBusyError("a b\nc"), 75)],
)
def test_many_lines_become_one(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, user_errors():
        raise error
    assert (ended.value.code, capsys.readouterr().err) == (code, "error: a b c\n")


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), user_errors():
        raise ZeroDivisionError


# ---- as a person runs it ----


def run(
    folder: Path, *arguments: str, script: str = "train.py", **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), *arguments],
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def unchanged(folder: Path) -> Iterator[None]:
    before = contents(folder)
    yield
    assert contents(folder) == before


@pytest.mark.usefixtures("unchanged")
def test_mistakes_in_a_separate_process(folder: Path) -> None:
    started = time.perf_counter()
    done = run(folder, "good.yaml", "grpo.updaets=3")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: good.yaml: unknown key 'grpo.updaets'; did you mean 'updates'?")
    assert done.stderr.count("\n") == 1
    # Nothing heavy is imported before the config is read.
    assert time.perf_counter() - started < 5


BEFORE_TORCH = (
    "unknown environment",
    "wrong setting",
    "no such data",
    "unknown reward",
    "unknown skip rule",
    "no such folder",
    "no model in the folder",
    "resume nothing",
    "a run is there",
    "mistakes in several sections",
    "a model over all memory",
)


@pytest.mark.usefixtures("unchanged")
def test_mistakes_are_found_before_torch_is_imported(folder: Path) -> None:
    """Torch and the libraries on top of it take seconds to import, about ten on a busy machine."""
    code = (
        "import sys\nfrom scripts.train import main\n"
        f"for arguments in {[CASES[name][0] for name in BEFORE_TORCH]!r}:\n"
        "    try:\n        main(arguments)\n"
        "    except SystemExit as ended:\n        print(ended.code)\n"
        "print({'torch', 'transformers', 'datasets', 'ray'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "2\n" * len(BEFORE_TORCH) + "set()\n", done.stderr
    assert done.stderr.count("\n") == len(BEFORE_TORCH)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["good.yaml"],
            "error: good.yaml is the config of one run; run it with `stride train`, or name it as",
        ),
        (["none.yaml"], "error: cannot read config none.yaml: No such file or directory; did you mean"),
        (
            ["good.yaml", "--outptu", "x"],
            "error: stride ablate: unknown argument --outptu; did you mean --output?",
        ),
    ],
)
def test_mistakes_with_an_ablation(folder: Path, arguments: list[str], message: str) -> None:
    done = run(folder, *arguments, script="ablate.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)
    assert "Traceback" not in done.stderr


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
