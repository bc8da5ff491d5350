"""Writes the page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rl.compare.folders import find_runs, folder_comparison
from rl.compare.results import CaseRecord, read_cases
from rl.compare.runs import Comparison
from rl.compare.stored import is_stored, read_stored, store
from rl.compare.study import make_study
from rl.iterate.study import has_loops, read_loop_study
from rl.pages.comparison.page import render_comparison
from rl.pages.comparison.text import comparison_text
from rl.pages.iteration.write_study import runs_page, study_text, write_pages
from rl.pages.render import is_page
from rl.runs.errors import RunFolderError
from rl.runs.files import write_text


def compare_folders(
    paths: Sequence[Path], output: Path, *, overwrite: bool = False, store_in: Path | None = None
) -> str:
    """Write the page of a comparison of runs.

    Args:
        paths: Run folders, folders that contain some, or one folder of stored results.
        output: Where the page goes.
        overwrite: Replace a file there even if it is not a page of Stride's.
        store_in: Folder to store the results in, from which this page can be written again; None: nowhere.

    Returns:
        The results as text.

    Raises:
        RunFolderError: There is no run, one is damaged, the runs were evaluated on different problems, or the
            page cannot be written.
    """
    _check_output(output, overwrite=overwrite)
    comparison, cases = _cases(paths)
    if has_loops(comparison):
        return _write_loops(comparison, output, overwrite, store_in)
    if store_in is not None:
        store(comparison, cases, store_in)
    study = make_study(comparison, cases)
    if study.left_out and not study.splits:
        why = "; ".join(f"{split}: {reason}" for split, reason in study.left_out.items())
        raise RunFolderError(
            f"these runs were evaluated on different problems and cannot be compared ({why}); give runs with "
            "the same env"
        )
    try:
        write_text(output, render_comparison(study))
    except OSError as error:
        raise _unwritable(output, error) from None
    return comparison_text(study)


def _write_loops(comparison: Comparison, output: Path, overwrite: bool, store_in: Path | None) -> str:
    """Write the page of a study over loops; what runs it has beside them gets a page of its own."""
    if store_in is not None:
        raise RunFolderError(
            f"--store {store_in} is for comparisons of ordinary runs, but some of these are loops; leave it out"
        )
    loops = read_loop_study(comparison)
    if loops.others:
        _check_output(runs_page(output), overwrite=overwrite)
    try:
        write_pages(loops, output)
    except OSError as error:
        raise _unwritable(output, error) from None
    return study_text(loops)


def _unwritable(output: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"--output {output} cannot be written: {error.strerror or error}; give another")


def _cases(paths: Sequence[Path]) -> tuple[Comparison, list[CaseRecord]]:
    if len(paths) == 1 and is_stored(paths[0]):
        return read_stored(paths[0])
    comparison = folder_comparison(find_runs(paths))
    return comparison, read_cases(comparison)


def _check_output(output: Path, *, overwrite: bool) -> None:
    """Check the output before anything is read: without `overwrite` a page replaces only a page of Stride's."""
    if output.suffix.lower() not in (".html", ".htm"):
        raise RunFolderError(f"--output {output} is not a page; give a file that ends in .html")
    if output.is_dir() or not output.parent.is_dir():
        what = "is a folder" if output.is_dir() else "is in a folder that does not exist"
        raise RunFolderError(f"--output {output} {what}; give a file, such as comparison.html")
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
            f"--output {output} exists and is not a page of Stride's; give another, or replace it "
            "with --overwrite"
        )
