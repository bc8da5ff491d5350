"""Mistakes in a config and in arguments: one line that names the key, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from configs import ConfigError
from rl.runs.errors import RunFolderError
from rl.runs.lock import RunBusyError
from scripts.exits import user_errors
from scripts.train import main
from tests.kit.bad_input import Cases, check, check_before_torch, contents, run, working_folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    return working_folder(tmp_path, monkeypatch)


CASES: Cases = {
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
        ["good.yaml", "warm_start.micro_batch_size=0"],
        ("warm_start.micro_batch_size is 0", "greater than or equal to 1"),
    ),
    "too long for the model": (
        ["good.yaml", "rollout.max_new_tokens=30"],
        ("(80)", "(30) is 110", "policy.tiny.max_positions (104)", "raise it or lower the others"),
    ),
    "two mistakes": (["good.yaml", "sed=1", "threads=0"], ("'sed'; did you mean 'seed'?", "threads is 0")),
    "not an override": (["good.yaml", "grpo.updates"], ("'grpo.updates' is not of the form dotted.key=value",)),
    "override into a list": (
        ["good.yaml", "rewards.terms.0.weight=2"],
        ("rewards.terms is a list, of which '0.weight' names no entry's key",),
    ),
    "a curriculum too long": (
        ["good.yaml", "warm_start.updates=5", "warm_start.curriculum=[{settings: {}, updates: 6}]"],
        ("warm_start: updates is 5, but the curriculum takes 6; raise it to that",),
    ),
    "a value for a section": (
        ["good.yaml", "grpo=3"],
        ("grpo is 3: input should be a section with keys such as",),
    ),
    "a section for a value": (["good.yaml", "seed={a: 1}"], ("seed is {'a': 1}", "integer")),
    "a fraction for a number": (["good.yaml", "grpo.updates=1.5"], ("grpo.updates is 1.5", "integer")),
    "true for a number": (["good.yaml", "threads=true"], ("threads is True: input should be a number",)),
    "a negative seed": (["good.yaml", "seed=-1"], ("seed is -1", "greater than or equal to 0")),
    "no updates": (["good.yaml", "grpo.updates=0"], ("grpo.updates is 0", "greater than or equal to 1")),
    "a name that is a path": (["good.yaml", "name=../x"], ("name is '../x'", "pattern")),
    "an unknown choice": (["good.yaml", "grpo.loss_type=dppo"], ("grpo.loss_type is 'dppo'", "'dapo'")),
    "an unknown split": (["good.yaml", "eval.splits=[test]"], ("eval.splits.0 is 'test'", "'ood_easy'")),
    "a share over one": (
        ["good.yaml", "grpo.budget_frac=1.5"],
        ("grpo.budget_frac is 1.5", "less than or equal"),
    ),
    "shares over one": (
        ["good.yaml", "warm_start.skipped_frac=0.8", "warm_start.detour_frac=0.4"],
        ("skipped_frac (0.8) + detour_frac (0.4) + search_frac (0) is over 1",),
    ),
    "updates that cut a batch": (
        ["good.yaml", "grpo.updates=9", "grpo.num_iterations=2"],
        ("grpo.updates (9) must be a multiple of grpo.num_iterations (2)",),
    ),
    "dropout in GRPO": (
        ["good.yaml", "policy.lora={dropout: 0.1}"],
        ("policy.lora.dropout is 0.1; GRPO needs 0",),
    ),
    "a key of vLLM without it": (
        ["good.yaml", "rollout.gpu_memory_utilization=0.5"],
        ("gpu_memory_utilization is for vLLM, but engine is torch; set engine to vllm",),
    ),
    "two sizes of one cache": (
        ["good.yaml", "rollout={engine: vllm, gpu_memory_utilization: 0.5, kv_cache_gib: 1}"],
        ("gpu_memory_utilization and kv_cache_gib both size the KV cache; set one of them",),
    ),
    "sampling ahead without actors": (
        ["good.yaml", "rollout.max_staleness=1"],
        ("rollout.max_staleness is 1, but only actors sample ahead; set it to 0, or rollout.backend to ray",),
    ),
    "actors on CPU and GPU": (
        ["good.yaml", "rollout.actor_device=cpu", "rollout.gpus_per_actor=1"],
        ("rollout.actor_device is cpu, but rollout.gpus_per_actor is 1",),
    ),
    "nothing to evaluate": (
        ["good.yaml", "eval={greedy: false, num_samples: 0}"],
        ("greedy is false and num_samples is 0, so nothing would be evaluated",),
    ),
    "patience without evaluations": (
        ["good.yaml", "eval.patience=2"],
        ("patience is 2, but every is null; set it to how often to evaluate",),
    ),
    "limits over the limit": (
        ["good.yaml", "eval.length_limits=[50]"],
        ("eval.length_limits has 50, but completions are sampled up to 20 tokens",),
    ),
    "the best model of none": (
        ["good.yaml", "push_to_hub={repo_id: a/b, model: best}"],
        ("push_to_hub.model is best, but no best model is kept; set eval.every",),
    ),
    "examples twice": (
        ["good.yaml", "prompt={few_shot: 2, examples: [{question: a, answer: b}]}"],
        ("few_shot is 2, but examples has 1 of its own; give only one",),
    ),
    "4 bits of all weights": (
        ["good.yaml", "policy={load_in_4bit: true, model: ./mine}"],
        ("load_in_4bit is true, but lora is null, and weights in 4 bits are not trained",),
    ),
    "heads that do not divide": (
        ["good.yaml", "policy.tiny={hidden_size: 24, num_heads: 5}"],
        ("hidden_size (24) must be a multiple of 2 * num_heads (10)",),
    ),
    "an unknown preset": (["good.yaml", "rewards.terms=[{preset: nope}]"], ("nope", "preset")),
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
}


@pytest.mark.parametrize(("arguments", "parts"), CASES.values(), ids=CASES)
def test_a_mistake_is_one_line_and_nothing_is_written(
    arguments: list[str], parts: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    check(arguments, parts, capsys)


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


@pytest.fixture
def unchanged(folder: Path) -> Iterator[None]:
    before = contents(folder)
    yield
    assert contents(folder) == before


@pytest.mark.usefixtures("unchanged")
def test_mistakes_in_a_separate_process(folder: Path) -> None:
    done = run(folder, "good.yaml", "grpo.updaets=3")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: good.yaml: unknown key 'grpo.updaets'; did you mean 'updates'?")
    assert done.stderr.count("\n") == 1


def test_mistakes_are_found_before_torch_is_imported(folder: Path) -> None:
    check_before_torch(folder, [arguments for arguments, _ in list(CASES.values())[::5]])


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
