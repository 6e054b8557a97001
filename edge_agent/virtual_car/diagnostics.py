"""The trouble code memory of an engine ECU: from a first failure to a confirmed code with lamp, and cleared again."""

from collections.abc import Mapping
from dataclasses import dataclass

MISFIRE_CODE = "P0301"  # cylinder 1 misfire detected (SAE J2012)


@dataclass(kw_only=True)
class DtcMemory:
    """Codes and the counters that go with them. A code is pending at first and confirmed after ``confirm_after_s``.

    A car confirms on the second drive cycle with the failure; here the time with the engine running stands for it.
    """

    confirm_after_s: float
    failing: bool = False  # cylinder 1 misfires now
    _failing_s: float = 0.0
    pending: bool = False
    confirmed: bool = False
    frozen: Mapping[str, float] | None = None  # signals by VSS path when the code came up
    occurrences: int = 0
    permanent: bool = False  # stays when codes are cleared, until the monitor has passed
    distance_with_mil_km: float = 0.0
    run_time_mil_min: float = 0.0
    distance_since_clear_km: float = 3200.0
    time_since_clear_min: float = 5400.0
    warmups_since_clear: int = 120

    @property
    def mil_on(self) -> bool:
        """Whether the malfunction indicator lamp is asked for."""
        return self.confirmed

    def freeze(self, signals: Mapping[str, float]) -> None:
        """Keep the signals of now, if a code has come up of which none are kept (SAE J1979, service 02)."""
        if self.pending and self.frozen is None:
            self.frozen = dict(signals)
            self.occurrences = min(0xFF, self.occurrences + 1)

    def run(self, dt_s: float, distance_km: float) -> None:
        """Engine running for a while."""
        self.distance_since_clear_km += distance_km
        self.time_since_clear_min += dt_s / 60
        if self.mil_on:
            self.distance_with_mil_km += distance_km
            self.run_time_mil_min += dt_s / 60
        if not self.failing:
            return
        self.pending = True
        self._failing_s += dt_s
        if self._failing_s >= self.confirm_after_s:
            self.confirmed = self.permanent = True

    def clear(self) -> None:
        """Service 04 or 14: a person asked for it. Permanent codes stay (SAE J1979, service 0A)."""
        self._failing_s = 0.0
        self.pending = self.confirmed = False
        self.frozen = None
        self.distance_with_mil_km = self.run_time_mil_min = 0.0
        self.distance_since_clear_km = self.time_since_clear_min = 0.0
        self.warmups_since_clear = 0

    def codes(self, service: int) -> tuple[str, ...]:
        """Codes that service 03, 07 or 0A gives."""
        there = {0x03: self.confirmed, 0x07: self.pending, 0x0A: self.permanent}[service]
        return (MISFIRE_CODE,) if there else ()
