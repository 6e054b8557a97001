"""What the enrolment service decides: who gets a certificate for which key. The main flow of enrolment.

A request is checked before the database is asked, and everything a grant changes is one transaction: a token is spent,
the generation begun and the certificate noted together, or not at all.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ingest.database import Connection, database_time
from ingest.enrolment import store
from ingest.enrolment.port import IssuedCertificate, PresentCertificate, Signer, SigningRequest
from ingest.enrolment.store import Refused

log = logging.getLogger(__name__)

LIFETIME: Final = timedelta(days=30)
GRACE: Final = timedelta(days=180)  # a car may stand for a winter


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How long certificates are valid, and how long after their end they can still be renewed."""

    lifetime: timedelta = LIFETIME
    grace: timedelta = GRACE


class EnrolmentDesk:
    """Answers requests for certificates; ``connect`` opens a transaction, committed at its end."""

    def __init__(
        self,
        *,
        connect: Callable[[], AbstractContextManager[Connection]],
        signer: Signer,
        terms: Terms,
        clock: Callable[[Connection], datetime] = database_time,
    ) -> None:
        self._connect = connect
        self._signer = signer
        self._terms = terms
        self._clock = clock

    @property
    def trusted_pem(self) -> bytes:
        """What devices trust."""
        return self._signer.trusted_pem

    def enrol(self, device_id: str, token: str, request_der: bytes) -> IssuedCertificate | Refused:
        """A first certificate for a one-time token. ValueError says what is wrong with the request itself."""
        request = self._request_of(device_id, request_der)
        with self._connect() as connection:
            now = self._clock(connection)
            generation = store.redeem(connection, device_id, token, key_digest=request.key_digest, now=now)
            if isinstance(generation, Refused):
                return _refused(device_id, generation)
            issued = self._issue(connection, request, device_id, generation, now)
        log.info("%s is enrolled: generation %d, serial %s", device_id, generation, issued.serial)
        return issued

    def renew(self, certificate_pem: bytes, proof: bytes, request_der: bytes) -> IssuedCertificate | Refused:
        """The next certificate for one that is shown. ``proof``: the request, signed by the certificate's key.

        ValueError says what is wrong with what was sent.
        """
        present = self._signer.read_present(certificate_pem, proof=proof, signed=request_der)
        request = self._request_of(present.device_id, request_der)
        with self._connect() as connection:
            now = self._clock(connection)
            generation = store.may_renew(connection, present, grace=self._terms.grace, now=now)
            if isinstance(generation, Refused):
                return _refused(present.device_id, generation)
            store.record(connection, present, now=present.not_before)
            issued = self._issue(connection, request, present.device_id, generation, now)
        log.info("%s has renewed its certificate: serial %s", present.device_id, issued.serial)
        return issued

    def _request_of(self, device_id: str, der: bytes) -> SigningRequest:
        request = self._signer.read_request(der)
        if request.common_name != device_id:
            raise ValueError("the request's common name is not the device's id")
        return request

    def _issue(
        self, connection: Connection, request: SigningRequest, device_id: str, generation: int, now: datetime
    ) -> IssuedCertificate:
        store.require_moderate(connection, device_id, now)
        issued = self._signer.sign_request(
            request,
            device_id=device_id,
            generation=generation,
            valid_seconds=self._terms.lifetime.total_seconds(),
        )
        store.record(connection, issued, now=now)
        return issued


def _refused(device_id: str, refused: Refused) -> Refused:
    log.warning("%s gets no certificate: %s", device_id, refused.reason)
    return refused


def take_over(connection: Connection, given: list[PresentCertificate]) -> None:
    """Note certificates that were given without the service (bundles), and end those of generations that are over."""
    for certificate in given:
        store.record(connection, certificate, now=certificate.not_before)
    store.end_older(connection)
