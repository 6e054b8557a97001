"""Roots beside the flashed one: from the enrolment service, if a root that is trusted already has signed for them.

So a new root reaches dongles before the old one ends (RFC 7030, 4.1.3). The service's word alone is not enough: its
machine, and the issuing authority on it, are online and may be broken into; the root's key is not there. What was
learned stays until it ends by itself: an answer that leaves a root out takes nothing away, as it may be of a service
that knows less.
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

    Only over a connection that a trusted root of ours vouches for, never by the system's authorities; and only those
    for whose key such a root has made a certificate ("new with old", RFC 4210, 4.4). EnrolmentError where the service
    cannot be asked: it is tried again, so that who has renewed knows the roots of that day. An answer that cannot be
    used is told, and keeps no certificate from coming.
    """
    if flashed is None:
        return
    given = service.cacerts(url, trusted_files(flashed, identity))
    try:
        known = openssl.split(identity.anchors.read_bytes()) if identity.anchors.exists() else []
        _keep(identity, openssl.split(flashed.read_bytes()), known, openssl.split(openssl.certificates(given)))
    except (EnrolmentError, OSError) as error:
        log.warning("the roots to trust are not known anew: %s", error)


def _keep(identity: Identity, flashed: list[bytes], known: list[bytes], given: list[bytes]) -> None:
    kept = [each for each in known if not openssl.has_ended(each)]
    trusted = [*flashed, *kept]
    offered = [each for each in dict.fromkeys(given) if each not in trusted and _is_root(identity, each)]
    if offered:
        roots = [each for each in trusted if _is_root(identity, each)]
        kept = (kept + [each for each in offered if _is_vouched_for(identity, each, given, roots)])[:_MOST]
    if kept != known:
        identity.keep_anchors(b"".join(kept))
        log.info("%d roots are trusted beside the flashed one", len(kept))


def _is_root(identity: Identity, pem: bytes) -> bool:
    with identity.beside("candidate.pem", pem) as file:
        return openssl.is_root(pem, file)


def _is_vouched_for(identity: Identity, root: bytes, given: list[bytes], roots: list[bytes]) -> bool:
    """Whether one of ``roots`` signed a certificate of the same key; what stands between them does not count."""
    key = openssl.public_key(root)
    for each in given:
        if each == root or openssl.public_key(each) != key:
            continue
        with identity.beside("candidate.pem", each) as file, identity.beside("roots.pem", b"".join(roots)) as trusted:
            if openssl.is_authority_by(each, file, trusted):
                return True
    log.warning("a root that no trusted one has signed for is not taken")
    return False
