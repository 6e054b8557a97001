"""The enrolment service as the dongle speaks to it: EST (RFC 7030) over HTTPS, with authorities of ours alone.

``trusted``: files of authorities, the flashed one first; none: the system's vouch for the service.
"""

import base64
import binascii
import http.client
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edge_agent.errors import EnrolmentError

PATH: Final = "/.well-known/est/"
CERTIFICATE_HEADER: Final = "Wearcast-Certificate"
PROOF_HEADER: Final = "Wearcast-Proof"
_SECONDS: Final = 30.0
_LARGEST_BYTES: Final = 65_536


class EnrolmentRefusedError(EnrolmentError):
    """The service does not give a certificate; trying again soon changes nothing."""

    def __init__(self, text: str, *, token: bool = False) -> None:
        """``token``: it is the token that is not accepted."""
        super().__init__(text)
        self.token = token


def cacerts(url: str, trusted: Sequence[Path]) -> bytes:
    """What devices are to trust (RFC 7030, 4.1): PKCS#7, DER. EnrolmentError where ``trusted`` do not vouch for it."""
    return _ask(url, trusted, "GET", "cacerts")


def enrol(url: str, trusted: Sequence[Path], *, device: str, token: str, request: bytes) -> bytes:
    """A first certificate: PKCS#7, DER. The token goes into the body of TLS, never into an error's text."""
    credentials = base64.b64encode(f"{device}:{token}".encode()).decode("ascii")
    return _post(url, trusted, "simpleenroll", request, {"Authorization": f"Basic {credentials}"})


def renew(url: str, trusted: Sequence[Path], *, certificate_der: bytes, proof: bytes, request: bytes) -> bytes:
    """The next certificate: PKCS#7, DER. ``proof`` is the request, signed by the present key."""
    headers = {
        CERTIFICATE_HEADER: base64.b64encode(certificate_der).decode("ascii"),
        PROOF_HEADER: base64.b64encode(proof).decode("ascii"),
    }
    return _post(url, trusted, "simplereenroll", request, headers)


def _post(url: str, trusted: Sequence[Path], operation: str, request: bytes, headers: dict[str, str]) -> bytes:
    told = {"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64", **headers}
    return _ask(url, trusted, "POST", operation, base64.b64encode(request), told)


def _ask(
    url: str,
    trusted: Sequence[Path],
    method: str,
    operation: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    parts = urlsplit(url)
    where = f"{parts.hostname}:{parts.port or 443}"
    connection: http.client.HTTPSConnection | None = None
    try:
        context = ssl.create_default_context(cafile=str(trusted[0]) if trusted else None)
        for more in trusted[1:]:
            context.load_verify_locations(more)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port or 443, timeout=_SECONDS, context=context
        )
        connection.request(method, parts.path.rstrip("/") + PATH + operation, body=body, headers=headers or {})
        answer = connection.getresponse()
        told = answer.read(_LARGEST_BYTES)
    except ssl.SSLCertVerificationError as error:
        raise EnrolmentError(
            f"the enrolment service at {where} is not of the flashed authority, or this machine's clock is wrong: "
            f"{error.verify_message}"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise EnrolmentError(f"the enrolment service at {where} cannot be reached: {error}") from error
    finally:
        if connection is not None:
            connection.close()
    return _content(answer.status, told, where)


def _content(status: int, body: bytes, where: str) -> bytes:
    if status in {400, 401, 403}:
        meaning = {
            400: "it cannot read the request",
            401: "it does not accept the token: ask for another one (wearcast enrolment token)",
            403: "it does not renew this certificate: enrol the device anew with a token",
        }
        raise EnrolmentRefusedError(f"the enrolment service at {where} refuses: {meaning[status]}", token=status == 401)
    if status != 200:
        raise EnrolmentError(f"the enrolment service at {where} answers with status {status}; it is asked again")
    try:
        return base64.b64decode(body)
    except binascii.Error as error:
        raise EnrolmentError(f"the enrolment service at {where} answers with what is no certificate") from error
