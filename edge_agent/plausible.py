"""Readings -> the values in them that can be true of a car. The others are faults of reading, told in the log."""

import logging
from typing import Final

from edge_agent.sources.base import ReadFault, Reading
from telemetry.catalogue import catalogue

log = logging.getLogger(__name__)

_MAX_FAULTS_TOLD: Final = 200  # distinct requests named in the log; a failing sensor fails every second


class Plausible:
    """Remembers which failed reads were told."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def values(self, reading: Reading) -> dict[str, float]:
        """Values by path; what is missing failed to be read, or cannot be."""
        values: dict[str, float] = {}
        faults = list(reading.faults)
        for path, value in reading.values.items():
            signal = catalogue().by_path(path)
            if signal.accepts(value):
                values[path] = value
            else:
                reason = f"{value} {signal.unit.key} is outside [{signal.minimum:g}, {signal.maximum:g}]"
                faults.append(ReadFault(request=path, reason=reason))
        for fault in faults:
            if fault.request not in self._told and len(self._told) < _MAX_FAULTS_TOLD:
                self._told.add(fault.request)
                log.warning(
                    "a read failed, further ones of this request are not told: %s: %s", fault.request, fault.reason
                )
        return values
