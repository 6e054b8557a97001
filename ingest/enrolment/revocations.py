"""Keeps the signed list of revoked certificates up to date, where the authority's key is.

Whoever revokes needs no key: the database tells this process, which signs within a moment. A list ends after
``LIST_DAYS``, and a broker with an ended list lets nobody in: it is signed anew each day.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import psycopg
from psycopg import sql

from ingest.database import Connection, connect
from ingest.enrolment import store
from ingest.enrolment.access import ACCESS_CHANNEL, RevocationList, publish_revocation_list, revocation_lists
from ingest.enrolment.desk import take_over
from ingest.enrolment.port import PresentCertificate, RevokedSerial, Signer
from ingest.errors import DatabaseError
from ingest.pulse import PULSE

log = logging.getLogger(__name__)

LIST_DAYS: Final = 30
SIGN_EVERY: Final = timedelta(days=1)
_LOOK_EVERY_SECONDS: Final = 15.0  # also without a notification: half of a minute is left for the broker
_HEAR_STOP_SECONDS: Final = 0.2
_RETRY_SECONDS: Final = 5.0
_LOOP: Final = "revocation list"
_OVERDUE_SECONDS: Final = 120.0


class ListSigner(Signer, Protocol):
    """An authority that also knows what it gave to devices without the service."""

    def journal(self) -> list[PresentCertificate]:
        """Certificates of bundles."""
        ...


def sign_revocations(
    connection: Connection, signer: ListSigner, *, now: datetime, signed: list[RevokedSerial] | None = None
) -> list[RevokedSerial]:
    """Sign and publish the list where it changed since ``signed``, or is a day old; what is revoked now."""
    revoked = store.revoked_serials(connection, now)
    before = next((entry for entry in revocation_lists(connection) if entry.authority == signer.fingerprint), None)
    if before is not None and revoked == signed and now - before.issued_at < SIGN_EVERY:
        return revoked
    number = 1 if before is None else before.number + 1
    pem, issued_at, next_update = signer.sign_revocations(revoked, number=number, valid_days=LIST_DAYS)
    published = publish_revocation_list(
        connection,
        RevocationList(
            authority=signer.fingerprint,
            number=number,
            pem=pem.decode(),
            issued_at=issued_at,
            next_update=next_update,
        ),
    )
    if published:
        log.info("revocation list %d is signed: %d certificates", number, len(revoked))
    return revoked


class RevocationKeeper:
    """A thread that signs when something was revoked; start it, and stop it."""

    def __init__(
        self, database_url: str, signer: ListSigner, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database_url = database_url
        self._signer = signer
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="revocation list")

    def start(self) -> None:
        """Begin, in the background."""
        self._thread.start()

    def stop(self) -> None:
        """End; returns when it has."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._keep()
            except (DatabaseError, psycopg.OperationalError) as error:
                log.warning("the revocation list waits for the database: %s", error)
                PULSE.trouble("database", type(error).__name__)
                PULSE.turn(_LOOP, _OVERDUE_SECONDS)
                self._stop.wait(_RETRY_SECONDS)
        PULSE.ended(_LOOP)

    def _keep(self) -> None:
        with closing(connect(self._database_url, application_name="wearcast-enrolment", autocommit=True)) as opened:
            opened.execute(sql.SQL("LISTEN {}").format(sql.Identifier(ACCESS_CHANNEL)))
            signed: list[RevokedSerial] | None = None
            noted: set[str] = set()
            while not self._stop.is_set():
                given = [entry for entry in self._signer.journal() if entry.serial not in noted]
                with opened.transaction():
                    take_over(opened, given)
                    signed = sign_revocations(opened, self._signer, now=self._clock(), signed=signed)
                PULSE.well("database")
                PULSE.turn(_LOOP, _OVERDUE_SECONDS)
                noted.update(entry.serial for entry in given)
                self._await_change(opened)

    def _await_change(self, connection: Connection) -> None:
        """Until something changed, or it is time to look again."""
        for _ in range(round(_LOOK_EVERY_SECONDS / _HEAR_STOP_SECONDS)):
            told = list(connection.notifies(timeout=_HEAR_STOP_SECONDS, stop_after=1))
            if told or self._stop.is_set():
                return
