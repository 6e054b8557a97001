"""A real trip, from the recording through agent, broker and worker into the database: every row, every value."""

import csv
import gzip
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg import sql

from edge_agent.ledger import read_ledger
from edge_agent.sources.replay_csv import OBD_TRIP_COLUMNS
from ingest import reading_store
from telemetry.catalogue import Signal, catalogue
from tests.acceptance.acceptance_support import Site, ended_in_order

RECORDINGS = Path(__file__).parents[3] / "shared" / "data"
TRIP = RECORDINGS / "obd_trips" / "long2.csv.gz"
START = datetime(2026, 1, 31, 8, tzinfo=UTC)
PERIOD = timedelta(seconds=0.5)
DEVICE = "wc-trip-1"

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.database,
    pytest.mark.broker,
    pytest.mark.recordings,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings in ../shared/data are not here"),
]


def tolerance(signal: Signal, value: float) -> float:
    """How far a stored value may be from the printed one, in the signal's unit.

    A sensor's value is a whole number of its steps. The file prints it with six decimals of a 32-bit float
    (17.647058 for 45 × 100/255): the wire sends the number of steps, which lies within a hundredth of a step of the
    print, far below half a step, where it would be another value. A ``real`` column rounds to 24 bits on top.
    """
    wire = float(max(signal.resolutions)) / 100 + 5e-7
    return wire + abs(value) * 2**-24


@pytest.mark.parametrize("form", ["compact", "json"])
def test_every_row_of_a_trip_arrives_once_with_its_27_values(site_of: Callable[..., Site], form: str) -> None:
    with gzip.open(TRIP, "rt", newline="") as file:
        expected = [
            {path: float(row[f"{name} ()"]) for name, path in OBD_TRIP_COLUMNS.items()} for row in csv.DictReader(file)
        ]
    assert (len(expected), len(expected[0])) == (7516, 27)

    site = site_of(DEVICE)
    vehicle = site.register(DEVICE)
    worker = site.start_ingest()
    source = {"kind": "replay_csv", "path": str(TRIP), "start": START.isoformat()}
    config = site.write_agent(DEVICE, source, form=form)
    assert site.start("agent", "agent", "run", config, device=DEVICE).wait(200) == 0
    assert ended_in_order(worker)

    signals = [catalogue().by_path(path) for path in OBD_TRIP_COLUMNS.values()]
    columns = sql.SQL(", ").join(sql.Identifier(signal.column) for signal in signals)
    with site.connect() as connection:
        query = sql.SQL("SELECT time, {} FROM reading WHERE vehicle_id = %s ORDER BY time").format(columns)
        stored = connection.execute(query, [vehicle]).fetchall()
        counted = reading_store.counts(connection)
    assert [row[0] for row in stored] == [START + number * PERIOD for number in range(len(expected))]
    wrong = [
        f"row {number}: {signal.path} = {value}, recorded {row[signal.path]}"
        for number, (row, (_, *values)) in enumerate(zip(expected, stored, strict=True))
        for signal, value in zip(signals, values, strict=True)
        if value is None or not abs(value - row[signal.path]) <= tolerance(signal, row[signal.path])
    ]
    assert wrong == []
    assert (counted.samples, counted.rejected) == (len(expected), 0)
    (boot,) = counted.boots
    assert boot.batches == boot.last_sequence
    ledger = read_ledger(site.outbox(DEVICE))
    assert ledger["samples_accepted"] == len(expected)
    assert ledger["batches_waiting"] == 0
