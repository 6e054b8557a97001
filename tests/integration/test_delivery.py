"""The outbox and its workers against the real database, with real sockets to a receiver on loopback."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID

import icalendar
import pytest

from ingest.database import Connection, connect
from rules.booking import desk
from rules.booking.links import read_offer_token
from rules.delivery import outbox
from rules.delivery.config import DeliveryConfig, MailFolderSettings
from rules.delivery.errors import DeliveryError, UndeliverableError
from rules.delivery.mail import MemoryMail
from rules.delivery.messages import OwnerMessage
from rules.delivery.owner_channel import MemoryChannel
from rules.delivery.receiver import Receiver
from rules.delivery.webhook import MemoryWebhooks
from rules.delivery.worker import Transports, deliver_next, run_delivery
from tests.integration.booking_scene import NOW, WEBHOOK_SECRET, add_alert, add_owner, add_workshop, outgoing
from wearcast.embedded.ports import free_port

pytestmark = pytest.mark.database

LINK_SECRET = "a secret of this test alone"  # noqa: S105 - it says so


def config(database_url: str, folder: Path) -> DeliveryConfig:
    return DeliveryConfig(
        database_url=database_url,
        portal_url="http://127.0.0.1:8080",
        link_secret=LINK_SECRET,
        mail=MailFolderSettings(folder=folder),
        vehicle_link=lambda owner_id, vehicle_id, _now: f"http://127.0.0.1:8080/for/{owner_id}/{vehicle_id}",
        poll_interval=timedelta(milliseconds=20),
        first_retry=timedelta(milliseconds=50),
    )


def set_up(
    connection: Connection, *, notify_urls: tuple[str, ...], webhook_url: str | None, language: Any = "en"
) -> UUID:
    """An alert of a car beside one workshop; return the alert."""
    owner = add_owner(connection, language=language, notify_urls=notify_urls)
    add_workshop(connection, webhook_url=webhook_url)
    return add_alert(connection, owner)


@contextmanager
def delivering(settings: DeliveryConfig) -> Iterator[None]:
    """Run the workers in the background; an error of theirs is raised at the end."""
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(run_delivery, settings, stop)
        try:
            yield
        finally:
            stop.set()
        future.result(timeout=30)


def until_nothing_waits(connection: Connection, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while outbox.counts(connection).waiting:
        if time.monotonic() > deadline:
            pytest.fail(f"still waiting: {[(row['kind'], row['last_error']) for row in outgoing(connection)]}")
        time.sleep(0.02)


def mails(folder: Path) -> list[EmailMessage]:
    return [message_from_bytes(file.read_bytes(), policy=policy.default) for file in sorted(folder.glob("*.eml"))]


def test_all_kinds_arrive_signed_and_readable(
    database_url: str, connection: Connection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="rules")
    taken = tmp_path / "taken.jsonl"
    with Receiver({"werk": WEBHOOK_SECRET}, file=taken) as receiver:
        alert_id = set_up(
            connection,
            notify_urls=(f"json://127.0.0.1:{receiver.port}/owner/ada", "mail://ada@example.org"),
            webhook_url=f"{receiver.url}/workshop/werk",
        )
        booking = desk.propose_booking(connection, alert_id, NOW)
        assert booking is not None
        desk.confirm(connection, booking.id, NOW)
        with delivering(config(database_url, tmp_path / "mail")):
            until_nothing_waits(connection)

        to_owner = [item.body for item in receiver.received if item.path == "/owner/ada"]
        (to_workshop,) = [item for item in receiver.received if item.path == "/workshop/werk"]
        assert receiver.refused == 0

    assert [item["title"] for item in to_owner] == ["Blue Polo: Front left brake pad is worn"] * 2
    assert "Tuesday 3 March 2026, 08:00–09:00 (Europe/Berlin)" in to_owner[0]["message"]
    token = to_owner[0]["message"].rpartition("/offer/")[2].strip()
    assert read_offer_token(LINK_SECRET, token, datetime.now(UTC)) == booking.id

    assert to_workshop.body["type"] == "com.wearcast.booking.confirmed.v1"
    assert to_workshop.body["id"] == to_workshop.id
    assert to_workshop.body["data"]["start"] == "2026-03-03T08:00:00+01:00"
    assert "ada@example.org" not in json.dumps(to_workshop.body)

    written = {(mail["To"], mail.get_content_type()) for mail in mails(tmp_path / "mail")}
    assert written == {("ada@example.org", "text/plain"), ("werk@example.org", "multipart/alternative")}
    (invitation,) = [mail for mail in mails(tmp_path / "mail") if mail["To"] == "werk@example.org"]
    (part,) = [part for part in invitation.walk() if part.get_content_type() == "text/calendar"]
    assert part.get_param("method") == "REQUEST"
    calendar = icalendar.Calendar.from_ical(part.get_content())
    (event,) = calendar.walk("VEVENT")
    assert event.decoded("dtstart").astimezone(UTC) == booking.period.start
    assert "ada@example.org" not in invitation.as_string()

    assert len(taken.read_text().splitlines()) == 3
    assert all(row["delivered_at"] and row["attempts"] == 1 for row in outgoing(connection))
    for private in ("owner/ada", "ada@", "Ada", "example.org", "52.5"):  # an id may well hold "ada"
        assert private not in caplog.text


def test_a_failing_end_delays_no_other_and_is_tried_again(
    database_url: str, connection: Connection, tmp_path: Path
) -> None:
    """The workshop's system is down at first: the rest arrives all the same, and the webhook when it is back."""
    port = free_port()  # nobody listens there now
    alert_id = set_up(
        connection, notify_urls=("mail://ada@example.org",), webhook_url=f"http://127.0.0.1:{port}/workshop/werk"
    )
    booking = desk.propose_booking(connection, alert_id, NOW)
    assert booking is not None
    desk.confirm(connection, booking.id, NOW)
    with delivering(config(database_url, tmp_path)):
        deadline = time.monotonic() + 30
        while True:
            webhook = next(row for row in outgoing(connection) if row["kind"] == "workshop_webhook")
            if outbox.counts(connection).delivered == 3 and webhook["attempts"] >= 2:
                break
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert webhook["delivered_at"] is None
        with Receiver({"werk": WEBHOOK_SECRET}, port=port) as receiver:
            until_nothing_waits(connection)
            assert len(receiver.received) == 1
    webhook = next(row for row in outgoing(connection) if row["kind"] == "workshop_webhook")
    assert webhook["delivered_at"] is not None
    assert webhook["last_error"] is None


def test_a_lost_database_is_waited_for(database_url: str, connection: Connection, tmp_path: Path) -> None:
    alert_id = set_up(connection, notify_urls=("mail://ada@example.org",), webhook_url=None)
    with delivering(config(database_url, tmp_path)):
        deadline = time.monotonic() + 30
        terminated = 0
        while not terminated:
            assert time.monotonic() < deadline
            terminated = connection.execute(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'wearcast delivery'
                """
            ).rowcount
        desk.announce_alert(connection, alert_id, NOW)
        until_nothing_waits(connection)
    assert len(mails(tmp_path)) == 1


def transports(**faults: Any) -> tuple[Transports, MemoryChannel, MemoryWebhooks, MemoryMail]:
    owners = MemoryChannel(faults.get("owners", lambda _: None))
    webhooks = MemoryWebhooks(faults.get("webhooks", lambda _: None))
    mail = MemoryMail(faults.get("mail", lambda: None))
    return Transports(owners=owners, webhooks=webhooks, mail=mail), owners, webhooks, mail


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> DeliveryConfig:
    return config(database_url, tmp_path)


def drain(connection: Connection, settings: DeliveryConfig, ways: Transports, now: datetime) -> int:
    count = 0
    while deliver_next(connection, settings, ways, now):
        count += 1
    return count


def test_a_dead_workers_message_comes_back(connection: Connection, settings: DeliveryConfig) -> None:
    alert_id = set_up(connection, notify_urls=("mail://ada@example.org",), webhook_url=None)
    desk.announce_alert(connection, alert_id, NOW)
    claimed = outbox.claim(connection, NOW, settings.lease)  # by a worker that dies now
    assert claimed is not None
    ways, owners, _, _ = transports()
    assert drain(connection, settings, ways, NOW + settings.lease / 2) == 0
    assert drain(connection, settings, ways, NOW + settings.lease) == 1
    assert [notice.key for _, notice in owners.sent] == [f"alert/{alert_id}/owner"]
    assert "http://127.0.0.1:8080/for/" in owners.sent[0][1].text
    assert outgoing(connection)[0]["attempts"] == 2


def test_a_channel_that_took_it_is_not_told_again(connection: Connection, settings: DeliveryConfig) -> None:
    broken = {"down://b"}

    def fault(address: str) -> None:
        if address in broken:
            raise DeliveryError("down")

    alert_id = set_up(connection, notify_urls=("ok://a", "down://b", "ok://c"), webhook_url=None, language="zh")
    desk.announce_alert(connection, alert_id, NOW)
    ways, owners, _, _ = transports(owners=fault)
    assert drain(connection, settings, ways, NOW) == 1
    assert [address for address, _ in owners.sent] == ["ok://a", "ok://c"]
    assert outgoing(connection)[0]["last_error"] == "down"
    broken.clear()
    drain(connection, settings, ways, NOW + timedelta(hours=1))
    assert [address for address, _ in owners.sent] == ["ok://a", "ok://c", "down://b"]
    assert owners.sent[0][1].title == "Blue Polo：左前刹车片已磨损"
    assert outgoing(connection)[0]["delivered_at"] is not None


def test_news_of_one_booking_keep_their_order(connection: Connection, settings: DeliveryConfig) -> None:
    """The cancellation waits for the confirmation that the workshop has not taken yet."""
    down = True

    def fault(_url: str) -> None:
        if down:
            raise DeliveryError("down")

    alert_id = set_up(connection, notify_urls=("ok://a",), webhook_url="http://127.0.0.1:9/")
    booking = desk.propose_booking(connection, alert_id, NOW)
    assert booking is not None
    desk.confirm(connection, booking.id, NOW)
    desk.cancel(connection, booking.id, NOW)
    ways, owners, webhooks, mail = transports(webhooks=fault)
    drain(connection, settings, ways, NOW)
    assert len(owners.sent) == 3
    assert len(mail.sent) == 2
    down = False
    drain(connection, settings, ways, NOW + timedelta(minutes=1))
    types = [json.loads(body)["type"] for _, _, body in webhooks.posted]
    assert types == ["com.wearcast.booking.confirmed.v1", "com.wearcast.booking.cancelled.v1"]


def test_what_nobody_can_take_is_given_up(connection: Connection, settings: DeliveryConfig) -> None:
    def gone(_address: str) -> None:
        raise UndeliverableError("gone")

    def down(_address: str) -> None:
        raise DeliveryError("down")

    desk.announce_alert(connection, set_up(connection, notify_urls=("x://a",), webhook_url=None), NOW)
    ways, *_ = transports(owners=gone)
    assert drain(connection, settings, ways, NOW) == 1
    desk.announce_alert(connection, set_up(connection, notify_urls=("x://a",), webhook_url=None), NOW)
    ways, *_ = transports(owners=down)
    late = NOW + settings.give_up_after
    connection.execute("UPDATE outgoing SET attempts = %s WHERE abandoned_at IS NULL", (settings.least_attempts - 2,))
    assert drain(connection, settings, ways, late) == 1
    assert outbox.counts(connection).failing == 1
    assert drain(connection, settings, ways, late + timedelta(hours=1)) == 1
    connection.execute("UPDATE outgoing SET abandoned_at = NULL, payload = '{}', next_attempt_at = %s", (NOW,))
    assert drain(connection, settings, ways, NOW) == 2
    assert outbox.counts(connection) == outbox.OutboxCounts(waiting=0, failing=0, delivered=0, abandoned=2)


def test_the_same_key_is_written_once(connection: Connection) -> None:
    alert_id = set_up(connection, notify_urls=(), webhook_url=None)
    desk.announce_alert(connection, alert_id, NOW)
    stored = outgoing(connection)[0]
    assert not outbox.put(
        connection,
        kind="owner_message",
        key=stored["idempotency_key"],
        message=OwnerMessage(
            event="alert",
            alert_id=alert_id,
            vehicle_id=stored["vehicle_id"],
            vehicle="x",
            severity="soon",
            title_en="",
            title_zh="",
            text_en="",
            text_zh="",
        ),
        now=NOW,
        alert_id=alert_id,
        vehicle_id=stored["vehicle_id"],
    )
    assert len(outgoing(connection)) == 1


def test_many_workers_deliver_each_message_once(
    database_url: str, connection: Connection, settings: DeliveryConfig
) -> None:
    for _ in range(40):
        desk.announce_alert(connection, set_up(connection, notify_urls=("ok://a",), webhook_url=None), NOW)
    ways, owners, _, _ = transports()

    def work(_: int) -> int:
        with connect(database_url, autocommit=True) as own:
            return drain(own, settings, ways, NOW)

    with ThreadPoolExecutor(max_workers=4) as pool:
        assert sum(pool.map(work, range(4))) == 40
    assert len({notice.key for _, notice in owners.sent}) == len(owners.sent) == 40
