"""Signs of life of a parked car, without asking it: a bus that talks, a voltage that is high or rises. Pure.

No single one is enough. A smart alternator leaves the voltage where a battery's surface charge has it, cars wake by
themselves to top up or to phone home, and a battery that was charged rests high for an hour. So each sign only earns
the car a short check. After a fruitless one the same sign counts no more until it was gone, or until the bus has gone
on talking for longer than cars do by themselves: asking may be what keeps it awake.
"""

from typing import Final, Literal

from edge_agent.power.records import Seen
from edge_agent.power.settings import PowerSettings

Sign = Literal["level", "held", "rise", "bus"]
BUS_FRAMES: Final = 3  # in one look; a single frame may be a glitch at switching off
BUS_GAP_S: Final = 5.0  # a bus silent for so long sleeps
BUS_HOLD_S: Final = 1.0
RISE_V: Final = 0.4  # more than a battery recovers when a small load ends
# A bus that talks for so long is listened to whatever came before: cars that wake by themselves mostly sleep sooner.
_SUSTAINED_S: Final = 90.0
_LONGEST_SUSTAINED_S: Final = 600.0  # also that of a car which was just left: its ECUs run on for minutes
_FREE_CHECKS: Final = 2  # fruitless ones before they are spaced out
_FIRST_PAUSE_S: Final = 30.0
_LONGEST_PAUSE_S: Final = 3600.0
_FORGET_S: Final = 6 * 3600.0  # without a fruitless check: one of them is forgotten


class Signs:
    """Watches voltage and bus of a car that is not talked to. Seconds are monotonic."""

    def __init__(self, settings: PowerSettings, *, fruitless: int = 0, checked_at: float | None = None) -> None:
        """``fruitless`` and ``checked_at`` (of the last check): as a former start left them."""
        self._settings = settings
        self.fruitless = fruitless  # checks in a row that found the car unused
        self._checked_at = checked_at
        self._high_since: float | None = None
        self._armed = False  # the voltage has been low since it was last high
        self._least: float | None = None  # lowest voltage of this rest
        self._risen_since: float | None = None
        self._bus_armed = True  # the bus has been silent since the last fruitless check
        self._runs_on = False  # the car was just left, and its bus has not been silent since
        self._bus_since: float | None = None
        self._bus_at: float | None = None

    @property
    def bus_active(self) -> bool:
        """Whether the bus talks by itself."""
        return self._bus_since is not None

    def bus_seconds(self, now: float) -> float:
        """For how long it has talked."""
        return 0.0 if self._bus_since is None else now - self._bus_since

    def rest(self, now: float, *, armed: bool = False, runs_on: bool = False) -> None:
        """The car is left alone from now: what was seen before is of another time."""
        self._high_since = self._risen_since = self._least = None
        self._bus_since = None
        self._bus_at = now if runs_on else None  # silent or not is yet to be heard
        self._armed = armed
        self._bus_armed, self._runs_on = not runs_on, runs_on

    def checked(self, now: float, *, in_use: bool) -> None:
        """A check is over."""
        self._checked_at = now
        self.fruitless = 0 if in_use else self.fruitless + 1
        self.rest(now)
        self._bus_armed, self._bus_at = in_use, now

    def look(self, now: float, seen: Seen) -> Sign | None:
        """The sign that this look completes."""
        if self._checked_at is not None and self.fruitless and now - self._checked_at >= _FORGET_S:
            self.fruitless -= 1
            self._checked_at = now
        return self._voltage(now, seen.voltage) or self._bus(now, seen.frames)

    def paused(self, now: float) -> bool:
        """Whether the last fruitless checks advise to wait, if charge is short."""
        beyond = self.fruitless - _FREE_CHECKS
        if self._checked_at is None or beyond < 0:
            return False
        return now - self._checked_at < min(_FIRST_PAUSE_S * 2.0 ** min(beyond, 20), _LONGEST_PAUSE_S)

    def sustained(self, now: float) -> bool:
        """Whether the bus talks for longer than the car's waking by itself would explain."""
        beyond = max(0, self.fruitless - _FREE_CHECKS)
        if self._runs_on:
            return self.bus_seconds(now) >= _LONGEST_SUSTAINED_S
        needed_s = min(_SUSTAINED_S * 2.0 ** min(beyond, 20), _LONGEST_SUSTAINED_S)
        return self.bus_seconds(now) >= needed_s

    def _voltage(self, now: float, voltage: float | None) -> Sign | None:
        if voltage is None:
            return None
        settings = self._settings
        if voltage < settings.sleep_below_v:
            self._armed = True
        self._high_since = (
            None if voltage < settings.wake_above_v else now if self._high_since is None else self._high_since
        )
        high_s = 0.0 if self._high_since is None else now - self._high_since
        if self._armed and self._high_since is not None and high_s >= settings.wake_hold_s:
            return "level"
        if high_s >= _LONGEST_SUSTAINED_S:
            return "held"
        self._least = voltage if self._least is None else min(self._least, voltage)
        risen = voltage >= self._least + RISE_V
        self._risen_since = None if not risen else now if self._risen_since is None else self._risen_since
        if self._risen_since is not None and now - self._risen_since >= settings.wake_hold_s:
            return "rise"
        return None

    def _bus(self, now: float, frames: int | None) -> Sign | None:
        if frames is not None and frames >= BUS_FRAMES:
            self._bus_since = now if self._bus_since is None else self._bus_since
            self._bus_at = now
        elif self._bus_at is not None and now - self._bus_at >= BUS_GAP_S:
            self._bus_since = self._bus_at = None
            self._bus_armed, self._runs_on = True, False
        if not self._bus_armed and not self.sustained(now):
            return None
        if self._bus_since is not None and self._bus_at == now and now - self._bus_since >= BUS_HOLD_S:
            return "bus"
        return None
