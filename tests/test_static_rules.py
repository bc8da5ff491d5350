"""The lint rules that keep hostile text from being run: each is tried on code it must catch."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("envs", "rewards", "rollout", "rl", "configs", "scripts")

_LOOSE = (r"\d", r"\w", r"\s", r"\b")

BANNED = [
    ("eval(text)", "S307"),
    ("exec(text)", "S102"),
    ("from sympy import sympify\nsympify(text)", "TID251"),
    ("import sympy\nsympy.S(text)", "TID251"),
    ("from sympy.parsing.sympy_parser import parse_expr", "TID251"),
    ("import sympy as sp\nsp.parse_expr(text)", "TID251"),
    ("import math_verify", "TID251"),
    ("from math_verify import parse", "TID251"),
    ("from latex2sympy2_extended import latex2sympy", "TID251"),
    ("import reasoning_gym", "TID251"),
    ("import ast\nast.literal_eval(text)", "TID251"),
    ("import pickle", "TID251"),
    ("from pickle import loads", "TID251"),
    ("import ray\nray.cloudpickle.loads(text)", "TID251"),
    ("from ray import cloudpickle", "TID251"),
    ("import cloudpickle", "TID251"),
    ("import dill", "TID251"),
    ("import shelve", "TID251"),
    ("import marshal\nmarshal.loads(text)", "S302"),
    ("import torch\ntorch.load(text)", "TID251"),
    ("from torch import load", "TID251"),
    ("import yaml\nyaml.load(text)", "S506"),
    ("import yaml\nyaml.load(text, Loader=yaml.Loader)", "S506"),
    ("import subprocess\nsubprocess.run(text, shell=True)", "S602"),
    ("import subprocess\nsubprocess.getoutput(text)", "TID251"),
    ("import os\nos.system(text)", "S605"),
    ("import os\nos.popen(text)", "S605"),
    ("run(text, shell=True)", "S604"),
    ("import runpy", "TID251"),
    ("import code\ncode.InteractiveInterpreter().runsource(text)", "TID251"),
]


def codes(source: str, name: str) -> set[str]:
    """Codes ruff finds in `source` as if it stood in the file `name` of this project."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--no-cache",
            "--output-format=json",
            f"--stdin-filename={name}",
            "-",
        ],
        input=source,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return {finding["code"] for finding in json.loads(done.stdout)}


@pytest.mark.parametrize(("source", "code"), BANNED, ids=[source.replace("\n", "; ") for source, _ in BANNED])
def test_banned_calls_are_caught(source: str, code: str) -> None:
    assert code in codes(source, "envs/new_task.py")


SYMBOLIC = "envs/maths/worker/symbolic.py"


def test_only_one_module_of_the_worker_may_use_computer_algebra() -> None:
    source = "import sympy\n\nsympy.Integer(1)\n"
    for name in (
        "envs/maths/worker/formulas.py",
        "envs/sandbox/zygote.py",
        "envs/maths/grader.py",
        "rewards/new.py",
        "rl/new.py",
        "scripts/new.py",
    ):
        assert "TID251" in codes(source, name), name
        assert "TID251" in codes('import math_verify\n\nmath_verify.parse("1")\n', name), name
    assert "TID251" not in codes(source, SYMBOLIC)


def given_text(source: str) -> list[str]:
    """What a module imports beside sympy, mpmath and its neighbours, and where it may give sympy a text."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name != "sympy" or alias.asname]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            module = node.module or ""
            found += [module] * (
                module not in ("__future__", "collections.abc", "itertools", "typing", "mpmath")
            )
        elif isinstance(node, ast.Attribute) and node.attr in EVALUATORS:
            found.append(ast.unparse(node))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("sympy."):
            texts = [
                part
                for part in ast.walk(node)
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            ]
            if texts or ast.unparse(node.func) == "sympy.S":
                found.append(ast.unparse(node))
    return found


EVALUATORS = (
    "sympify", "_sympify", "parse_expr", "parsing", "lambdify", "symbols", "Symbol", "Function", "preview",
    "nsimplify", "simplify", "utilities", "core", "external", "testing",
)  # fmt: skip


def test_computer_algebra_is_given_no_text() -> None:
    """Sympy evaluates every text it is given, the names of letters too where they come in a list."""
    assert given_text((ROOT / SYMBOLIC).read_text()) == []
    for bad in (
        "sympy.sympify(tree)",
        "sympy.Symbol(tree)",
        'sympy.Integer("1")',
        "sympy.S(tree)",
        "sympy.parsing.sympy_parser.parse_expr(tree)",
        "import sympy as sp",
        "from sympy import S",
    ):
        assert given_text(f"import sympy\n{bad}"), bad


def test_no_rule_is_switched_off_in_a_file() -> None:
    """The one exception is YAML read with a loader of our own, derived from the safe one."""
    silenced = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for line in path.read_text().split("\n")
        if "noqa" in line and any(code in line for code in (" S", ",S", ":S", "TID251"))
    ]
    assert silenced == [
        "configs/schema/yaml_text.py: return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader"
    ]


def test_patterns_read_ascii_only() -> None:
    r"""``\d``, ``\w`` and ``\s`` also match foreign digits, letters and spaces; graders spell sets out."""
    loose = []
    for package in ("envs", "rewards"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                    continue
                if not isinstance(node.func.value, ast.Name) or node.func.value.id != "re":
                    continue
                patterns = [
                    part.value.replace(r"\\", "")
                    for part in ast.walk(node)
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                ]
                if any(loose_class in pattern for pattern in patterns for loose_class in _LOOSE):
                    loose.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert loose == []
