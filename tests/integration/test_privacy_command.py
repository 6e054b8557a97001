"""People's rights from the command line: masked lists, a logged look, a copy, the end, and keys that are replaced."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ingest import registry
from ingest.database import Connection
from ingest.errors import PersonalDataError, RegistryError
from ingest.personal.keyring import KeyRingFile
from ingest.personal.vault import use_keys
from rules.personal.mails import mail_names
from rules.personal.subject import find_subject
from tests.integration.personal_scene import EMAIL, LATITUDE, NAME, VIN, add_person, tables_with
from wearcast.cli import app
from wearcast.embedded.nats import Broker
from wearcast.settings import SettingsError

pytestmark = [pytest.mark.database, pytest.mark.broker]
Run = Callable[..., str]


@pytest.fixture
def run(database_url: str, broker: Broker, tmp_path: Path, personal_keys: KeyRingFile) -> Run:
    environment = {
        "WEARCAST_DATABASE_URL": database_url,
        "WEARCAST_BROKER_URL": f"mqtt://{broker.host}:{broker.port}",
        "WEARCAST_PERSONAL_KEY_FILE": str(personal_keys.path),
        "WEARCAST_BACKUP_DIR": str(tmp_path / "backups"),
        "WEARCAST_MAIL_DIR": str(tmp_path / "mail"),
    }

    def run(*arguments: str | Path, answer: str | None = None) -> str:
        result = CliRunner().invoke(app, list(map(str, arguments)), env=environment, input=answer)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.stdout

    return run


def as_json(text: str) -> Any:
    return json.loads(text)


def test_a_life_from_masked_to_erased(run: Run, connection: Connection, tmp_path: Path) -> None:
    ada = add_person(connection)
    (masked,) = as_json(run("ingest", "owner", "list", "--json"))
    assert masked["name"] == "A. B."
    assert masked["email"] == "a…@….org"
    assert masked["notify"] == ["json://…"]
    assert masked["position"] == [52.5, 13.4]

    with pytest.raises(PersonalDataError, match="give the id and --reason"):
        run("ingest", "owner", "list", ada.owner.__str__(), "--reveal")
    (plain,) = as_json(run("ingest", "owner", "list", str(ada.owner), "--reveal", "--reason", "called back", "--json"))
    assert (plain["name"], plain["email"]) == (NAME, EMAIL)

    out = tmp_path / "ada.zip"
    run("privacy", "export", str(ada.owner), "--out", out)
    assert out.stat().st_mode & 0o077 == 0
    logged = as_json(run("privacy", "log", str(ada.owner), "--json"))
    assert [entry["purpose"] for entry in logged] == ["export", "called back"]
    with zipfile.ZipFile(out) as archive:
        about = json.loads(archive.read("about.json"))
        assert set(about["files"]) == set(archive.namelist()) - {"about.json"}
        assert json.loads(archive.read("owner.json"))["email"] == EMAIL
        assert json.loads(archive.read("vehicles.json"))[0]["vin"] == VIN
        readings = archive.read("reading.csv").decode().splitlines()
        assert len(readings) == 11 == about["files"]["reading.csv"]["rows"] + 1
        assert len(archive.read("booking.jsonl").splitlines()) == about["files"]["booking.jsonl"]["rows"] == 2
        assert b"operator_grant" not in archive.read("device_command.jsonl")

    run("db", "backup")
    mails = tmp_path / "mail"
    mails.mkdir()
    for name in [*mail_names(connection, find_subject(connection, ada.owner)), "another.eml"]:
        (mails / name).write_text(EMAIL)
    shown = run("privacy", "erase", str(ada.owner), "--reason", "request", "--dry-run")
    assert "backups in which the key is destroyed" in shown
    run("privacy", "erase", str(ada.owner), "--reason", "request", answer="n\n")
    assert registry.owner_by_id(connection, ada.owner).name == NAME
    done = run("privacy", "erase", str(ada.owner), "--reason", "request", answer="y\n")
    assert "erased" in done
    assert "may remain" not in done
    assert [path.name for path in mails.iterdir()] == ["another.eml"]
    assert tables_with(connection, NAME) == tables_with(connection, EMAIL) == set()
    assert "erased" in run("privacy", "erase", str(ada.owner), "--reason", "request", "--yes")  # again: it goes on
    assert as_json(run("privacy", "log", str(ada.owner), "--json"))[1]["purpose"] == "erasure: request"
    (asked,) = as_json(run("privacy", "wipes", "--open", "--json"))  # once, though it was erased twice
    assert (asked["device"], asked["state"], asked["sent"]) == (ada.device, "open", 0)
    (over,) = as_json(run("privacy", "wipes", "--done", ada.device, "--json"))
    assert over["state"] == "by-hand"
    assert as_json(run("privacy", "wipes", "--open", "--json")) == []
    with pytest.raises(RegistryError, match="there is no owner"):
        run("privacy", "export", str(ada.owner), "--out", tmp_path / "again.zip")


def test_an_owner_comes_from_a_file_and_so_through_no_command_line(run: Run, connection: Connection) -> None:
    owner = '{"name": "Bo", "email": "bo@example.org", "position": [48.1, 11.6]}'
    added = run("ingest", "owner", "add", "--from", "-", "--language", "zh", answer=owner).strip()
    (found,) = registry.owners(connection)
    assert str(found.id) == added
    assert (found.name, found.email, found.latitude, found.language) == ("Bo", "bo@example.org", 48.1, "zh")
    with pytest.raises(SettingsError, match="leave out"):
        run("ingest", "owner", "add", "Bo", "--from", "-", answer=owner)
    with pytest.raises(SettingsError, match="or --from"):
        run("ingest", "owner", "add")


def test_keys_are_replaced_and_the_old_one_removed_when_nothing_needs_it(
    run: Run, connection: Connection, personal_keys: KeyRingFile, tmp_path: Path
) -> None:
    ada = add_person(connection)
    before = connection.execute("SELECT name, email, position FROM owner").fetchone()
    (old,) = (key.id.hex() for key in personal_keys.read().keys)
    run("db", "backup")
    assert "has a key that waits" in run("privacy", "rotate", "--prepare")
    assert [row["encrypts"] for row in as_json(run("privacy", "keys", "--json"))] == [False, True]
    assert "1 people are sealed anew" in run("privacy", "rotate")
    assert len(personal_keys.read().keys) == 2
    after = connection.execute("SELECT name, email, position FROM owner").fetchone()
    assert before is not None
    assert after is not None
    assert not set(before) & set(after)
    owner = registry.owner_by_id(connection, ada.owner)
    assert (owner.name, owner.email, owner.latitude) == (NAME, EMAIL, LATITUDE)
    assert registry.vehicle_by_id(connection, ada.vehicle).vin == VIN

    rows = {row["id"]: row for row in as_json(run("privacy", "keys", "--json"))}
    assert rows[old]["people"] == 0
    assert rows[old]["in_backups"]
    with pytest.raises(PersonalDataError, match="and backups in"):
        run("privacy", "keys", "--remove", old)
    for backup in (tmp_path / "backups").glob("*.backup"):
        backup.unlink()
    run("db", "backup")
    assert "removed" in run("privacy", "keys", "--remove", old)
    with pytest.raises(PersonalDataError, match="still opens 1 people"):
        run("privacy", "keys", "--remove", personal_keys.read().newest.id.hex())
    use_keys(lambda: KeyRingFile(personal_keys.path))
    assert registry.owner_by_id(connection, ada.owner).name == NAME
