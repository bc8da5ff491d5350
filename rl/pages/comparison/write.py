"""Writes the page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rl.compare.folders import find_runs, folder_comparison
from rl.compare.study import make_study
from rl.pages.comparison.page import render_comparison
from rl.pages.comparison.text import comparison_text
from rl.pages.render import is_page
from rl.runs.errors import RunFolderError
from rl.runs.folder import write_text


def compare_folders(paths: Sequence[Path], output: Path, *, overwrite: bool = False) -> str:
    """Write the page of a comparison of runs.

    Args:
        paths: Run folders, or folders that hold some.
        output: Where the page goes.
        overwrite: Replace a file there even if it is no page of ours.

    Returns:
        The results as text.

    Raises:
        RunFolderError: There is no run, one is damaged, the runs met different problems, or the page cannot be
            written.
    """
    _check_output(output, overwrite=overwrite)
    study = make_study(folder_comparison(find_runs(paths)))
    if study.left_out and not study.splits:
        why = "; ".join(f"{split}: {reason}" for split, reason in study.left_out.items())
        raise RunFolderError(
            f"these runs were evaluated on different problems and cannot be compared ({why}); give runs with "
            "the same env"
        )
    try:
        write_text(output, render_comparison(study))
    except OSError as error:
        raise RunFolderError(
            f"--output {output} cannot be written: {error.strerror or error}; give another"
        ) from None
    return comparison_text(study)


def _check_output(output: Path, *, overwrite: bool) -> None:
    """Before anything is read: a page may replace a page, and nothing else unasked."""
    if output.suffix.lower() not in (".html", ".htm"):
        raise RunFolderError(f"--output {output} is no page; give a file that ends in .html")
    if output.is_dir() or not output.parent.is_dir():
        what = "is a folder" if output.is_dir() else "lies in a folder that is not there"
        raise RunFolderError(f"--output {output} {what}; give a file, as comparison.html")
    if overwrite or not output.exists():
        return
    try:
        is_ours = is_page(output.read_text(errors="replace"))
    except OSError as error:
        raise RunFolderError(
            f"--output {output} cannot be read: {error.strerror or error}; give another"
        ) from None
    if not is_ours:
        raise RunFolderError(
            f"--output {output} is there and no report of ours; give another, or replace it with --overwrite"
        )
