"""Keys, requests and signatures by the ``openssl`` program, which every Raspberry Pi OS has.

Measured: it takes 7 MB for 20 ms, where Python's ``cryptography`` takes 17 MB of disk, and 10 MB of memory in whoever
imports it. No key is ever an argument: arguments can be read by every process of the machine.
"""

import ssl
import subprocess
from pathlib import Path
from typing import Final

from edge_agent.errors import EnrolmentError

_SECONDS: Final = 30.0
# Without a configuration file: what a distribution or an installer put there must not change what is asked for.
_ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "OPENSSL_CONF": "/dev/null", "LC_ALL": "C"}


def new_key() -> bytes:
    """A private key on the curve P-256, PEM."""
    return _run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


def request(key_file: Path, device: str) -> bytes:
    """A certificate request (PKCS#10, DER) of the key in the file."""
    return _run("req", "-new", "-sha256", "-key", str(key_file), "-subj", f"/CN={device}", "-outform", "DER")


def sign(key_file: Path, content: bytes) -> bytes:
    """Signature (ECDSA, SHA-256, DER) by the key in the file."""
    return _run("dgst", "-sha256", "-sign", str(key_file), given=content)


def certificates(pkcs7_der: bytes) -> bytes:
    """The certificates in an answer (PKCS#7), PEM, the device's own first. EnrolmentError where none is its own."""
    found = split(_run("pkcs7", "-inform", "DER", "-print_certs", given=pkcs7_der))
    if not found:
        raise EnrolmentError("the enrolment service answered without a certificate; look at its log")
    return b"".join(found)


def split(pem: bytes) -> list[bytes]:
    """The certificates of a text, each by itself."""
    begin, end = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
    return [begin + part.partition(end)[0] + end + b"\n" for part in pem.split(begin)[1:]]


def is_root(certificate_pem: bytes, file: Path) -> bool:
    """Whether a certificate, which is in the file too, is an authority's, signed by its own key, and valid now."""
    try:
        _run("verify", "-check_ss_sig", "-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile", str(file), str(file))
        asked = ("-subject", "-issuer", "-nameopt", "RFC2253", "-ext", "basicConstraints")
        told = _run("x509", "-noout", *asked, given=certificate_pem)
    except EnrolmentError:
        return False
    names = dict(line.split(b"=", 1) for line in told.splitlines() if line.startswith((b"subject=", b"issuer=")))
    return b"CA:TRUE" in told and len(names) == 2 and names[b"subject"] == names[b"issuer"]


def public_key(certificate_pem: bytes) -> bytes:
    """The key in a certificate, PEM."""
    return _run("x509", "-noout", "-pubkey", given=certificate_pem)


def is_authority_by(certificate_pem: bytes, file: Path, roots: Path) -> bool:
    """Whether a certificate, which is in the file too, is an authority's and signed by one of these roots itself."""
    try:
        _run("verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile", str(roots), str(file))
        return b"CA:TRUE" in _run("x509", "-noout", "-ext", "basicConstraints", given=certificate_pem)
    except EnrolmentError:
        return False


def has_ended(certificate_pem: bytes) -> bool:
    """Whether a certificate is over."""
    try:
        _run("x509", "-noout", "-checkend", "0", given=certificate_pem)
    except EnrolmentError:
        return True
    return False


def split_own(chain_pem: bytes, key_file: Path) -> bytes:
    """The chain with the certificate of the file's key first; EnrolmentError where there is none."""
    end = b"-----END CERTIFICATE-----\n"
    parts = [part + end for part in chain_pem.split(end) if part.strip()]
    key = _run("pkey", "-in", str(key_file), "-pubout")
    own = [part for part in parts if _run("x509", "-noout", "-pubkey", given=part) == key]
    if len(own) != 1:
        raise EnrolmentError("the enrolment service's certificate is not for this dongle's key; look at its log")
    return own[0] + b"".join(part for part in parts if part != own[0])


def validity(certificate_pem: bytes) -> tuple[float, float]:
    """From when until when the first certificate is valid, in seconds since 1970."""
    lines = _run("x509", "-noout", "-startdate", "-enddate", given=certificate_pem).decode("ascii").splitlines()
    start, end = (ssl.cert_time_to_seconds(line.partition("=")[2]) for line in lines)
    return float(start), float(end)


def _run(*arguments: str, given: bytes = b"") -> bytes:
    try:
        done = subprocess.run(
            ["openssl", *arguments],
            input=given,
            capture_output=True,
            check=True,
            timeout=_SECONDS,
            env=_ENVIRONMENT,
        )
    except FileNotFoundError as error:
        raise EnrolmentError("the program openssl is missing; install it: sudo apt install openssl") from error
    except subprocess.TimeoutExpired as error:
        raise EnrolmentError(f"openssl {arguments[0]} did not end within {_SECONDS:g} s") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip().splitlines()
        raise EnrolmentError(f"openssl {arguments[0]} failed: {said[0] if said else error.returncode}") from error
    return done.stdout
