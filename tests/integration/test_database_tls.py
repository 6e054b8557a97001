"""PostgreSQL as on another machine: TLS on both ends, the certificate is the user, everything else stays outside."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from firmware_profiles.authority import Authority, Credentials, write_secret
from ingest.database import connect
from ingest.errors import DatabaseError
from tests.integration.enrolment_support import until
from wearcast.embedded.timescaledb import Database, private_database
from wearcast.transport import require_database_tls

pytestmark = pytest.mark.database

HBA = "hostssl all all 127.0.0.1/32 cert map=services\n"  # as docs/security.md says
IDENT = "services /^service\\.[a-z0-9_-]+$ wearcast\n"


def stored(folder: Path, name: str, given: Credentials) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    certificate.write_bytes(given.certificate_pem)
    write_secret(key, given.key_pem)
    return certificate, key


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Database]:
    authority = Authority.open_or_create(folder / "authority")
    stored(folder, "ingest", authority.issue_service_certificate("ingest"))
    stored(folder, "device", authority.issue_device_certificate("car-7"))
    foreign = Authority.open_or_create(folder / "foreign")
    stored(folder, "foreign-ingest", foreign.issue_service_certificate("ingest"))
    files = (*stored(folder, "db", authority.issue_server_certificate(["127.0.0.1"])), folder / "authority" / "ca.pem")
    with private_database(fresh=True, durable=False) as database:
        owner = database.data.stat()
        with psycopg.connect(database.url, autocommit=True) as connection:
            for name, file in zip(("ssl_cert_file", "ssl_key_file", "ssl_ca_file"), files, strict=True):
                copy = database.data / file.name
                shutil.copy(file, copy)
                copy.chmod(0o600)
                os.chown(copy, owner.st_uid, owner.st_gid)
                connection.execute(
                    sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(file.name))
                )
            connection.execute("ALTER SYSTEM SET ssl = on")
            (database.data / "pg_hba.conf").write_text(HBA)
            (database.data / "pg_ident.conf").write_text(IDENT)
            connection.execute("SELECT pg_reload_conf()")
            until(lambda: connection.execute("SHOW ssl").fetchone() == ("on",), "TLS was not switched on")
        yield database


def url(server: Database, folder: Path, who: str | None, *, host: str = "127.0.0.1", ca: str = "authority") -> str:
    port = server.url.rpartition("/")[0].rpartition(":")[2]
    mine = "" if who is None else f"&sslcert={folder / who}.pem&sslkey={folder / who}-key.pem"
    return f"postgresql://wearcast@{host}:{port}/wearcast?sslmode=verify-full&sslrootcert={folder / ca}/ca.pem{mine}"


def test_a_service_is_let_in_by_its_certificate_alone(server: Database, folder: Path) -> None:
    own = url(server, folder, "ingest")
    require_database_tls(own.replace("127.0.0.1", "db.example"), frozenset())
    with closing(connect(own)) as connection:
        row = connection.execute(
            "SELECT current_user, ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        ).fetchone()
    assert row == ("wearcast", True, "/CN=service.ingest")


@pytest.mark.parametrize(
    ("who", "host", "ca", "said"),
    [
        (None, "127.0.0.1", "authority", "requires a valid client certificate"),
        ("device", "127.0.0.1", "authority", "certificate authentication failed"),
        ("foreign-ingest", "127.0.0.1", "authority", "unknown ca|certificate"),
        ("ingest", "127.0.0.1", "foreign", "certificate verify failed"),
        ("ingest", "localhost", "authority", "does not match host name"),
    ],
    ids=["no certificate", "a device", "another authority", "another server", "another name"],
)
def test_nobody_else_is(server: Database, folder: Path, who: str | None, host: str, ca: str, said: str) -> None:
    with pytest.raises(DatabaseError, match=said):
        connect(url(server, folder, who, host=host, ca=ca))


def test_a_password_without_tls_is_not_even_asked_for(server: Database) -> None:
    with pytest.raises(DatabaseError, match="no encryption"):
        connect(f"{server.url}?sslmode=disable")
