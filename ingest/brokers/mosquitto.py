"""Configuration of Mosquitto, from 2.0.11 (Debian 12) on. Pure text.

Two listeners. Devices come to the one that asks for a certificate, whose whole subject is the user and also takes the
place of the client id: nobody takes over another's session. Services come to the other, with passwords that no device
has. The ACL file and the revocation list change with the registry; Mosquitto reads both again on SIGHUP.
"""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ingest.brokers.branch import (
    SERVICE_HEARD,
    Access,
    Account,
    Permitted,
    heard_topics,
    published_topics,
    service_publishes,
)
from ingest.brokers.nats import MAX_PAYLOAD_BYTES, TlsFiles

MAIN_FILE: Final = "mosquitto.conf"
ACL_FILE: Final = "devices.acl"
PASSWORDS_FILE: Final = "services.passwords"
REVOCATION_FILE: Final = "revoked.pem"

# Mosquitto's default keeps 1,000 per client and drops the rest without a word: an hour of a thousand cars.
MAX_QUEUED_MESSAGES: Final = 1_000_000
MAX_INFLIGHT_MESSAGES: Final = 1000  # what the worker takes at once; 20 by default
_PACKET_BYTES: Final = MAX_PAYLOAD_BYTES + 1024  # with its topic
SESSION_DAYS: Final = 60  # a car may be parked that long and still find what was sent to it
_HASH_ITERATIONS: Final = 10_000  # of a random password of 256 bits: nothing to guess


@dataclass(frozen=True, kw_only=True)
class Server:
    """One Mosquitto. Addresses are ``host:port``."""

    folder: Path  # of these files, where Mosquitto runs
    data: Path
    tls: TlsFiles
    pid_file: Path
    listen: str = "0.0.0.0:8883"
    services_listen: str = "127.0.0.1:8884"
    max_connections: int = 65_536
    memory_bytes: int = 1024**3
    user: str = "mosquitto"
    revocation: bool = True  # there is a revocation list


def main_text(server: Server) -> str:
    """The main configuration."""
    host, _, port = server.listen.rpartition(":")
    services_host, _, services_port = server.services_listen.rpartition(":")
    revocation = f"crlfile {server.folder / REVOCATION_FILE}\n" if server.revocation else ""
    return f"""\
# Written by `wearcast broker config`. `wearcast broker apply` writes {ACL_FILE} and {REVOCATION_FILE} again.

per_listener_settings false
allow_anonymous false
allow_zero_length_clientid false
acl_file {server.folder / ACL_FILE}
password_file {server.folder / PASSWORDS_FILE}
user {server.user}
pid_file {server.pid_file}

# It acknowledges before it writes to the disk. What a crash takes is sent again: devices wait for ours.
persistence true
persistence_location {server.data}/
autosave_interval 60
persistent_client_expiration {SESSION_DAYS}d

max_queued_messages {MAX_QUEUED_MESSAGES}
max_queued_bytes 0
max_inflight_messages {MAX_INFLIGHT_MESSAGES}
max_packet_size {_PACKET_BYTES}
memory_limit {server.memory_bytes}
max_keepalive 3600
set_tcp_nodelay true

log_dest stderr
log_type error
log_type warning
log_type notice
log_type information
connection_messages true

# Devices
listener {port} {host}
max_connections {server.max_connections}
cafile {server.tls.ca}
certfile {server.tls.certificate}
keyfile {server.tls.key}
{revocation}tls_version tlsv1.2
require_certificate true
use_subject_as_username true
use_username_as_clientid true

# Services
listener {services_port} {services_host}
certfile {server.tls.certificate}
keyfile {server.tls.key}
tls_version tlsv1.2
"""


def acl_text(access: Access, services: tuple[str, ...]) -> str:
    """Who may what: nothing but what stands here."""
    blocks = []
    for service in services:
        lines = [f"user {service}", f"topic read {SERVICE_HEARD}"]
        blocks.append([*lines, *(f"topic write {topic}" for topic in service_publishes())])
    blocks += [_device_lines(permitted) for permitted in access.permitted]
    blocks += [_device_lines(permitted, only_wiped=True) for permitted in access.only_wiped]
    return "".join("\n".join(block) + "\n\n" for block in blocks)


def _device_lines(permitted: Permitted, *, only_wiped: bool = False) -> list[str]:
    return [
        f"user {user_name(permitted)}",
        *(f"topic write {topic}" for topic in published_topics(permitted.device, only_wiped=only_wiped)),
        *(f"topic read {topic}" for topic in heard_topics(permitted.device, only_wiped=only_wiped)),
    ]


def user_name(permitted: Permitted) -> str:
    """The user, and client id, that Mosquitto makes of a device's certificate."""
    return str(permitted.subject)


def users(acl: str) -> list[str]:
    """The devices' users that an ACL names."""
    return [line.removeprefix("user ") for line in acl.splitlines() if line.startswith("user CN=")]


def passwords_text(accounts: tuple[Account, ...]) -> str:
    """The password file, in the format of mosquitto_passwd: PBKDF2 with SHA-512 (RFC 8018)."""
    return "".join(f"{account.name}:{_hashed(account)}\n" for account in accounts)


def _hashed(account: Account) -> str:
    # Salted by the name, so that the same input gives the same file; the passwords are random, not chosen.
    salt = hashlib.sha256(account.name.encode()).digest()[:12]
    key = hashlib.pbkdf2_hmac("sha512", account.password.encode(), salt, _HASH_ITERATIONS, 64)
    return f"$7${_HASH_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"
