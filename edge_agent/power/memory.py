"""What the governor knows across restarts and power cuts, as JSON in the outbox's state. Data only."""

from datetime import datetime
from typing import Final, Self

import msgspec

from edge_agent.power.accounts import Accounts
from edge_agent.power.records import PowerState

STATE_NAME: Final = "power"
_LONGEST_AWAY_S: Final = 60 * 86_400.0  # beyond it the clock is wrong rather than the car forgotten


class Memory(msgspec.Struct, kw_only=True):
    """All of it.

    ``rested_percent``: usable charge at the last rest; ``parked_s``: how long the car has been parked; ``blind_s``: of
    that since the voltage was last known; ``charged_s``: how long the voltage has said without a break that something
    charges the standing car; ``cut``: the board's power was cut on purpose; ``wake_in_s``: seconds to the
    next planned wake, None: none is planned; ``fruitless``: checks in a row that found the car unused;
    ``checked_s``: how long ago the last check was;
    ``line_trusts``: how often the ignition line was believed beyond the allowance since an engine turned;
    ``heard``: a parked car has once given something to see: frames, a voltage, an ignition line.
    """

    state: PowerState = PowerState.SETTLING
    why: str = ""
    since: datetime | None = None
    saved: datetime | None = None
    accounts: Accounts = msgspec.field(default_factory=Accounts)
    voltage: float | None = None
    voltage_at: datetime | None = None
    temperature: float | None = None
    rested_percent: float | None = None
    parked_s: float = 0.0
    blind_s: float = 0.0
    charged_s: float = 0.0
    wake_in_s: float | None = None
    fruitless: int = 0
    checked_s: float | None = None
    line_trusts: int = 0
    cut: bool = False
    heard: bool = False

    def away_s(self, wall: datetime) -> float:
        """Seconds between the last save and now by wall clock; a clock that ran backwards tells nothing."""
        if self.saved is None:
            return 0.0
        return min(max(0.0, (wall - self.saved).total_seconds()), _LONGEST_AWAY_S)

    def to_json(self, wall: datetime) -> object:
        """JSON values to keep."""
        self.saved = wall
        return msgspec.to_builtins(self)

    @classmethod
    def from_json(cls, content: object) -> Self:
        """What :meth:`to_json` gave; msgspec.ValidationError if it is something else."""
        return msgspec.convert(content, cls)
