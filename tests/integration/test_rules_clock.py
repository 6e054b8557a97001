"""A wrong clock of ours gives no slot back and gives no message up: engines and deliveries wait until clocks agree."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from ingest.clock import BackendClock
from ingest.database import Connection, connect
from ingest.pulse import PULSE
from rules.booking import desk
from rules.booking.transitions import BookingState
from rules.clock import AgreedClock
from rules.delivery import outbox
from rules.delivery.config import DeliveryConfig, MailFolderSettings
from rules.delivery.worker import run_delivery
from rules.engine import EngineConfig, run_engine
from tests.faults.database_clock import make_movable, move
from tests.integration.booking_scene import add_alert, add_owner, add_workshop, keys, outgoing, propose
from tests.integration.rules_bench import wait_for

pytestmark = pytest.mark.database

RIGHT = timedelta(0)
TWO_DAYS = timedelta(days=2)  # longer than a slot is held


class Machine:
    """This machine's clock, which can be wrong."""

    def __init__(self, ahead: timedelta) -> None:
        self.ahead = ahead

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Watched(AgreedClock):
    """Counts how often it was asked whether it can be relied on."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(BackendClock(machine=machine))
        self.refused = 0

    def agrees(self, connection: Connection) -> bool:
        agreed = super().agrees(connection)
        self.refused += not agreed
        return agreed


@pytest.fixture
def held(connection: Connection) -> UUID:
    """A slot that is held for an owner from now on."""
    add_workshop(connection)
    return propose(connection, add_alert(connection, add_owner(connection, notify_urls=())), datetime.now(UTC))


@pytest.fixture
def movable(connection: Connection, database_url: str) -> Iterator[Connection]:
    """A session that goes by the database's clock, which can be moved."""
    make_movable(connection, database_url.rpartition("/")[2])
    with closing(connect(database_url, autocommit=True)) as session:
        yield session


@contextmanager
def running(work: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=60)
        assert not thread.is_alive()
        PULSE.well("clock")


def state(connection: Connection, booking: UUID) -> BookingState:
    return desk.booking_view(connection, booking).state


def test_no_slot_is_given_back_by_the_clock_of_one_alone(
    movable: Connection, held: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    assert desk.expire_holds(movable, now + TWO_DAYS) == ()  # whoever asks is ahead: an engine, a portal
    move(movable, TWO_DAYS)
    assert desk.expire_holds(movable, now) == ()  # the database
    assert desk.expire_holds(movable, now + TWO_DAYS) == ()  # both of them
    assert state(movable, held) is BookingState.PROPOSED
    monkeypatch.setattr("ingest.clock.machine_time", Machine(TWO_DAYS))
    assert desk.expire_holds(movable, now + TWO_DAYS) == (held,)
    assert keys(movable)[-1] == ("owner_message", "expired")


def test_a_slot_that_a_proposal_wants_is_not_taken_from_its_owner_by_a_clock_ahead(
    connection: Connection, held: UUID
) -> None:
    propose(connection, add_alert(connection, add_owner(connection)), datetime.now(UTC) + TWO_DAYS)
    assert state(connection, held) is BookingState.PROPOSED


@pytest.mark.parametrize("ahead", [TWO_DAYS, -TWO_DAYS])
def test_an_engine_whose_clock_is_wrong_waits_and_says_so(
    connection: Connection, database_url: str, held: UUID, ahead: timedelta
) -> None:
    machine = Machine(ahead)
    clock, looked = Watched(machine), threading.Event()

    def expire(session: Connection, now: datetime) -> None:
        desk.expire_holds(session, now)
        looked.set()

    config = EngineConfig(database_url=database_url, clock=clock, poll_s=0.01, expire_holds=expire)
    with running(lambda stop: run_engine(config, stop)):
        wait_for(lambda: clock.refused > 3)
        assert not looked.is_set()
        assert any(problem.startswith("clock: ") for problem in PULSE.problems())
        machine.ahead = RIGHT
        wait_for(looked.is_set)
        assert not any(problem.startswith("clock: ") for problem in PULSE.problems())
    assert state(connection, held) is BookingState.PROPOSED


def test_an_engine_goes_by_the_databases_clock(connection: Connection) -> None:
    clock = AgreedClock(BackendClock(machine=Machine(timedelta(minutes=-50))))
    assert clock.agrees(connection)
    assert abs(clock() - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_delivery_whose_clock_is_wrong_neither_gives_up_nor_holds_a_message_for_long(
    connection: Connection, database_url: str, tmp_path: Path
) -> None:
    add_workshop(connection, webhook_url=None)
    alert = add_alert(connection, add_owner(connection, notify_urls=("mail://ada@example.org",)))
    desk.announce_alert(connection, alert, datetime.now(UTC))
    connection.execute("UPDATE outgoing SET attempts = 100")  # as after a long time
    machine = Machine(timedelta(days=30))
    clock = Watched(machine)
    config = DeliveryConfig(
        database_url=database_url,
        portal_url="http://127.0.0.1:8080",
        link_secret="a secret of this test alone",  # noqa: S106 - it says so
        mail=MailFolderSettings(folder=tmp_path),
        vehicle_link=lambda _owner, _vehicle, _now: "http://127.0.0.1:8080/",
        poll_interval=timedelta(milliseconds=20),
    )
    with running(lambda stop: run_delivery(config, stop, clock)):
        wait_for(lambda: clock.refused > 3)
        (message,) = outgoing(connection)
        assert (message["attempts"], message["abandoned_at"]) == (100, None)
        assert message["next_attempt_at"] <= datetime.now(UTC)
        machine.ahead = RIGHT
        wait_for(lambda: outbox.counts(connection).delivered == 1)
