"""The secret that signs links and sessions: made once, kept in a file that only its user can read."""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from wearcast.settings import SettingsError


def load_secret(path: Path) -> str:
    """The secret in the file; made there on first use. SettingsError where others may read it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
    except OSError as error:
        raise SettingsError(f"the secret cannot be written to {path}: {error}; set WEARCAST_SECRET_FILE") from error
    if path.stat().st_mode & 0o077:
        raise SettingsError(f"{path} can be read by others; run: chmod 600 {path}")
    secret = path.read_text().strip()
    if len(secret) < 32:
        raise SettingsError(f"{path} holds no usable secret (32 characters at least); delete it to have one made")
    return secret


def _make(path: Path) -> None:
    """Give the file its name when it is whole: of services that start at once, all read what one of them made."""
    handle, unfinished = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32))
        with contextlib.suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        Path(unfinished).unlink()
