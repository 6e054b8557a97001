"""The whole agent over a source that counts, live, under a clock that a file beside its configuration moves."""

import json
import logging
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from edge_agent.agent import run_agent
from edge_agent.clock import SystemClock
from edge_agent.config import SourceConfig, load_config
from edge_agent.sources.base import Reading
from health.registry import build_estimators
from wearcast.commands.common import stop_on_signal

POLL_SECONDS = 0.05
START_SIGNAL = "Vehicle.OBD.TimeSinceDTCCleared"
NUMBER = "Vehicle.OBD.RunTime"


class CountingSource:
    """Each reading is the next number of this start; a start of number 0 reads nothing and ends."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._next = 0

    def open(self) -> None:
        """Nothing to open."""

    def poll(self) -> Reading | None:
        """The next number, after a while."""
        if not self._start:
            return None
        time.sleep(POLL_SECONDS)
        number, self._next = self._next, self._next + 1
        return Reading(values={NUMBER: float(number), START_SIGNAL: float(self._start)})

    def close(self) -> None:
        """Nothing to close."""


def moved_clock(file: Path) -> Any:
    """The agent's clock, as far from the machine's as the file says."""

    def said() -> dict[str, int]:
        return dict(json.loads(file.read_text(encoding="ascii")))

    return partial(
        SystemClock,
        wall_ms=lambda: time.time_ns() // 1_000_000 + said()["offset_ms"],
        synchronised=lambda: bool(said()["synchronised"]),
        set_from_rtc=lambda: True,
    )


def main() -> None:
    """Run the agent of a configuration until told to stop, or until all is sent where the start is number 0."""
    logging.basicConfig(level=logging.INFO)
    path = Path(sys.argv[1])
    config = replace(load_config(path), source=SourceConfig(kind="obd_can"))
    clock = moved_clock(path.with_name("clock.json"))
    with mock.patch("edge_agent.agent.SystemClock", clock), stop_on_signal() as stop:
        assert isinstance(stop, threading.Event)
        run_agent(config, CountingSource(int(sys.argv[2])), build_estimators("generic"), stop)


if __name__ == "__main__":
    main()
