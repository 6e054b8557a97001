"""Tokens, generations and revocation in the real database: what is spent once is spent, what is revoked stays out."""

import hashlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from ingest.database import Connection, connect
from ingest.enrolment import access, store
from ingest.enrolment.desk import take_over
from ingest.enrolment.port import IssuedCertificate
from ingest.enrolment.store import Refused
from ingest.errors import EnrolmentError
from ingest.outbound import wipes
from ingest.registry import update_device
from tests.integration.remote_support import register_devices

pytestmark = pytest.mark.database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
GRACE = timedelta(days=180)
KEY, OTHER_KEY = (hashlib.sha256(name).digest() for name in (b"key", b"other key"))


@pytest.fixture
def device(connection: Connection) -> str:
    register_devices(connection)
    return access.device_access(connection)[0].device_id


def token(connection: Connection, device: str, valid_for: timedelta = DAY) -> str:
    return store.new_token(connection, device, valid_for=valid_for, now=NOW)


def redeem(connection: Connection, device: str, shown: str, key: bytes = KEY, now: datetime = NOW) -> int | Refused:
    return store.redeem(connection, device, shown, key_digest=key, now=now)


def certificate(device: str, generation: int, serial: str = "0a1") -> IssuedCertificate:
    return IssuedCertificate(
        device_id=device,
        generation=generation,
        serial=serial,
        fingerprint="0" * 64,
        not_before=NOW - DAY,
        not_after=NOW + 30 * DAY,
        chain_pem=b"",
    )


def reason(answer: int | Refused) -> str:
    assert isinstance(answer, Refused)
    return answer.reason


def test_a_token_is_good_for_one_key_and_an_answer_that_was_lost_can_be_had_again(
    connection: Connection, device: str
) -> None:
    shown = token(connection, device)
    assert redeem(connection, device, shown) == 1
    store.record(connection, certificate(device, 1), now=NOW)
    assert redeem(connection, device, shown) == 1
    assert "used already" in reason(redeem(connection, device, shown, OTHER_KEY))


def test_a_token_spent_by_many_at_once_is_spent_on_one(connection: Connection, database_url: str, device: str) -> None:
    shown = token(connection, device)

    def attempt(number: int) -> int | Refused:
        with connect(database_url) as own:
            return redeem(own, device, shown, hashlib.sha256(bytes([number])).digest())

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(8)))
    assert sorted(isinstance(answer, Refused) for answer in answers) == [False] + [True] * 7


def test_a_token_ends_and_is_of_one_device_and_the_last_one(connection: Connection, device: str) -> None:
    other = access.device_access(connection)[1].device_id
    first = token(connection, device)
    assert "no such token" in reason(redeem(connection, other, first))
    assert "expired" in reason(redeem(connection, device, first, now=NOW + DAY))
    second = token(connection, device)
    assert "no such token" in reason(redeem(connection, device, first))
    assert redeem(connection, device, second) == 1


def test_too_many_wrong_ones_make_a_token_void(connection: Connection, device: str) -> None:
    shown = token(connection, device)
    for _ in range(store.ATTEMPTS):
        redeem(connection, device, "guessed")
    assert "void" in reason(redeem(connection, device, shown))


def test_only_the_digest_is_kept(connection: Connection, device: str) -> None:
    shown = token(connection, device)
    rows = connection.execute("SELECT t::text FROM enrolment_token AS t").fetchall()
    assert rows
    assert shown not in str(rows)


def test_enrolling_anew_ends_what_was_given_before(connection: Connection, device: str) -> None:
    store.record(connection, certificate(device, 0, "b0"), now=NOW)
    assert redeem(connection, device, token(connection, device)) == 1
    store.record(connection, certificate(device, 1, "b1"), now=NOW)
    assert redeem(connection, device, token(connection, device), OTHER_KEY) == 2
    assert {entry.serial for entry in store.revoked_serials(connection, NOW)} == {"b0", "b1"}
    assert store.revoked_serials(connection, NOW + 31 * DAY) == []


def test_revoking_lets_nothing_in_until_enrolled_anew(connection: Connection, device: str) -> None:
    shown = token(connection, device)
    assert redeem(connection, device, shown) == 1
    given = certificate(device, 1)
    store.record(connection, given, now=NOW)
    waiting = token(connection, device)
    assert store.revoke(connection, device, reason="stolen", now=NOW) == 1
    (entry, *_) = access.device_access(connection)
    assert (entry.allowed, entry.generation) == (False, 2)
    assert "no such token" in reason(redeem(connection, device, waiting))
    assert "no such token" in reason(redeem(connection, device, shown))
    assert redeem(connection, device, token(connection, device)) == 2
    (entry, *_) = access.device_access(connection)
    assert (entry.allowed, entry.generation) == (True, 2)


def test_a_disabled_or_unknown_device_gets_nothing(connection: Connection, device: str) -> None:
    shown = token(connection, device)
    update_device(connection, device, enabled=False)
    assert "disabled" in reason(redeem(connection, device, shown))
    assert "no such token" in reason(redeem(connection, "nobody", shown))
    with pytest.raises(EnrolmentError, match="no device 'nobody'"):
        token(connection, "nobody")
    with pytest.raises(EnrolmentError, match="no device 'nobody'"):
        store.revoke(connection, "nobody", reason="lost", now=NOW)


def test_a_removed_device_leaves_its_serials_revoked(connection: Connection, device: str) -> None:
    store.record(connection, certificate(device, 1), now=NOW)
    connection.execute("DELETE FROM device WHERE id = %s", [device])
    assert [entry.serial for entry in store.revoked_serials(connection, NOW)] == ["0a1"]


def test_an_id_that_is_given_again_lets_the_former_device_not_in(connection: Connection, device: str) -> None:
    first = redeem(connection, device, token(connection, device))
    assert isinstance(first, int)
    store.record(connection, certificate(device, first), now=NOW)
    row = connection.execute("SELECT vehicle_id, hardware FROM device WHERE id = %s", [device]).fetchone()
    assert row is not None
    connection.execute("DELETE FROM device WHERE id = %s", [device])
    connection.execute("INSERT INTO device (id, vehicle_id, hardware) VALUES (%s, %s, %s)", [device, *row])
    assert next(found for found in access.device_access(connection) if found.device_id == device).generation > first
    assert redeem(connection, device, token(connection, device)) == first + 1


def test_changes_of_access_are_told_and_nothing_else_is(connection: Connection, database_url: str, device: str) -> None:
    changed_before = access.device_access(connection)[0].changed_at
    with closing(connect(database_url, autocommit=True)) as listener:
        listener.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(access.ACCESS_CHANNEL)))

        def told() -> int:
            """How often: notifications come in the order of their commits, so that all are here before this one."""
            connection.execute("SELECT pg_notify(%s, 'the last')", [access.ACCESS_CHANNEL])
            before = itertools.takewhile(lambda one: one.payload != "the last", listener.notifies(timeout=60))
            return sum(1 for _ in before)

        update_device(connection, device, hardware="pi_zero_2w_mcp251xfd")
        assert told() == 0
        take_over(connection, [])  # what the enrolment service does whenever it is told: it finds nothing to end
        wipes.expire(connection, NOW)
        assert told() == 0
        assert access.device_access(connection)[0].changed_at == changed_before
        update_device(connection, device, enabled=False)
        assert told() > 0
        assert access.device_access(connection)[0].changed_at > changed_before
        store.revoke(connection, device, reason="stolen", now=NOW)
        assert told() > 0


def test_a_later_list_of_revoked_certificates_takes_the_place_of_an_earlier_one(connection: Connection) -> None:
    def newest(number: int) -> access.RevocationList:
        return access.RevocationList(
            authority="f" * 64, number=number, pem=f"list {number}", issued_at=NOW, next_update=NOW + DAY
        )

    assert access.publish_revocation_list(connection, newest(2))
    assert not access.publish_revocation_list(connection, newest(1))
    assert access.publish_revocation_list(connection, newest(3))
    assert [entry.pem for entry in access.revocation_lists(connection)] == ["list 3"]
