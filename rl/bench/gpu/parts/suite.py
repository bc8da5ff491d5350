"""The tests marked `gpu`, which are skipped where there is none."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from rl.bench.gpu.figure import Figure, PartSkippedError, Setting

_ROOT = Path(__file__).resolve().parents[4]
_NEEDED = ("pytest", "xdist", "hypothesis")


def measure(setting: Setting) -> Iterator[Figure]:
    """Count what passed; on a GPU none may be skipped."""
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise PartSkippedError(f"not installed: {', '.join(missing)}")
    if not (_ROOT / "tests").is_dir():
        raise PartSkippedError("not in a checkout: there is no tests/ folder")
    files = [str(path) for path in (_ROOT / "tests").rglob("test_*.py") if "mark.gpu" in path.read_text()]
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        # Warnings are no errors here: the machine's libraries need not be the pinned ones.
        options = ["-m", "gpu", "-W", "default", "-p", "no:cacheprovider", f"--junitxml={results}"]
        subprocess.run([sys.executable, "-m", "pytest", *files, *options], cwd=_ROOT, check=False)
        if not results.exists():
            raise RuntimeError("pytest ended without results")
        counts = _count(ElementTree.parse(results).getroot())
    on_gpu = setting.device == "cuda"
    yield Figure(name="passed", value=counts["passed"], at_least=1 if on_gpu else None)
    yield Figure(name="failed", value=counts["failed"], at_most=0)
    yield Figure(name="skipped", value=counts["skipped"], at_most=0 if on_gpu else None)


def _count(root: ElementTree.Element) -> dict[str, int]:
    """Numbers of test cases by outcome in a file of JUnit's format."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for case in root.iter("testcase"):
        kinds = {child.tag for child in case}
        failed = kinds & {"failure", "error"}
        counts["failed" if failed else "skipped" if "skipped" in kinds else "passed"] += 1
    return counts
