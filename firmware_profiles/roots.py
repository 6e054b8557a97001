"""Roots that devices are to trust beside an authority's own, while one takes another's place.

In the authority's folder ``also-trusted.pem`` holds them, and ``vouched.pem`` for each a certificate of its key that
the root of before has signed ("new with old", RFC 4210, 4.4). Devices take a root for the sake of that alone: whoever
breaks into an issuing authority, or the machine of the enrolment service, has no root's key and teaches them nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from firmware_profiles import certificates
from firmware_profiles.errors import AuthorityError

ALSO_FILE: Final = "also-trusted.pem"
VOUCHED_FILE: Final = "vouched.pem"


def read_certificates(file: Path) -> tuple[x509.Certificate, ...]:
    """All that a file holds. AuthorityError where it cannot be read."""
    try:
        return tuple(x509.load_pem_x509_certificates(file.read_bytes()))
    except (OSError, ValueError) as error:
        raise AuthorityError(f"{file} cannot be read as certificates: {error}") from error


def read_root(file: Path) -> x509.Certificate:
    """The root in a file, which may hold authorities below it before it. AuthorityError where it cannot be read."""
    return read_certificates(file)[-1]


def also_trusted(folder: Path) -> tuple[x509.Certificate, ...]:
    """The roots beside the folder's own: the next one first, then the former."""
    return _held(folder / ALSO_FILE)


def vouched(folder: Path) -> tuple[x509.Certificate, ...]:
    """Certificates by which a root says that another one is to be trusted."""
    return _held(folder / VOUCHED_FILE)


def write_roots(folder: Path, also: Sequence[x509.Certificate], vouching: Sequence[x509.Certificate]) -> None:
    """Keep both; who vouches first, as devices take no root without it. AuthorityError where they cannot be written."""
    for name, held in ((VOUCHED_FILE, vouching), (ALSO_FILE, also)):
        path = folder / name
        beside = path.with_name(name + ".unfinished")
        try:
            beside.write_bytes(b"".join(map(certificates.certificate_pem, held)))
            beside.replace(path)
        except OSError as error:
            raise AuthorityError(f"{path} cannot be written: {error.strerror}") from error


def key_of_root(certificate: x509.Certificate, now: datetime) -> ec.EllipticCurvePublicKey:
    """The key of a root that is valid now; AuthorityError where it is none, or has ended."""
    try:
        certificate.verify_directly_issued_by(certificate)
        signs = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except Exception as error:  # of another issuer, of an algorithm that is not known, or without extensions
        raise AuthorityError("this is no root: a root has signed itself, and may certify others") from error
    if not signs or certificate.not_valid_after_utc <= now:
        raise AuthorityError("this is no root, or it has ended; make one: wearcast enrolment authority --out FOLDER")
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise AuthorityError(
            "the root's key is on no elliptic curve; make one: wearcast enrolment authority --out FOLDER"
        )
    return key


def _held(file: Path) -> tuple[x509.Certificate, ...]:
    return read_certificates(file) if file.exists() and file.stat().st_size else ()
