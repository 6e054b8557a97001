"""The watch over a real database and broker: what it gathers, whom it tells, and what the status prints."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb
from typer.testing import CliRunner

from ingest.database import Connection
from ingest.decoding.decode import Incoming
from ingest.storing.writer import store
from rules.delivery.errors import DeliveryError
from rules.delivery.owner_channel import MemoryChannel
from telemetry.records import DeviceStatus
from telemetry.wire import encode_status
from tests.integration.ingest_support import register_car
from wearcast.cli import app
from wearcast.embedded.nats import Broker
from wearcast.settings import Settings, load_settings
from wearcast.watch import operator
from wearcast.watch.gather import read_broker, read_disk, read_fleet, read_processes, targets
from wearcast.watch.judge import SelfAlert
from wearcast.watch.run import Watch

pytestmark = pytest.mark.database
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LAG = SelfAlert(key="ingest-lag", text="messages wait 3 min", advice="look at the database")


def say(connection: Connection, device: str, heard_ago: timedelta, **told: object) -> None:
    """A status of a device, stored as long ago."""
    status = DeviceStatus(
        device=device,
        boot=uuid4(),
        version="1",
        time=datetime.now(UTC) - heard_ago,
        state="offline" if "planned" in told else "online",
        **told,  # type: ignore[arg-type]  # fields by name
    )
    message = Incoming(
        topic=f"wearcast/v1/{device}/status", payload=encode_status(status), received_at=datetime.now(UTC)
    )
    store(connection, [message], datetime.now(UTC) - heard_ago)


def settings_of(url: str, **other: str) -> Settings:
    return load_settings({"WEARCAST_DATABASE_URL": url, **other})


def test_fleet_is_classed_by_what_the_devices_said(connection: Connection) -> None:
    hours = {
        "sends": (0.1, {"oldest_pending_seconds": 4000, "pending_batches": 7}),
        "parked": (5, {"planned": True}),
        "lost": (5, {"planned": False}),  # the last will: nobody meant it; its own word, "online", is older still
        "mute": (5, {"certificate_ends": datetime.now(UTC) + timedelta(days=2)}),
        "away": (50, {"certificate_ends": datetime.now(UTC) + timedelta(days=2)}),
    }
    for device in (*hours, "never"):
        register_car(connection, device)
    say(connection, "lost", timedelta(hours=6))
    for device, (ago, told) in hours.items():
        say(connection, device, timedelta(hours=ago), **told)  # type: ignore[arg-type]  # fields by name
    fleet = read_fleet(connection)
    assert (fleet.sending, fleet.parked, fleet.silent, fleet.away, fleet.never) == (1, 1, 2, 1, 1)
    assert (fleet.pending_batches, fleet.certificates_ending) == (7, 1)
    assert fleet.outbox_older == {60: 1, 600: 1, 3600: 1, 21600: 0, 86400: 0}


def test_a_status_that_the_broker_repeats_is_not_heard_again(connection: Connection) -> None:
    register_car(connection, "wc-1")
    status = DeviceStatus(device="wc-1", boot=uuid4(), state="online", version="1", time=NOW)
    message = Incoming(topic="wearcast/v1/wc-1/status", payload=encode_status(status), received_at=NOW)
    for later in (0, 3, 6):
        store(connection, [message], NOW + timedelta(hours=later))
    assert connection.execute("SELECT heard_at FROM device_status").fetchone() == (NOW,)


def test_broker_and_disk_say_what_they_hold_or_why_not(broker: Broker, tmp_path: Path) -> None:
    held = read_broker(broker.monitor_url)
    assert held.problem is None
    assert held.used_bytes >= 0
    away = read_broker("http://127.0.0.1:9")
    assert away.problem is not None
    assert read_broker(f"{broker.monitor_url}/nothing").problem is not None
    assert read_disk("broker", tmp_path).size_bytes > 0
    assert read_disk("broker", tmp_path / "absent").problem is not None


def test_an_alert_is_told_once_and_its_end_once(connection: Connection) -> None:
    channel = MemoryChannel()

    def round_at(minute: float, *alerts: SelfAlert) -> int:
        now = NOW + timedelta(minutes=minute)
        operator.remember(connection, alerts, now)
        return operator.tell(connection, channel, ["json://operator"], now)

    assert [round_at(0, LAG), round_at(0.5, LAG), round_at(1, LAG), round_at(2, LAG)] == [0, 0, 1, 0]
    assert [round_at(3), round_at(4)] == [1, 0]
    assert [round_at(10, LAG), round_at(10.5)] == [0, 0]  # over within a minute: nobody hears of it
    titles = [notice.title for _, notice in channel.sent]
    assert titles == ["Wearcast: ingest-lag", "Wearcast: over: ingest-lag"]
    assert channel.sent[1][1].text == "Over after 3 min: messages wait 3 min."


def test_what_nobody_took_is_told_later_and_one_deaf_address_keeps_it_from_no_other(connection: Connection) -> None:
    deaf = {"json://first", "json://second"}

    def fault(address: str) -> None:
        if address in deaf:
            raise DeliveryError("it does not answer")

    channel = MemoryChannel(fault)
    addresses = ["json://first", "json://second"]
    operator.remember(connection, [LAG], NOW)
    later = NOW + timedelta(minutes=2)
    assert operator.tell(connection, channel, addresses, later) == 0
    deaf.remove("json://second")
    assert operator.tell(connection, channel, addresses, later) == 1
    assert operator.tell(connection, channel, addresses, later) == 0
    assert [address for address, _ in channel.sent] == ["json://second"]


def test_a_round_judges_exports_and_remembers(connection: Connection, database_url: str) -> None:
    beat(connection, "ingest", age="0 s", listens="127.0.0.1:9464")
    beat(connection, "rules", age="5 min", listens="127.0.0.1:9465")
    beat(connection, "portal", age="2 days", listens=None)
    watch = Watch(settings_of(database_url), database_url, MemoryChannel())
    alerts = [alert.key for alert in watch.look(connection)]
    assert alerts == [
        "process-missing:rules",
        "process-missing:delivery",
        "process-gone:portal/box",
        "process-gone:rules/box",
    ]
    stored = connection.execute("SELECT key FROM operator_alert WHERE ended_at IS NULL").fetchall()
    assert {row[0] for row in stored} == set(alerts)
    assert json.loads(watch.targets_page()[2]) == [
        {"targets": ["127.0.0.1:9464"], "labels": {"process": "ingest", "instance": "box"}}
    ]
    assert [entry.process for entry in read_processes(connection)] == ["ingest", "rules"]  # forgotten after a day
    assert targets(()) == []


def beat(connection: Connection, process: str, *, age: str, listens: str | None, rates: object = None) -> None:
    connection.execute(
        """
        INSERT INTO process_heartbeat (process, instance, host, pid, version, started_at, beat_at, period, alive,
                                       problems, listens, figures, rates)
        VALUES (%s, 'box', 'box', 1, '1', now(), now() - %s::interval, '10 s', true, '[]', %s, '{}', %s)
        """,
        [process, age, listens, Jsonb(rates or {})],
    )


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """The command against this test's database."""
    monkeypatch.setenv("WEARCAST_DATABASE_URL", database_url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return SimpleNamespace(run=lambda *words: CliRunner().invoke(app, list(words)))


def test_status_ends_with_one_while_something_is_wrong_and_says_what_to_do(
    connection: Connection, command: SimpleNamespace
) -> None:
    lagging = {"wearcast_ingest_lag_seconds_sum": 900.0, "wearcast_ingest_lag_seconds_count": 10.0}
    for process in ("ingest", "rules", "delivery"):
        beat(connection, process, age="0 s", listens=None, rates=lagging if process == "ingest" else None)
    wrong = command.run("status")
    assert wrong.exit_code == 1, wrong.output
    assert "! Messages wait 90 s for their commit" in wrong.output
    assert "look at the database's load" in wrong.output
    connection.execute("UPDATE process_heartbeat SET rates = '{}'")
    good = command.run("status")
    assert good.exit_code == 0, good.output
    assert "Nothing is wrong." in good.output
    told = json.loads(command.run("status", "--json").output)
    assert (told["ok"], told["alerts"]) == (True, [])
    assert [entry["process"] for entry in told["facts"]["processes"]] == ["delivery", "ingest", "rules"]


def test_forgetting_a_process(connection: Connection, command: SimpleNamespace) -> None:
    beat(connection, "rules", age="5 min", listens=None)
    assert command.run("watch", "forget", "rules/box").exit_code == 0
    assert read_processes(connection) == ()
    assert command.run("watch", "forget", "rules/box").exit_code != 0


def test_database_that_is_away_is_told_of_all_the_same(
    database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    addresses = tmp_path / "operator"
    addresses.write_text("# us\njson://operator\n")
    addresses.chmod(0o600)
    channel = MemoryChannel()
    settings = settings_of(database_url, WEARCAST_OPERATOR_NOTIFY_FILE=str(addresses))
    watch = Watch(settings, database_url, channel)
    monkeypatch.setattr(operator, "LASTS", timedelta(0))
    watch._database_away("connection refused")
    watch._database_away("connection refused")
    watch._database_back()
    watch._database_back()
    assert [notice.title for _, notice in channel.sent] == [
        "Wearcast: database-away",
        "Wearcast: over: database-away",
    ]
