"""The time that engines and delivery go by: the database's, as long as this machine's clock is not far from it.

What they do at a wrong time cannot be taken back: an owner is told of a part that is not worn yet, or of a slot that is
gone, and a message is held by a lease that ends next month. So where the two clocks are far apart they wait, and say
so; another one, on a machine whose clock is right, goes on.
"""

from datetime import datetime, timedelta
from typing import Final, Protocol

from ingest.clock import BackendClock
from ingest.database import Connection
from ingest.pulse import PULSE

# Half of the shortest time from a proposal to its slot (rules.booking.policy), and little of the time it is held.
MOST_APART: Final = timedelta(hours=1)


class Clock(Protocol):
    """What an engine asks for the time."""

    def __call__(self) -> datetime:
        """The time, UTC."""
        ...

    def agrees(self, connection: Connection) -> bool:
        """Whether it is sure enough to act by."""
        ...


class AgreedClock:
    """The database's time, held against the machine's; any thread may ask."""

    def __init__(self, clock: BackendClock | None = None) -> None:
        self._clock = clock or BackendClock()

    def __call__(self) -> datetime:
        """The database's time as it was last heard and has gone on since; the machine's until then."""
        return self._clock.now()

    def agrees(self, connection: Connection) -> bool:
        """Whether the two clocks are less than an hour apart; tells the pulse where they are not."""
        agreed = self._clock.agrees(connection, MOST_APART)
        if agreed:
            PULSE.well("clock")
        else:
            PULSE.trouble(
                "clock", "this machine's and the database's are more than an hour apart: set the wrong one, and run NTP"
            )
        return agreed
