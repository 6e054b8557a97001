"""Roots beside the flashed one: taken from the enrolment service, which a root that is trusted already vouches for.

So a new root reaches dongles before the old one ends (RFC 7030, 4.1.3). What was learned stays until it ends by itself:
an answer that leaves a root out takes nothing away, as it may be of a service that knows less.
"""

import logging
from pathlib import Path
from typing import Final

from edge_agent.enrolment import openssl, service
from edge_agent.enrolment.identity import Identity
from edge_agent.errors import EnrolmentError

log = logging.getLogger(__name__)

_MOST: Final = 8  # learned roots; a change of the root needs one


def trusted_files(flashed: Path | None, identity: Identity) -> tuple[Path, ...]:
    """Files of the roots by which the enrolment service is known; none where the system's authorities vouch for it."""
    if flashed is None:
        return ()
    return (flashed, identity.anchors) if identity.anchors.exists() else (flashed,)


def learn(url: str, flashed: Path | None, identity: Identity) -> None:
    """Ask which roots to trust, and keep those that are new.

    Only over a connection that a trusted root of ours vouches for, never by the system's authorities. EnrolmentError
    where the service cannot be asked: it is tried again, so that who has renewed knows the roots of that day. An answer
    that cannot be used is told, and keeps no certificate from coming.
    """
    if flashed is None:
        return
    given = service.cacerts(url, trusted_files(flashed, identity))
    try:
        known = openssl.split(identity.anchors.read_bytes()) if identity.anchors.exists() else []
        flashed_ones = openssl.split(flashed.read_bytes())
        offered = openssl.split(openssl.certificates(given))
        _keep(identity, known, [each for each in offered if each not in flashed_ones])
    except (EnrolmentError, OSError) as error:
        log.warning("the roots to trust are not known anew: %s", error)


def _keep(identity: Identity, known: list[bytes], given: list[bytes]) -> None:
    kept = [each for each in known if not openssl.has_ended(each)]
    fresh = [each for each in dict.fromkeys(given) if each not in kept and _is_root(identity, each)]
    kept = (kept + fresh)[:_MOST]
    if kept != known:
        identity.keep_anchors(b"".join(kept))
        log.info("%d roots are trusted beside the flashed one", len(kept))


def _is_root(identity: Identity, pem: bytes) -> bool:
    with identity.beside("candidate.pem", pem) as file:
        return openssl.is_root(pem, file)
