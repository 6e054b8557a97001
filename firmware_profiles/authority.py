"""The project's own certificate authority: it gives each device the certificate its id is taken from (CN = device id).

It lives in a folder the user names, made on first use: ``ca.pem`` and ``ca-key.pem`` (mode 0600). Whoever has that key
can speak as any device, so it stays on the workstation and is never part of a bundle. EC P-256 with SHA-256 throughout
(FIPS 186-5): small certificates, and little work in a handshake.

Needs ``cryptography`` (the backend extra); nothing on the dongle imports this module.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firmware_profiles.errors import AuthorityError
from telemetry.topics import require_device_id

CERTIFICATE_FILE = "ca.pem"
KEY_FILE = "ca-key.pem"
AUTHORITY_DAYS = 3650
# A dongle without a battery-backed clock starts in the past; its certificate must not seem to come from the future.
_BACKDATED = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A certificate and its private key, PEM. The key is left out of ``repr``: it must not reach a log."""

    certificate_pem: bytes
    key_pem: bytes

    def __repr__(self) -> str:
        return f"Credentials(certificate_pem={len(self.certificate_pem)} bytes, key_pem=…)"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate in hexadecimal: what two people compare on the telephone."""
        return x509.load_pem_x509_certificate(self.certificate_pem).fingerprint(hashes.SHA256()).hex(":")


class Authority:
    """The authority of one folder; :meth:`open_or_create` makes one."""

    def __init__(
        self,
        *,
        certificate: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._certificate = certificate
        self._key = key
        self._clock = clock

    @classmethod
    def open_or_create(cls, folder: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> "Authority":
        """The authority in the folder; a new one where there is none. AuthorityError where only half of it is there."""
        certificate_file, key_file = folder / CERTIFICATE_FILE, folder / KEY_FILE
        found = certificate_file.is_file(), key_file.is_file()
        if found == (False, False):
            _create(folder, clock())
        elif not all(found):
            missing = certificate_file if not found[0] else key_file
            raise AuthorityError(f"{missing} is missing beside its other half; restore it, or name another folder")
        return cls._open(certificate_file, key_file, clock)

    @classmethod
    def _open(cls, certificate_file: Path, key_file: Path, clock: Callable[[], datetime]) -> "Authority":
        try:
            mode = key_file.stat().st_mode & 0o777
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
            key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise AuthorityError(f"{key_file.parent}: the authority cannot be read: {error}") from error
        if mode & 0o077:
            raise AuthorityError(
                f"{key_file} can be read by others (mode {mode:04o}); chmod 600 it, and consider it known"
            )
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise AuthorityError(f"{key_file} is not the key of {certificate_file}; restore the pair")
        if certificate.not_valid_after_utc <= clock():
            raise AuthorityError(f"{certificate_file} has expired; name another folder to begin a new authority")
        return cls(certificate=certificate, key=key, clock=clock)

    @property
    def certificate_pem(self) -> bytes:
        """The authority's own certificate: what brokers and devices trust."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue_device_certificate(self, device_id: str, valid_days: int = 1095) -> Credentials:
        """A client certificate whose CN is the device id, the only name the broker lets the device publish under."""
        try:
            require_device_id(device_id)
        except ValueError as error:
            raise AuthorityError(str(error)) from error
        return self._issue(device_id, ExtendedKeyUsageOID.CLIENT_AUTH, valid_days, names=())

    def issue_server_certificate(self, names: Sequence[str], valid_days: int = 365) -> Credentials:
        """A certificate for a broker, valid for the host names and addresses devices reach it by."""
        if not names:
            raise AuthorityError("a server certificate needs the host name or address devices reach the broker by")
        return self._issue(names[0], ExtendedKeyUsageOID.SERVER_AUTH, valid_days, names=names)

    def _issue(
        self, common_name: str, usage: x509.ObjectIdentifier, valid_days: int, names: Sequence[str]
    ) -> Credentials:
        if valid_days < 1:
            raise AuthorityError(f"{valid_days} days: a certificate is valid for at least one day")
        now = self._clock()
        until = now + timedelta(days=valid_days)
        if until > self._certificate.not_valid_after_utc:
            left = (self._certificate.not_valid_after_utc - now).days
            raise AuthorityError(f"the authority itself ends in {left} days; ask for at most that, or begin a new one")
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(common_name, self._certificate.subject, key.public_key(), now, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
            )
        certificate = builder.sign(self._key, hashes.SHA256())
        return Credentials(certificate_pem=certificate.public_bytes(serialization.Encoding.PEM), key_pem=_key_pem(key))


def _create(folder: Path, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Wearcast certificate authority")
    certificate = (
        _builder("Wearcast certificate authority", name, key.public_key(), now, now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_secret(folder / KEY_FILE, _key_pem(key))
        (folder / CERTIFICATE_FILE).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    except OSError as error:
        raise AuthorityError(f"{folder}: the authority cannot be written: {error.strerror}") from error


def write_secret(path: Path, content: bytes) -> None:
    """Write a new file only its owner can read; it never exists with another mode, and is never overwritten."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _builder(
    common_name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
