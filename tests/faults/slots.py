"""Which slots are booked twice at this moment, by the periods of the bookings: no constraint is asked."""

from collections import defaultdict
from datetime import datetime
from itertools import pairwise
from uuid import UUID

from psycopg.rows import tuple_row

from ingest.database import Connection

DoublyBooked = tuple[UUID, datetime]  # a bay, and when the second booking in it begins


def doubly_booked(connection: Connection) -> set[DoublyBooked]:
    """Where a booking that takes its bay begins before the one before it ends; of one snapshot."""
    taken: dict[UUID, list[tuple[datetime, datetime]]] = defaultdict(list)
    with connection.cursor(row_factory=tuple_row) as cursor:
        for bay, begin, end in cursor.execute(
            "SELECT bay_id, lower(period), upper(period) FROM booking"
            " WHERE state IN ('proposed', 'confirmed', 'completed') ORDER BY lower(period), upper(period)"
        ):
            taken[bay].append((begin, end))
    return {(bay, begin) for bay, periods in taken.items() for (_, end), (begin, _) in pairwise(periods) if begin < end}
