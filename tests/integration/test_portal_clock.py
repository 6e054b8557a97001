"""A portal whose machine's clock is wrong decides and dates by the database's."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest

from ingest.clock import BackendClock
from ingest.database import Connection
from ingest.pulse import PULSE
from portal.access import Role, signin_token
from rules.booking import desk
from rules.booking.links import offer_token
from rules.booking.transitions import BookingState
from rules.clock import AgreedClock
from tests.browser.portal_scene import SECRET, running_portal
from tests.integration.booking_scene import add_alert, add_owner, add_workshop, outgoing, propose
from tests.integration.portal_support import form_token_of

pytestmark = pytest.mark.database

MONTH = timedelta(days=30)  # longer than any hold, and than until any slot
MOMENT = timedelta(minutes=1)


class Counted(AgreedClock):
    """Of a machine whose clock is so far ahead; counts how often the database may have been asked."""

    def __init__(self, ahead: timedelta) -> None:
        super().__init__(BackendClock(machine=lambda: datetime.now(UTC) + ahead))
        self.asked = 0

    def agrees(self, connection: Connection) -> bool:
        self.asked += 1
        return super().agrees(connection)


@dataclass(frozen=True, kw_only=True)
class World:
    """One workshop, one owner with an alert."""

    connection: Connection
    workshop: UUID
    alert: UUID

    def hold(self, now: datetime) -> UUID:
        return propose(self.connection, self.alert, now)

    def state(self, booking: UUID) -> BookingState:
        return desk.booking_view(self.connection, booking).state


@pytest.fixture
def world(connection: Connection) -> World:
    workshop = add_workshop(connection)
    return World(connection=connection, workshop=workshop, alert=add_alert(connection, add_owner(connection)))


@contextmanager
def browser(database_url: str, clock: AgreedClock) -> Iterator[httpx.Client]:
    with running_portal(database_url, clock) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client
    PULSE.well("clock")


def sign_in(client: httpx.Client, role: Role, subject: UUID | None = None) -> None:
    token = signin_token(SECRET, role, subject, datetime.now(UTC))  # as the delivery makes it, on another machine
    assert client.get("/signin", params={"token": token}).status_code == 303


def offer(booking: UUID) -> str:
    return f"/offer/{offer_token(SECRET, booking, datetime.now(UTC))}"


@pytest.mark.parametrize("ahead", [MONTH, -MONTH])
def test_a_held_slot_is_confirmed_now(world: World, database_url: str, ahead: timedelta) -> None:
    booking = world.hold(datetime.now(UTC))
    with browser(database_url, Counted(ahead)) as client:
        page = client.get(offer(booking))
        assert page.status_code == 200
        answer = client.post(f"{offer(booking)}/confirm", data={"form_token": form_token_of(page.text)})
        assert answer.headers["location"].endswith("?notice=confirmed")
        assert any(problem.startswith("clock: ") for problem in PULSE.problems())
    assert abs(desk.booking_view(world.connection, booking).changed_at - datetime.now(UTC)) < MOMENT
    assert all(row["next_attempt_at"] < datetime.now(UTC) for row in outgoing(world.connection))  # none waits a month


def test_a_hold_that_is_over_is_not_confirmed_by_a_clock_that_is_behind(world: World, database_url: str) -> None:
    booking = world.hold(datetime.now(UTC) - MONTH)
    with browser(database_url, Counted(-MONTH)) as client:
        page = client.get(offer(booking)).text
        answer = client.post(f"{offer(booking)}/confirm", data={"form_token": form_token_of(page)})
        assert answer.headers["location"].endswith("?notice=hold_expired")
        again = desk.booking_of_alert(world.connection, world.alert)
        assert again is not None
        assert client.get(answer.headers["location"]).status_code == 200
    assert world.state(booking) is BookingState.EXPIRED
    assert again.state is BookingState.PROPOSED
    assert again.period.start > datetime.now(UTC)


def test_no_work_is_reported_before_its_day_by_a_clock_that_is_ahead(world: World, database_url: str) -> None:
    booking = world.hold(datetime.now(UTC))
    desk.confirm(world.connection, booking, datetime.now(UTC))
    path = f"/workshops/{world.workshop}/bookings/{booking}"
    with browser(database_url, Counted(MONTH)) as client:
        sign_in(client, "workshop", world.workshop)
        today = client.get(f"/workshops/{world.workshop}").headers["location"].rpartition("/")[2]
        assert abs(datetime.fromisoformat(today).replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(days=2)
        form = {"form_token": form_token_of(client.get(path).text), "report": "Pads replaced."}
        assert client.post(f"{path}/report", data=form).status_code == 409
    assert world.state(booking) is BookingState.CONFIRMED


def test_links_are_good_by_the_databases_clock_for_which_no_page_asks(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.clock._PERIOD_S", 3600.0)
    booking, clock = world.hold(datetime.now(UTC)), Counted(-MONTH)
    with browser(database_url, clock) as client:
        old = signin_token(SECRET, "engineer", None, datetime.now(UTC) - timedelta(days=1))
        assert client.get("/signin", params={"token": old}).status_code == 410
        sign_in(client, "engineer")
        assert [client.get(path).status_code for path in (offer(booking), "/fleet", "/signin")] == [200] * 3
    assert clock.asked == 1
