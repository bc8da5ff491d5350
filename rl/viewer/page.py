"""The viewer's page: one HTML file that contains its style sheet and its script.

In: trajectories. Out: a page that fetches columns and chunks from the server, or a self-contained page with all
of them embedded. The Content-Security-Policy allows only this script and this style sheet, by their hashes. The
embedded data is base64, so the HTML contains no text of a model.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterator
from pathlib import Path

from rl.pages.style import style_sheet
from rl.runs.errors import RunFolderError
from rl.viewer.read import Trajectories

MOST_BYTES = 400_000_000
"""Trajectories in one file, uncompressed. Browsers hold the whole page in memory, and a third of this as
base64."""

_FOLDER = Path(__file__).parent
_SCRIPTS = tuple(
    f"{name}.js"
    for name in (
        "data",
        "state",
        "filter",
        "dom",
        "steps",
        "tokens",
        "trajectory",
        "form",
        "overview",
        "browse",
        "groups",
        "compare",
        "main",
    )
)


def style() -> str:
    """The page's style sheet."""
    return style_sheet() + (_FOLDER / "viewer.css").read_text(encoding="utf-8")


def script() -> str:
    """The page's script: all its files as the body of one function, so that they define nothing global."""
    files = "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{files}\n}})();\n'


def content_security_policy(*, served: bool) -> str:
    """The Content-Security-Policy: this script, this style sheet and, if served, data of the same server."""
    hashes = [base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in (script(), style())]
    rules = [
        "default-src 'none'",
        f"script-src 'sha256-{hashes[0]}'",
        f"style-src 'sha256-{hashes[1]}'",
        "base-uri 'none'",
        "form-action 'none'",
        *(["connect-src 'self'"] if served else []),
    ]
    return "; ".join(rules)


def page_parts(trajectories: Trajectories, *, embed: bool) -> Iterator[str]:
    """The page as pieces of HTML, with the trajectories embedded or to be fetched from its server."""
    yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{content_security_policy(served=not embed)}">\n'
    yield '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
    yield f"<title>{html.escape(trajectories.title)}: trajectories</title>\n<style>{style()}</style></head>\n"
    yield '<body><main id="viewer"><noscript>This page needs JavaScript, which is off here.</noscript></main>\n'
    if embed:
        yield _block("columns", trajectories.columns)
        for number, chunk in enumerate(trajectories.chunks):
            yield _block(f"chunk-{number}", chunk)
    yield f"<script>{script()}</script></body></html>\n"


def _block(name: str, data: bytes) -> str:
    kind = "application/octet-stream"  # a type that browsers do not run as a script
    return f'<script type="{kind}" id="{name}">{base64.b64encode(data).decode("ascii")}</script>\n'


def check_free(path: Path, *, overwrite: bool) -> None:
    """Refuse early what `write_page` would refuse.

    Raises:
        RunFolderError: The path is a folder, its folder does not exist, or the file exists and `overwrite` is
            not set.
    """
    if path.is_dir():
        raise RunFolderError(f"--html {path} is a folder; give a file, such as {path / 'rollouts.html'}")
    if not path.parent.is_dir():
        raise RunFolderError(f"--html {path}: there is no folder {path.parent}; make it or give another file")
    if path.exists() and not overwrite:
        raise RunFolderError(f"--html {path} already exists; replace it with --overwrite, or give another file")


def write_page(
    trajectories: Trajectories, path: Path, *, overwrite: bool, most_bytes: int = MOST_BYTES
) -> None:
    """Write the page with all trajectories in it.

    Raises:
        RunFolderError: As `check_free`, or the trajectories are more than a page can hold, or the file cannot
            be written.
    """
    check_free(path, overwrite=overwrite)
    if (num_bytes := trajectories.chunks.num_bytes) > most_bytes:
        raise RunFolderError(
            f"--html: {trajectories.num:,} trajectories are about {num_bytes / 1e6:,.0f} MB, and a page holds "
            f"at most {most_bytes / 1e6:,.0f} MB; choose updates, such as --updates 490-500, or leave --html "
            "out: the server loads what is shown"
        )
    temporary = path.with_name(path.name + ".tmp")  # so that a kill leaves the old file
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(page_parts(trajectories, embed=True))
        temporary.replace(path)
    except OSError as error:
        raise RunFolderError(f"--html {path} cannot be written: {error.strerror or error}") from None
