"""Enrolment over HTTPS, by the paths and formats of EST (RFC 7030): a device needs no library of ours for it.

``simpleenroll`` takes the device id and a one-time token by HTTP Basic authentication. ``simplereenroll`` differs from
RFC 7030, 4.2.2, in one thing: possession of the present key is shown by a signature of the request in a header, and not
in the TLS handshake, so that a certificate that has ended while the car stood still can be renewed.

Who is refused is told nothing that helps guessing; the log has the reason. No header or body is ever logged.
"""

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import Callable
from typing import Annotated, Final

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from psycopg_pool import PoolTimeout

from ingest.enrolment.desk import EnrolmentDesk
from ingest.enrolment.limits import Limit
from ingest.enrolment.port import IssuedCertificate
from ingest.enrolment.store import Refused, TooOften
from ingest.errors import DatabaseError
from telemetry.topics import DEVICE_ID

log = logging.getLogger(__name__)

PREFIX: Final = "/.well-known/est"
CERTIFICATE_HEADER: Final = "Wearcast-Certificate"  # the present one: DER, base64
PROOF_HEADER: Final = "Wearcast-Proof"  # ECDSA with SHA-256 over the request as it was sent in the body: DER, base64
LARGEST_BODY_BYTES: Final = 16_384
_BODY_SECONDS: Final = 20.0
_LATER: Final = {"Retry-After": "60"}  # seconds
_REFUSED: Final = "device, token or certificate is not accepted; the service's log says why"
_PKCS7: Final = "application/pkcs7-mime; smime-type=certs-only"


class Gate:
    """How often an address may be refused a first certificate: a carrier puts thousands of dongles behind one.

    Renewals are not counted: a signature cannot be guessed, and nobody may keep his neighbours from renewing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = Limit(burst=20, per_second=1 / 6)

    def check(self, address: str) -> None:
        """HTTPException 429 where it was too often."""
        if self._failures.exhausted(address, self._clock()):
            raise HTTPException(429, "too many attempts", headers=_LATER)

    def failed(self, address: str) -> None:
        """Note that what came from there was refused."""
        self._failures.take(address, self._clock())


def create_app(desk: EnrolmentDesk, gate: Gate | None = None) -> FastAPI:
    """The service; it holds nothing but the counts of attempts."""
    app = FastAPI(title="Wearcast enrolment", docs_url=None, redoc_url=None, openapi_url=None)
    doors = Gate() if gate is None else gate

    @app.get(f"{PREFIX}/cacerts")
    def cacerts() -> Response:
        return _certificates(desk.trusted_pem)

    @app.post(f"{PREFIX}/simpleenroll")
    async def simpleenroll(request: Request, body: Annotated[bytes, Depends(_body)]) -> Response:
        device, token = _basic(request)
        address = request.client.host if request.client is not None else ""
        doors.check(address)
        try:
            answer = await _answer(lambda: desk.enrol(device, token, _decoded(body)))
        except HTTPException as refusal:
            if refusal.status_code == 400:
                doors.failed(address)
            raise
        if isinstance(answer, Refused):
            doors.failed(address)
            raise HTTPException(401, _REFUSED, headers={"WWW-Authenticate": 'Basic realm="enrolment"'})
        return _certificates(answer.chain_pem)

    @app.post(f"{PREFIX}/simplereenroll")
    async def simplereenroll(request: Request, body: Annotated[bytes, Depends(_body)]) -> Response:
        pem = _pem(_header(request, CERTIFICATE_HEADER))
        proof = _header(request, PROOF_HEADER)
        answer = await _answer(lambda: desk.renew(pem, proof, _decoded(body)))
        if isinstance(answer, Refused):
            raise HTTPException(403, _REFUSED)
        return _certificates(answer.chain_pem)

    return app


async def _answer(decide: Callable[[], IssuedCertificate | Refused]) -> IssuedCertificate | Refused:
    try:
        return await run_in_threadpool(decide)
    except TooOften as error:
        log.warning("%s", error)
        raise HTTPException(429, "too many certificates", headers=_LATER) from error
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    except (DatabaseError, psycopg.OperationalError, PoolTimeout) as error:
        log.warning("no certificate can be given without the database: %s", error)
        raise HTTPException(503, "the database is away", headers=_LATER) from error


async def _body(request: Request) -> bytes:
    taken = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                taken += chunk
                if len(taken) > LARGEST_BODY_BYTES:
                    raise HTTPException(413, f"a request has at most {LARGEST_BODY_BYTES} bytes")
    except TimeoutError as error:
        raise HTTPException(408, f"a request arrives within {_BODY_SECONDS:g} s") from error
    return bytes(taken)


def _basic(request: Request) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        device, colon, token = base64.b64decode(encoded, validate=True).decode("ascii").partition(":")
    except ValueError:  # not base64, or what it holds is not ASCII
        device = colon = token = ""
    if scheme.lower() != "basic" or not colon or DEVICE_ID.fullmatch(device) is None:
        raise HTTPException(401, _REFUSED, headers={"WWW-Authenticate": 'Basic realm="enrolment"'})
    return device, token


def _header(request: Request, name: str) -> bytes:
    try:
        return base64.b64decode(request.headers[name], validate=True)
    except (KeyError, ValueError) as error:
        raise HTTPException(400, f"the header {name} is missing, or not base64") from error


def _decoded(body: bytes) -> bytes:
    try:
        return base64.b64decode(body)  # with line breaks (RFC 8951, 3)
    except binascii.Error as error:
        raise ValueError("the body is not base64 (RFC 7030, 4.2.1)") from error


def _pem(der: bytes) -> bytes:
    """A certificate from the wire as what is read by everything else here."""
    encoded = base64.encodebytes(der).decode("ascii")
    return f"-----BEGIN CERTIFICATE-----\n{encoded}-----END CERTIFICATE-----\n".encode()


def _certificates(pem: bytes) -> Response:
    """As RFC 7030, 4.1.3, has it: PKCS#7 that holds certificates alone, base64."""
    der = pkcs7.serialize_certificates(x509.load_pem_x509_certificates(pem), Encoding.DER)
    return Response(base64.encodebytes(der), media_type=_PKCS7, headers={"Content-Transfer-Encoding": "base64"})
