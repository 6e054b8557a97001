"""The project's own certificate authority: it gives each device the certificate its id is taken from (CN = device id).

It lives in a folder the user names, made on first use: ``ca.pem`` and ``ca-key.pem`` (mode 0600). Whoever has that key
can speak as any device, so it is never part of a bundle. ``ca.pem`` of an issuing authority, whose root stays offline,
holds its own certificate first and those above it after it: whoever trusts the file trusts the whole chain.
``former.pem`` holds the issuing authorities before it, whose certificates may be exchanged for one of this.
``also-trusted.pem`` and ``vouched.pem`` are for another root (:mod:`firmware_profiles.roots`).
``issued.jsonl`` notes what was given to devices without the enrolment service, so that it can be revoked.

Needs ``cryptography`` (the backend extra); nothing on the dongle imports this module.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from firmware_profiles import certificates
from firmware_profiles.errors import AuthorityError
from firmware_profiles.roots import also_trusted, key_of_root, read_certificates, vouched, write_roots
from telemetry.subject import Subject, device_subject, service_subject

CERTIFICATE_FILE: Final = "ca.pem"
KEY_FILE: Final = "ca-key.pem"
JOURNAL_FILE: Final = "issued.jsonl"
FORMER_FILE: Final = "former.pem"
AUTHORITY_DAYS: Final = 3650
ISSUING_DAYS: Final = 1095
DEVICE_DAYS: Final = 1095  # of what a bundle holds
_ROOT_NAME: Final = "Wearcast certificate authority"
_ISSUING_NAME: Final = "Wearcast issuing authority"
_NODE_NAME: Final = "node.wearcast"  # with a dot, which no device id may hold
_CLIENT: Final = (ExtendedKeyUsageOID.CLIENT_AUTH,)
_SERVER: Final = (ExtendedKeyUsageOID.SERVER_AUTH,)


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
        chain: Sequence[x509.Certificate],
        key: ec.EllipticCurvePrivateKey,
        folder: Path,
        former: Sequence[x509.Certificate] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._former = tuple(former)
        self._chain = tuple(chain)  # its own certificate first
        self._certificate = self._chain[0]
        self._key = key
        self._folder = folder
        self._clock = clock

    @classmethod
    def open_or_create(cls, folder: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> "Authority":
        """The authority in the folder; a new one where there is none. AuthorityError where only half of it is there."""
        if not (folder / CERTIFICATE_FILE).is_file() and not (folder / KEY_FILE).is_file():
            _create(folder, clock())
        return cls.open(folder, clock=clock)

    @classmethod
    def open(cls, folder: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> "Authority":
        """The authority in the folder. AuthorityError where there is none, or others may read its key."""
        certificate_file, key_file = folder / CERTIFICATE_FILE, folder / KEY_FILE
        for missing in (certificate_file, key_file):
            if not missing.is_file():
                raise AuthorityError(f"{missing} is missing beside its other half; restore it, or name another folder")
        try:
            mode = key_file.stat().st_mode & 0o777
            chain = x509.load_pem_x509_certificates(certificate_file.read_bytes())
            former = _former(folder)
            key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise AuthorityError(f"{folder}: the authority cannot be read: {error}") from error
        if mode & 0o077:
            raise AuthorityError(
                f"{key_file} can be read by others (mode {mode:04o}); chmod 600 it, and consider it known"
            )
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != chain[0].public_key():
            raise AuthorityError(f"{key_file} is not the key of {certificate_file}; restore the pair")
        if min(certificate.not_valid_after_utc for certificate in chain) <= clock():
            raise AuthorityError(f"{certificate_file} has expired; name another folder to begin a new authority")
        return cls(chain=chain, key=key, folder=folder, former=former, clock=clock)

    @property
    def certificate_pem(self) -> bytes:
        """What brokers and devices trust: the authority's own certificate, and those above it."""
        return b"".join(map(certificates.certificate_pem, self._chain))

    @property
    def certificate(self) -> x509.Certificate:
        """The authority's own certificate."""
        return self._certificate

    @property
    def trusted_pem(self) -> bytes:
        """The same with the roots that are trusted beside it, while one root takes another's place."""
        return self.certificate_pem + b"".join(map(certificates.certificate_pem, also_trusted(self._folder)))

    @property
    def announced_pem(self) -> bytes:
        """The same with what vouches for these roots: the answer to devices that ask whom to trust."""
        return self.trusted_pem + b"".join(map(certificates.certificate_pem, vouched(self._folder)))

    def trust(self, root: x509.Certificate, *, by: "Authority") -> None:
        """Have devices trust another root too. ``by``: the root they trust by now, which vouches for it with its key.

        AuthorityError where either is no such root, or has ended.
        """
        known, vouching = also_trusted(self._folder), vouched(self._folder)
        key = key_of_root(root, self.now())
        if by.certificate not in (self._chain[-1], *known):
            raise AuthorityError("devices take a root from the one they trust: name the folder of that with --root")
        if root == self._chain[-1] or any(each.public_key() == key for each in vouching):
            return
        try:
            subject = certificates.subject_of(root.subject)
        except ValueError as error:
            raise AuthorityError(f"{error}; make a root: wearcast enrolment authority --out FOLDER") from error
        crossed = by.certify(subject, key, min(by.ends, root.not_valid_after_utc), path_length=1)
        write_roots(self._folder, [*(each for each in known if each != root), root], [*vouching, crossed])

    def has_issued(self, certificate: x509.Certificate) -> bool:
        """Whether this authority, one above it, or one whose place it took signed it; it may have ended."""
        for issuer in (*self._chain, *self._former):
            try:
                certificate.verify_directly_issued_by(issuer)
            except Exception:  # noqa: BLE001, S112 - another issuer, signature, algorithm: a stranger's certificate
                continue
            return True
        return False

    @property
    def intermediates(self) -> tuple[x509.Certificate, ...]:
        """What stands between a certificate given here and the root: shown along with it."""
        return tuple(each for each in self._chain if each.subject != each.issuer)

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        """What signs. It stays within the process."""
        return self._key

    @property
    def ends(self) -> datetime:
        """When the authority itself ends: nothing it gives is valid for longer."""
        return min(certificate.not_valid_after_utc for certificate in self._chain)

    @property
    def days_left(self) -> int:
        """Whole days until the authority ends."""
        return (self.ends - self.now()).days

    def now(self) -> datetime:
        """The time, to the second: certificates hold no fractions."""
        return self._clock().replace(microsecond=0)

    def issue_device_certificate(self, device_id: str, valid_days: int | None = None) -> Credentials:
        """A client certificate of generation 0 with a key made here; its CN is the only name it may publish under.

        Without ``valid_days`` for three years, or until the authority ends.
        """
        days = min(DEVICE_DAYS, self.days_left) if valid_days is None else valid_days
        try:
            subject = device_subject(device_id, 0)
        except ValueError as error:
            raise AuthorityError(str(error)) from error
        given = self._issue(subject, _CLIENT, days, names=())
        self._note(device_id, given)
        return given

    def issue_service_certificate(self, service: str, valid_days: int = 365) -> Credentials:
        """A client certificate of a service of the backend, whose CN no device can have."""
        try:
            subject = service_subject(service)
        except ValueError as error:
            raise AuthorityError(str(error)) from error
        return self._issue(subject, _CLIENT, valid_days, names=())

    def issue_server_certificate(self, names: Sequence[str], valid_days: int = 365) -> Credentials:
        """A certificate for a server, valid for the host names and addresses it is reached by."""
        if not names:
            raise AuthorityError("a server certificate needs the host name or address devices reach the broker by")
        return self._issue(Subject(common_name=names[0]), _SERVER, valid_days, names=names)

    def issue_node_certificate(self, names: Sequence[str], valid_days: int = 365) -> Credentials:
        """A server's for a node of a cluster, which is a client of the other nodes too and shows it to them."""
        if not names:
            raise AuthorityError("a node's certificate needs the host name or address it is reached by")
        # Not by the host's name: what a client may show must not be taken for a device.
        return self._issue(Subject(common_name=_NODE_NAME), (*_SERVER, *_CLIENT), valid_days, names=names)

    def issue_authority(self, folder: Path, valid_days: int = ISSUING_DAYS, *, follows: Path | None = None) -> None:
        """Make an issuing authority in the folder, so that the root can stay offline.

        ``follows``: folder of one in whose place it comes, below this root, or below another whose devices were told to
        trust this one too. AuthorityError where it is neither.
        """
        former: tuple[x509.Certificate, ...] = ()
        also: tuple[x509.Certificate, ...] = ()
        if follows is not None:
            before = read_certificates(follows / CERTIFICATE_FILE)
            former, also = (before[0], *_former(follows)), also_trusted(follows)
            if not self.has_issued(former[0]):
                if self._certificate not in also:
                    raise AuthorityError(
                        f"{follows} is no authority below this root, and its devices do not trust this one: wearcast"
                        f" enrolment trust {self._folder / CERTIFICATE_FILE} --ca {follows} --root ROOT"
                    )
                also = (before[-1], *also)
        constraint = self._certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        if constraint.path_length == 0:
            raise AuthorityError("this authority may not certify another one; begin a new root in another folder")
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.certify(
            Subject(common_name=_ISSUING_NAME), key.public_key(), self._until(valid_days), path_length=0
        )
        _write(folder, key, (certificate, *self._chain))
        if former:
            (folder / FORMER_FILE).write_bytes(b"".join(map(certificates.certificate_pem, former)))
        if others := [each for each in also if each != self._certificate]:
            assert follows is not None
            write_roots(folder, others, vouched(follows))

    def certify(
        self,
        subject: Subject,
        key: ec.EllipticCurvePublicKey,
        until: datetime,
        *,
        usages: Sequence[x509.ObjectIdentifier] = (),
        names: Sequence[str] = (),
        path_length: int | None = None,
        backdated: timedelta = certificates.BACKDATED,
    ) -> x509.Certificate:
        """Sign a certificate of this key; with ``path_length`` it is an authority's."""
        signs = path_length is not None
        unsigned = (
            certificates.builder(subject, self._certificate.subject, key, self.now() - backdated, until)
            .add_extension(x509.BasicConstraints(ca=signs, path_length=path_length), critical=True)
            .add_extension(certificates.key_usage(signs_certificates=signs), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if usages:
            unsigned = unsigned.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names:
            unsigned = unsigned.add_extension(certificates.alternative_names(names), critical=False)
        return unsigned.sign(self._key, hashes.SHA256())

    def journal(self) -> Iterator[tuple[str, x509.Certificate]]:
        """Device and certificate of all that :meth:`issue_device_certificate` gave."""
        file = self._folder / JOURNAL_FILE
        for line in file.read_text("utf-8").splitlines() if file.exists() else ():
            try:
                entry = json.loads(line)
                yield entry["device"], x509.load_pem_x509_certificate(entry["certificate"].encode())
            except (ValueError, KeyError) as error:
                raise AuthorityError(
                    f"{file} is damaged ({error}); restore it: what it names can be revoked"
                ) from error

    def _issue(
        self, subject: Subject, usages: Sequence[x509.ObjectIdentifier], valid_days: int, names: Sequence[str]
    ) -> Credentials:
        until = self._until(valid_days)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.certify(subject, key.public_key(), until, usages=usages, names=names)
        shown = b"".join(map(certificates.certificate_pem, (certificate, *self.intermediates)))
        return Credentials(certificate_pem=shown, key_pem=certificates.key_pem(key))

    def _until(self, valid_days: int) -> datetime:
        if valid_days < 1:
            raise AuthorityError(f"{valid_days} days: a certificate is valid for at least one day")
        until = self.now() + timedelta(days=valid_days)
        if until > self.ends:
            raise AuthorityError(
                f"the authority itself ends in {self.days_left} days; ask for at most that, or begin a new one"
            )
        return until

    def _note(self, device_id: str, given: Credentials) -> None:
        certificate = x509.load_pem_x509_certificate(given.certificate_pem)
        entry = {"device": device_id, "certificate": certificates.certificate_pem(certificate).decode()}
        try:
            with (self._folder / JOURNAL_FILE).open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise AuthorityError(
                f"{self._folder / JOURNAL_FILE} cannot be written ({error.strerror}): what is not noted there could "
                "not be revoked later"
            ) from error


def _create(folder: Path, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    now = now.replace(microsecond=0)
    subject = Subject(common_name=_ROOT_NAME)
    until = now + timedelta(days=AUTHORITY_DAYS)
    certificate = (
        certificates.builder(
            subject, certificates.name_of(subject), key.public_key(), now - certificates.BACKDATED, until
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(certificates.key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(folder, key, (certificate,))


def _write(folder: Path, key: ec.EllipticCurvePrivateKey, chain: Sequence[x509.Certificate]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_secret(folder / KEY_FILE, certificates.key_pem(key))
        (folder / CERTIFICATE_FILE).write_bytes(b"".join(map(certificates.certificate_pem, chain)))
    except OSError as error:
        raise AuthorityError(f"{folder}: the authority cannot be written: {error.strerror}") from error


def _former(folder: Path) -> tuple[x509.Certificate, ...]:
    file = folder / FORMER_FILE
    return read_certificates(file) if file.exists() else ()


def write_secret(path: Path, content: bytes) -> None:
    """Write a new file only its owner can read; it never exists with another mode, and is never overwritten."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
