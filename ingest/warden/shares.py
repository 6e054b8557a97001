"""Allowances in the database: one bucket of a device for all workers that take from the same consumer.

It fills by the database's clock. What each worker has let through is taken from it, and what is then left is the most
that any of them lets through. The caller's connection is in autocommit mode: a single statement holds no lock while its
worker stands still.
"""

from collections.abc import Mapping
from datetime import timedelta
from itertools import islice
from typing import Final

from psycopg.rows import tuple_row

from ingest.database import Connection
from ingest.warden.limits import Limits
from ingest.warden.tally import Use

_FORGOTTEN_AFTER: Final = timedelta(hours=1)  # without a word of it: by the usual limits it is full after 200 seconds
AT_ONCE: Final = 500  # devices in a statement: it has their rows for some 20 ms, and other workers want the same
_PUT_BACK: Final = timedelta(minutes=1)  # so far back does no clock go that is only disciplined

# elapsed: of two statements at once the later may have looked at the clock first, then nothing is filled. A clock that
# was put back is followed: until it has come to the former time nothing would be filled either.
_TELL: Final = """
    INSERT INTO device_allowance AS known (device_id, messages, bytes, over, malformed, at)
    SELECT device.id, %(messages)s - used.messages, %(bytes)s - used.bytes, %(over)s - used.over,
        %(malformed)s - used.malformed, clock_timestamp()
    FROM unnest(%(devices)s::text[], %(used_messages)s::float8[], %(used_bytes)s::float8[], %(used_over)s::float8[],
        %(used_malformed)s::float8[]) AS used (device_id, messages, bytes, over, malformed)
    JOIN device ON device.id = used.device_id
    ORDER BY device.id
    ON CONFLICT (device_id) DO UPDATE SET (messages, bytes, over, malformed, at) = (
        SELECT
            least(%(messages)s, known.messages + %(messages_rate)s * elapsed) - (%(messages)s - excluded.messages),
            least(%(bytes)s, known.bytes + %(bytes_rate)s * elapsed) - (%(bytes)s - excluded.bytes),
            least(%(over)s, known.over + %(over_rate)s * elapsed) - (%(over)s - excluded.over),
            least(%(malformed)s, known.malformed + %(malformed_rate)s * elapsed) - (%(malformed)s - excluded.malformed),
            CASE WHEN excluded.at < known.at - %(put_back)s THEN excluded.at ELSE greatest(known.at, excluded.at) END
        FROM greatest(0, extract(epoch FROM excluded.at - known.at)::float8) AS elapsed)
    RETURNING device_id, messages, bytes, over, malformed
"""


def tell_all(connection: Connection, uses: dict[str, Use], limits: Limits) -> dict[str, Use]:
    """As :func:`tell`, in several statements. What is told leaves ``uses``: where one fails, the others stay there."""
    left: dict[str, Use] = {}
    while some := dict(islice(uses.items(), AT_ONCE)):
        left |= tell(connection, some, limits)
        for device in some:
            del uses[device]
    return left


def tell(connection: Connection, uses: Mapping[str, Use], limits: Limits) -> dict[str, Use]:
    """Take what was used from the allowances; what is left of them. Nothing for a device that is not registered."""
    parameters: dict[str, object] = {"devices": list(uses), "put_back": _PUT_BACK}
    for name in ("messages", "bytes", "over", "malformed"):
        allowance = getattr(limits, name)
        parameters[name], parameters[f"{name}_rate"] = float(allowance.burst), float(allowance.per_second)
        parameters[f"used_{name}"] = [float(getattr(use, name)) for use in uses.values()]
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(_TELL, parameters).fetchall()
    return {device: Use.of(left) for device, *left in rows}


def forget(connection: Connection) -> None:
    """Delete what is full again by far."""
    connection.execute(
        "DELETE FROM device_allowance WHERE device_id IN (SELECT device_id FROM device_allowance"
        " WHERE at < clock_timestamp() - %s FOR UPDATE SKIP LOCKED)",
        [_FORGOTTEN_AFTER],
    )
