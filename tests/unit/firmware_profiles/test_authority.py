"""Certificates: who may be whom, checked by TLS itself, and keys nobody else can read."""

import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firmware_profiles.authority import Authority, Credentials, write_secret
from firmware_profiles.errors import AuthorityError

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


def at(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment


def test_the_authority_is_made_once_and_opened_again(tmp_path: Path) -> None:
    first = Authority.open_or_create(tmp_path / "ca")
    second = Authority.open_or_create(tmp_path / "ca")
    assert first.certificate_pem == second.certificate_pem
    assert (tmp_path / "ca" / "ca-key.pem").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ca").stat().st_mode & 0o777 == 0o700


def test_a_device_certificate_names_the_device_and_is_for_clients_only(tmp_path: Path) -> None:
    authority = Authority.open_or_create(tmp_path, clock=at(NOW))
    issued = authority.issue_device_certificate("car-7", valid_days=30)
    certificate = x509.load_pem_x509_certificate(issued.certificate_pem)
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == "car-7"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert certificate.not_valid_after_utc == NOW + timedelta(days=30)
    assert certificate.not_valid_before_utc < NOW
    public_key = certificate.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    assert public_key.curve.name == "secp256r1"


def handshake(tmp_path: Path, authority: Authority, client: Credentials) -> str:
    """CN the server sees, over a real TLS 1.3 handshake."""
    server = authority.issue_server_certificate(["broker.example", "127.0.0.1"])
    files = {}
    for who, credentials in (("server", server), ("client", client)):
        files[who] = tmp_path / f"{who}.pem", tmp_path / f"{who}-key.pem"
        files[who][0].write_bytes(credentials.certificate_pem)
        write_secret(files[who][1], credentials.key_pem)
    trusted = authority.certificate_pem.decode()
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=trusted)
    server_side.load_cert_chain(*files["server"])
    server_side.verify_mode = ssl.CERT_REQUIRED
    client_side = ssl.create_default_context(cadata=trusted)
    client_side.load_cert_chain(*files["client"])
    near, far = socket.socketpair()
    seen: list[str] = []

    def serve() -> None:
        try:
            with server_side.wrap_socket(far, server_side=True) as accepted:
                subject = dict(part[0] for part in accepted.getpeercert()["subject"])  # type: ignore[index, misc]  # typeshed's shape of getpeercert is looser than its documentation
                seen.append(str(subject["commonName"]))
                accepted.sendall(b"x")
        except ssl.SSLError:
            far.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client_side.wrap_socket(near, server_hostname="127.0.0.1") as connected:
            connected.recv(1)
    finally:
        thread.join()
    return seen[0]


def test_tls_accepts_the_device_under_its_name(tmp_path: Path) -> None:
    authority = Authority.open_or_create(tmp_path / "ca")
    assert handshake(tmp_path, authority, authority.issue_device_certificate("car-7")) == "car-7"


def test_tls_refuses_a_device_of_another_authority(tmp_path: Path) -> None:
    authority = Authority.open_or_create(tmp_path / "ca")
    other = Authority.open_or_create(tmp_path / "other")
    with pytest.raises(ssl.SSLError):
        handshake(tmp_path, authority, other.issue_device_certificate("car-7"))


def test_tls_refuses_a_server_certificate_in_place_of_a_device(tmp_path: Path) -> None:
    authority = Authority.open_or_create(tmp_path / "ca")
    with pytest.raises(ssl.SSLError):
        handshake(tmp_path, authority, authority.issue_server_certificate(["car-7"]))


def test_a_key_is_never_shown_nor_overwritten(tmp_path: Path) -> None:
    issued = Authority.open_or_create(tmp_path).issue_device_certificate("car-7")
    assert "PRIVATE" not in repr(issued)
    write_secret(tmp_path / "secret", b"one")
    with pytest.raises(FileExistsError):
        write_secret(tmp_path / "secret", b"two")
    assert (tmp_path / "secret").read_bytes() == b"one"


def test_what_cannot_be_issued_is_said(tmp_path: Path) -> None:
    authority = Authority.open_or_create(tmp_path, clock=at(NOW))
    with pytest.raises(AuthorityError, match="use 1 to 63 letters"):
        authority.issue_device_certificate("car 7")
    with pytest.raises(AuthorityError, match="at least one day"):
        authority.issue_device_certificate("car-7", valid_days=0)
    with pytest.raises(AuthorityError, match="the authority itself ends in 3650 days"):
        authority.issue_device_certificate("car-7", valid_days=4000)
    with pytest.raises(AuthorityError, match="needs the host name"):
        authority.issue_server_certificate([])


def test_unless_told_otherwise_a_bundle_s_certificate_ends_with_its_authority(tmp_path: Path) -> None:
    Authority.open_or_create(tmp_path / "root", clock=at(NOW)).issue_authority(tmp_path / "issuing")
    issuing = Authority.open(tmp_path / "issuing", clock=at(NOW + timedelta(days=1000)))
    given = x509.load_pem_x509_certificate(issuing.issue_device_certificate("car-7").certificate_pem)
    assert given.not_valid_after_utc == issuing.ends


def test_a_broken_authority_is_not_replaced(tmp_path: Path) -> None:
    Authority.open_or_create(tmp_path / "a", clock=at(NOW))
    Authority.open_or_create(tmp_path / "b", clock=at(NOW))
    key = tmp_path / "a" / "ca-key.pem"
    with pytest.raises(AuthorityError, match="has expired"):
        Authority.open_or_create(tmp_path / "a", clock=at(NOW + timedelta(days=3651)))
    key.chmod(0o644)
    with pytest.raises(AuthorityError, match=r"can be read by others \(mode 0644\)"):
        Authority.open_or_create(tmp_path / "a")
    key.chmod(0o600)
    key.write_bytes((tmp_path / "b" / "ca-key.pem").read_bytes())
    with pytest.raises(AuthorityError, match="is not the key of"):
        Authority.open_or_create(tmp_path / "a")
    key.unlink()
    with pytest.raises(AuthorityError, match=r"ca-key\.pem is missing beside its other half"):
        Authority.open_or_create(tmp_path / "a")
