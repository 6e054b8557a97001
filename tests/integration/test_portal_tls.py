"""The portal beyond this machine: TLS of its own or a proxy's, or not at all."""

import ssl
import threading
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from firmware_profiles.authority import Authority, write_secret
from portal.config import PortalConfig
from portal.errors import PortalConfigError
from portal.server import PortalTls, make_server, portal_address, serve
from tests.integration.enrolment_support import until
from wearcast.cli import app
from wearcast.settings import SettingsError

pytestmark = pytest.mark.database


@pytest.fixture
def tls(tmp_path: Path) -> PortalTls:
    given = Authority.open_or_create(tmp_path / "authority").issue_server_certificate(["127.0.0.1"])
    (tmp_path / "portal.pem").write_bytes(given.certificate_pem)
    write_secret(tmp_path / "portal-key.pem", given.key_pem)
    return PortalTls(certificate=tmp_path / "portal.pem", key=tmp_path / "portal-key.pem")


def config(database_url: str) -> PortalConfig:
    return PortalConfig(
        database_url=database_url,
        secret="s" * 32,
        portal_url="https://portal.example",
        vehicle_category=lambda _: "M1",
    )


def test_the_portal_serves_tls(database_url: str, tls: PortalTls, tmp_path: Path) -> None:
    server = make_server(config(database_url), "127.0.0.1", 0, tls)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started, "the portal does not start")
        address = portal_address(server)
        assert address.startswith("https://")
        context = ssl.create_default_context(cafile=tmp_path / "authority" / "ca.pem")
        with httpx.Client(base_url=address, verify=context, timeout=60) as client:
            assert client.get("/").status_code < 500
    finally:
        server.should_exit = True
        thread.join()


def test_a_certificate_that_cannot_be_used_is_named(database_url: str, tmp_path: Path) -> None:
    missing = PortalTls(certificate=tmp_path / "no.pem", key=tmp_path / "no-key.pem")
    with pytest.raises(PortalConfigError, match="cannot be used"):
        serve(config(database_url), "127.0.0.1", 0, missing)


@pytest.mark.parametrize(
    ("arguments", "url", "said"),
    [
        (["--host", "0.0.0.0"], "https://portal.example", "in plain text"),  # noqa: S104
        (["--host", "0.0.0.0", "--behind-proxy"], "http://portal.example", "WEARCAST_PORTAL_URL"),  # noqa: S104
        (["--certificate", "portal.pem"], "https://portal.example", "go together"),
    ],
)
def test_what_would_leave_in_plain_is_refused(
    arguments: list[str], url: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEARCAST_PORTAL_URL", url)
    result = CliRunner().invoke(app, ["portal", "run", *arguments])
    assert isinstance(result.exception, SettingsError)
    assert said in str(result.exception)
