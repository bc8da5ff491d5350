"""Where the files of a model are: a folder, a hub id or a Python package.

In: the config's `policy` section. Out: what transformers can load from, or one line that says what is missing.
No weights are read and torch is not imported, so a mistake is reported at once. The local cache is searched
first and the hub is asked once, with a short timeout.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from configs.schema.config import PolicyConfig

HUB_TIMEOUT_S = 3.0
_PACKAGE = "package:"
ADAPTER = "adapter_config.json"
_REMEDY = "give the path of a model folder, a hub id that is in the local cache, or 'tiny'"
_WEIGHTS = (".safetensors", ".bin", ".gguf")
_LFS = b"version https://git-lfs"
# A tokenizer is in at least one of these, whatever its family.
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
    "vocab.json",
    "vocab.txt",
)


class PolicyError(ValueError):
    """A model or tokenizer that cannot be used."""

    exit_code: ClassVar[int] = 2


def locate_model(config: PolicyConfig) -> str:
    """The folder or hub id that `policy.model` stands for.

    Raises:
        PolicyError: It does not exist, or lacks its tokenizer or the GGUF file.
    """
    name = config.model
    if config.revision is not None and (name.startswith((_PACKAGE, ".", "/", "~")) or Path(name).is_dir()):
        raise PolicyError(
            f"policy.revision is '{config.revision}', but policy.model '{name}' is not on the hub; "
            "set policy.revision to null"
        )
    if name.startswith(_PACKAGE):
        folder = _package_folder(name)
    elif Path(name).is_dir():
        folder = Path(name)
    elif name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise PolicyError(f"policy.model '{name}': no such folder")
    else:
        _find_on_hub(name, config)
        return name
    _check_folder(folder, config)
    return str(folder)


def hub_commit(config: PolicyConfig) -> str | None:
    """The commit on the hub of a model that was loaded; None for one that is not from there."""
    if config.model == "tiny" or config.model.startswith(_PACKAGE) or Path(config.model).is_dir():
        return None
    for file in (config.gguf_file or "config.json", ADAPTER):
        cached = try_to_load_from_cache(config.model, file, revision=config.revision)
        if isinstance(cached, str):
            return Path(cached).parent.name  # .../snapshots/<commit>/<file>
    return None


def has_tokenizer(place: str) -> bool:
    """Whether a model folder holds a tokenizer."""
    return any((Path(place) / name).is_file() for name in _TOKENIZER_FILES)


def _package_folder(name: str) -> Path:
    package = name.removeprefix(_PACKAGE)
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise PolicyError(f"policy.model '{name}': Python package '{package}' is not installed")
    return Path(spec.submodule_search_locations[0])


def _check_folder(folder: Path, config: PolicyConfig) -> None:
    files = {path.name for path in folder.iterdir()}
    if config.gguf_file is not None:
        if not (folder / config.gguf_file).is_file():
            raise _no_gguf(config.model, config.gguf_file, files)
    elif files.isdisjoint(("config.json", ADAPTER)):
        raise PolicyError(f"policy.model '{config.model}' cannot be loaded: it has no config.json; {_REMEDY}")
    elif ADAPTER not in files and not has_tokenizer(str(folder)):
        raise PolicyError(
            f"policy.model '{config.model}' holds no tokenizer (tokenizer.json, vocab.json, ...); "
            "save the model's tokenizer into the folder with save_pretrained"
        )
    for name in sorted(files):
        if name.endswith(_WEIGHTS) and _is_pointer(folder / name):
            raise PolicyError(
                f"policy.model '{config.model}' holds {name} as a pointer of Git LFS, without its content; run "
                "`git lfs pull` in it"
            )


def _is_pointer(path: Path) -> bool:
    """Whether git left a few lines in place of a large file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_LFS)) == _LFS


def _no_gguf(model: str, file: str, files: Iterable[str]) -> PolicyError:
    present = ", ".join(sorted(name for name in files if name.endswith(".gguf"))) or "none"
    return PolicyError(
        f"policy.gguf_file '{file}' is not in policy.model '{model}'; GGUF files there: {present}"
    )


def _find_on_hub(name: str, config: PolicyConfig) -> None:
    """Check a hub id without waiting for a network that is not there."""
    revision = config.revision
    wanted = [config.gguf_file] if config.gguf_file else ["config.json", ADAPTER]
    try:
        cached = [isinstance(try_to_load_from_cache(name, file, revision=revision), str) for file in wanted]
    except HFValidationError:
        raise PolicyError(f"policy.model '{name}' is neither a folder nor a hub id; {_REMEDY}") from None
    if any(cached):
        return
    at = f" at policy.revision '{revision}'" if revision else ""
    missing = f"policy.model '{name}'{at} is neither a folder nor in the local cache"
    if constants.HF_HUB_OFFLINE:
        raise PolicyError(f"{missing} (offline); {_REMEDY}")
    try:
        siblings = HfApi().model_info(name, revision=revision, timeout=HUB_TIMEOUT_S).siblings or []
    except Exception as error:
        reason = type(error).__name__
        raise PolicyError(f"{missing}, and the hub did not give it ({reason}); {_REMEDY}") from None
    files = [sibling.rfilename for sibling in siblings]
    if config.gguf_file is not None and config.gguf_file not in files:
        raise _no_gguf(name, config.gguf_file, files)
    if ADAPTER in files and "config.json" not in files:
        hf_hub_download(name, ADAPTER, revision=revision)
