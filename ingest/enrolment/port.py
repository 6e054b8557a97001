"""What enrolment needs of a certificate authority. The composition root passes one that signs.

Records here are public: keys of devices never leave them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class SigningRequest:
    """A checked certificate request (PKCS#10): its signature is of its own key, which is EC P-256 or P-384."""

    common_name: str
    key_digest: bytes  # SHA-256 of the public key (SubjectPublicKeyInfo)
    der: bytes


@dataclass(frozen=True, kw_only=True)
class PresentCertificate:
    """A certificate of this authority as a device shows it: whose, until when. It may have ended, or be revoked."""

    device_id: str
    generation: int
    serial: str  # hexadecimal
    fingerprint: str  # SHA-256, hexadecimal
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, kw_only=True)
class IssuedCertificate:
    """A certificate that was given out, with those between it and the root."""

    device_id: str
    generation: int
    serial: str
    fingerprint: str
    not_before: datetime
    not_after: datetime
    chain_pem: bytes


@dataclass(frozen=True, kw_only=True)
class RevokedSerial:
    """One line of a revocation list."""

    serial: str
    revoked_at: datetime


class Signer(Protocol):
    """The authority. Its ValueErrors say what is wrong with what a device sent, and repeat no secret."""

    @property
    def trusted_pem(self) -> bytes:
        """What devices and brokers trust: the authority's certificate, and those above it."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the authority's certificate, hexadecimal."""
        ...

    def read_request(self, der: bytes) -> SigningRequest:
        """Check a request; ValueError where it is none, or its key is of another kind or not its own."""
        ...

    def sign_request(
        self, request: SigningRequest, *, device_id: str, generation: int, valid_seconds: float
    ) -> IssuedCertificate:
        """Certify the request's key. Nothing but the key is taken from the request."""
        ...

    def read_present(self, pem: bytes, *, proof: bytes, signed: bytes) -> PresentCertificate:
        """Check that a certificate is of this authority, and that ``proof`` is its key's signature of ``signed``."""
        ...

    def sign_revocations(
        self, revoked: Sequence[RevokedSerial], *, number: int, valid_days: int
    ) -> tuple[bytes, datetime, datetime]:
        """A revocation list, PEM, when it was issued, and when the next one has to be there."""
        ...
