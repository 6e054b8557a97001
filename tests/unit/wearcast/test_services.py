"""From settings to what the services need, and the secret they share."""

import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from portal.access import Identity, read_signin_token
from wearcast import secrets
from wearcast.secrets import load_secret
from wearcast.services import delivery_config, parse_smtp_url, portal_config, worker_config
from wearcast.settings import SettingsError, load_settings

URL = "postgresql://localhost/x"
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_tls_without_a_file_trusts_the_systems_authorities() -> None:
    config = worker_config(load_settings({"WEARCAST_BROKER_URL": "mqtts://broker.example.org"}), URL, "w1")
    assert config.broker.tls
    assert config.broker.ca_file is None
    assert config.broker.port == 8883


def test_without_tls_nothing_is_encrypted() -> None:
    assert not worker_config(load_settings({}), URL, "w1").broker.tls


def test_a_wrong_smtp_port_is_named_without_the_password() -> None:
    with pytest.raises(SettingsError, match="WEARCAST_SMTP_URL: the port") as caught:
        parse_smtp_url("smtp://me:hunter2@mail.example.org:99999")
    assert "hunter2" not in str(caught.value)


def test_the_link_of_an_alert_without_a_booking_lets_its_owner_in(tmp_path: Path) -> None:
    settings = load_settings({"WEARCAST_SECRET_FILE": str(tmp_path / "secret")})
    owner_id, vehicle_id = uuid4(), uuid4()
    link = urlsplit(delivery_config(settings, URL).vehicle_link(owner_id, vehicle_id, NOW))
    query = parse_qs(link.query)
    assert (link.path, query["vehicle"]) == ("/signin", [str(vehicle_id)])
    identity = read_signin_token(load_secret(tmp_path / "secret"), query["token"][0], NOW + timedelta(days=6))
    assert identity == Identity(role="owner", subject_id=owner_id)


def test_the_secret_is_made_once_and_readable_by_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret"
    made = load_secret(path)
    assert load_secret(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_services_that_start_at_once_get_the_same_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    everybody = threading.Barrier(8)
    make = secrets._make

    def make_together(target: Path) -> None:
        everybody.wait(60)  # all have seen that there is none
        make(target)

    monkeypatch.setattr(secrets, "_make", make_together)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(load_secret(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_secret_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    load_secret(path)
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        load_secret(path)


def test_the_portal_learns_a_cars_category_from_its_profile(tmp_path: Path) -> None:
    config = portal_config(load_settings({"WEARCAST_SECRET_FILE": str(tmp_path / "secret")}), URL)
    assert config.vehicle_category("hyundai_kona_electric") == "M1"
    assert config.vehicle_category("a profile of somebody's own") == "M1"
