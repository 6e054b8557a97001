"""Fetches and prepares the private database, saying what it does: ``python -m wearcast.embedded``."""

import os
import sys
import time

from wearcast.embedded.errors import EmbeddedError
from wearcast.embedded.timescaledb import prepare


def main() -> None:
    """Prepare it, unless a database is configured: then none of it is needed."""
    if os.environ.get("WEARCAST_DATABASE_URL"):
        return
    started = time.monotonic()
    try:
        prepare(lambda text: print(f"[{time.monotonic() - started:6.1f} s] {text}", flush=True))
    except EmbeddedError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
