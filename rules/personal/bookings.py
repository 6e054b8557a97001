"""What becomes of an erased person's bookings: open ones are called off, done work stays for nobody."""

from datetime import datetime

from psycopg.rows import tuple_row

from ingest.database import Connection
from rules.booking import desk
from rules.booking.errors import BookingError
from rules.personal.subject import Subject


def release_bookings(connection: Connection, subject: Subject, now: datetime) -> int:
    """Call off what is open, so that bays are free and workshops know; how many that were.

    One transaction of the caller's, the same in which the rest of the bookings goes.
    """
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            "SELECT id, state FROM booking WHERE vehicle_id = ANY(%s) AND state IN ('proposed', 'confirmed')"
            " ORDER BY id",
            [list(subject.vehicle_ids)],
        ).fetchall()
    for booking_id, state in rows:
        try:
            if state == "confirmed":
                desk.cancel(connection, booking_id, now)
            else:
                desk.decline(connection, booking_id, now)
        except BookingError:
            continue  # answered or expired meanwhile: there is nothing to call off any more
    return len(rows)


def keep_done_work(connection: Connection, subject: Subject) -> None:
    """Write down what was done for how much, for the workshop's books, without whose car it was."""
    connection.execute(
        "INSERT INTO anonymous_job (workshop_id, bay_id, job, period, price, currency)"
        " SELECT workshop_id, bay_id, job, period, price, currency FROM booking"
        " WHERE vehicle_id = ANY(%s) AND state = 'completed' ORDER BY random()",  # the order would group them by car
        [list(subject.vehicle_ids)],
    )


def detach_cancellations(connection: Connection, subject: Subject) -> int:
    """Let cancellations that workshops still have to hear of go out without car, finding or person; how many."""
    return connection.execute(
        "UPDATE outgoing SET alert_id = NULL, booking_id = NULL, vehicle_id = NULL,"
        ' payload = payload || \'{"vehicle": "", "fault": "", "findings": ""}\''
        " WHERE kind <> 'owner_message' AND delivered_at IS NULL AND abandoned_at IS NULL"
        " AND payload ->> 'event' = 'cancelled'"
        " AND alert_id IN (SELECT id FROM alert WHERE vehicle_id = ANY(%s))",
        [list(subject.vehicle_ids)],
    ).rowcount
