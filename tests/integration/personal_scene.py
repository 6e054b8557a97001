"""A person of whom something stands in every table that can hold it, for the tests of their rights."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from psycopg import ClientCursor, sql

from ingest import registry
from ingest.database import Connection
from rules.booking import desk
from tests.integration.booking_scene import BERLIN, NOW, add_alert, add_owner, add_workshop, propose

NAME: Final = "Ada Beispiel"
EMAIL: Final = "ada@example.org"
VIN: Final = "WVWZZZ6RZHY123456"
LATITUDE: Final = 52.520812  # degrees; with fewer digits it stands in a time now and then, as 12:30:52.52
DONE: Final = NOW + timedelta(days=1, hours=9)  # after the appointment that is proposed first


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Who is there."""

    owner: UUID
    vehicle: UUID
    device: str
    workshop: UUID

    @property
    def traces(self) -> tuple[str, ...]:
        """Texts that lead to the person."""
        return (str(self.owner), str(self.vehicle), self.device, NAME, EMAIL, VIN, str(LATITUDE))


def add_person(connection: Connection, device: str = "dongle-ada") -> Scene:
    """Register a person with a car, its dongle, data, a booking that was done and one to come."""
    owner = add_owner(connection, place=(LATITUDE, BERLIN[1]))
    workshop = add_workshop(connection)
    done = add_alert(connection, owner)
    (vehicle,) = (entry.id for entry in registry.vehicles_of_owner(connection, owner))
    registry.update_vehicle(connection, vehicle, vin=VIN)
    registry.register_device(connection, id=device, vehicle_id=vehicle, hardware="virtual")
    first = propose(connection, done)
    desk.confirm(connection, first, NOW)
    desk.complete(connection, first, "Pads of Ada Beispiel's car replaced", DONE)
    second = _alert_of(connection, vehicle)
    desk.confirm(connection, propose(connection, second, DONE), DONE)
    _fill(connection, vehicle, device)
    return Scene(owner=owner, vehicle=vehicle, device=device, workshop=workshop)


def _alert_of(connection: Connection, vehicle: UUID) -> UUID:
    row = connection.execute(
        "INSERT INTO alert (vehicle_id, rule_id, rule_version, subject, severity, title_en, title_zh, text_en, text_zh,"
        " job, evidence, opened_at) VALUES (%s, 'pads_worn', '1', 'Row2', 'soon', 'Worn', '磨损', 'It is worn.',"
        " '已磨损。', 'brake_pads', '{}', %s) RETURNING id",
        (vehicle, NOW),
    ).fetchone()
    assert row is not None
    assert isinstance(row[0], UUID)
    return row[0]


# A row at least in each table that the ingest, its maintenance and the rules write; series in several chunks.
_FILL: Final = """
    INSERT INTO reading (time, vehicle_id, speed)
    SELECT %(now)s - n * interval '3 days', %(vehicle)s, 50 FROM generate_series(0, 9) AS n;
    INSERT INTO estimate (time, vehicle_id, quantity, position, value, low, high, source, method)
    SELECT %(now)s - n * interval '3 days', %(vehicle)s, 'oil_life', '', 50, 45, 55, 'ecu', 'read'
    FROM generate_series(0, 9) AS n;
    INSERT INTO rollup_hour (vehicle_id, bucket, signals, minima, maxima, means, lasts, lasts_at, counts)
    VALUES (%(vehicle)s, %(now)s, '{1}', '{1}', '{1}', '{1}', '{1}', ARRAY[%(now)s], '{1}');
    INSERT INTO rollup_day SELECT * FROM rollup_hour WHERE vehicle_id = %(vehicle)s;
    INSERT INTO vehicle_event (vehicle_id, time, kind, data)
    VALUES (%(vehicle)s, %(now)s, 'vehicle.identified', jsonb_build_object('vin', %(vin)s::text));
    INSERT INTO suspicion_answer (event_id, confirmed, answered_at)
    SELECT id, false, %(now)s FROM vehicle_event WHERE vehicle_id = %(vehicle)s;
    INSERT INTO service_record (id, vehicle_id, time, quantity, action, by_role, by_name, reason, created_at)
    VALUES (gen_random_uuid(), %(vehicle)s, %(now)s, 'oil_life', 'replaced', 'owner', '', 'told', %(now)s);
    INSERT INTO vehicle_state (vehicle_id) VALUES (%(vehicle)s);
    INSERT INTO rule_state (rule_id, vehicle_id, subject, state, since, rule_version)
    VALUES ('pads_worn', %(vehicle)s, '', 'ok', %(now)s, '1');
    INSERT INTO rule_progress (vehicle_id, evaluated_version, evaluated_at) VALUES (%(vehicle)s, 1, %(now)s);
    INSERT INTO batch (device_id, boot, sequence, channel, items, digest)
    VALUES (%(device)s, gen_random_uuid(), 1, 'readings', 1, 'x');
    INSERT INTO device_status (device_id, boot, state, time, version, pending_batches)
    VALUES (%(device)s, gen_random_uuid(), 'online', %(now)s, '1', 0);
    INSERT INTO operator_grant (operator, token_digest, kinds, device_id, expires_at)
    VALUES ('eve', %(device)s::bytea, '{dtc}', %(device)s, %(now)s);
    INSERT INTO device_command (id, device_id, kind, grant_id, issued_at, expires_at, state)
    SELECT gen_random_uuid(), device_id, 'dtc', id, %(now)s, %(now)s, 'done'
    FROM operator_grant WHERE device_id = %(device)s;
    INSERT INTO device_certificate (serial, device_id, generation, fingerprint, not_before, not_after, issued_at)
    VALUES (md5(%(device)s), %(device)s, 1, repeat('0', 64), %(now)s, %(now)s + interval '90 days', %(now)s);
"""


def _fill(connection: Connection, vehicle: UUID, device: str) -> None:
    values = {"now": NOW, "vehicle": vehicle, "device": device, "vin": VIN}
    ClientCursor(connection).execute(_FILL, values)  # several statements at once take no parameters of the server
    reject(connection, device, "1")


def reject(connection: Connection, device: str, digest: str) -> None:
    """Put a rejected message of a device; its payload is somebody's."""
    connection.execute(
        "INSERT INTO rejected_message (first_received_at, last_received_at, topic, reason, detail, digest,"
        " payload_size, payload) VALUES (now(), now(), %s, 'malformed', %s, %s, 5, 'where')",
        (f"wearcast/v1/{device}/readings", f"of {LATITUDE}", f"{device} {digest}".encode()),
    )


def tables_with(connection: Connection, text: str) -> set[str]:
    """Tables that hold a text in any column of any row."""
    tables = connection.execute(
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
    ).fetchall()
    found = set()
    for (table,) in tables:
        query = sql.SQL("SELECT count(*) FROM {} AS t WHERE to_jsonb(t)::text LIKE %s").format(sql.Identifier(table))
        row = connection.execute(query, [f"%{text}%"]).fetchone()
        if row is not None and row[0]:
            found.add(str(table))
    return found
