"""The charge the agent takes, counted: an allowance per parking, a purse that fills by the day, a ledger for people.

The allowance and the purse decide and know no wall time: a clock that jumps gives nothing away. The ledger names
calendar days (UTC) and decides nothing. Pure.
"""

from datetime import datetime
from typing import Final

import msgspec

_DAYS_KEPT: Final = 32
_DAY_S: Final = 86_400.0


class Day(msgspec.Struct, kw_only=True):
    """One day (UTC) of the ledger."""

    parked_mah: float = 0.0  # from the 12 V battery of the parked car, ECUs that were woken by asking included
    in_use_mah: float = 0.0  # while driving or charging, when the car makes its own
    wakes: int = 0  # planned ones
    checks: int = 0  # times a parked car that stirred was asked


class Accounts(msgspec.Struct, kw_only=True):
    """State of all three; survives restarts as JSON."""

    parking_mah: float = 0.0  # spent of this parking's allowance
    purse_mah: float = 0.0  # what may be spent on wakes and checks now; below zero: owed
    days: dict[str, Day] = {}

    def day(self, wall: datetime) -> Day:
        """The ledger's page of a moment; the oldest page goes when there are too many."""
        name = wall.date().isoformat()
        if name not in self.days:
            self.days[name] = Day()
            for old in sorted(self.days)[:-_DAYS_KEPT]:
                if old != name:
                    del self.days[old]
        return self.days[name]

    def in_use(self, mah: float, wall: datetime, *, recharged_mah: float) -> None:
        """Driving or charging: it costs the battery nothing, and what the car puts back gives allowance back."""
        self.day(wall).in_use_mah += mah
        self.parking_mah = max(0.0, self.parking_mah - recharged_mah)

    def spend(self, mah: float, wall: datetime) -> None:
        """On a wake or a check."""
        self.idle(mah, wall)
        self.purse_mah -= mah

    def idle(self, mah: float, wall: datetime) -> None:
        """By a board that is on and does nothing."""
        self.standby(mah, wall)
        self.parking_mah += mah

    def standby(self, mah: float, wall: datetime) -> None:
        """By the controller while the board is off: nobody can save it, so it is only written down."""
        self.day(wall).parked_mah += mah

    def refill(self, seconds: float, *, mah_per_day: float, most_mah: float) -> None:
        """Time passes: the purse fills, up to a bound; what it holds beyond a bound that was lowered is gone."""
        self.purse_mah = min(most_mah, self.purse_mah + mah_per_day * seconds / _DAY_S)
