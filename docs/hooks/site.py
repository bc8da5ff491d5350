"""MkDocs hook: adds the pages that are generated from the code, so that none of them is committed.

The config reference comes from the schema, the reward reference from the functions and presets, and each task's
page from its environment. Code comes before prose here: a page that cannot be generated stops the build.
"""

from __future__ import annotations

from config_page import config_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from reward_page import reward_page
from task_pages import overview_page, task_page, titles


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {"config.md": config_page(), "rewards.md": reward_page(), "tasks/index.md": overview_page()}
    pages |= {f"tasks/{name}.md": task_page(name) for name in titles()}
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files
