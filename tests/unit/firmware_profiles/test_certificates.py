"""Requests that strangers send: what is a request, whose key it is, and that nothing else of it counts."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from firmware_profiles import certificates
from firmware_profiles.authority import Authority
from firmware_profiles.errors import AuthorityError
from ingest.enrolment.port import RevokedSerial
from telemetry.subject import Subject, device_subject, generation_of, service_subject
from wearcast.authority_signer import AuthoritySigner

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
NAME = x509.NameAttribute(NameOID.COMMON_NAME, "car-7")


def at(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment


def signer(folder: Path, now: datetime = NOW) -> AuthoritySigner:
    return AuthoritySigner(Authority.open_or_create(folder, clock=at(now)))


def request(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey,
    *names: x509.NameAttribute[str],
) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names or (NAME,)))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("broker.example")]), critical=False)
    signed = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_nothing_but_the_key_gets_into_a_certificate(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    authority = signer(tmp_path)
    read = authority.read_request(request(key, NAME, x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "g9")))
    issued = authority.sign_request(read, device_id="car-7", generation=2, valid_seconds=86_400 * 30)
    certificate = x509.load_pem_x509_certificate(issued.chain_pem)
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=car-7,OU=g2"
    extensions = certificate.extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    with pytest.raises(x509.ExtensionNotFound):
        extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=30)


@pytest.mark.parametrize(
    ("der", "said"),
    [
        (b"", "no certificate request"),
        (b"\x30" * 9000, "9000 bytes"),
        (request(rsa.generate_private_key(65537, 2048)), "P-256 or P-384"),
        (request(ed25519.Ed25519PrivateKey.generate()), "P-256 or P-384"),
        (request(ec.generate_private_key(ec.SECP521R1())), "P-256 or P-384"),
        (request(ec.generate_private_key(ec.SECP256R1()), NAME, NAME), "2 common names"),
        (
            request(ec.generate_private_key(ec.SECP256R1()), x509.NameAttribute(NameOID.COUNTRY_NAME, "DE")),
            "0 common names",
        ),
    ],
    ids=["empty", "huge", "rsa", "ed25519", "P-521", "two names", "no name"],
)
def test_what_is_no_request_of_ours_is_refused(der: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        certificates.read_request(der)


def test_a_request_for_another_key_is_refused() -> None:
    """Somebody's public key in a request that he did not sign: the signature is of the rest of it no longer."""
    der = bytearray(request(ec.generate_private_key(ec.SECP256R1())))
    at_name = der.index(b"car-7")
    der[at_name : at_name + 5] = b"car-8"
    with pytest.raises(ValueError, match="not signed by its own key"):
        certificates.read_request(bytes(der))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_order(content: bytes) -> None:
    for read in (certificates.read_request, certificates.read_certificate):
        with pytest.raises(ValueError, match=r"this is no|bytes"):
            read(content)


def test_possession_is_shown_by_the_key_alone(tmp_path: Path) -> None:
    authority = signer(tmp_path)
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issued = authority.sign_request(
        authority.read_request(request(key)), device_id="car-7", generation=3, valid_seconds=60
    )
    signed = b"the request"
    proof = key.sign(signed, ec.ECDSA(hashes.SHA256()))
    present = authority.read_present(issued.chain_pem, proof=proof, signed=signed)
    assert (present.device_id, present.generation, present.serial) == ("car-7", 3, issued.serial)
    for wrong, what in ((other.sign(signed, ec.ECDSA(hashes.SHA256())), signed), (proof, b"another"), (b"", signed)):
        with pytest.raises(ValueError, match="not signed by the key"):
            authority.read_present(issued.chain_pem, proof=wrong, signed=what)


def test_a_server_or_service_is_no_device(tmp_path: Path) -> None:
    authority = Authority.open_or_create(tmp_path, clock=at(NOW))
    for given_ in (
        authority.issue_server_certificate(["car-7"]),
        authority.issue_node_certificate(["car-7"]),
        authority.issue_service_certificate("ingest"),
    ):
        key = serialization.load_pem_private_key(given_.key_pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        proof = key.sign(b"x", ec.ECDSA(hashes.SHA256()))
        with pytest.raises(ValueError, match=r"no device's|device id '(service\.ingest|node\.wearcast)'"):
            AuthoritySigner(authority).read_present(given_.certificate_pem, proof=proof, signed=b"x")


def test_what_the_authority_before_gave_can_be_renewed_by_the_next(tmp_path: Path) -> None:
    root = Authority.open_or_create(tmp_path / "root")
    root.issue_authority(tmp_path / "first")
    given_ = Authority.open(tmp_path / "first").issue_device_certificate("car-7")
    key = serialization.load_pem_private_key(given_.key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    proof = key.sign(b"x", ec.ECDSA(hashes.SHA256()))
    root.issue_authority(tmp_path / "unrelated")  # as after a break-in: what the first gave is worth nothing
    with pytest.raises(ValueError, match="not of this authority"):
        AuthoritySigner(Authority.open(tmp_path / "unrelated")).read_present(
            given_.certificate_pem, proof=proof, signed=b"x"
        )
    root.issue_authority(tmp_path / "second", follows=tmp_path / "first")
    root.issue_authority(tmp_path / "third", follows=tmp_path / "second")
    for place in ("second", "third"):
        next_one = AuthoritySigner(Authority.open(tmp_path / place))
        assert next_one.read_present(given_.certificate_pem, proof=proof, signed=b"x").device_id == "car-7"
        assert next_one.trusted_pem.endswith(root.certificate_pem)
    Authority.open_or_create(tmp_path / "other")
    with pytest.raises(AuthorityError, match="below this root"):
        root.issue_authority(tmp_path / "wrong", follows=tmp_path / "other")


def test_an_issuing_authority_signs_below_an_offline_root(tmp_path: Path) -> None:
    root = Authority.open_or_create(tmp_path / "root", clock=at(NOW))
    early = root.issue_device_certificate("car-1")
    root.issue_authority(tmp_path / "issuing")
    issuing = signer(tmp_path / "issuing")
    key = ec.generate_private_key(ec.SECP256R1())
    issued = issuing.sign_request(issuing.read_request(request(key)), device_id="car-7", generation=1, valid_seconds=60)
    own, above = x509.load_pem_x509_certificates(issued.chain_pem)
    own.verify_directly_issued_by(above)
    assert issuing.trusted_pem.endswith(root.certificate_pem)
    assert issuing.trusted_pem.count(b"BEGIN CERTIFICATE") == 2
    proof = key.sign(b"x", ec.ECDSA(hashes.SHA256()))
    assert issuing.read_present(certificates.certificate_pem(own), proof=proof, signed=b"x").device_id == "car-7"
    early_key = serialization.load_pem_private_key(early.key_pem, None)
    assert isinstance(early_key, ec.EllipticCurvePrivateKey)
    proof = early_key.sign(b"x", ec.ECDSA(hashes.SHA256()))
    assert issuing.read_present(early.certificate_pem, proof=proof, signed=b"x").generation == 0
    with pytest.raises(AuthorityError, match="may not certify another one"):
        Authority.open(tmp_path / "issuing", clock=at(NOW)).issue_authority(tmp_path / "third")


def test_a_revocation_list_says_who_and_until_when(tmp_path: Path) -> None:
    authority = signer(tmp_path)
    revoked = [RevokedSerial(serial="0ab1", revoked_at=NOW)]
    pem, issued_at, next_update = authority.sign_revocations(revoked, number=7, valid_days=30)
    listed = x509.load_pem_x509_crl(pem)
    (trusted,) = x509.load_pem_x509_certificates(authority.trusted_pem)
    public = trusted.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert listed.is_signature_valid(public)
    assert [entry.serial_number for entry in listed] == [0x0AB1]
    assert listed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
    assert (issued_at, next_update, listed.next_update_utc) == (NOW, NOW + timedelta(days=30), next_update)


def test_what_bundles_were_given_is_noted_and_a_certificate_ends_with_its_authority(tmp_path: Path) -> None:
    authority = Authority.open_or_create(tmp_path, clock=at(NOW))
    given_ = authority.issue_device_certificate("car-7")
    (noted,) = AuthoritySigner(authority).journal()
    certificate = x509.load_pem_x509_certificate(given_.certificate_pem)
    assert (noted.device_id, noted.generation, noted.serial) == ("car-7", 0, f"{certificate.serial_number:x}")
    late = signer(tmp_path, NOW + timedelta(days=3640))
    read = late.read_request(request(ec.generate_private_key(ec.SECP256R1())))
    issued = late.sign_request(read, device_id="car-7", generation=1, valid_seconds=86_400 * 30)
    assert issued.not_after == NOW + timedelta(days=3650)


def test_subjects_say_one_thing_each() -> None:
    assert str(device_subject("car-7", 0)) == "CN=car-7"
    assert str(service_subject("ingest")) == "CN=service.ingest"
    assert generation_of(device_subject("car-7", 12)) == 12
    for name in ("Ingest", "a.b", "", "a" * 49):
        with pytest.raises(ValueError, match="small letters"):
            service_subject(name)
    for unit in ("g0", "g01", "services", "g"):
        with pytest.raises(ValueError, match="names no generation"):
            generation_of(Subject(common_name="car-7", unit=unit))
    with pytest.raises(ValueError, match="use 1 to 63 letters"):
        device_subject("service.ingest", 1)
