"""Fetches and prepares what tests and benchmarks run, saying what it does: ``python -m wearcast.embedded``.

Within a test its time would count against the test's.
"""

import os
import sys
import time

from wearcast.embedded.errors import EmbeddedError
from wearcast.embedded.mosquitto import mosquitto_program
from wearcast.embedded.timescaledb import prepare


def main() -> None:
    """Prepare the private database, unless one is configured, and Mosquitto, without which some tests alone fail."""
    started = time.monotonic()

    def report(text: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {text}", flush=True)

    try:
        if not os.environ.get("WEARCAST_DATABASE_URL"):
            prepare(report)
    except EmbeddedError as error:
        sys.exit(str(error))
    try:
        mosquitto_program()
    except EmbeddedError as error:
        report(str(error))


if __name__ == "__main__":
    main()
