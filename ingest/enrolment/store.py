"""Tokens, certificates and revocation in the database. All functions leave the transaction to the caller.

A token is shown once and kept nowhere: the database has its SHA-256. It holds 256 random bits, so that a fast digest
suffices (there is nothing to guess), and it is good for one key of one device.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from ingest.database import Connection
from ingest.enrolment.port import IssuedCertificate, PresentCertificate, RevokedSerial
from ingest.errors import EnrolmentError
from ingest.outbound import wipes

LONGEST_TOKEN: Final = timedelta(days=30)
ATTEMPTS: Final = 10  # wrong ones after which a token is void: nobody mistypes a file
CERTIFICATES_PER_HOUR: Final = 20  # of one device; it needs one in weeks
_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Why no certificate is given: for the log, not for whoever asked."""

    reason: str


class TooOften(Exception):  # noqa: N818 - no fault of the service
    """A device was given many certificates within an hour: something goes round in circles."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """One that was given out."""

    serial: str
    device_id: str
    generation: int
    fingerprint: str
    not_before: datetime
    not_after: datetime
    issued_at: datetime
    revoked_at: datetime | None
    revoked_reason: str | None


@dataclass(frozen=True, kw_only=True)
class _Token:
    id: UUID
    token_digest: bytes
    expires_at: datetime
    attempts_left: int
    used_for_key: bytes | None
    used_generation: int | None


def new_token(connection: Connection, device_id: str, *, valid_for: timedelta, now: datetime) -> str:
    """A token for this device, in place of any before it. EnrolmentError where there is no such device."""
    if not timedelta(0) < valid_for <= LONGEST_TOKEN:
        raise EnrolmentError(f"a token is valid for at most {LONGEST_TOKEN.days} days; make another one then")
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    _withdraw_tokens(connection, device_id, now)
    try:
        connection.execute(
            "INSERT INTO enrolment_token (device_id, token_digest, created_at, expires_at, attempts_left)"
            " VALUES (%s, %s, %s, %s, %s)",
            [device_id, _digest(token), now, now + valid_for, ATTEMPTS],
        )
    except psycopg.errors.ForeignKeyViolation as error:
        raise _unknown(device_id) from error
    return token


def redeem(connection: Connection, device_id: str, token: str, *, key_digest: bytes, now: datetime) -> int | Refused:
    """Spend the token on a key: the generation of the certificate to give. Commit, also where it is refused.

    Who asks again with the same key gets the same answer: the first one may have been lost on the way.
    """
    device = _locked_device(connection, device_id)
    held = _token(connection, device_id)
    shown = _digest(token)
    if held is None or not hmac.compare_digest(shown, held.token_digest):
        if held is not None:
            _count_wrong(connection, held.id, device_id, shown)
        return Refused(reason="there is no such token for this device")
    if device is None or not device[0]:
        return Refused(reason="the device is disabled")
    if held.attempts_left == 0:
        return Refused(reason=f"the token is void after {ATTEMPTS} wrong ones were tried")
    if held.expires_at <= now:
        return Refused(reason="the token has expired")
    _, generation, revoked = device
    if held.used_for_key is not None:
        if held.used_for_key != key_digest or held.used_generation != generation or revoked:
            return Refused(reason="the token was used already")
        return generation
    return _begin_generation(connection, device_id, held.id, key_digest=key_digest, now=now)


def _begin_generation(
    connection: Connection, device_id: str, token_id: UUID, *, key_digest: bytes, now: datetime
) -> int:
    """Whatever was given out before opens nothing any more: bundles of generation 0 are not all recorded here."""
    row = connection.execute(
        "UPDATE device SET credentials_revoked_at = NULL, credential_generation = credential_generation"
        " + (credential_generation = 0 OR EXISTS (SELECT FROM device_certificate AS given"
        "    WHERE given.device_id = device.id AND given.generation = credential_generation))::integer"
        " WHERE id = %s RETURNING credential_generation",
        [device_id],
    ).fetchone()
    assert row is not None
    connection.execute(
        "UPDATE device_certificate SET revoked_at = %s, revoked_reason = 'enrolled anew'"
        " WHERE device_id = %s AND revoked_at IS NULL",
        [now, device_id],
    )
    connection.execute(
        "UPDATE enrolment_token SET used_at = %s, used_for_key = %s, used_generation = %s WHERE id = %s",
        [now, key_digest, row[0], token_id],
    )
    return int(row[0])


def may_renew(connection: Connection, present: PresentCertificate, *, grace: timedelta, now: datetime) -> int | Refused:
    """Whether a certificate may be exchanged for the next one: its generation. It may have ended, ``grace`` ago."""
    device = _locked_device(connection, present.device_id)
    given = connection.execute(
        "SELECT revoked_at IS NOT NULL FROM device_certificate WHERE serial = %s", [present.serial]
    ).fetchone()
    if _only_wiped(connection, present.device_id) == present.generation:
        device = (True, present.generation, False)  # it was away when its owner was erased, and comes to be emptied
    if device is None or not device[0]:
        return Refused(reason="the device is disabled")
    if device[2] or present.generation != device[1] or (given is not None and given[0]):
        return Refused(reason="the certificate was revoked")
    if present.not_after + grace < now:
        return Refused(reason=f"the certificate ended more than {grace.days} days ago")
    return present.generation


def require_moderate(connection: Connection, device_id: str, now: datetime) -> None:
    """TooOften where the device had its share of this hour."""
    row = connection.execute(
        "SELECT count(*) FROM device_certificate WHERE device_id = %s AND issued_at > %s",
        [device_id, now - timedelta(hours=1)],
    ).fetchone()
    if row is not None and row[0] >= CERTIFICATES_PER_HOUR:
        raise TooOften(f"{device_id} was given {CERTIFICATES_PER_HOUR} certificates within an hour")


def record(connection: Connection, certificate: IssuedCertificate | PresentCertificate, *, now: datetime) -> None:
    """Note a certificate that was given out; one that is noted already stays as it is."""
    connection.execute(
        "INSERT INTO device_certificate"
        " (serial, device_id, generation, fingerprint, not_before, not_after, issued_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (serial) DO NOTHING",
        [
            certificate.serial,
            certificate.device_id,
            certificate.generation,
            certificate.fingerprint,
            certificate.not_before,
            certificate.not_after,
            now,
        ],
    )


def revoke(connection: Connection, device_id: str, *, reason: str, now: datetime) -> int:
    """End everything the device was given, tokens too; how many certificates. It can be enrolled anew.

    One that is let in only to empty itself is not any more either: a broker that goes by generations would let it.
    """
    if not reason.strip():
        raise EnrolmentError("a revocation says why: --reason")
    known = connection.execute(
        "UPDATE device SET credential_generation = credential_generation + 1, credentials_revoked_at = %s"
        " WHERE id = %s",
        [now, device_id],
    ).rowcount
    _withdraw_tokens(connection, device_id, now)
    ended = connection.execute(
        "UPDATE device_certificate SET revoked_at = %s, revoked_reason = %s"
        " WHERE device_id = %s AND revoked_at IS NULL",
        [now, reason.strip()[:200], device_id],
    ).rowcount
    if not wipes.shut_out(connection, device_id, now) and not known:
        raise _unknown(device_id)
    return ended


def end_older(connection: Connection) -> None:
    """Revoke certificates of generations that are over, which were noted only afterwards."""
    connection.execute(
        "UPDATE device_certificate AS given SET revoked_at = device.access_changed_at,"
        " revoked_reason = 'of an earlier generation' FROM device"
        " WHERE device.id = given.device_id AND given.generation < device.credential_generation"
        " AND given.revoked_at IS NULL"
    )


def revoked_serials(connection: Connection, now: datetime) -> list[RevokedSerial]:
    """What a revocation list holds: revoked, and not ended by itself."""
    with connection.cursor(row_factory=class_row(RevokedSerial)) as cursor:
        return cursor.execute(
            "SELECT serial, revoked_at FROM device_certificate WHERE revoked_at IS NOT NULL AND not_after > %s"
            " ORDER BY serial",
            [now],
        ).fetchall()


def certificates(connection: Connection, device_id: str | None = None) -> list[Certificate]:
    """All that were given out, newest first."""
    with connection.cursor(row_factory=class_row(Certificate)) as cursor:
        return cursor.execute(
            "SELECT serial, device_id, generation, fingerprint, not_before, not_after, issued_at, revoked_at,"
            " revoked_reason FROM device_certificate WHERE %(device)s::text IS NULL OR device_id = %(device)s"
            " ORDER BY issued_at DESC, serial",
            {"device": device_id},
        ).fetchall()


def ending_within(connection: Connection, span: timedelta, *, now: datetime) -> list[Certificate]:
    """The newest certificate of each device that may connect, where it ends within the span or has ended."""
    with connection.cursor(row_factory=class_row(Certificate)) as cursor:
        return cursor.execute(
            "SELECT * FROM (SELECT DISTINCT ON (given.device_id) given.* FROM device_certificate AS given"
            "    JOIN device_access AS door ON door.device_id = given.device_id AND door.allowed"
            "    AND door.generation = given.generation"
            "    ORDER BY given.device_id, given.not_after DESC) AS newest"
            " WHERE not_after < %s ORDER BY not_after",
            [now + span],
        ).fetchall()


def _locked_device(connection: Connection, device_id: str) -> tuple[bool, int, bool] | None:
    """Enabled, generation, revoked; nobody changes them until the transaction ends."""
    return connection.execute(
        "SELECT enabled, credential_generation, credentials_revoked_at IS NOT NULL FROM device WHERE id = %s"
        " FOR UPDATE",
        [device_id],
    ).fetchone()


def _only_wiped(connection: Connection, device_id: str) -> int | None:
    """Generation of a device that is let in to empty itself, and for nothing else."""
    row = connection.execute(
        "SELECT generation FROM device_access WHERE device_id = %s AND only_wiped", [device_id]
    ).fetchone()
    return None if row is None else int(row[0])


def _token(connection: Connection, device_id: str) -> _Token | None:
    with connection.cursor(row_factory=class_row(_Token)) as cursor:
        return cursor.execute(
            "SELECT id, token_digest, expires_at, attempts_left, used_for_key, used_generation FROM enrolment_token"
            " WHERE device_id = %s AND withdrawn_at IS NULL ORDER BY created_at DESC LIMIT 1 FOR UPDATE",
            [device_id],
        ).fetchone()


def _count_wrong(connection: Connection, token_id: UUID, device_id: str, shown: bytes) -> None:
    """One attempt less. A former token of the device is no guess: a dongle that was replaced goes on showing it."""
    connection.execute(
        "UPDATE enrolment_token SET attempts_left = greatest(attempts_left - 1, 0) WHERE id = %s"
        " AND NOT EXISTS (SELECT FROM enrolment_token AS former"
        "    WHERE former.device_id = %s AND former.token_digest = %s)",
        [token_id, device_id, shown],
    )


def _withdraw_tokens(connection: Connection, device_id: str, now: datetime) -> None:
    connection.execute(
        "UPDATE enrolment_token SET withdrawn_at = %s WHERE device_id = %s AND withdrawn_at IS NULL", [now, device_id]
    )


def _unknown(device_id: str) -> EnrolmentError:
    return EnrolmentError(f"there is no device {device_id[:100]!r}; see wearcast ingest device list")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
