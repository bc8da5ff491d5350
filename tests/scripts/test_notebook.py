"""The notebook's cells run, in order, and leave a table and a plot."""

from __future__ import annotations

import contextlib
import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALLER = {
    "{updates: 200,": "{updates: 20,",
    "{updates: 15,": "{updates: 3,",
    "{num_problems: 50,": "{num_problems: 5,",
}
"""Sizes of the run, half a minute of which shows no more than seconds."""


@pytest.mark.slow
def test_the_notebook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = json.loads((ROOT / "docs" / "notebook.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    code = "\n".join(cell["source"] for cell in cells) + "\nfigure.savefig('plot.png')\nplt.close(figure)\n"
    for size, less in SMALLER.items():
        assert code.count(size) == 1
        code = code.replace(size, less)
    script = tmp_path / "notebook.py"
    script.write_text(code)
    monkeypatch.setenv("MPLBACKEND", "agg")
    with contextlib.chdir(tmp_path):
        runpy.run_path(str(script))
    shown = capsys.readouterr().out
    assert "ood_easy" in shown and "verified" in shown
    assert (tmp_path / "plot.png").stat().st_size > 1000
    assert (tmp_path / "runs" / "notebook" / "report.html").is_file()
