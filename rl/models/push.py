"""Upload a trained model to the Hugging Face hub: what `stride push` and `push_to_hub` do.

In: a run or a model folder and the id of a repository. Out: its address. The model folder is uploaded as it is,
with a model card that shows the results of the run unless the folder has one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
from huggingface_hub.utils import validate_repo_id

from envs.one_line import one_line
from rl.models.card import model_card
from rl.runs.manifest import find_damage, has_manifest
from rl.runs.models import TrainedModel, find_trained

_NOT_UPLOADED = [
    *("*.tmp", ".lock", "optimizer.pt", "scheduler.pt", "rng_state*", "training_args.bin"),
    *("trainer_state.json", "stride_state.json", "stride_manifest.json"),
]
_STATUS = {
    401: "no token, or one that is not valid; run `hf auth login`, or set HF_TOKEN",
    403: "the token may not write there; use one with write access, or another owner",
    404: "there is no such owner or repository, or the token may not see it",
    409: "it already exists and is not a model repository",
}


class PushError(ValueError):
    """An upload that failed; one line says why and what to do."""

    exit_code: ClassVar[int] = 2


def push(path: Path, repo_id: str, *, private: bool, revision: str | None = None) -> str:
    """Upload the model of a run, or a model folder.

    Args:
        path: Folder of a run (its last model) or of a model.
        repo_id: `owner/name`, or a name alone for the token's owner. It is created where it does not exist.
        private: Create it private. One that exists stays as it is.
        revision: Branch to upload to; it must exist. None: the main one.

    Returns:
        The address of the commit.

    Raises:
        RunFolderError: There is no model.
        PushError: The hub cannot be reached or refuses.
    """
    model = find_trained(path)
    return push_model(model, create_repository(repo_id, private=private), revision=revision)


def create_repository(repo_id: str, *, private: bool) -> str:
    """Create a model repository where it does not exist; returns its full id.

    Raises:
        PushError: The id is none, or the hub cannot be reached or refuses.
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError:
        raise PushError(
            f"'{repo_id}' is no repository id; give owner/name, of letters, digits, '-', '_' and '.'"
        ) from None
    with _refusals(repo_id):
        created = HfApi().create_repo(repo_id, private=private, exist_ok=True, repo_type="model")
        return str(created.repo_id)


def push_model(model: TrainedModel, repo_id: str, *, revision: str | None = None) -> str:
    """Upload a model folder to a repository that exists; returns the address of the commit.

    Raises:
        PushError: The hub cannot be reached or refuses, or the folder is damaged.
    """
    if has_manifest(model.path) and (damage := find_damage(model.path)):
        raise PushError(f"{model.path} is not uploaded: {damage}; put back a copy")
    api = HfApi()
    with _refusals(repo_id):
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=str(model.path),
            ignore_patterns=_NOT_UPLOADED,
            revision=revision,
            commit_message=f"Upload {_what(model)}",
        )
        if not (model.path / "README.md").is_file():
            api.upload_file(
                repo_id=repo_id,
                path_or_fileobj=model_card(model, repo_id.rpartition("/")[2]).encode(),
                path_in_repo="README.md",
                revision=revision,
                commit_message="Model card",
            )
    return str(commit.commit_url)


@contextmanager
def _refusals(repo_id: str) -> Iterator[None]:
    """What the hub and the network raise, as a `PushError`."""
    try:
        yield
    except LocalTokenNotFoundError:
        raise PushError(f"cannot push to '{repo_id}': {_STATUS[401]}") from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        reason = _STATUS.get(status) or one_line(error)
        raise PushError(f"cannot push to '{repo_id}': {reason}") from None
    except Exception as error:  # whatever the network library of this version raises
        reason = one_line(error)
        raise PushError(f"cannot push to '{repo_id}': the hub cannot be reached or refused: {reason}") from None


def _what(model: TrainedModel) -> str:
    return (
        "model"
        if model.run is None
        else f"{model.stage or model.path.name} model of {model.run.resolve().name}"
    )
