"""What an outage of ours lets pile up at the broker: dongles say the same batches again and again.

Nobody acknowledges while no worker stores. Each dongle then repeats its window, with growing pauses and from the
beginning after each reconnect, and the broker keeps all of it. When a worker is back, a day of that comes within
seconds and looks like a flood. It is limited as always; it is an offence only beyond what a dongle can have said
meanwhile.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from psycopg.rows import scalar_row

from ingest.database import Connection

# A window of 32 batches that wait 10 s for an acknowledgement (edge_agent/config.py): by a dongle that loses its
# connection again and again, so that its pauses never grow.
REPEATED_PER_SECOND: Final = 32 / 10
SHORTEST_SECONDS: Final = 600.0  # of silence: what is shorter fits into the usual bounds
_LONGEST_SECONDS: Final = 7 * 86400.0  # brokers keep no more (ingest/sources/nats_stream.py)
_CAUGHT_UP_AFTER_SECONDS: Final = 3600.0


@dataclass(kw_only=True)
class Pardon:
    """How many messages beyond the bounds of an offence each device has, for a while after an outage."""

    _messages: float = 0.0
    _until: float = float("-inf")
    _used: dict[str, int] = field(default_factory=dict)

    def after(self, silent_seconds: float, now: float) -> None:
        """Nothing came for so long, and now something does. What is left of a pardon before is no less."""
        if silent_seconds < SHORTEST_SECONDS:
            return
        if now >= self._until:
            self._messages = 0.0
            self._used.clear()
        self._messages = max(self._messages, REPEATED_PER_SECOND * min(silent_seconds, _LONGEST_SECONDS))
        self._until = now + _CAUGHT_UP_AFTER_SECONDS

    def use(self, device: str, now: float) -> bool:
        """Whether one more message of it is pardoned."""
        if now >= self._until:
            return False
        used = self._used.get(device, 0)
        if used >= self._messages:
            return False
        self._used[device] = used + 1
        return True


def last_heard(connection: Connection) -> datetime | None:
    """When the backend stored the last sign of life of any device; None before the first."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        heard: datetime | None = cursor.execute("SELECT max(heard_at) FROM device_status").fetchone()
    return heard
