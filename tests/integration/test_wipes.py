"""Wipes in the database: asked, sent, answered, expired; who is let in meanwhile; and what a restored backup knows."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ingest import registry
from ingest.broker_connection import BrokerConfig
from ingest.brokers.access import read_access
from ingest.database import Connection, connect
from ingest.enrolment import store
from ingest.enrolment.port import PresentCertificate
from ingest.errors import EnrolmentError, RegistryError
from ingest.outbound import wipes
from ingest.outbound.wipe_post import Heard, WipePost
from ingest.personal.keyring import KeyRingFile
from rules.personal.erase import erase_again, erase_person
from rules.personal.subject import Erased, Subject, find_subject
from telemetry.topics import acks_topic, publish_topic
from telemetry.wipe import Wipe, WipeResult, encode_wipe_result
from tests.conftest import _database
from tests.integration.ingest_support import register_car
from wearcast import erasure as erasure_of_all
from wearcast.backups.folder import BackupFolder, in_force
from wearcast.embedded.ports import free_port
from wearcast.embedded.timescaledb import Database
from wearcast.watch.facts import Wipes
from wearcast.watch.gather import read_wipes

pytestmark = pytest.mark.database

NOW = datetime.now(UTC)
MONTH = timedelta(days=30)
DEVICE = "car-7"
NOTHING = Heard(results=(), seen=frozenset())


@pytest.fixture(scope="module")
def shared(timescaledb: Database, migrated_template: str) -> Iterator[Connection]:
    with (
        contextmanager(_database)(timescaledb, migrated_template) as url,
        closing(connect(url, autocommit=True)) as opened,
    ):
        yield opened


@pytest.fixture
def connection(shared: Connection) -> Iterator[Connection]:
    """To a database in which nothing of the tests before is left."""
    with shared.transaction(force_rollback=True):
        yield shared


class Ended(BaseException):
    """The process is killed here."""


def end(*_: object, **__: object) -> None:
    raise Ended


def person(connection: Connection, device: str = DEVICE, generation: int = 2) -> UUID:
    """Someone with a dongle that was enrolled; their id."""
    vehicle = register_car(connection, device)
    connection.execute("UPDATE device SET credential_generation = %s WHERE id = %s", [generation, device])
    connection.execute(
        "INSERT INTO device_certificate (serial, device_id, generation, fingerprint, not_before, not_after, issued_at)"
        " VALUES (md5(%s), %s, %s, repeat('0', 64), %s, %s, %s)",
        [device, device, generation, NOW - MONTH, NOW + MONTH, NOW - MONTH],
    )
    return registry.vehicle_by_id(connection, vehicle).owner_id


def erasure(connection: Connection, owner: UUID, deadline: datetime = NOW + MONTH) -> Erased:
    subject = find_subject(connection, owner)
    asked = wipes.order(connection, subject.device_ids, deadline=deadline)
    return Erased(subject=subject, erased_at=NOW, reason="request", wipes=asked)


def erased(connection: Connection, owner: UUID) -> Erased:
    done = erasure(connection, owner)
    erase_person(connection, done, NOW)
    return done


def answer(wipe: Wipe, state: str = "wiped") -> WipeResult:
    if state == "refused":
        return WipeResult(id=wipe.id, device=wipe.device, state="refused", time=NOW, refusal="expired")
    return WipeResult(id=wipe.id, device=wipe.device, state="wiped", time=NOW, batches=4, files=3)


def let_in(connection: Connection) -> tuple[list[str], list[str]]:
    """Who may connect for everything, and who only to empty themselves."""
    access = read_access(connection)
    return [str(each.subject) for each in access.permitted], [str(each.subject) for each in access.only_wiped]


def revoked(connection: Connection) -> list[str | None]:
    rows = connection.execute("SELECT revoked_reason FROM device_certificate ORDER BY device_id").fetchall()
    return [row[0] for row in rows]


def test_until_it_has_answered_a_dongle_is_let_in_for_that_alone(connection: Connection) -> None:
    owner = person(connection)
    register_car(connection, "car-8")
    assert let_in(connection) == ([f"CN={DEVICE},OU=g2", "CN=car-8"], [])
    erased(connection, owner)
    assert let_in(connection) == (["CN=car-8"], [f"CN={DEVICE},OU=g2"])
    assert revoked(connection) == [None]
    (due,) = wipes.take_due(connection, NOW, seen=())
    assert (due.device, due.generation, due.issued, due.expires) == (DEVICE, 2, NOW, NOW + MONTH)
    wipes.answered(connection, [answer(due, "refused")], NOW)  # its clock may be wrong: it is asked on
    assert wipes.awaited(connection) == {DEVICE}
    wipes.answered(connection, [answer(due)], NOW)
    assert let_in(connection) == (["CN=car-8"], [])
    assert revoked(connection) == ["the owner was erased"]
    (entry,) = wipes.wipes(connection)
    assert (entry.outcome, entry.refusal, entry.batches, entry.files) == ("wiped", "expired", 4, 3)


def test_another_may_not_answer_for_it(connection: Connection) -> None:
    erased(connection, person(connection))
    (due,) = wipes.take_due(connection, NOW, seen=())
    foreign = WipeResult(id=due.id, device="car-8", state="wiped", time=NOW)
    other = WipeResult(id=UUID(int=1), device=DEVICE, state="wiped", time=NOW)
    wipes.answered(connection, [foreign, other], NOW)
    assert wipes.awaited(connection) == {DEVICE}


def test_between_the_first_step_and_the_last_it_is_let_in_for_that_alone_too(connection: Connection) -> None:
    """The erasure is broken off while readings go; run again it asks for nothing twice."""
    owner = person(connection)
    first = erasure(connection, owner)
    wipes.open_wipes(connection, first.wipes, NOW)
    assert let_in(connection) == ([], [f"CN={DEVICE},OU=g2"])
    erase_person(connection, first, NOW)
    erase_again(connection, first)
    assert [entry.id for entry in wipes.wipes(connection)] == [first.wipes[0].id]


def test_after_the_deadline_it_is_shut_out(connection: Connection) -> None:
    erased(connection, person(connection))
    connection.execute("UPDATE device_wipe SET asked_at = %s, deadline = %s", [NOW - 2 * MONTH, NOW - MONTH])
    assert let_in(connection) == ([], [])  # even where no worker runs
    assert wipes.take_due(connection, NOW, seen=[DEVICE]) == []
    assert wipes.expire(connection, NOW) == 1
    assert wipes.expire(connection, NOW) == 0
    assert revoked(connection) == ["the owner was erased"]
    assert [entry.outcome for entry in wipes.wipes(connection)] == ["expired"]
    assert wipes.wipes(connection, only_open=True) == []
    with pytest.raises(RegistryError, match="still holds data"):
        register_car(connection, DEVICE)  # its store is as it was
    wipes.end_by_hand(connection, DEVICE, NOW)
    register_car(connection, DEVICE)


def test_the_status_tells_of_those_that_were_not_emptied_in_time(connection: Connection) -> None:
    for number, device in enumerate(("open", "refuses", "late", "noted", "long-ago", "done")):
        erased(connection, person(connection, device))
        deadline = (
            NOW + MONTH if number < 2 else NOW - (MONTH + timedelta(days=1) if device == "long-ago" else MONTH / 2)
        )
        connection.execute(
            "UPDATE device_wipe SET asked_at = %s, deadline = %s, refusal = %s WHERE device_id = %s",
            [NOW - 3 * MONTH, deadline, "expired" if device == "refuses" else None, device],
        )
    assert wipes.expire(connection, NOW) == 4
    connection.execute("UPDATE device_wipe SET outcome = NULL, ended_at = NULL WHERE device_id = 'late'")  # no worker
    wipes.end_by_hand(connection, "done", NOW)
    assert read_wipes(connection) == Wipes(open=2, refused=1, expired=2)


def test_one_that_is_revoked_meanwhile_is_let_in_for_nothing(connection: Connection) -> None:
    """Stolen while it is awaited. A broker that goes by generations knows no revoked certificate, only users."""
    owner = person(connection)
    first = erasure(connection, owner)
    wipes.open_wipes(connection, first.wipes, NOW)  # broken off here
    store.revoke(connection, DEVICE, reason="stolen", now=NOW)
    assert let_in(connection) == ([], [])
    erase_person(connection, first, NOW)
    erased(connection, person(connection, "car-8"))
    store.revoke(connection, "car-8", reason="stolen too", now=NOW)
    assert let_in(connection) == ([], [])
    assert {entry.outcome for entry in wipes.wipes(connection)} == {"shut-out"}
    assert revoked(connection) == ["stolen", "stolen too"]
    with pytest.raises(EnrolmentError, match="no device"):
        store.revoke(connection, "car-8", reason="once more", now=NOW)


def test_one_that_was_revoked_before_stays_out(connection: Connection) -> None:
    owner = person(connection)
    store.revoke(connection, DEVICE, reason="stolen", now=NOW)
    erased(connection, owner)
    assert let_in(connection) == ([], [])
    assert [entry.outcome for entry in wipes.wipes(connection)] == ["shut-out"]
    assert revoked(connection) == ["stolen"]


def test_nobody_is_given_a_dongle_that_may_hold_anothers_data(connection: Connection) -> None:
    erased(connection, person(connection))
    with pytest.raises(RegistryError, match=f"privacy wipes --done {DEVICE}"):
        register_car(connection, DEVICE)
    wipes.end_by_hand(connection, DEVICE, NOW)
    with pytest.raises(RegistryError, match="nothing to be emptied of"):
        wipes.end_by_hand(connection, DEVICE, NOW)
    register_car(connection, DEVICE)
    generation = connection.execute("SELECT credential_generation FROM device WHERE id = %s", [DEVICE]).fetchone()
    assert generation == (3,)  # an order for the second is for nobody any more
    assert let_in(connection) == ([f"CN={DEVICE},OU=g3"], [])


def test_a_certificate_that_ends_meanwhile_is_renewed(connection: Connection) -> None:
    owner = person(connection)

    def renewed(generation: int) -> object:
        shown = PresentCertificate(
            device_id=DEVICE,
            generation=generation,
            serial="ab",
            fingerprint="0" * 64,
            not_before=NOW - 2 * MONTH,
            not_after=NOW - MONTH,
        )
        return store.may_renew(connection, shown, grace=timedelta(days=180), now=NOW)

    assert renewed(2) == 2
    erased(connection, owner)
    assert renewed(2) == 2
    assert isinstance(renewed(1), store.Refused)
    wipes.end_by_hand(connection, DEVICE, NOW)
    assert isinstance(renewed(2), store.Refused)


def test_it_is_told_again_with_growing_pauses_and_at_once_when_it_shows_itself(connection: Connection) -> None:
    erased(connection, person(connection))
    sent = [second for second in range(300) if wipes.take_due(connection, NOW + timedelta(seconds=second), seen=())]
    assert sent == [0, 5, 15, 35, 75, 135, 195, 255]
    seen = NOW + timedelta(seconds=260)
    assert len(wipes.take_due(connection, seen, seen=[DEVICE])) == 1
    assert wipes.take_due(connection, seen, seen=[DEVICE]) == []


def test_the_post_takes_away_what_an_awaited_dongle_says(connection: Connection) -> None:
    done = erased(connection, person(connection))
    post = WipePost(clock=lambda: 0.0)
    assert not post.offer(publish_topic(DEVICE, "readings"), b"not known yet")
    (due,) = post.settle(connection, NOTHING, NOW, may_send=True)
    assert due.id == done.wipes[0].id
    assert post.offer(publish_topic(DEVICE, "readings"), b"speeds")
    assert not post.offer(publish_topic("car-8", "readings"), b"speeds")
    assert not post.offer(acks_topic("car-8"), b"")
    assert post.offer(publish_topic("car-8", "status"), b"")
    assert post.news.is_set()
    assert post.heard().seen == {DEVICE}
    assert post.offer(f"wearcast/v1/{DEVICE}/results/wipe", b"rubbish")
    assert post.offer(f"wearcast/v1/{DEVICE}/results/wipe", encode_wipe_result(answer(due)))
    assert post.settle(connection, post.heard(), NOW, may_send=True) == []
    assert not post.offer(publish_topic(DEVICE, "readings"), b"the next owner's")


def test_one_that_shows_itself_just_after_it_was_told_is_told_again(connection: Connection) -> None:
    """It was told before it listened; nothing else might come of it for minutes."""
    erased(connection, person(connection))
    post = WipePost(clock=lambda: 0.0)

    def sent(second: float, *, may_send: bool = True) -> int:
        return len(post.settle(connection, post.heard(), NOW + timedelta(seconds=second), may_send=may_send))

    assert [sent(0), sent(5)] == [1, 1]
    post.offer(publish_topic(DEVICE, "status"), b"online")
    assert [sent(5.5), sent(6, may_send=False), sent(7.5), sent(9.5)] == [0, 0, 1, 0]


def test_a_restored_database_asks_again(connection: Connection, tmp_path: Path, personal_keys: KeyRingFile) -> None:
    """The backup is of before the erasure; the list beside it is of after."""
    owner = person(connection)
    done = erasure(connection, owner)
    folder = BackupFolder(tmp_path)
    folder.remember(done, personal_keys.read())
    (kept,) = folder.erasures()
    assert kept == done
    erase_again(connection, kept)
    assert let_in(connection) == ([], [f"CN={DEVICE},OU=g2"])
    assert revoked(connection) == [None]
    wipes.end_by_hand(connection, DEVICE, NOW)
    erase_again(connection, kept)
    assert [entry.outcome for entry in wipes.wipes(connection)] == ["by-hand"]


def test_a_dongle_of_two_erased_people_is_asked_for_the_later_one_after_a_restore(
    connection: Connection, tmp_path: Path, personal_keys: KeyRingFile
) -> None:
    """The backup is of before the first erasure: the second owner is not in it, and the dongle has the third key."""
    folder = BackupFolder(tmp_path)
    first = erasure(connection, person(connection))
    folder.remember(first, personal_keys.read())
    (asked,) = first.wipes
    later = replace(asked, id=uuid4(), generation=3, deadline=NOW + 2 * MONTH)
    heir = replace(first, subject=Subject(owner_id=uuid4(), vehicle_ids=(uuid4(),), device_ids=(DEVICE,)))
    folder.remember(replace(heir, wipes=(later,)), personal_keys.read())
    for entry in in_force(folder.erasures()).values():
        erase_again(connection, entry)
    assert let_in(connection) == ([], [f"CN={DEVICE},OU=g3"])
    assert [entry.id for entry in wipes.wipes(connection)] == [later.id]


def test_an_erasure_that_is_broken_off_anywhere_asks_once(
    connection: Connection, tmp_path: Path, personal_keys: KeyRingFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = person(connection)
    nobody = BrokerConfig(port=free_port())

    def erase() -> None:
        erasure_of_all.erase(
            connection,
            owner,
            reason="request",
            mail_folder=tmp_path / "mail",
            backups=BackupFolder(tmp_path / "backups"),
            ring=personal_keys.read(),
            broker=nobody,
            wipe_within=MONTH,
            now=datetime.now(UTC),
        )

    for place in ("erase_person", "_outcome"):
        with monkeypatch.context() as patched:
            patched.setattr(erasure_of_all, place, end)
            with pytest.raises(Ended):
                erase()
    erase()
    (asked,) = wipes.wipes(connection)
    kept = BackupFolder(tmp_path / "backups").erasures()
    assert {wipe.id for entry in kept for wipe in entry.wipes} == {asked.id}
    assert let_in(connection) == ([], [f"CN={DEVICE},OU=g2"])


def test_a_list_of_before_there_were_wipes_is_read(tmp_path: Path) -> None:
    entry = {
        "owner_id": str(UUID(int=1)),
        "vehicle_ids": [],
        "device_ids": [DEVICE],
        "erased_at": NOW.isoformat(),
        "reason": "request",
    }
    (tmp_path / "erasures.jsonl").write_text(json.dumps(entry) + "\n")
    assert BackupFolder(tmp_path).erasures()[0].wipes == ()


def test_the_record_holds_nothing_of_the_person(connection: Connection) -> None:
    erased(connection, person(connection))
    columns = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'device_wipe'"
    ).fetchall()
    assert {name for (name,) in columns} == {
        "id", "device_id", "generation", "asked_at", "deadline", "sent_at", "attempts", "refusal", "outcome",
        "ended_at", "batches", "files",
    }  # fmt: skip
