"""Service records of a registered car, and a status of its dongle."""

from datetime import datetime
from uuid import UUID, uuid4

from ingest.database import Connection
from ingest.outbound import services
from telemetry.records import Quantity, ServiceAction, ServiceRecord


def a_record(
    time: datetime,
    quantity: Quantity = Quantity.OIL_LIFE,
    *,
    position: str = "",
    value: float | None = None,
    unit: str = "mm",
    record_id: UUID | None = None,
) -> ServiceRecord:
    return ServiceRecord(
        id=record_id or uuid4(),
        time=time,
        quantity=quantity,
        action=ServiceAction.REPLACED if value is None else ServiceAction.MEASURED,
        by="workshop Nord",
        reason="as reported",
        position=position,
        value=value,
        unit="" if value is None else unit,
    )


def keep(connection: Connection, vehicle: UUID, *records: ServiceRecord, now: datetime) -> None:
    services.keep(connection, vehicle, records, by_role="workshop", by_name="Nord", now=now)


def set_status(connection: Connection, device: str, state: str, now: datetime) -> None:
    connection.execute(
        "INSERT INTO device_status (device_id, boot, state, time, version, pending_batches)"
        " VALUES (%s, gen_random_uuid(), %s, %s, '1', 0) ON CONFLICT (device_id) DO UPDATE SET state = excluded.state",
        [device, state, now],
    )
