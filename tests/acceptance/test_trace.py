"""One id from a dongle's log to the workshop's webhook, through processes as they run in the field."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from ingest import registry
from ingest.database import Connection
from rules.booking import desk
from rules.delivery.receiver import Receiver
from rules.errors import TraceNotFoundError
from rules.trace import follow
from telemetry.catalogue import catalogue
from tests.acceptance.acceptance_support import START_SECONDS, Site, wait_until
from tests.integration.booking_scene import WEBHOOK_SECRET, add_workshop

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.database,
    pytest.mark.broker,
    pytest.mark.timeout(300),
]
DEVICE = "wc-traced-1"


def register(connection: Connection, hook: str) -> UUID:
    """A car whose owner lives beside a workshop that changes oil."""
    owner = registry.register_owner(connection, name="Ada Beispiel", latitude=52.52, longitude=13.405)
    vehicle = registry.register_vehicle(connection, owner_id=owner.id, label="Blue Polo", profile="generic")
    registry.register_device(connection, id=DEVICE, vehicle_id=vehicle.id, hardware="virtual")
    add_workshop(connection, jobs=["oil_change"], days=range(1, 8), webhook_url=f"{hook}/workshop/werk")
    return vehicle.id


def lines(site: Site, name: str) -> Iterator[dict[str, Any]]:
    """The JSON lines of a process's log; not the one that it is writing."""
    *whole, _ = (site.folder / f"{name}.log").read_text(errors="replace").split("\n")
    for line in whole:
        if line.startswith("{"):
            yield json.loads(line)


def traces(site: Site, name: str, beginning: str) -> set[str]:
    """The traces of the lines whose message begins like that."""
    return {line["trace_id"] for line in lines(site, name) if line["message"].startswith(beginning)}


def test_one_id_leads_from_the_dongle_to_the_workshop(
    site_of: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEARCAST_LOG", "json:debug")
    monkeypatch.setenv("WEARCAST_WATCH_LISTEN", "off")
    site = site_of(DEVICE)
    oil = catalogue().by_column("oil_life").path
    recording = site.folder / "trip.csv"
    now = datetime.now(UTC) - timedelta(minutes=1)
    rows = "".join(f"{(now + timedelta(seconds=second)).isoformat()},5\n" for second in range(3))
    recording.write_text(f"time,{oil}\n{rows}")

    with Receiver({"werk": WEBHOOK_SECRET}) as receiver:
        with site.connect() as connection:
            register(connection, receiver.url)
        site.start_ingest()
        site.start_ready("rules", "rules", "run", line="rules engine ready")
        site.start_ready("delivery", "rules", "deliver", line="delivery ready")
        config = site.write_agent(DEVICE, {"kind": "replay_csv", "path": str(recording)})
        assert site.start("agent", "agent", "run", config, device=DEVICE).wait(START_SECONDS) == 0
        with site.connect() as connection:
            wait_until(lambda: bool(bookings(connection)), "a slot is proposed")
            (booking,) = bookings(connection)
            desk.confirm(connection, booking, datetime.now(UTC))
        wait_until(lambda: any(seen.id for seen in receiver.received), "the workshop is told")
        wait_until(lambda: bool(traces(site, "delivery", "delivered workshop_webhook")), "delivery has logged it")

    (hook,) = (seen for seen in receiver.received if seen.id)
    version, trace, parent, flags = hook.body["traceparent"].split("-")
    assert (version, len(trace), len(parent), flags) == ("00", 32, 16, "01")
    assert trace in traces(site, "agent", "published batch")
    assert trace in traces(site, "agent", "batch")  # … is committed: the acknowledgement
    wait_until(lambda: trace in traces(site, "ingest", "committed batch"), "the worker has logged it")
    wait_until(lambda: bool(traces(site, "rules", "alert")), "the engine has logged it")
    assert traces(site, "rules", "alert") == {trace}
    assert traces(site, "delivery", "delivered") == {trace}
    for name in ("agent", "ingest", "rules", "delivery"):
        assert "Ada" not in (site.folder / f"{name}.log").read_text()

    alert = site.run_json("trace", trace)["alerts"][0]["id"]
    for asked in (trace, alert, str(booking)):
        chain = site.run_json("trace", asked)
        assert chain["trace"] == trace
        assert (chain["batch"]["device_id"], chain["batch"]["channel"]) == (DEVICE, "readings")
        assert [alert["rule_id"] for alert in chain["alerts"]] == ["oil_life_low"]
        assert [(entry["id"], entry["state"]) for entry in chain["bookings"]] == [(str(booking), "confirmed")]
        told = {message["kind"]: message["delivered_at"] is not None for message in chain["messages"]}
        assert told["workshop_webhook"]
    assert DEVICE in site.run("trace", trace, "--device", DEVICE)


def bookings(connection: Connection) -> list[UUID]:
    return [row[0] for row in connection.execute("SELECT id FROM booking").fetchall()]


def test_what_nobody_knows_is_said_so(site_of: Callable[..., Site]) -> None:
    with site_of().connect() as connection:
        for asked, told in (
            ("0" * 32, "nothing is known of 0{32}"),
            ("7c9e6679-7425-40de-944b-e07fc1f90ae7", "neither an alert nor a booking"),
            ("P0301", "neither a trace"),
        ):
            with pytest.raises(TraceNotFoundError, match=told):
                follow(connection, asked)
