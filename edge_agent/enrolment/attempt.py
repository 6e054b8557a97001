"""One attempt to get a certificate: with a token that was not used yet, otherwise by the certificate there is.

Before it the roots are asked for, so that whoever has renewed since a root was added knows it.
"""

import random
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_agent.enrolment import openssl, service
from edge_agent.enrolment.anchors import learn, trusted_files
from edge_agent.enrolment.identity import Dates, Identity
from edge_agent.enrolment.port import Order, Outcome
from edge_agent.enrolment.service import EnrolmentRefusedError
from edge_agent.errors import EnrolmentError

# Of a certificate's life: around two thirds, each dongle at another moment, so that a fleet flashed in one day does
# not ask in one hour.
RENEW_FROM: Final = 0.6
RENEW_UNTIL: Final = 0.75


def attempt(order: Order, jitter: Callable[[], float] = random.random) -> Outcome:
    """Ask once, and store what is given."""
    try:
        _ask(order, jitter)
    except EnrolmentRefusedError as error:
        return Outcome(state="refused", reason=str(error))
    except EnrolmentError as error:
        return Outcome(state="failed", reason=str(error))
    except OSError as error:
        return Outcome(state="failed", reason=f"{error.filename or order.folder}: {error.strerror or error}")
    return Outcome(state="issued")


def _ask(order: Order, jitter: Callable[[], float]) -> None:
    identity = Identity(Path(order.folder))
    token = _unused_token(order, identity)
    if token is None and not identity.present:
        raise EnrolmentRefusedError(
            f"there is neither a certificate in {order.folder} nor an unused token in {order.token_file}: "
            "flash a token (wearcast enrolment token)"
        )
    learn(order.url, None if order.ca is None else Path(order.ca), identity)
    key = identity.request_key(openssl.new_key)
    request = openssl.request(key, order.device)
    try:
        given = _given(order, identity, token, request)
    except EnrolmentRefusedError as error:
        if token is None or not error.token or not identity.present:
            raise
        identity.spend(token)  # an old one, beside a certificate that can still be renewed
        token = None
        given = _given(order, identity, token, request)
    chain = openssl.split_own(openssl.certificates(given), key)
    since, until = openssl.validity(chain)
    share = RENEW_FROM + (RENEW_UNTIL - RENEW_FROM) * jitter()
    identity.keep_next(chain, Dates(renew_at=since + share * (until - since), ends_at=until))
    if token is not None:
        identity.spend(token)
    identity.requested()


def _given(order: Order, identity: Identity, token: str | None, request: bytes) -> bytes:
    trusted = trusted_files(None if order.ca is None else Path(order.ca), identity)
    if token is not None:
        return service.enrol(order.url, trusted, device=order.device, token=token, request=request)
    return service.renew(
        order.url,
        trusted,
        certificate_der=_certificate_der(identity.pair),
        proof=openssl.sign(identity.pair, request),
        request=request,
    )


def _unused_token(order: Order, identity: Identity) -> str | None:
    if order.token_file is None:
        return None
    try:
        token = Path(order.token_file).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise EnrolmentError(f"{order.token_file} cannot be read as a token; let the agent's user read it") from error
    return None if not token or identity.has_spent(token) else token


def _certificate_der(pair: Path) -> bytes:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    text = pair.read_text(encoding="ascii", errors="replace")
    first = begin + text.partition(begin)[2].partition(end)[0] + end
    try:
        return ssl.PEM_cert_to_DER_cert(first)
    except ValueError as error:
        raise EnrolmentError(f"{pair} holds no certificate; enrol the device anew with a token") from error
