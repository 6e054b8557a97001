"""Emptying a dongle's store."""

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from edge_agent.errors import OutboxError
from edge_agent.forget import forget
from edge_agent.outbox import Outbox
from edge_agent.wipe.empty import empty, finish_wipe
from edge_agent.wipe.record import NEVER, read_record, write_record
from tests.unit.edge_agent.wipe_support import DEVICE, wipe
from wearcast.cli import app

RECORD = "wiped-outbox.sqlite.json"  # what the backend asked for before is not for the next service
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_nothing_of_the_car_is_left(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with Outbox.open(path, device="dongle", max_bytes=10_000_000) as outbox:
        outbox.begin_boot(uuid4())
        outbox.put_state("memory", {"vin": "WVWZZZ6RZHY123456"})
        with pytest.raises(OutboxError, match="stop the agent first"):
            forget(path, NOW)
    (tmp_path / "outbox.sqlite.damaged-20260101T000000000000").write_text("WVWZZZ6RZHY123456")
    (tmp_path / "agent.yaml").write_text(json.dumps({"device": "dongle"}))
    assert len(forget(path, NOW)) >= 2
    assert {file.name for file in tmp_path.iterdir()} == {"agent.yaml", "outbox.sqlite.lock", RECORD}
    assert forget(path, NOW) == []
    assert forget(tmp_path / "nowhere" / "outbox.sqlite", NOW) == []
    assert not (tmp_path / "nowhere").exists()


def test_all_goes_whatever_the_outbox_is_called_and_nothing_of_a_neighbour(tmp_path: Path) -> None:
    own = {"car[1].sqlite", "car[1].sqlite-wal", "car[1].sqlite.damaged-1", "bus.json", "bus.new"}
    others = {"car1.sqlite", "car[1].sqlite2", "car[1].sqlite.lock"}
    for name in own | others:
        (tmp_path / name).write_text("WVWZZZ6RZHY123456")
    assert {file.name for file in empty(tmp_path / "car[1].sqlite")} == own
    assert {file.name for file in tmp_path.iterdir()} == others


def test_a_disk_that_refuses_is_told_and_nothing_is_said_to_be_empty(tmp_path: Path) -> None:
    outbox = tmp_path / "outbox.sqlite"
    (tmp_path / "outbox.sqlite.damaged-1").mkdir()  # what cannot be unlinked
    write_record(outbox, NEVER.begun(wipe(), batches=2))
    with pytest.raises(OutboxError, match="cannot be emptied"):
        finish_wipe(outbox)
    assert read_record(outbox).state == "begun"


def test_the_command_asks_first(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        json.dumps(
            {
                "device": "dongle",
                "vehicle_profile": "generic",
                "source": {"kind": "replay_csv", "path": "none.csv"},
                "outbox": {"path": "outbox.sqlite"},
                "mqtt": {"host": "127.0.0.1", "port": 1},
            }
        )
    )
    stored = tmp_path / "outbox.sqlite"
    stored.write_text("readings")
    assert CliRunner().invoke(app, ["agent", "forget", str(config)], input="n\n").exit_code == 1
    assert stored.exists()
    assert "1 files are gone" in CliRunner().invoke(app, ["agent", "forget", str(config), "--yes"]).stdout
    assert not stored.exists()


def test_an_emptied_dongle_says_so_and_is_enabled_by_hand(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(json.dumps({"device": DEVICE, "source": {"kind": "replay_csv"}, "outbox": {"path": "o.sqlite"}}))
    outbox = tmp_path / "o.sqlite"

    def run(command: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["agent", command, str(config)])
        return done.exit_code, done.stdout

    assert "nothing is to be done" in run("enable")[1]
    write_record(outbox, NEVER.begun(wipe(), batches=0).done(0))
    assert run("status") == (
        1,
        "this dongle was emptied and collects nothing; a new service begins with: wearcast agent enable\n",
    )
    assert "a new service begins" in run("enable")[1]
    assert read_record(outbox).state == "served"
