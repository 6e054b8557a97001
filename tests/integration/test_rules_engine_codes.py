"""Trouble codes through the engine on a real TimescaleDB: recurrence, freeze frames, and alerts that become graver."""

from dataclasses import replace
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from rules.alerts import explain, list_alerts
from rules.booking import desk
from rules.engine import run_once
from telemetry.records import EventKind, EventsBatch, VehicleEvent
from tests.integration.booking_scene import add_workshop
from tests.integration.rules_bench import KEY, Bench

pytestmark = pytest.mark.database
LOAD = "Vehicle.OBD.EngineLoad"


def report(bench: Bench, kind: EventKind, status: str, *, frame: dict[str, float] | None = None) -> None:
    """What the intake does with an event of a code: the log, and the latest state."""
    data: dict[str, object] = {"code": "P0301", "ecu": "7E8", "status": status}
    if frame is not None:
        data["freeze_frame"] = frame
    event = VehicleEvent(time=bench.clock.advance(seconds=1), kind=kind, data=data)
    bench.connection.execute(
        "INSERT INTO vehicle_event (vehicle_id, time, kind, data) VALUES (%s, %s, %s, %s)",
        [bench.car, event.time, kind, Jsonb(data)],
    )
    bench.ingest(EventsBatch(key=KEY, events=(event,)))


def told(bench: Bench) -> list[str]:
    rows = bench.connection.execute(
        "SELECT payload->>'event' || ' ' || (payload->>'severity') FROM outgoing WHERE kind = 'owner_message'"
        " ORDER BY number"
    ).fetchall()
    return [row[0] for row in rows]


def look(bench: Bench) -> None:
    run_once(bench.connection, replace(bench.config, propose=desk.propose_booking, announce=desk.announce_alert))


def alert(bench: Bench) -> tuple[UUID, str, str | None]:
    (found,) = list_alerts(bench.connection, vehicle_id=bench.car)
    return found.id, found.severity, found.job


def test_a_rise_is_told_once_and_explained(bench: Bench) -> None:
    report(bench, EventKind.DTC_APPEARED, "permanent")
    look(bench)
    assert alert(bench)[1:] == ("soon", "diagnosis")
    report(bench, EventKind.DTC_CHANGED, "confirmed")
    look(bench)
    report(bench, EventKind.DTC_CHANGED, "confirmed", frame={LOAD: 91.0})
    for _ in range(3):
        look(bench)
        bench.coolant(90.0)
    alert_id, severity, _ = alert(bench)
    assert severity == "stop"
    assert told(bench) == ["alert soon", "raised urgent", "raised stop"]
    explained = explain(bench.connection, alert_id)
    assert [(rise.before, rise.after) for rise in explained.rises] == [("soon", "urgent"), ("urgent", "stop")]
    assert explained.inputs[0].fields["urgency"] == "soon"
    assert explained.rises[1].inputs[0].fields["urgency"] == "stop"
    assert "91 % load" in str(explained.rises[1].inputs[0].fields["why"])


def test_a_pending_code_that_returns_on_another_day_raises_an_alert(bench: Bench) -> None:
    report(bench, EventKind.DTC_APPEARED, "pending")
    look(bench)
    assert list_alerts(bench.connection, vehicle_id=bench.car) == []
    report(bench, EventKind.DTC_CLEARED, "pending")
    bench.clock.advance(days=2)
    report(bench, EventKind.DTC_APPEARED, "pending")
    look(bench)
    assert alert(bench)[1] == "urgent"


def test_a_frame_under_load_raises_an_alert_at_the_first_report(bench: Bench) -> None:
    report(bench, EventKind.DTC_APPEARED, "pending", frame={LOAD: 88.0})
    look(bench)
    assert alert(bench)[1] == "urgent"


def test_a_rise_offers_a_slot_only_where_none_was_offered(bench: Bench) -> None:
    add_workshop(bench.connection, jobs=["oil_change", "diagnosis"], webhook_url=None)
    report(bench, EventKind.DTC_APPEARED, "permanent")
    look(bench)
    report(bench, EventKind.DTC_CHANGED, "confirmed")
    look(bench)
    bookings = desk.bookings_of_vehicle(bench.connection, bench.car)
    assert [booking.job for booking in bookings] == ["diagnosis"]
    assert told(bench) == ["proposed soon", "raised urgent"]
