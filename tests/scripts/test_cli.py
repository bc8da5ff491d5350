"""The console command: short help, the nearest match, and no heavy import before it is needed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scripts.cli import COMMANDS, HELP, main
from scripts.closed_pipes import closed_pipes

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.cli", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_help_fits_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\n") <= 24 and max(map(len, shown.splitlines())) <= 80
    assert [line.split()[0] for line in shown.splitlines() if re.match(r"  [a-z]+  ", line)] == [*COMMANDS]


def test_commands_and_files_correspond() -> None:
    files = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    assert files - set(COMMANDS) == {"__init__", "arguments", "cli", "closed_pipes", "exits", "find_model"}
    assert set(COMMANDS) <= files


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_ends_in_one_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert shown.startswith(f"usage: stride {command} ")
    assert shown.count("example:") == 1
    assert shown.splitlines()[-1].startswith(f"  stride {command}")
    assert max(map(len, shown.splitlines())) <= 120


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err == f"{HELP}\n"


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian", "quickstart"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(
        "error: unknown command 'trian'; did you mean 'train'? known: train, iterate, evaluate"
    )
    assert captured.err.count("\n") == 1


def test_a_command_gets_its_arguments_and_its_exit_code_is_passed_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: stride train: CONFIG is missing; for example: stride train quickstart grpo.updates=60 "
        "output_dir=runs/short (stride train --help lists the arguments)\n"
    )


def test_an_unknown_environment_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", "adition"])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert "unknown environment 'adition'; did you mean 'addition'?" in err and err.count("\n") == 1


def test_an_environment_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "directional", "-n", "5"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("directional")


def test_the_console_command_is_this_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"stride": "scripts.cli:main"}


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'ray', 'transformers', 'trl', 'pydantic', 'numpy', 'datasets'}"
    code = f"import sys, scripts.cli; scripts.cli.main(['--help']); print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{HELP}\n\n"


def test_help_of_a_command_needs_no_torch_and_no_ray() -> None:
    """All in one process: the first that imports one of them is named."""
    code = (
        "import sys, scripts.cli\n"
        f"for command in {[*COMMANDS]}:\n"
        "    try: scripts.cli.main([command, '--help'])\n"
        "    except SystemExit: print('asked:', command, {'torch', 'ray', 'trl'} & set(sys.modules) or 'light')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    asked = [line for line in done.stdout.splitlines() if line.startswith("asked:")]
    assert asked == [f"asked: {command} light" for command in COMMANDS]


@pytest.mark.parametrize("how", [["-m", "scripts.train"], ["scripts/train.py"], ["-m", "scripts.cli", "train"]])
def test_three_ways_to_the_same_code(how: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *how, "quickstart", "grpo.updaets=3"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "unknown key 'grpo.updaets'; did you mean 'updates'?" in done.stderr
    assert done.stderr.count("\n") == 1


def test_scripts_change_no_import_path() -> None:
    assert not [path for path in (ROOT / "scripts").glob("*.py") if "sys.path" in path.read_text()]


def run_without_reader(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a standard output that nobody reads, as after `| head`."""
    reading, writing = os.pipe()
    os.close(reading)
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    try:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=buffered,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    finally:
        os.close(writing)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["train", "--help"], 0),
        (["data", "check", "envs/tasks/math/example.jsonl", "preset=gsm8k"], 0),
        (["data", "check", "envs/tasks/math/example.jsonl"], 1),
    ],
)
def test_a_reader_that_leaves_changes_nothing_for_a_command(arguments: list[str], code: int) -> None:
    done = run_without_reader("-m", "scripts.cli", *arguments)
    assert done.returncode == code and "Traceback" not in done.stderr and "Broken" not in done.stderr


def test_a_command_that_is_cut_off_ends_quietly_with_the_code_of_sigpipe() -> None:
    program = (
        "from scripts import cli, check; check.main = lambda rest: print('x' * 10**6); cli.main(['check'])"
    )
    done = run_without_reader("-c", program)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_broken_pipe_elsewhere_stays_an_error() -> None:
    with pytest.raises(BrokenPipeError, match="a worker"), closed_pipes():
        raise BrokenPipeError("a worker")
