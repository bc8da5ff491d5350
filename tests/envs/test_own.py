"""An environment of a user's own: it is found by name, pickled with its place, and each mistake is one line."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from envs import ENVS, Grade, Split, make_env, make_example
from envs.check.contract import check_env
from envs.own import is_own, own_fault
from envs.registry import find_env
from tests.kit.own_env import PAGE, block_of, write_own_env

ROOT = Path(__file__).resolve().parents[2]
NAME = "sorts:SortBySwaps"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the environment of the docs as `sorts.py`, which is forgotten after the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "sorts", raising=False)
    write_own_env(tmp_path, "sorts")
    return tmp_path


def test_the_environment_of_the_docs_is_short_and_keeps_the_contract(folder: Path) -> None:
    lines = [line for line in block_of("python").splitlines() if line.strip()]
    assert len(lines) <= 60
    env = make_env(NAME, {"train": ["3"], "max_merge": 2}, str(folder))
    report = check_env(env, num_problems=20)
    assert (report.name, report.num_problems) == ("SortBySwaps", 80)
    assert report.num_traces > 100 and report.num_near_misses > 1000
    assert report.not_checked == ("detour_trace", "padded_trace", "search_trace")


def test_its_steps_are_judged_by_state(folder: Path) -> None:
    env = make_env(NAME, None, str(folder))
    problem = env.problem(Split.OOD_HARD, 0)
    full = env.full_trace(problem)
    assert len(full) > 2
    for lines, verified in ((full, True), (full[1:], True), (full[2:], False), (full[:-1], False)):
        trace = env.check(problem, env.parse(env.demonstrate(lines, problem.answer)))
        assert (trace.grade, trace.verified) == (Grade.CORRECT, verified)


def test_it_is_found_in_the_current_folder_and_on_the_path_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert find_env(NAME).__name__ == "SortBySwaps"
    assert is_own(make_env(NAME)) and not is_own(make_example("addition"))


def test_copies_and_pickles_find_their_module_wherever_they_are_read(folder: Path, tmp_path: Path) -> None:
    env = make_env(NAME, {"seed": 5}, str(folder))
    assert copy.deepcopy(env).problem(Split.ID, 3) == env.problem(Split.ID, 3)
    file = tmp_path / "env.pickle"
    file.write_bytes(pickle.dumps(env))
    code = (
        "import pathlib, pickle, sys; from envs import Split; from envs.own import is_own\n"
        f"env = pickle.loads(pathlib.Path({str(file)!r}).read_bytes())\n"
        "print(is_own(env), env.problem(Split.ID, 3).question)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"True {env.problem(Split.ID, 3).question}\n"


def test_a_job_finds_it_in_its_copy_of_the_current_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another node the folder of the driver does not exist, but the job's upload is the current folder."""
    original, copied = tmp_path / "upload", tmp_path / "copy"
    (original / "tasks").mkdir(parents=True)
    (folder / "sorts.py").rename(original / "tasks" / "sorts.py")
    monkeypatch.chdir(original)
    data = pickle.dumps(make_env(NAME, None, str(original / "tasks")))
    (tmp_path / "env.pickle").write_bytes(data)
    original.rename(copied)
    code = f"import pickle; print(pickle.load(open({str(tmp_path / 'env.pickle')!r}, 'rb')).name)"
    paths = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=copied, env=paths, capture_output=True, text=True, check=True
    )
    assert done.stdout == "SortBySwaps\n"


BROKEN = """
from envs import Env, GeneratedEnv
from sorts import SortBySwaps

def function(): ...
class Plain: ...
class Half(GeneratedEnv):
    def start(self, problem): ...
class OddSettings(SortBySwaps):
    Settings = {"train": [3]}
class Refuses(SortBySwaps):
    def __init__(self, settings=None):
        super().__init__(settings)
        {}["key"]
class Raises(SortBySwaps):
    def advance(self, state, line):
        return state[99]
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("addtion", r"unknown environment 'addtion'; did you mean 'addition'\? .*, or your own as package\."),
        (":Sort", "':Sort' names no environment; give package.module:Class"),
        (
            "no_such:Sort",
            r"cannot import no_such: ModuleNotFoundError: .*; give package.module:Class, with the .*\)",
        ),
        ("math:Sort", "math is built in|math has no environment 'Sort'"),
        ("slips:Sort", r"cannot import slips: SyntaxError: .* \(slips.py, line 1\)$"),
        ("stops:Sort", r"cannot import stops: ZeroDivisionError: division by zero \(.*stops.py, line 2\)$"),
        (
            "lacks:Sort",
            r"cannot import lacks: ModuleNotFoundError: No module named 'no_such_library' \(.*line 1\)$",
        ),
        ("exits:Sort", r"cannot import exits: SystemExit: 3 \(.*exits.py, line 1\)$"),
        (
            "broken:Raise",
            r"broken has no environment 'Raise'; did you mean 'Raises'\? it has: Half, OddSettings, ",
        ),
        ("broken:function", r"no environment 'function' \('function' is none: derive it from envs.Env or "),
        ("broken:Plain", r"no environment 'Plain' \('Plain' is none: derive it from envs.Env or "),
        (
            "broken:Half",
            "'broken:Half' does not define advance, bucket, draw, finished, grade_answer, without which",
        ),
        (
            "broken:OddSettings",
            r"Settings of 'broken:OddSettings' is \{'train': \[3\]\}; it should be a class of",
        ),
        ("broken:Refuses", r"^building 'broken:Refuses' raised KeyError: 'key' \(.*broken.py, line 14\)$"),
    ],
)
def test_each_mistake_is_one_line(folder: Path, name: str, message: str) -> None:
    (folder / "broken.py").write_text(BROKEN)
    (folder / "slips.py").write_text("def :\n")
    (folder / "stops.py").write_text("x = 1\nx / 0\n")
    (folder / "lacks.py").write_text("import no_such_library\n")
    (folder / "exits.py").write_text("raise SystemExit(3)\n")
    for module in ("broken", "slips", "stops", "lacks", "exits"):
        sys.modules.pop(module, None)
    with pytest.raises(ValueError, match=message) as caught:
        make_env(name, None, str(folder))
    assert "\n" not in str(caught.value)
    sys.modules.pop("broken", None)


def test_what_it_raises_names_it_and_its_line(folder: Path) -> None:
    (folder / "broken.py").write_text(BROKEN)
    sys.modules.pop("broken", None)
    env = make_env("broken:Raises", None, str(folder))
    problem = env.problem(Split.TRAIN, 0)
    with pytest.raises(IndexError) as caught:
        env.check(problem, env.parse("[1, 2]"))
    line = BROKEN.splitlines().index("        return state[99]") + 1
    said = own_fault(env, caught.value)
    assert said == (
        "environment 'broken:Raises' raised IndexError: list index out of range "
        f"({folder / 'broken.py'}, line {line})"
    )
    sys.modules.pop("broken", None)


def test_a_module_of_another_folder_is_never_taken_for_it(folder: Path, tmp_path: Path) -> None:
    find_env(NAME, str(folder))
    other = tmp_path / "other"
    other.mkdir()
    write_own_env(other, "sorts")
    with pytest.raises(ValueError, match=rf"^{other}/sorts.py is hidden by {folder}/sorts.py, .*; rename one"):
        find_env(NAME, str(other))


def test_a_bool_is_no_grade(folder: Path) -> None:
    env = make_env(NAME, None, str(folder))
    env.grade_answer = lambda problem, answer: answer == problem.answer  # type: ignore[method-assign, assignment, return-value]
    problem = env.problem(Split.TRAIN, 0)
    with pytest.raises(TypeError, match="grade_answer returned True, which is no Grade"):
        env.check(problem, env.parse(env.demonstrate((), problem.answer)))


def test_the_page_names_the_file_that_it_shows() -> None:
    assert block_of("python").startswith("# my_env.py\n") and "my_env:SortBySwaps" in PAGE.read_text()
    assert "my_env:SortBySwaps" not in ENVS
