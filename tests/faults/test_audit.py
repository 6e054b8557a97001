"""The audit sees what is lost, what is doubled and what is not as it was recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import pytest

from edge_agent.ledger import read_ledger
from edge_agent.outbox import Outbox
from ingest.database import Connection
from ingest.decoding.decode import Incoming
from ingest.storing.writer import Outcome, store
from telemetry.records import Acknowledgement, RejectedBatch, Sample, ms_from_utc
from telemetry.topics import publish_topic
from tests.faults.audit import Audit, _batches, _numbers, _rows
from tests.faults.clocked_agent import NUMBER, START_SIGNAL
from tests.faults.dongle import Dongle, Row, row_of
from tests.integration.ingest_support import register_car
from tests.unit.edge_agent.outbox_support import publish_all

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


@dataclass(frozen=True, kw_only=True)
class Clocked:
    """In the place of a live car's dongle, with an outbox."""

    device: str
    vehicle: UUID
    outbox: Path

    def counts(self) -> dict[str, int]:
        return {"events_sealed": 0, **read_ledger(self.outbox)}


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


def test_a_renumbered_batch_is_stored_twice_and_nothing_is_said(connection: Connection, tmp_path: Path) -> None:
    now, wrong = datetime.now(UTC), timedelta(days=30)
    dongle = Clocked(device=DEVICE, vehicle=register_car(connection, DEVICE), outbox=tmp_path / "outbox.db")
    wrong_ms = ms_from_utc(now + wrong)
    sample = Sample(time=now + wrong, monotonic_ms=0, values={START_SIGNAL: 1.0, NUMBER: 0.0})
    with Outbox.open(dongle.outbox, device=DEVICE, max_bytes=10_000_000) as outbox:
        outbox.begin_boot(uuid4(), "kernel-1")
        outbox.add_readings([sample], [], created_ms=wrong_ms, clock_ms=wrong_ms)

        def arrive(at: datetime) -> Outcome:
            (entry,) = publish_all(outbox)
            message = Incoming(topic=publish_topic(DEVICE, "readings"), payload=entry.payload, received_at=at)
            return store(connection, [message], at)

        arrive(now + wrong)  # not heard of
        (refused,) = publish_all(outbox)
        rejected = (RejectedBatch(sequence=refused.key.sequence, reason="far-future"),)
        outbox.acknowledge(Acknowledgement(device=DEVICE, boot=refused.key.boot, rejected=rejected))
        outbox.put_right(ms_from_utc(now), 0)
        for _ in range(2):
            for ack in arrive(now).acknowledgements:
                outbox.acknowledge(ack)
    found = Audit()
    _batches(found, connection, cast("Dongle", dongle))
    _numbers(found, connection, cast("Dongle", dongle))
    assert (found.lost, found.doubled, found.complaints, found.accepted_batches) == (0, 0, [], 1)
    connection.execute("INSERT INTO reading SELECT * FROM reading LIMIT 1")
    _numbers(found, connection, cast("Dongle", dongle))
    assert found.doubled == 1
