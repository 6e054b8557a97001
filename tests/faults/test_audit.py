"""The audit sees what is lost, what is doubled and what is not as it was recorded."""

from collections.abc import Sequence
from typing import cast
from uuid import UUID

import pytest

from ingest.database import Connection
from tests.faults.audit import Audit, _rows
from tests.faults.dongle import Dongle, Row, row_of
from tests.integration.ingest_support import register_car

pytestmark = pytest.mark.database

DEVICE = "wc-fault-1"
ACCEPTED = 10


class Counted:
    """In the place of a dongle whose outbox has accepted ten samples."""

    device = DEVICE

    def __init__(self, vehicle: UUID) -> None:
        self.vehicle = vehicle

    def counts(self) -> dict[str, int]:
        return {"samples_accepted": ACCEPTED}


def audited(connection: Connection, stored: Sequence[Row]) -> Audit:
    vehicle = register_car(connection, DEVICE)
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO reading (vehicle_id, time, speed, engine_speed, coolant_temperature,"
            " low_voltage_battery_voltage) VALUES (%s, to_timestamp(%s / 1000.0), %s, %s, %s, %s)",
            [(vehicle, *row) for row in stored],
        )
    found = Audit()
    _rows(found, connection, cast("Dongle", Counted(vehicle)))
    return found


RECORDED = [row_of(DEVICE, number) for number in range(ACCEPTED)]


def test_what_is_stored_as_it_was_recorded_is_well(connection: Connection) -> None:
    found = audited(connection, RECORDED)
    assert (found.lost, found.doubled, found.complaints, found.accepted_samples) == (0, 0, [], ACCEPTED)


@pytest.mark.parametrize(
    ("stored", "lost", "doubled"),
    [
        (RECORDED[1:], 1, 0),
        (RECORDED[:4] + RECORDED[6:], 2, 0),
        (RECORDED[:-3], 3, 0),
        ([], ACCEPTED, 0),
        ([*RECORDED, RECORDED[4]], 0, 1),
        ([*RECORDED, RECORDED[-1]], 0, 1),
        ([*RECORDED[:2], *RECORDED[3:], RECORDED[7], RECORDED[7]], 1, 2),
    ],
)
def test_what_is_lost_or_doubled_is_counted(
    connection: Connection, stored: Sequence[Row], lost: int, doubled: int
) -> None:
    found = audited(connection, stored)
    assert (found.lost, found.doubled) == (lost, doubled)
    assert found.complaints


def test_a_changed_value_is_a_complaint(connection: Connection) -> None:
    ms, speed, *others = RECORDED[3]
    found = audited(connection, [*RECORDED[:3], (ms, speed + 1, *others), *RECORDED[4:]])  # type: ignore[list-item]  # a row
    assert (found.lost, found.doubled) == (0, 0)
    assert len(found.complaints) == 1
