"""Nothing leaves the machine in plain text: what a URL has to say before it is used.

A way that is protected otherwise (a tunnel, a container network of one host) is named host by host in
``WEARCAST_PLAINTEXT_HOSTS``; a wildcard there is none.
"""

import os
from ipaddress import ip_address
from itertools import zip_longest


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
    """Hosts and sslmode as libpq takes them from a URL, or keywords and values, and where it is silent its environment.

    What a service file says is not known here: it counts as a host of its own, on another machine.
    """
    try:
        import psycopg  # not on a dongle, which speaks to no database
        from psycopg.conninfo import conninfo_to_dict
    except ImportError:
        return [], ""
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError:
        return [], ""  # nothing can connect with it, and who tries says what is wrong
    # PostgreSQL 17, 32.15 (environment variables) and 32.1.2 (hostaddr goes before host, entry by entry).
    service = given.get("service") or os.environ.get("PGSERVICE")
    names = given.get("host") or os.environ.get("PGHOST", "")
    addresses = given.get("hostaddr") or os.environ.get("PGHOSTADDR", "")
    hosts = [address or name for name, address in zip_longest(names.split(","), addresses.split(","), fillvalue="")]
    return [*hosts, *([f"service={service}"] if service else [])], given.get("sslmode") or os.environ.get(
        "PGSSLMODE", ""
    )
