"""What the registry says of who may connect, as a broker must know it."""

from psycopg.rows import scalar_row

from ingest.brokers.branch import Access, Permitted
from ingest.database import Connection
from ingest.enrolment.access import device_access, revocation_lists


def read_access(connection: Connection) -> Access:
    """Devices that may connect now, those that may only be emptied or are blocked, and the revocation lists."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        given = cursor.execute("SELECT EXISTS (SELECT FROM device_certificate)").fetchone()
        blocked = set(cursor.execute("SELECT device_id FROM device_block WHERE until > now()").fetchall())
    rows = [(row, Permitted(device=row.device_id, generation=row.generation)) for row in device_access(connection)]
    return Access(
        permitted=tuple(device for row, device in rows if row.allowed),
        only_wiped=tuple(device for row, device in rows if row.only_wiped),
        blocked=tuple(
            device for row, device in rows if not (row.allowed or row.only_wiped) and device.device in blocked
        ),
        in_use=bool(rows or given),
        revocation_lists=tuple(entry.pem for entry in revocation_lists(connection)),
    )
