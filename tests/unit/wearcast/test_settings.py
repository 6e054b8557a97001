"""Settings: read in one place, documented in one place, wrong ones named."""

from pathlib import Path

import pytest

from wearcast.settings import (
    SETTINGS,
    ListenAddress,
    SettingsError,
    load_settings,
    log_setting,
    parse_broker_url,
    parse_folders,
    parse_listen,
    parse_nats_url,
)

DOCS = Path(__file__).parents[3] / "docs" / "settings.md"


def test_every_setting_is_documented_as_it_is() -> None:
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| `WEARCAST_")]
    assert rows == [f"| `{setting.name}` | {setting.meaning} | {setting.default} |" for setting in SETTINGS]


def test_misspelt_variable_is_refused() -> None:
    with pytest.raises(SettingsError, match="WEARCAST_DATABSE_URL is not a setting"):
        load_settings({"WEARCAST_DATABSE_URL": "x"})


def test_broker_url_parts_and_password_kept_out_of_repr() -> None:
    broker = parse_broker_url("mqtts://backend:p%40ss@broker.example")
    assert (broker.host, broker.port, broker.username, broker.password, broker.tls) == (
        "broker.example",
        8883,
        "backend",
        "p@ss",
        True,
    )
    assert "p@ss" not in repr(broker)
    with pytest.raises(SettingsError, match="mqtt://"):
        parse_broker_url("http://x")


def test_nats_servers_share_a_user_whose_password_stays_out_of_repr() -> None:
    address = parse_nats_url("tls://ingest:p%40ss@a.example:4333, tls://b.example,tls://[::1]")
    assert address.servers == ("tls://a.example:4333", "tls://b.example:4222", "tls://[::1]:4222")
    assert (address.username, address.password) == ("ingest", "p@ss")
    assert "p@ss" not in repr(address)


@pytest.mark.parametrize(
    ("urls", "complaint"),
    [
        ("mqtt://a", "server 1 is not understood; give it as nats://"),
        ("nats://a,", "server 2 is not understood"),
        ("nats://a,tls://b", "either all servers with TLS"),
        ("nats://user:secret@a:70000", "port of server 1 is no number from 1 to 65535"),
    ],
)
def test_a_wrong_nats_url_is_named(urls: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint) as caught:
        parse_nats_url(urls)
    assert "secret" not in str(caught.value)


def test_where_to_listen_and_which_folders_to_watch() -> None:
    assert parse_listen("127.0.0.1:9464") == ListenAddress(host="127.0.0.1", port=9464)
    assert parse_listen("[::1]:0") == ListenAddress(host="::1", port=0)
    assert parse_listen("off") is None
    for wrong in ("9464", ":9464", "127.0.0.1:", "127.0.0.1:70000"):
        with pytest.raises(SettingsError, match="WEARCAST_WATCH_LISTEN"):
            parse_listen(wrong)
    assert parse_folders("broker=/var/lib/nats, database=/srv") == {
        "broker": Path("/var/lib/nats"),
        "database": Path("/srv"),
    }
    assert parse_folders("") == {}
    for wrong in ("/var/lib/nats", "broker=nats", "a b=/x"):
        with pytest.raises(SettingsError, match="WEARCAST_WATCH_FOLDERS"):
            parse_folders(wrong)


def test_log_setting_is_checked() -> None:
    assert log_setting({}) == "text"
    assert log_setting({"WEARCAST_LOG": "json:debug"}) == "json:debug"
    with pytest.raises(SettingsError, match="'xml' is none of text, json"):
        log_setting({"WEARCAST_LOG": "xml"})


@pytest.mark.parametrize("days", ["0", "366", "-1", "1.5", "a month"])
def test_how_long_a_dongle_may_come_to_be_emptied_is_whole_days(days: str) -> None:
    assert load_settings({}).wipe_days == 30
    assert load_settings({"WEARCAST_WIPE_DAYS": "7"}).wipe_days == 7
    with pytest.raises(SettingsError, match="WEARCAST_WIPE_DAYS"):
        load_settings({"WEARCAST_WIPE_DAYS": days})
