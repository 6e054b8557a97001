"""``wearcast ingest run`` under a clock that a file moves: as far from the machine's as the file says, in seconds."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

from wearcast.cli import main

if __name__ == "__main__":
    file = Path(sys.argv.pop(1))

    def moved() -> datetime:
        """The time by the moved clock."""
        return datetime.now(UTC) + timedelta(seconds=float(file.read_text(encoding="ascii")))

    with mock.patch("ingest.clock.machine_time", moved):
        main()
