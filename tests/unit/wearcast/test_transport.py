"""What leaves the machine is encrypted and knows whom it speaks to, or it does not leave."""

import pytest

from wearcast.settings import SettingsError, load_settings
from wearcast.transport import PlaintextError, is_local, require_database_tls

CA = "sslmode=verify-full&sslrootcert=ca.pem"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.0.1", "::1", "[::1]", "/run/postgresql", ""])
def test_this_machine_is_spoken_to_as_it_is(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "broker", "localhost.example", "2001:db8::1", "0.0.0.0"])  # noqa: S104
def test_everything_else_is_another_machine(host: str) -> None:
    assert not is_local(host)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@127.0.0.1:5432/d",
        "postgresql:///d?host=/run/postgresql",
        "postgresql://u@%2Frun%2Fpostgresql/d",
        "postgresql://u:p@[::1]:5432/d",
        f"postgresql://u:p@db.example/d?{CA}",
        f"postgresql://u:p@db1:5432,db2:5433/d?{CA}",
        "host=db.example dbname=d sslmode=verify-full",
        "dbname=d",
    ],
)
def test_databases_that_may_be_used(url: str) -> None:
    require_database_tls(url, frozenset())


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret@db.example/d",
        "postgresql://u:secret@db.example/d?sslmode=require",
        "postgresql://u:secret@db.example/d?sslmode=verify-ca",
        "postgresql://u:secret@127.0.0.1,db.example/d",
        "postgresql:///d?host=db.example&password=secret",
        "postgresql://127.0.0.1/d?hostaddr=10.0.0.1&password=secret",
        "host=db.example password=secret",
        "host = db.example password=secret",
        "postgresql://127.0.0.1/d#?host=db.example&password=secret",
        "host=127.0.0.1,127.0.0.1 hostaddr=,10.0.0.1 password=secret",
        "service=elsewhere password=secret",
        "postgresql:///d?service=elsewhere&password=secret",
    ],
)
def test_databases_that_may_not(url: str) -> None:
    with pytest.raises(PlaintextError, match="verify-full") as caught:
        require_database_tls(url, frozenset())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("variable", ["PGHOST", "PGHOSTADDR", "PGSERVICE"])
def test_what_the_environment_adds_counts_too(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "10.0.0.1")
    with pytest.raises(PlaintextError, match="verify-full"):
        require_database_tls("dbname=d", frozenset())
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    require_database_tls("dbname=d", frozenset())


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("WEARCAST_BROKER_URL", "mqtt://u:secret@broker"),
        ("WEARCAST_NATS_URL", "nats://u:secret@broker:4222"),
        ("WEARCAST_DATABASE_URL", "postgresql://u:secret@broker/d"),
    ],
)
def test_a_remote_service_in_plain_is_refused_with_the_way_out(variable: str, url: str) -> None:
    with pytest.raises(SettingsError, match=rf"{variable}: broker .*WEARCAST_PLAINTEXT_HOSTS=broker") as caught:
        load_settings({variable: url})
    assert "secret" not in str(caught.value)
    load_settings({variable: url, "WEARCAST_PLAINTEXT_HOSTS": "other, broker"})


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(SettingsError, match="go together"):
        load_settings({"WEARCAST_BROKER_CERTIFICATE": "ingest.pem"})
