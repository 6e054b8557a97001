"""Building and reading X.509: what the authority's certificates, requests and lists look like (RFC 5280, RFC 2986).

EC keys with SHA-256 throughout (FIPS 186-5): small certificates, and little work in a handshake. Needs
``cryptography`` (the backend extra); nothing on the dongle imports this module.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from telemetry.subject import Subject

# Certificates are not valid from this second on: the clock of whoever looks at one may be behind the authority's.
BACKDATED: Final = timedelta(days=1)
CURVES: Final = (ec.SECP256R1, ec.SECP384R1)
LARGEST_BYTES: Final = 8192  # of a request or certificate as a device sends it: ours have below 1000
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


def builder(
    subject: Subject, issuer: x509.Name, key: ec.EllipticCurvePublicKey, since: datetime, until: datetime
) -> x509.CertificateBuilder:
    """A certificate without its extensions of usage; valid from ``since`` until ``until``."""
    return (
        x509.CertificateBuilder()
        .subject_name(name_of(subject))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def name_of(subject: Subject) -> x509.Name:
    """The name as X.500 has it: the unit before the common name within it."""
    attributes = [] if subject.unit is None else [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, subject.unit)]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, subject.common_name)])


def subject_of(name: x509.Name) -> Subject:
    """What we wrote into a name; ValueError for one that has other parts, or one of ours twice."""
    values = {attribute.oid: str(attribute.value) for attribute in name}
    if NameOID.COMMON_NAME not in values or len(name.rdns) != len(values) or len(values) > 2:
        raise ValueError("the subject is not one of ours: it has to be CN, or OU and CN")
    unit = values.get(NameOID.ORGANIZATIONAL_UNIT_NAME)
    if len(values) == 2 and unit is None:
        raise ValueError("the subject is not one of ours: it has to be CN, or OU and CN")
    return Subject(common_name=values[NameOID.COMMON_NAME], unit=unit)


def alternative_names(names: Sequence[str]) -> x509.SubjectAlternativeName:
    """Host names and addresses a server is reached by."""
    return x509.SubjectAlternativeName([_general_name(name) for name in names])


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Of an authority, or of who proves possession of a key in a handshake."""
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


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as it is stored."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """A certificate as it is stored."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate, hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def public_key_der(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key as SubjectPublicKeyInfo (RFC 5480)."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def read_request(der: bytes) -> tuple[str, ec.EllipticCurvePublicKey]:
    """Common name and key of a request (PKCS#10), checked; ValueError says what is wrong with it.

    Everything else in the request (extensions, other parts of the name) is what its sender wishes, and not read.
    """
    if len(der) > LARGEST_BYTES:
        raise ValueError(f"the request has {len(der)} bytes; {LARGEST_BYTES} are plenty")
    try:
        request = x509.load_der_x509_csr(der)
        key = request.public_key()
        names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        algorithm = request.signature_hash_algorithm
    except Exception as error:  # the parser's errors are of many kinds, and the bytes are a stranger's
        raise ValueError("this is no certificate request (PKCS#10, DER)") from error
    checked = _require_curve(key)
    if not isinstance(algorithm, _HASHES):
        raise ValueError("the request is not signed with SHA-256, SHA-384 or SHA-512")  # noqa: TRY004 - its content
    if not request.is_signature_valid:
        raise ValueError("the request is not signed by its own key")
    if len(names) != 1:
        raise ValueError(f"the request has {len(names)} common names; give one, the device id")
    return str(names[0].value), checked


def read_certificate(pem: bytes) -> tuple[x509.Certificate, ec.EllipticCurvePublicKey]:
    """A certificate that somebody shows, and its key; ValueError where it is none. Nothing vouches for it yet."""
    if len(pem) > LARGEST_BYTES:
        raise ValueError(f"the certificate has {len(pem)} bytes; {LARGEST_BYTES} are plenty")
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except Exception as error:  # as above
        raise ValueError("this is no certificate (PEM)") from error
    return certificate, _require_curve(key)


def require_signature(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> None:
    """ValueError unless the key made this signature (ECDSA, SHA-256) of these bytes."""
    try:
        key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise ValueError("the request is not signed by the key of the certificate that was shown") from error


def utc_now() -> datetime:
    """The time, to the second: certificates hold no fractions."""
    return datetime.now(UTC).replace(microsecond=0)


def _require_curve(key: object) -> ec.EllipticCurvePublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, CURVES):
        raise ValueError("the key is of another kind; make one on the curve P-256 or P-384")  # noqa: TRY004 - as above
    return key


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
