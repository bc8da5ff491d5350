"""The token that a Ray cluster asks of whoever talks to it, as Ray looks for it.

Whoever has it runs code on the cluster as its owner, so its file belongs to its owner alone, as a key of ssh
does. Ray's own `ray get-auth-token --generate` writes one that others can read.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from scripts.jobs.errors import SubmitError

VARIABLE, FILE_VARIABLE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_BYTES = 32
_OTHERS = 0o077


def token_file() -> Path:
    """Where Ray looks for the token if it is not in the environment: `$RAY_AUTH_TOKEN_PATH` or its default."""
    given = os.environ.get(FILE_VARIABLE)
    return Path(given) if given else Path.home() / ".ray" / "auth_token"


def token_source() -> str:
    """Where `read_token` has its token from, for messages."""
    return f"${VARIABLE}" if os.environ.get(VARIABLE) else str(token_file())


def read_token() -> str | None:
    """The token: `$RAY_AUTH_TOKEN`, else the content of the file; None if there is neither.

    Raises:
        SubmitError: The file cannot be read, is empty, or can be read by others.
    """
    if given := os.environ.get(VARIABLE, "").strip():
        return given
    path = token_file()
    try:
        mode = path.stat().st_mode
        token = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SubmitError(f"the token file {path} cannot be read: {reason}") from None
    if mode & _OTHERS:
        raise SubmitError(
            f"the token file {path} is open to other users (mode {mode & 0o777:04o}), who could run code on "
            f"the cluster with it; close it: chmod 600 {path}"
        )
    if not token:
        raise SubmitError(f"the token file {path} is empty; copy the head's, or remove it and make a new one")
    return token


def make_token() -> Path:
    """Write a new token of 256 random bits to the file, which only its owner can read (mode 0600).

    Raises:
        SubmitError: There is a file already, or it cannot be written.
    """
    path = token_file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made with its mode: a file that is closed after writing could be read in between.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_BYTES))
    except FileExistsError:
        raise SubmitError(
            f"there is a token in {path} already, which heads may use; to make another, remove it first"
        ) from None
    except OSError as error:
        raise SubmitError(f"the token file {path} cannot be written: {error.strerror}") from None
    return path
