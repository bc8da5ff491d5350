"""The environment of the docs page "Your own task", as a user would have it: in a file of their own."""

from __future__ import annotations

import re
from pathlib import Path

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
PAGE = RECIPES / "own_task.md"


def block_of(language: str, page: Path = PAGE, *, place: int = 0) -> str:
    """A code block of a page in this language; the first one is at place 0."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return str(found[place])


def write_own_env(folder: Path, module: str = "my_env") -> Path:
    """Write the environment of the page to a file; returns the file."""
    file = folder / f"{module}.py"
    file.write_text(block_of("python"))
    return file
