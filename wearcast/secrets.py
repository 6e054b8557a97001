"""The secret that signs links and sessions: made once, kept in a file that only its user can read."""

import os
import secrets
from pathlib import Path

from wearcast.settings import SettingsError


def load_secret(path: Path) -> str:
    """The secret in the file; made there on first use. SettingsError where others may read it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        raise SettingsError(f"the secret cannot be written to {path}: {error}; set WEARCAST_SECRET_FILE") from error
    else:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
    if path.stat().st_mode & 0o077:
        raise SettingsError(f"{path} can be read by others; run: chmod 600 {path}")
    secret = path.read_text().strip()
    if len(secret) < 32:
        raise SettingsError(f"{path} holds no usable secret (32 characters at least); delete it to have one made")
    return secret
