"""The whole agent over a source that counts, live: for the test of power cuts. Says each number it hands out."""

import logging
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from edge_agent.agent import run_agent
from edge_agent.config import SourceConfig, load_config
from edge_agent.sources.base import Reading
from health.registry import build_estimators
from tests.unit.edge_agent.outbox_support import NUMBER
from wearcast.commands.common import stop_on_signal

POLL_SECONDS = 0.02


class CountingSource:
    """Each reading is the next number."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._next = first

    def open(self) -> None:
        """Nothing to open."""

    def poll(self) -> Reading:
        """The next number, after a while."""
        time.sleep(POLL_SECONDS)
        number, self._next = self._next, self._next + 1
        print(f"{number - self._first} handed out", flush=True)  # noqa: T201 - the test reads it
        return Reading(values={NUMBER: float(number), "Vehicle.OBD.TimeSinceDTCCleared": 0.0})

    def close(self) -> None:
        """Nothing to close."""


def main() -> None:
    """Run the agent of a configuration over the counting source until told to stop."""
    logging.basicConfig(level=logging.INFO)
    config = replace(load_config(Path(sys.argv[1])), source=SourceConfig(kind="obd_can"))
    with stop_on_signal() as stop:
        assert isinstance(stop, threading.Event)
        run_agent(config, CountingSource(int(sys.argv[2])), build_estimators("generic"), stop)


if __name__ == "__main__":
    main()
