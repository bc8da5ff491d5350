"""A hub in memory, in place of the methods of `HfApi` that upload."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import HfApi
from huggingface_hub.utils import filter_repo_objects


class Hub:
    """Keeps what is uploaded.

    Attributes:
        repos: Whether each repository was created private.
        files: All files, as they are now.
        uploads: The files of each upload of a folder.
    """

    def __init__(self) -> None:
        self.repos: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}
        self.uploads: list[dict[str, bytes]] = []

    def create_repo(self, api: HfApi, repo_id: str, *, private: bool, exist_ok: bool, repo_type: str) -> Any:
        assert exist_ok and repo_type == "model"
        whole = repo_id if "/" in repo_id else f"me/{repo_id}"
        self.repos.setdefault(whole, private)
        return SimpleNamespace(repo_id=whole)

    def upload_folder(self, api: HfApi, *, repo_id: str, folder_path: str, **options: Any) -> Any:
        assert repo_id in self.repos
        files = [path for path in Path(folder_path).rglob("*") if path.is_file()]
        ignored = options["ignore_patterns"]
        names = {path.relative_to(folder_path).as_posix(): path for path in files}
        kept = filter_repo_objects(names, ignore_patterns=ignored)
        self.uploads.append({name: names[name].read_bytes() for name in kept})
        self.files.update(self.uploads[-1])
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")

    def upload_file(
        self, api: HfApi, *, repo_id: str, path_or_fileobj: bytes, path_in_repo: str, **more: Any
    ) -> None:
        self.files[path_in_repo] = path_or_fileobj


def stand_in(monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub that `HfApi` uploads to for the rest of a test."""
    hub = Hub()
    for name in ("create_repo", "upload_folder", "upload_file"):
        method = getattr(hub, name)
        monkeypatch.setattr(HfApi, name, lambda api, *a, _method=method, **k: _method(api, *a, **k))
    return hub
