"""The certificate authority of a folder as what enrolment needs: :class:`ingest.enrolment.port.Signer`."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from firmware_profiles import certificates
from firmware_profiles.authority import Authority
from ingest.enrolment.port import IssuedCertificate, PresentCertificate, RevokedSerial, SigningRequest
from telemetry.subject import device_subject, generation_of
from telemetry.topics import require_device_id

_BACKDATED_SHARE: Final = 10  # a certificate of seconds must not seem to have lasted for a day


class AuthoritySigner:
    """Signs with the key of a folder; nothing but a request's key gets into a certificate."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    @property
    def trusted_pem(self) -> bytes:
        """The authority's certificate, those above it, roots that are trusted beside it, and what vouches for them."""
        return self._authority.announced_pem

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the authority's certificate."""
        return certificates.fingerprint(self._authority.certificate)

    def read_request(self, der: bytes) -> SigningRequest:
        """See :meth:`Signer.read_request`."""
        common_name, key = certificates.read_request(der)
        digest = hashlib.sha256(certificates.public_key_der(key)).digest()
        return SigningRequest(common_name=common_name, key_digest=digest, der=der)

    def sign_request(
        self, request: SigningRequest, *, device_id: str, generation: int, valid_seconds: float
    ) -> IssuedCertificate:
        """See :meth:`Signer.sign_request`; the certificate ends with the authority at the latest."""
        _, key = certificates.read_request(request.der)
        valid = timedelta(seconds=round(valid_seconds))
        certificate = self._authority.certify(
            device_subject(device_id, generation),
            key,
            min(self._authority.now() + valid, self._authority.ends),
            usages=[ExtendedKeyUsageOID.CLIENT_AUTH],
            backdated=min(certificates.BACKDATED, valid / _BACKDATED_SHARE),
        )
        chain = (certificate, *self._authority.intermediates)
        return IssuedCertificate(
            device_id=device_id,
            generation=generation,
            serial=f"{certificate.serial_number:x}",
            fingerprint=certificates.fingerprint(certificate),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            chain_pem=b"".join(map(certificates.certificate_pem, chain)),
        )

    def read_present(self, pem: bytes, *, proof: bytes, signed: bytes) -> PresentCertificate:
        """See :meth:`Signer.read_present`."""
        certificate, key = certificates.read_certificate(pem)
        if not self._authority.has_issued(certificate):
            raise ValueError("the certificate is not of this authority")
        try:
            usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except x509.ExtensionNotFound as error:
            raise ValueError("the certificate is no device's") from error
        if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
            raise ValueError("the certificate is no device's")
        certificates.require_signature(key, proof, signed)
        subject = certificates.subject_of(certificate.subject)
        return _present(certificate, require_device_id(subject.common_name), generation_of(subject))

    def sign_revocations(
        self, revoked: Sequence[RevokedSerial], *, number: int, valid_days: int
    ) -> tuple[bytes, datetime, datetime]:
        """See :meth:`Signer.sign_revocations` (RFC 5280, 5)."""
        now = self._authority.now()
        until = now + timedelta(days=valid_days)
        key = self._authority.key
        unsigned = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._authority.certificate.subject)
            .last_update(now - certificates.BACKDATED)
            .next_update(until)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        )
        for entry in revoked:
            unsigned = unsigned.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(int(entry.serial, 16))
                .revocation_date(entry.revoked_at)
                .build()
            )
        return unsigned.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), now, until

    def journal(self) -> list[PresentCertificate]:
        """What was given to devices without the enrolment service: the bundles' certificates."""
        return [_present(certificate, device, 0) for device, certificate in self._authority.journal()]


def _present(certificate: x509.Certificate, device: str, generation: int) -> PresentCertificate:
    return PresentCertificate(
        device_id=device,
        generation=generation,
        serial=f"{certificate.serial_number:x}",
        fingerprint=certificates.fingerprint(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )
