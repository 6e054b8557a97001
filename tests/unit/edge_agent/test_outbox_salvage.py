"""A damaged outbox: what can be read goes on, what cannot is put aside and counted, and no key is given twice."""

import os
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest

from edge_agent import outbox_file
from edge_agent.errors import OutboxError
from edge_agent.ledger import read_ledger
from edge_agent.outbox import Outbox
from edge_agent.outbox_content import pack_readings
from edge_agent.outbox_file import finish_replacement, put_aside, replacement
from edge_agent.recorder import Recorder
from edge_agent.testing import FakeClock
from telemetry.records import BatchKey, EventKind
from tests.unit.edge_agent.outbox_support import (
    BOOT,
    DEVICE,
    KERNEL,
    NOW_MS,
    NUMBER,
    all_waiting,
    numbers_of,
    opened,
    publish_all,
    sample,
    seal_event,
)

BATCHES = 400
ROWS = 40  # of a batch
IN_FLIGHT = 8
NOISE = ("Vehicle.Speed", "Vehicle.OBD.MAP", "Vehicle.OBD.IntakeTemp", "Vehicle.OBD.BarometricPressure")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An outbox as a power cut leaves it: the newest part in the WAL, the first batches published, samples waiting."""
    folder = tmp_path_factory.mktemp("original")
    source, path = folder / "source.sqlite", folder / "outbox.sqlite"
    draw = random.Random(1)
    with opened(source) as outbox:
        outbox.begin_boot(BOOT, KERNEL)
        for first in range(0, BATCHES, 10):
            with outbox.transaction(durable=True):
                for number in range(first, first + 10):
                    samples = [
                        replace(
                            sample(row),
                            values={NUMBER: float(row), **{path: float(draw.randrange(100)) for path in NOISE}},
                        )
                        for row in range(ROWS * number, ROWS * number + ROWS)
                    ]
                    outbox.add_readings(samples, [], created_ms=NOW_MS, clock_ms=NOW_MS)
        seal_event(outbox, 50_000)
        for batch in outbox.waiting("readings", IN_FLIGHT):
            outbox.publish([batch])
        outbox.add_samples([sample(60_000), sample(60_001)], recorded=False)
        outbox.put_state("estimator.x", {"count": 1})
        for suffix in ("", "-wal"):  # while it is open: closing would empty the WAL
            shutil.copyfile(source.with_name(source.name + suffix), path.with_name(path.name + suffix))
    return path


@pytest.fixture
def filled(original: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    path = tmp_path / "outbox.sqlite"
    for suffix in ("", "-wal"):
        shutil.copyfile(original.with_name(original.name + suffix), path.with_name(path.name + suffix))
    return path


def everything(outbox: Outbox) -> list[int]:
    """Numbers of all samples and events in it; those published keep their key, the others get new ones."""
    waiting = [int(entry.sample.values[NUMBER]) for entry in outbox.pending_samples()]
    outbox.begin_boot(uuid4(), KERNEL)
    published = publish_all(outbox)
    keys = [entry.key for entry in published]
    assert len(keys) == len(set(keys))
    assert {key.sequence for key in keys if key.boot == BOOT} <= set(range(1, IN_FLIGHT + 1))
    return sorted(numbers_of(published) + waiting)


ALL = [*range(BATCHES * ROWS), 50_000, 60_000, 60_000 + 1]


def test_an_outbox_cut_off_without_damage_has_everything(filled: Path) -> None:
    with opened(filled) as outbox:
        assert outbox.salvage is None
        assert everything(outbox) == ALL


@pytest.mark.parametrize("seed", range(5))
def test_a_cut_at_a_random_place_costs_what_was_cut_off_and_not_more(filled: Path, seed: int) -> None:
    draw = random.Random(seed)
    path = filled
    wal = path.with_name(path.name + "-wal")
    with opened(path):  # checkpoints everything into the file, which is what is cut here
        pass
    size = path.stat().st_size
    left = draw.uniform(0.02, 0.98)
    with path.open("r+b") as file:
        file.truncate(int(size * left))
    assert not wal.exists() or wal.stat().st_size == 0
    with opened(path) as outbox:
        assert outbox.salvage is not None
        lost = outbox.salvage.lost_batches
        found = everything(outbox)
    assert set(found) <= set(ALL)
    assert len(found) == len(set(found))
    # what is left of the file, but for the page that was cut, and pages of other tables among the first
    pages = size // 4096
    assert len(found) >= len(ALL) * (int(pages * left) - 15) / pages
    assert lost in {None, BATCHES + 1 - outbox.salvage.batches}


@pytest.mark.parametrize("seed", range(5))
def test_a_journal_cut_at_a_random_place_leaves_a_sound_earlier_state(filled: Path, seed: int) -> None:
    path = filled
    wal = path.with_name(path.name + "-wal")
    with wal.open("r+b") as file:
        file.truncate(random.Random(seed).randrange(wal.stat().st_size))
    with opened(path) as outbox:
        found = everything(outbox)
    assert found == sorted(set(found))
    assert set(found) <= set(ALL)
    readings = [number for number in found if number < 50_000]
    assert readings == list(range(len(readings)))  # an earlier state: nothing is missing in between


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tear", ["zeros", "garbage"])
def test_torn_pages_cost_what_was_on_them(filled: Path, seed: int, tear: str) -> None:
    draw = random.Random(seed)
    path = filled
    with opened(path):
        pass
    pages = path.stat().st_size // 4096
    torn = draw.sample(range(20, pages), 3) if seed else [0]  # behind the roots of all tables; or the header itself
    with path.open("r+b") as file:
        for page in torn:
            file.seek(page * 4096 + draw.choice([0, 512, 2048]))
            file.write(bytes(512) if tear == "zeros" else draw.randbytes(2048))
    with opened(path) as outbox:
        found = everything(outbox)
        aside = {entry.reason for entry in outbox.rejected()}
    assert found == sorted(set(found))
    assert set(found) <= set(ALL)
    assert aside <= {"spoilt on the disk"}
    assert len(found) >= len(ALL) * 0.9


def test_a_file_of_which_nothing_is_left_is_put_aside_and_a_new_one_begun(filled: Path) -> None:
    path = filled
    size = path.stat().st_size
    path.write_bytes(os.urandom(size))
    path.with_name(path.name + "-wal").unlink()
    with opened(path) as outbox:
        assert outbox.quarantined is not None
        assert outbox.quarantined.stat().st_size == size
        assert outbox.pending_batches() == 0
        outbox.begin_boot(uuid4())


def test_an_emptied_file_is_saved_from_its_journal(filled: Path) -> None:
    """SQLite takes an empty file for a new one and deletes the journal beside it."""
    path = filled
    path.write_bytes(b"")
    with opened(path) as outbox:
        assert outbox.salvage is not None
        assert outbox.salvage.samples == 2
        assert everything(outbox)[-3:] == ALL[-3:]


def test_what_was_saved_and_lost_is_told_by_the_next_start(filled: Path) -> None:
    path = filled
    with opened(path):
        pass
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    from edge_agent.config import AgentConfig, SourceConfig

    config = AgentConfig(device=DEVICE, source=SourceConfig(kind="obd_can"), outbox_path=path)
    with opened(path) as outbox:
        salvage = outbox.salvage
        assert salvage is not None
        assert salvage.lost_batches
        Recorder(config=config, estimators=[], outbox=outbox, clock=FakeClock())
        started = [
            msgspec.json.decode(entry.payload)["events"][0]
            for entry in publish_all(outbox)
            if entry.channel == "events"
        ][-1]
    assert started["kind"] == EventKind.DEVICE_STARTED
    assert started["data"]["damaged_outbox"] == salvage.aside.name
    assert started["data"]["salvaged"] == {
        "batches": salvage.batches,
        "samples": salvage.samples,
        "lost_batches": salvage.lost_batches,
    }
    assert started["data"]["given_up"]["batches_damaged"] == salvage.lost_batches
    ledger = read_ledger(path)
    assert ledger["batches_damaged"] == salvage.lost_batches


def test_damage_met_while_it_runs_is_remembered_and_repaired_by_the_next_start(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large file is not checked whole at every start."""
    path = filled
    with opened(path):
        pass
    with path.open("r+b") as file:
        middle = path.stat().st_size // 4096 // 2
        for page in range(middle, middle + 10):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    monkeypatch.setattr(outbox_file, "CHECKED_BYTES", 0)
    with opened(path) as outbox:
        assert outbox.salvage is None
        outbox.begin_boot(uuid4())
        with pytest.raises(OutboxError, match=r"damaged.*start the agent again"):
            publish_all(outbox)
    with opened(path) as outbox:
        assert outbox.salvage is not None
        assert len(everything(outbox)) > len(ALL) * 0.5
    with opened(path) as outbox:
        assert outbox.salvage is None


@pytest.mark.parametrize("moment", range(4))
def test_a_power_cut_during_the_repair_loses_nothing_more(filled: Path, moment: int) -> None:
    path = filled
    if moment == 0:  # the successor is half a copy
        replacement(path).write_bytes(b"half")
    else:
        with opened(path, 10_000_000) as outbox:
            outbox.begin_boot(uuid4())
        shutil.copyfile(path, replacement(path))  # as if it had been built
        if moment == 1:  # the damaged one has lost its name
            path.rename(path.with_name(path.name + ".damaged-x"))
        if moment == 2:  # and its journal has not
            path.rename(path.with_name(path.name + ".damaged-x"))
            path.with_name(path.name + "-wal").write_bytes(b"of the damaged one")
        if moment == 3:
            put_aside(path)
    with opened(path) as outbox:
        assert everything(outbox) == ALL
    assert not replacement(path).exists()
    finish_replacement(path)  # nothing left to do


def test_a_repair_is_announced_because_it_may_take_long(filled: Path) -> None:
    """Otherwise systemd would end a start that takes more than its patience, again and again."""
    called: list[int] = []

    def open_again() -> None:
        Outbox.open(filled, device=DEVICE, max_bytes=10_000_000, repairing=lambda: called.append(1)).close()

    open_again()
    assert called == []
    with filled.open("r+b") as file:
        file.truncate(filled.stat().st_size // 2)
    open_again()
    assert called == [1]


def test_at_most_two_damaged_files_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    for _ in range(4):
        path.write_bytes(os.urandom(10_000))
        opened(path).close()
    assert len([file for file in tmp_path.iterdir() if "damaged" in file.name]) == 2


_VERSION_1 = """
CREATE TABLE boot (boot TEXT PRIMARY KEY, next_sequence INTEGER NOT NULL DEFAULT 1) WITHOUT ROWID;
CREATE TABLE pending_sample (id INTEGER PRIMARY KEY AUTOINCREMENT, boot TEXT NOT NULL, time_ms INTEGER NOT NULL,
    monotonic_ms INTEGER NOT NULL, recorded INTEGER NOT NULL, readings BLOB NOT NULL);
CREATE TABLE batch (id INTEGER PRIMARY KEY AUTOINCREMENT, boot TEXT NOT NULL, sequence INTEGER NOT NULL,
    channel TEXT NOT NULL, created_ms INTEGER NOT NULL, items INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    payload BLOB NOT NULL, UNIQUE (boot, sequence));
CREATE TABLE rejected (id INTEGER PRIMARY KEY AUTOINCREMENT, boot TEXT NOT NULL, sequence INTEGER NOT NULL,
    channel TEXT NOT NULL, created_ms INTEGER NOT NULL, reason TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE state (name TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version=1;
"""


def test_an_outbox_of_the_former_version_is_taken_over_whole(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    payload = pack_readings(DEVICE, [sample(5), sample(6)], [])
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.executescript(_VERSION_1)
        old.execute("INSERT INTO boot VALUES (?, 3)", [str(BOOT)])
        old.execute(
            "INSERT INTO batch (boot, sequence, channel, created_ms, items, attempts, payload)"
            " VALUES (?, 2, 'readings', ?, 2, 0, ?)",
            [str(BOOT), NOW_MS, payload],
        )
        waiting = sample(7)
        old.execute(
            "INSERT INTO pending_sample (boot, time_ms, monotonic_ms, recorded, readings) VALUES (?, ?, ?, 0, ?)",
            [str(BOOT), NOW_MS + 7000, 7000, msgspec.json.encode({**waiting.values, "Vehicle.Gone": 1.0})],
        )
        old.execute("INSERT INTO state VALUES ('x', CAST('[1]' AS BLOB))")
        old.execute("INSERT INTO counter VALUES ('batches_sealed', 2), ('batches_committed', 1)")
    with opened(path) as outbox:
        assert outbox.salvage is None
        assert [entry.sample for entry in outbox.pending_samples()] == [waiting]
        assert outbox.state("x") == [1]
        assert outbox.counters()["batches_sealed"] == 2
        assert outbox.pending_batches() == 1
        outbox.begin_boot(UUID(int=2), KERNEL)
        (published,) = outbox.publish(all_waiting(outbox))
        assert published.key == BatchKey(device=DEVICE, boot=BOOT, sequence=2)  # the key it was given then
        assert published.payload == payload
    assert sorted(file.name for file in tmp_path.iterdir()) == ["outbox.sqlite", "outbox.sqlite.lock"]
