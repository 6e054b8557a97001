"""Nothing leaves the machine in plain text: what a URL has to say before it is used. Pure.

A way that is protected otherwise (a tunnel, a container network of one host) is named host by host in
``WEARCAST_PLAINTEXT_HOSTS``; a wildcard there is none.
"""

import shlex
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import parse_qsl, unquote, urlsplit


class PlaintextError(ValueError):
    """A URL would send passwords and personal data in plain, or to whoever answers."""


def is_local(host: str) -> bool:
    """Whether what is sent there stays on this machine: loopback, or a Unix socket."""
    if host in {"", "localhost"} or host.startswith(("/", "@")):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_tls(variable: str, host: str, *, tls: bool, remedy: str, accepted: frozenset[str]) -> None:
    """PlaintextError naming the variable, unless the host is this machine, TLS is spoken, or plain text accepted."""
    if not tls and not is_local(host) and host not in accepted:
        raise PlaintextError(
            f"{variable}: {host} would be spoken to in plain text; {remedy}. Where the way there is protected "
            f"otherwise: WEARCAST_PLAINTEXT_HOSTS={host}"
        )


def require_database_tls(url: str, accepted: frozenset[str]) -> None:
    """PlaintextError unless the database's URL keeps on this machine, or has its server proved (verify-full).

    ``sslmode=require`` encrypts and verifies nobody: whoever answers gets the password (PostgreSQL, 32.19).
    """
    hosts, sslmode = _database_hosts(url)
    for host in hosts:
        require_tls(
            "WEARCAST_DATABASE_URL",
            host,
            tls=sslmode == "verify-full",
            remedy="add ?sslmode=verify-full&sslrootcert=ca.pem, and sslcert and sslkey for a certificate of our own",
            accepted=accepted,
        )


def parse_hosts(text: str) -> frozenset[str]:
    """Hosts, separated by commas."""
    return frozenset(filter(None, (part.strip() for part in text.split(","))))


def _database_hosts(url: str) -> tuple[list[str], str]:
    """Hosts and sslmode of what libpq takes: a URI with any number of hosts, or keywords and values."""
    if "://" not in url:
        return _of_keywords(word.partition("=")[::2] for word in _words(url))
    parts = urlsplit(url)
    parameters = dict(parse_qsl(parts.query))
    named = [_host(place) for place in parts.netloc.rpartition("@")[2].split(",")]
    hosts, sslmode = _of_keywords(parameters.items())
    return (hosts if {"host", "hostaddr"} & parameters.keys() else named), sslmode


def _of_keywords(pairs: Iterable[tuple[str, str]]) -> tuple[list[str], str]:
    given = dict(pairs)
    hosts = given.get("hostaddr") or given.get("host") or ""
    return hosts.split(","), given.get("sslmode", "")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []  # psycopg says what is wrong with it


def _host(place: str) -> str:
    """Host of ``host:port``, ``[::1]:port`` or ``%2Fvar%2Frun``."""
    if place.startswith("["):
        return place[1:].partition("]")[0]
    return unquote(place.partition(":")[0])
