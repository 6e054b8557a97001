"""The generation in the dongle's own certificate: by it a wipe for a former service is told from one for this one.

Read without a library: a certificate is nested tags with lengths (DER, ITU-T X.690), and the subject is the sixth
field of its first part (RFC 5280, 4.1). ``cryptography`` would cost the dongle 10 MB for it.
"""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_agent.config import TlsConfig
from telemetry.subject import Subject, generation_of

_VERSION: Final = 0xA0  # [0] EXPLICIT, left out in version 1
_BEFORE_SUBJECT: Final = 4  # serialNumber, signature, issuer, validity
_UNIT: Final = bytes.fromhex("060355040b")  # OID 2.5.4.11, organizationalUnitName


def own_generation(tls: TlsConfig | None) -> int | None:
    """Generation of the certificate that is shown to the broker; 0 without one, None where it cannot be read."""
    if tls is None or tls.certificate is None:
        return 0
    try:
        unit = _unit(_first_certificate(tls.certificate))
        return generation_of(Subject(common_name="", unit=unit))
    except (OSError, ValueError, IndexError):
        return None


def _first_certificate(path: Path) -> bytes:
    text = path.read_text(encoding="ascii", errors="replace")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    return ssl.PEM_cert_to_DER_cert(begin + text.partition(begin)[2].partition(end)[0] + end)


def _unit(certificate: bytes) -> str | None:
    """Organizational unit of the subject; None where it has none."""
    (_, whole), *_ = _fields(certificate)
    (_, signed), *_ = _fields(whole)
    parts = [part for part in _fields(signed) if part[0] != _VERSION]
    for _, names in _fields(parts[_BEFORE_SUBJECT][1]):
        for _, name in _fields(names):
            if name.startswith(_UNIT):
                (_, value), *_ = _fields(name[len(_UNIT) :])
                return value.decode("utf-8")
    return None


def _fields(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each field in turn."""
    at = 0
    while at < len(content):
        tag, length = content[at], content[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(content[at : at + size])
            at += size
        if at + length > len(content):
            raise ValueError("a certificate that is cut off")
        yield tag, content[at : at + length]
        at += length
